"""Files of a crystal that knows two states, and the program run on them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import biotite.structure
import mdtraj
import numpy as np
from typer.testing import CliRunner

from unstill.cli.app import complete_app
from unstill.crystal.supercell import supercell
from unstill.diffuse.bragg import BraggPoints
from unstill.ensembles import Ensemble
from unstill.io import read_weights_csv, write_block_sums, write_map, write_structure
from unstill.io.mtz_file import new_mtz, write_mtz
from unstill.io.mtz_stack import write_frame_mtz
from unstill.maps import BlockSums, IntensityMap
from weighting.two_states import CRYSTAL, DIVISIONS, frame_sums, mixed_map

N_FRAMES = 30
FAST = ("--theta", "0.3", "--bootstrap", "0")
"""For what does not ask how θ is chosen and how sure the weights are."""

_LIKE = {"moved": 2.5, "d_min": 3.5}


@dataclass
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


def unstill(*arguments: object) -> Answer:
    """The program within this process."""
    found = CliRunner().invoke(complete_app(), [str(argument) for argument in arguments])
    return Answer(found.exit_code, found.stdout, found.stderr)


def program(*arguments: object) -> subprocess.Popen[str]:
    """The program as a user starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "unstill", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answered(*arguments: object) -> dict[str, Any]:
    """What a run that succeeds says with --json."""
    found = unstill(*arguments, "--json")
    assert found.code == 0, found.err
    return found.json


def refused(folder: Path, *arguments: object) -> str:
    """What a run that fails says, after its three parts were seen and no file."""
    before = sorted(folder.rglob("*"))
    found = unstill(*arguments, "--json")
    assert found.code == 1, found.out
    assert "Traceback" not in found.err
    assert "unexpected failure" not in found.err
    error = found.json["error"]
    assert error["what"]
    assert error["found"]
    assert error["fix"]
    assert found.json["outputs"] == {}
    assert {"warnings", "provenance", "error", "outputs"} <= set(found.json)
    assert sorted(folder.rglob("*")) == before
    return found.err


def weigh_words(folder: Path, *more: object, out: Path, members: str = "sums.h5") -> list[object]:
    """How ``unstill weigh`` is usually called."""
    return ["weigh", folder / members, "--observed", folder / "data.nxs", "-o", out, *more]


def weights(folder: Path) -> np.ndarray:
    """What a run wrote."""
    return read_weights_csv(folder / "weights.csv").weight


def sums() -> BlockSums:
    """Thirty frames, the first half in state A."""
    return frame_sums(N_FRAMES, **_LIKE)


def measured() -> IntensityMap:
    """Nine tenths of state A."""
    return mixed_map(0.9, n_frames=120, noise=0.1, **_LIKE)


def pick(whole: BlockSums, which: slice) -> BlockSums:
    """Some of the blocks."""
    names = ("s1", "s2", "weight", "weight_squared", "n_frames")
    return BlockSums(
        crystal=whole.crystal,
        divisions=whole.divisions,
        index=whole.index,
        **{name: getattr(whole, name)[which] for name in names},
    )


def coordinates() -> tuple[biotite.structure.AtomArray, np.ndarray]:
    """Atoms of the supercell, and frames of two states (Å)."""
    n_atoms = 120
    rng = np.random.default_rng(1)
    mean = supercell(CRYSTAL, DIVISIONS).cartesian(rng.random((n_atoms, 3)))
    shift = np.zeros((n_atoms, 3))
    shift[: n_atoms // 4] = [2.0, -0.8, 1.2]
    modes = rng.normal(size=(12, n_atoms, 3)) * 0.12
    state = np.repeat([0, 1], N_FRAMES // 2)
    moves = np.tensordot(rng.normal(size=(N_FRAMES, 12)), modes, 1)
    atoms = biotite.structure.AtomArray(n_atoms)
    atoms.element = np.array(["C", "N", "O"] * (n_atoms // 3))
    atoms.atom_name = np.array(["CA", "N", "O"] * (n_atoms // 3))
    atoms.res_name = np.full(n_atoms, "GLY")
    atoms.chain_id = np.full(n_atoms, "A")
    atoms.res_id = np.repeat(np.arange(1, n_atoms // 3 + 1), 3)
    return atoms, mean + state[:, None, None] * shift + moves


def write_files(folder: Path) -> Path:
    """Write everything that the verbs read; returns the folder."""
    members = sums()
    write_block_sums(members, folder / "sums.h5")
    write_block_sums(frame_sums(N_FRAMES, per_block=3, **_LIKE), folder / "blocks.h5")
    write_map(measured(), folder / "data.nxs")
    for number in range(N_FRAMES):
        path = folder / f"frame_{number:02d}.mtz"
        write_frame_mtz(CRYSTAL, DIVISIONS, members.index, members.s1[number, 0], path)
    labels = ["A"] * (N_FRAMES // 2) + ["B"] * (N_FRAMES // 2)
    (folder / "states.txt").write_text("\n".join(labels) + "\n")
    rows = [f"{number},{label}" for number, label in enumerate(labels)]
    (folder / "states.csv").write_text("\n".join(["frame,state", *reversed(rows)]) + "\n")
    _write_amplitudes(members, folder / "bragg.mtz")
    atoms, coord = coordinates()
    cell = supercell(CRYSTAL, DIVISIONS)
    write_structure(Ensemble(atoms, coord[:1], crystal=cell), folder / "top.pdb")
    write_structure(Ensemble(atoms, coord, crystal=cell), folder / "models.pdb")
    with mdtraj.formats.DCDTrajectoryFile(str(folder / "run.dcd"), "w") as file:
        lengths = np.tile(cell.unit_cell[:3], (len(coord), 1))
        angles = np.full((len(coord), 3), 90.0)
        file.write(coord.astype(np.float32), cell_lengths=lengths, cell_angles=angles)
    return folder


def _write_amplitudes(members: BlockSums, path: Path) -> None:
    """Amplitudes of state A, which the data have more of than the members."""
    points = BraggPoints.of(CRYSTAL, DIVISIONS, members.index)
    f = np.abs(points.average(members.s1[: N_FRAMES // 2, 0].mean(axis=0))[0])
    rng = np.random.default_rng(2)
    sigma = np.full(len(f), 0.02 * f.mean())
    free = rng.integers(0, 20, len(f))
    mtz = new_mtz(CRYSTAL, "amplitudes")
    for label, kind in (("FP", "F"), ("SIGFP", "Q"), ("FREE", "I")):
        mtz.add_column(label, kind)
    f = f + sigma * rng.normal(size=len(f))
    columns = np.column_stack([points.hkl, f, sigma, free])
    mtz.set_data(columns[f > 0].astype(np.float32))
    write_mtz(mtz, path)
