"""``unstill diffuse`` from files to files, and what it says about bad input."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import biotite.structure
import mdtraj
import numpy as np
import pytest
from typer.testing import CliRunner

from unstill.cli.app import complete_app
from unstill.crystal import Crystal
from unstill.diffuse import diffuse_intensity, stream_block_sums
from unstill.ensembles import Ensemble
from unstill.ensembles.supercell import build_supercell
from unstill.io import (
    open_trajectory,
    read_block_sums,
    read_map,
    read_structure,
    write_structure,
)

CRYSTAL = Crystal((14.0, 14.0, 18.0, 90.0, 90.0, 90.0), "P 41")
DIVISIONS = (2, 2, 1)
BOX = np.array([28.0, 28.0, 18.0])


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
    found = CliRunner().invoke(complete_app(), [str(argument) for argument in arguments])
    return Answer(found.exit_code, found.stdout, found.stderr)


def asymmetric_unit() -> Ensemble:
    atoms = biotite.structure.AtomArray(6)
    atoms.atom_name = np.array(["N", "CA", "C", "O", "CB", "O"])
    atoms.element = np.array(["N", "C", "C", "O", "C", "O"])
    atoms.res_name = np.array(["ALA"] * 5 + ["HOH"])
    atoms.res_id = np.array([1] * 5 + [2])
    atoms.chain_id = np.array(["A"] * 6)
    atoms.hetero = np.array([False] * 5 + [True])
    coord = np.random.default_rng(0).random((1, 6, 3)) * np.array([14.0, 14.0, 18.0])
    return Ensemble(atoms, coord, crystal=CRYSTAL)


def moving(n_frames: int = 20) -> tuple[Ensemble, np.ndarray]:
    """Supercell of the model, and frames of it (Å)."""
    still = build_supercell(asymmetric_unit(), DIVISIONS)
    rng = np.random.default_rng(1)
    return still, still.coord + 0.4 * rng.normal(size=(n_frames, *still.coord.shape[1:]))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with top.pdb (supercell, P 1), run.xtc with boxes, unit.pdb (models)."""
    still, coord = moving()
    write_structure(still, tmp_path / "top.pdb")
    write_xtc(tmp_path / "run.xtc", coord)
    return tmp_path


def write_xtc(path: Path, coord: np.ndarray, box: np.ndarray | None = BOX) -> None:
    with mdtraj.formats.XTCTrajectoryFile(str(path), "w") as file:
        boxes = None
        if box is not None:
            boxes = np.broadcast_to(np.diag(box / 10), (len(coord), 3, 3)).astype(np.float32)
        file.write((coord / 10).astype(np.float32), box=boxes)


def write_dcd(path: Path, coord: np.ndarray) -> None:
    with mdtraj.formats.DCDTrajectoryFile(str(path), "w") as file:
        file.write(coord.astype(np.float32))


def usual(folder: Path) -> list[object]:
    return [
        "diffuse", folder / "top.pdb", folder / "run.xtc", "--supercell", 2, 2, 1,
        "--d-min", 3, "-o", folder / "map.nxs", "--workers", 1, "--space-group", "P 41",
    ]  # fmt: skip


def test_a_trajectory_becomes_maps_sums_and_structure_factors(files: Path) -> None:
    found = unstill(
        *usual(files), "--blocks", 4, "--blocks-out", files / "b.nxs", "--bragg-out",
        files / "f.mtz", "--select", "protein", "--select", "solvent=water", "--json",
    )  # fmt: skip
    assert found.code == 0, found.err
    result = found.json
    assert result["unit_cell"] == [14, 14, 18, 90, 90, 90]
    assert result["space_group"] == "P 41"
    assert result["divisions"] == [2, 2, 1]
    assert (result["n_frames"], result["n_blocks"], result["n_atoms"]) == (20, 4, 96)
    assert result["selections"] == ["all", "protein", "solvent"]
    assert result["mean_box"][:3] == pytest.approx(BOX.tolist(), rel=1e-6)
    assert 0 < result["cc_max"] <= 1
    assert result["symmetry_kept"] > 0.9
    names = {"map", "map_protein", "map_solvent", "map_cross", "blocks", "bragg"}
    assert set(result["outputs"]) == names
    assert all(Path(path).is_file() for path in result["outputs"].values())
    assert {"outputs", "warnings", "provenance"} <= set(result)
    assert not (files / "map.nxs.checkpoint").exists()

    written = read_map(files / "map.nxs")
    again = diffuse_intensity(read_block_sums(files / "b.nxs"))
    np.testing.assert_allclose(written.intensity, again.intensity, rtol=1e-6)
    parts = [read_map(files / f"map_{name}.nxs") for name in ("protein", "solvent", "cross")]
    used = written.measured
    np.testing.assert_allclose(
        sum(part.intensity[used] for part in parts), written.intensity[used], rtol=1e-4, atol=1e-4
    )
    assert written.provenance["command"] == "unstill diffuse"
    assert len(written.provenance["inputs"]) == 2


def test_the_map_is_that_of_the_api(files: Path) -> None:
    assert unstill(*usual(files)).code == 0
    trajectory = open_trajectory(files / "top.pdb", [files / "run.xtc"])
    expected = diffuse_intensity(stream_block_sums(trajectory, DIVISIONS, 3.0, crystal=CRYSTAL))
    found = read_map(files / "map.nxs")
    assert found.crystal == CRYSTAL
    assert found.grid == expected.grid
    np.testing.assert_allclose(found.intensity, expected.intensity, rtol=1e-6)


def test_people_are_told_in_a_few_lines(files: Path) -> None:
    found = unstill(*usual(files))
    assert "20 frames of 96 atoms in 16 blocks" in found.out
    assert str(files / "map.nxs") in found.out


def test_stride_and_weights_choose_frames(files: Path) -> None:
    (files / "weights.txt").write_text("\n".join(["1"] * 9 + ["0"]))
    found = unstill(*usual(files), "--stride", 2, "--weights", files / "weights.txt", "--json")
    assert found.json["n_frames"] == 9
    trajectory = open_trajectory(files / "top.pdb", [files / "run.xtc"], stride=2)
    weights = np.array([1.0] * 9 + [0.0])
    expected = diffuse_intensity(
        stream_block_sums(trajectory, DIVISIONS, 3.0, crystal=CRYSTAL, weights=weights)
    )
    np.testing.assert_allclose(
        read_map(files / "map.nxs").intensity, expected.intensity, rtol=1e-6
    )


def test_models_of_a_file_are_frames(tmp_path: Path) -> None:
    one = asymmetric_unit()
    coord = one.coord + 0.5 * np.random.default_rng(2).normal(size=(5, 6, 3))
    models = Ensemble(one.atoms, coord, crystal=CRYSTAL)
    write_structure(models, tmp_path / "models.cif")
    found = unstill(
        "diffuse", tmp_path / "models.cif", "--supercell", 1, 1, 1, "--d-min", 3,
        "-o", tmp_path / "map.nxs", "--workers", 1, "--json",
    )  # fmt: skip
    assert found.code == 0, found.err
    assert (found.json["n_frames"], found.json["n_atoms"]) == (5, 24)
    read = read_structure(tmp_path / "models.cif")
    expected = diffuse_intensity(
        stream_block_sums(build_supercell(read, (1, 1, 1)), (1, 1, 1), 3.0, crystal=CRYSTAL)
    )
    np.testing.assert_allclose(
        read_map(tmp_path / "map.nxs").intensity, expected.intensity, rtol=1e-6
    )


def test_copies_that_move_alike_are_said_to_scatter_at_bragg_positions_only(
    tmp_path: Path,
) -> None:
    one = asymmetric_unit()
    coord = one.coord + 0.5 * np.random.default_rng(2).normal(size=(4, 6, 3))
    models = Ensemble(one.atoms, coord, crystal=CRYSTAL)
    write_structure(models, tmp_path / "models.cif")
    found = unstill(
        "diffuse", tmp_path / "models.cif", "--supercell", 2, 2, 1, "--d-min", 3,
        "-o", tmp_path / "map.nxs", "--workers", 1, "--json",
    )  # fmt: skip
    assert any("Bragg positions only" in text for text in found.json["warnings"])
    written = read_map(tmp_path / "map.nxs")
    between = np.any(written.grid.index() % np.array(DIVISIONS) != 0, axis=-1) & written.measured
    assert written.intensity[between].max() < 1e-6 * written.intensity[written.measured].max()


def test_one_model_is_no_ensemble(files: Path) -> None:
    found = unstill(
        "diffuse", files / "top.pdb", "--supercell", 1, 1, 1, "--d-min", 3, "-o",
        files / "map.nxs", "--json",
    )  # fmt: skip
    assert found.code == 1
    assert "diffuse intensity of one configuration is zero" in found.json["error"]["what"]
    assert not (files / "map.nxs").exists()


def bad(answer: Answer, folder: Path) -> str:
    """Error text of a run that failed as it should: exit 1, no map, no traceback."""
    assert answer.code == 1
    assert not (folder / "map.nxs").exists()
    assert not list(folder.glob(".*part*"))
    assert "Traceback" not in answer.err
    return answer.err


def test_a_topology_of_other_atoms_is_refused(files: Path) -> None:
    write_structure(asymmetric_unit(), files / "top.pdb")
    text = bad(unstill(*usual(files)), files)
    assert "6 atoms in top.pdb, 96 in run.xtc" in text


def test_a_cell_that_is_not_that_of_the_frames_is_refused(files: Path) -> None:
    still, _ = moving()
    wrong = Crystal((31.0, 31.0, 18.0, 90.0, 90.0, 90.0))
    write_structure(still.replace(crystal=wrong), files / "top.pdb")
    text = bad(unstill(*usual(files)), files)
    assert "wrong cell" in text
    text = bad(unstill(*usual(files), "--unit-cell", "14.2,14.2,18,90,90,90"), files)
    assert "away from the supercell" in text
    assert "--allow-box-drift" in text


def test_the_wrong_supercell_is_refused(files: Path) -> None:
    arguments = usual(files)
    arguments[arguments.index("--supercell") + 3] = 3
    write_structure(moving()[0].replace(crystal=CRYSTAL), files / "top.pdb")
    assert "wrong cell" in bad(unstill(*arguments), files)


def test_the_cell_of_the_model_may_be_the_unit_cell(files: Path) -> None:
    write_structure(moving()[0].replace(crystal=CRYSTAL), files / "top.pdb")
    found = unstill(*usual(files)[:-2], "--json")
    assert found.json["unit_cell"] == [14, 14, 18, 90, 90, 90]
    assert found.json["space_group"] == "P 41"


def test_without_a_space_group_a_missing_average_is_mentioned(files: Path) -> None:
    found = unstill(*usual(files)[:-2], "--json")
    assert found.json["space_group"] == "P 1"
    assert any("--space-group" in text for text in found.json["warnings"])


def test_frames_without_a_box_and_without_symmetry_leave_the_cell_open(files: Path) -> None:
    write_dcd(files / "run.dcd", moving()[1])
    arguments = usual(files)
    arguments[2] = files / "run.dcd"
    text = bad(unstill(*arguments), files)
    assert "cannot be told whether" in text
    found = unstill(*arguments, "--unit-cell", "14,14,18", "--json")
    assert found.code == 0, found.err
    assert found.json["mean_box"] is None


def test_a_drifting_box_is_refused_and_may_be_allowed(files: Path) -> None:
    _, coord = moving()
    grown = np.linspace(1, 1.012, 20)
    with mdtraj.formats.XTCTrajectoryFile(str(files / "run.xtc"), "w") as file:
        for scale, frame in zip(grown, coord, strict=True):
            box = np.diag(BOX * scale / 10)[None].astype(np.float32)
            file.write((frame[None] * scale / 10).astype(np.float32), box=box)
    assert "more than 0.5%" in bad(unstill(*usual(files)), files)
    assert unstill(*usual(files), "--allow-box-drift").code == 0
    # Fractions of the instantaneous box: the breathing itself leaves no trace.
    breathing = read_map(files / "map.nxs")
    write_xtc(files / "run.xtc", coord)
    assert unstill(*usual(files)).code == 0
    steady = read_map(files / "map.nxs")
    used = steady.measured
    difference = breathing.intensity[used] - steady.intensity[used]
    assert np.sqrt(np.mean(difference**2)) < 0.01 * np.sqrt(np.mean(steady.intensity[used] ** 2))


def test_a_coordinate_that_is_not_a_number_is_named_by_its_frame(files: Path) -> None:
    _, coord = moving()
    coord[11, 3, 0] = np.nan
    write_dcd(files / "run.dcd", coord)
    arguments = usual(files)
    arguments[2] = files / "run.dcd"
    text = bad(unstill(*arguments, "--unit-cell", "14,14,18"), files)
    assert "frame 11" in text


def test_a_broken_trajectory_is_used_up_to_the_break(files: Path) -> None:
    whole = (files / "run.xtc").read_bytes()
    (files / "run.xtc").write_bytes(whole[: int(len(whole) * 0.72)])
    found = unstill(*usual(files), "--json")
    assert found.code == 0
    n_frames = found.json["n_frames"]
    assert 10 < n_frames < 20
    assert any(f"frame {n_frames} " in text for text in found.json["warnings"])


def test_an_unknown_element_is_refused(files: Path) -> None:
    text = (files / "top.pdb").read_text().splitlines()
    changed = [
        line[:76] + "QQ" + line[78:] if line.startswith("ATOM") and " CB " in line else line
        for line in text
    ]
    (files / "top.pdb").write_text("\n".join(changed) + "\n")
    assert "element" in bad(unstill(*usual(files)), files)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("-o", "missing/map.nxs", "folder does not exist"),
        ("-o", "map.jpg", "no map format"),
        ("--blocks-out", "missing/b.nxs", "folder does not exist"),
        ("--bragg-out", "map.nxs", "same path"),
        ("--weights", "missing.txt", "file not found"),
    ],
)
def test_what_cannot_be_written_or_read_is_said_before_the_frames_are_read(
    files: Path, option: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("frames were read")

    monkeypatch.setattr("unstill.diffuse.stream_block_sums", never)
    assert message in bad(unstill(*usual(files), option, files / value), files)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder closed even to root")
def test_a_folder_that_takes_no_file_is_said_before_the_frames_are_read(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unstill.diffuse.stream_block_sums", None)
    assert "could not be written" in bad(unstill(*usual(files), "-o", "/proc/map.nxs"), files)


def test_unequal_divisions_of_equal_axes_are_refused_before_the_run(files: Path) -> None:
    arguments = usual(files)
    arguments[arguments.index("--supercell") + 2] = 1
    text = bad(unstill(*arguments, "--unit-cell", "14,28,18"), files)
    assert "divided differently" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["diffuse"],
        ["diffuse", "top.pdb", "--d-min", "3", "-o", "map.nxs"],
        ["diffuse", "top.pdb", "--supercell", "0", "1", "1", "--d-min", "3", "-o", "map.nxs"],
        ["diffuse", "top.pdb", "--supercell", "1", "1", "1", "--d-min", "-3", "-o", "map.nxs"],
        ["diffuse", "top.pdb", "--supercell", "2", "2", "--d-min", "3", "-o", "map.nxs"],
    ],
)
def test_bad_usage_exits_2(arguments: list[str]) -> None:
    assert unstill(*arguments).code == 2


def test_two_selections_of_one_name_are_refused(files: Path) -> None:
    text = bad(unstill(*usual(files), "--select", "a=protein", "--select", "a=water"), files)
    assert "names of selections must differ" in text


def test_an_old_checkpoint_is_mentioned_and_a_foreign_one_refused(files: Path) -> None:
    assert unstill(*usual(files)).code == 0
    checkpoint = files / "map.nxs.checkpoint"
    trajectory = open_trajectory(files / "top.pdb", [files / "run.xtc"])
    stream_block_sums(
        trajectory, DIVISIONS, 3.5, crystal=CRYSTAL, checkpoint=checkpoint, keep_checkpoint=True
    )
    (files / "map.nxs").unlink()
    assert "d_min: 3.5 there, 3.0 now" in bad(unstill(*usual(files), "--resume"), files)
    found = unstill(*usual(files), "--json")
    assert any("--resume" in text for text in found.json["warnings"])
    assert not checkpoint.exists()


SCRIPT = textwrap.dedent(
    """
    import sys, time
    import unstill.diffuse.stream as stream
    add = stream.Progress.add

    def slowly(self, found):
        add(self, found)
        print("chunk", flush=True)
        time.sleep(0.5)

    stream.Progress.add = slowly
    from unstill.cli import main
    main()
    """
)


def test_ctrl_c_exits_130_and_the_run_can_be_resumed(files: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, *map(str, usual(files))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(3):
        assert process.stdout.readline() == "chunk\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "--resume" in err
    assert not (files / "map.nxs").exists()
    assert (files / "map.nxs.checkpoint").exists()
    assert unstill(*usual(files), "--resume").code == 0
    resumed = read_map(files / "map.nxs")
    assert unstill(*usual(files)).code == 0
    assert np.array_equal(resumed.intensity, read_map(files / "map.nxs").intensity, equal_nan=True)


def test_a_full_disk_leaves_no_partial_file_and_a_state_to_go_on_from(files: Path) -> None:
    command = [sys.executable, "-m", "unstill", *map(str, usual(files))]

    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    began = time.monotonic()
    found = subprocess.run(
        command, preexec_fn=small_files_only, capture_output=True, text=True, timeout=60
    )
    assert time.monotonic() - began < 60
    assert found.returncode == 1, found.stderr
    assert "could not be written" in found.stderr
    assert "Traceback" not in found.stderr
    left = {path.name for path in files.iterdir()}
    assert left <= {"top.pdb", "run.xtc", "map.nxs.checkpoint"}


def test_a_disk_that_fills_up_while_the_map_is_written_keeps_the_sums(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("unstill.io.write_map", full)
        found = unstill(*usual(files))
    assert "No space left on device" in bad(found, files)
    assert (files / "map.nxs.checkpoint").exists()
    assert unstill(*usual(files), "--resume").code == 0


def test_drift_can_be_measured_from_the_model(files: Path) -> None:
    _, coord = moving()
    write_xtc(files / "run.xtc", coord + np.array([1.3, 0.4, 2.0]))
    astray = unstill(*usual(files), "--bragg-out", files / "f.mtz", "--json").json
    assert astray["symmetry_kept"] < 0.7
    assert any("another origin" in text for text in astray["warnings"])
    home = unstill(
        *usual(files), "--bragg-out", files / "f.mtz", "--align-to", "model", "--json"
    ).json
    assert home["symmetry_kept"] > 0.85
