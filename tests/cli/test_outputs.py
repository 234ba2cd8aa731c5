"""No verb writes over what it reads, or over what it wrote a moment ago."""

from __future__ import annotations

import resource
from pathlib import Path

import mdtraj
import numpy as np
import pytest
from typer.testing import CliRunner

from unstill import Crystal, IntensityMap, read_map, write_map
from unstill.cli.app import complete_app
from unstill.crystal import HklGrid


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    grid = HklGrid((-4, -4, -4), (9, 9, 9))
    rng = np.random.default_rng(0)
    for name in "ab":
        found = IntensityMap(
            Crystal((20.0, 21.0, 22.0, 90.0, 90.0, 90.0), "P 21 21 21"),
            grid,
            100 + rng.normal(size=grid.shape),
        )
        write_map(found, tmp_path / f"{name}.nxs")
    coord = rng.random((4, 30, 3)) * 20
    lines = [
        f"ATOM  {number:5d}  CA  ALA A{number:4d}    {x:8.3f}{y:8.3f}{z:8.3f}"
        "  1.00  0.00           C"
        for number, (x, y, z) in enumerate(coord[0], start=1)
    ]
    header = "CRYST1   20.000   20.000   20.000  90.00  90.00  90.00 P 1           1"
    (tmp_path / "top.pdb").write_text("\n".join([header, *lines, "END"]) + "\n")
    for name, frames in (("run", coord), ("still", np.repeat(coord[:1], 6, axis=0))):
        with mdtraj.formats.XTCTrajectoryFile(str(tmp_path / f"{name}.xtc"), "w") as file:
            box = np.broadcast_to(2 * np.eye(3, dtype=np.float32), (len(frames), 3, 3))
            file.write((frames / 10).astype(np.float32), box=box)
    return tmp_path


def run(folder: Path, *words: str, trajectory: str = "run.xtc") -> tuple[int, str]:
    paths = [str(folder / word) if "." in word and "=" not in word else word for word in words]
    if words[0] == "diffuse":
        first = [str(folder / "top.pdb"), str(folder / trajectory), "--supercell", "1", "1", "1"]
        paths[1:1] = [*first, "--d-min", "3", "--workers", "1"]
    found = CliRunner().invoke(complete_app(), paths)
    return found.exit_code, found.stdout + found.stderr


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize(
    "words",
    [
        ["compare", "a.nxs", "b.nxs", "-o", "a.nxs"],
        ["compare", "a.nxs", "b.nxs", "-o", "b.nxs"],
        ["map", "info", "a.nxs", "-o", "a.nxs"],
        ["diffuse", "-o", "m.nxs", "--blocks-out", "run.xtc"],
        ["diffuse", "-o", "m.nxs", "--bragg-out", "top.pdb"],
    ],
)
def test_an_output_that_would_replace_an_input_is_refused(folder: Path, words: list[str]) -> None:
    before = content(folder)
    code, text = run(folder, *words)
    assert code == 1
    assert "replace an input" in text
    assert content(folder) == before


@pytest.mark.parametrize(
    "words",
    [
        ["map", "difference", "a.nxs", "b.nxs", "-o", "d.nxs", "--z-out", "d.nxs"],
        ["map", "difference", "a.nxs", "b.nxs", "-o", "d.nxs", "--z-out", "gone/z.nxs"],
        ["map", "difference", "a.nxs", "b.nxs", "-o", "d.nxs", "--z-out", "z.foo"],
        ["diffuse", "-o", "m.nxs", "--blocks-out", "m.nxs"],
    ],
)
def test_outputs_that_cannot_all_be_written_leave_none_behind(
    folder: Path, words: list[str]
) -> None:
    before = content(folder)
    assert run(folder, *words)[0] == 1
    assert content(folder) == before


def test_a_map_may_be_transformed_in_place(folder: Path) -> None:
    assert run(folder, "map", "symmetrize", "a.nxs", "-o", "a.nxs")[0] == 0
    assert read_map(folder / "a.nxs").n_measured == 9**3


def test_no_cross_term_is_written_of_parts_that_share_atoms(folder: Path) -> None:
    shared = ["--select", "a=resid 1-9", "--select", "b=resid 8-20"]
    code, text = run(folder, "diffuse", "-o", "m.nxs", *shared)
    assert code == 0
    assert "share 2 atoms" in text
    assert not (folder / "m_cross.nxs").exists()
    apart = ["--select", "a=resid 1-9", "--select", "b=resid 10-20"]
    assert run(folder, "diffuse", "-o", "m.nxs", *apart)[0] == 0
    assert (folder / "m_cross.nxs").exists()


def test_frames_that_are_all_alike_are_told_and_have_no_ceiling(folder: Path) -> None:
    code, text = run(folder, "diffuse", "-o", "m.nxs", trajectory="still.xtc")
    assert code == 0
    assert "all alike" in text
    assert "CC_max" not in text


@pytest.mark.parametrize("name", ["s.png", "s.pdf", "s.svg", "s.csv"])
def test_a_full_disk_under_an_image_is_told_and_leaves_nothing(folder: Path, name: str) -> None:
    before = content(folder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        code, text = run(folder, "map", "slice", "a.nxs", "-o", name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 1
    assert "could not be written" in text
    assert content(folder) == before
