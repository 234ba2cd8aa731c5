"""``unstill map``: each operation from file to file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from unstill.cli.app import complete_app
from unstill.crystal import Crystal, HklGrid
from unstill.io import read_map, write_map
from unstill.maps import IntensityMap
from unstill.maps.bragg import mask_bragg
from unstill.maps.difference import difference
from unstill.maps.resample import resample
from unstill.maps.symmetrize import symmetrize

CRYSTAL = Crystal((20.0, 20.0, 28.0, 90.0, 90.0, 90.0), "P 41")
COMMON = {"outputs", "warnings", "provenance"}


def unstill(*arguments: object) -> Result:
    return CliRunner().invoke(complete_app(), [str(argument) for argument in arguments])


def answer(*arguments: object) -> dict[str, Any]:
    found = unstill(*arguments, "--json")
    assert found.exit_code == 0, found.stderr
    parsed: dict[str, Any] = json.loads(found.stdout)
    assert set(parsed) >= COMMON
    return parsed


def noisy(seed: int = 0) -> IntensityMap:
    grid = HklGrid((-12, -12, -16), (24, 24, 32), (4, 4, 4))
    rng = np.random.default_rng(seed)
    decay = 100 * np.exp(-8 * CRYSTAL.s_squared(grid.hkl()))
    mask = rng.random(grid.shape) < 0.1
    values = decay + 5 * rng.normal(size=grid.shape)
    return IntensityMap(CRYSTAL, grid, values, sigma=np.full(grid.shape, 5.0), mask=mask)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "map.nxs"
    write_map(noisy(), found)
    return found


def same(a: IntensityMap, b: IntensityMap) -> bool:
    return (
        a.grid == b.grid
        and np.array_equal(a.mask, b.mask)
        and np.allclose(a.intensity[a.measured], b.intensity[b.measured])
    )


def test_info_has_the_exact_keys(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "info.json"
    found = answer("map", "info", path, "-o", out)
    full = noisy()
    assert set(found) - COMMON == {
        "unit_cell", "space_group", "shape", "divisions", "d_min", "n_measured", "masked",
    }  # fmt: skip
    assert found["shape"] == [24, 24, 32]
    assert found["divisions"] == [4, 4, 4]
    assert found["space_group"] == "P 41"
    assert found["n_measured"] + found["masked"] == full.grid.size
    assert found["d_min"] == pytest.approx(full.d_min)
    assert json.loads(out.read_text())["n_measured"] == found["n_measured"]
    assert "usable" in unstill("map", "info", path).stdout


def test_info_of_an_empty_map_has_no_resolution(tmp_path: Path) -> None:
    path = tmp_path / "empty.nxs"
    write_map(noisy().replace(mask=np.ones((24, 24, 32), bool)), path)
    assert answer("map", "info", path)["d_min"] is None


def test_convert_keeps_the_numbers(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.mtz"
    found = answer("map", "convert", path, "-o", out)
    assert found["outputs"] == {"map": str(out)}
    back, full = read_map(out), noisy()
    assert back.n_measured == full.n_measured
    assert back.grid.divisions == (4, 4, 4)
    assert back.crystal.laue_group == "4/m"


def test_symmetrize_is_that_of_the_library_and_declares_symmetry(
    path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.nxs"
    answer("map", "symmetrize", path, "-o", out, "--weights", "sigma", "--expand")
    assert same(read_map(out), symmetrize(noisy(), weights="sigma", expand=True))
    answer("map", "symmetrize", path, "-o", out, "--space-group", "P 41 21 2")
    higher = noisy().replace(crystal=Crystal(CRYSTAL.unit_cell, "P 41 21 2"))
    assert same(read_map(out), symmetrize(higher))
    assert read_map(out).crystal.space_group == "P 41 21 2"


def test_mask_and_resample_are_those_of_the_library(path: Path, tmp_path: Path) -> None:
    masked, coarse = tmp_path / "masked.nxs", tmp_path / "coarse.nxs"
    found = answer("map", "mask-bragg", path, "-o", masked)
    expected = mask_bragg(noisy())
    assert same(read_map(masked), expected)
    assert found["n_newly_masked"] == expected.mask.sum() - noisy().mask.sum()
    answer("map", "resample", masked, "--divisions", 2, 2, 2, "-o", coarse)
    assert same(read_map(coarse), resample(expected, (2, 2, 2)))


def test_masking_negatives_is_possible_and_told(path: Path, tmp_path: Path) -> None:
    arguments = ["map", "resample", path, "--divisions", 2, 2, 2, "-o", tmp_path / "out.nxs"]
    assert answer(*arguments)["warnings"] == []
    assert "weak voxels" in answer(*arguments, "--mask-negative")["warnings"][0]


def test_difference_is_that_of_the_library(path: Path, tmp_path: Path) -> None:
    other, out, z_out = (tmp_path / f"{name}.nxs" for name in ("other", "delta", "z"))
    second = noisy(1).replace(intensity=2 * noisy(1).intensity)
    write_map(second, other)
    found = answer(
        "map", "difference", path, other, "-o", out, "--z-out", z_out, "--reindex", "none"
    )
    expected = difference(noisy(), second)
    assert found["scale"] == pytest.approx(expected.scale)
    assert found["rms_ratio"] == pytest.approx(expected.rms_ratio)
    assert set(found["outputs"]) == {"map", "z"}
    assert found["provenance"]["seed"] == 0
    assert same(read_map(out), expected.map)
    assert same(read_map(z_out), expected.z)


def test_outputs_carry_how_they_were_made(path: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "one.nxs", tmp_path / "two.nxs"
    answer("map", "mask-bragg", path, "-o", first)
    answer("map", "symmetrize", first, "-o", second)
    made = read_map(second).provenance
    assert made["command"] == "unstill map symmetrize"
    assert made["before"]["command"] == "unstill map mask-bragg"


@pytest.mark.parametrize("suffix", [".png", ".svg", ".csv"])
def test_slices_are_written(path: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"plane{suffix}"
    found = answer("map", "slice", path, "--plane", "l=0.5", "--anisotropic", "-o", out)
    assert found["outputs"] == {"slice": str(out)}
    assert found["plane"] == {"l": 0.5}
    assert out.stat().st_size > 1000


def test_a_lattice_without_a_crystal_takes_one_from_options_or_a_model(
    tmp_path: Path, path: Path
) -> None:
    bare = tmp_path / "map.lat"
    write_map(noisy(), bare)
    out = tmp_path / "out.nxs"
    refused = unstill("map", "convert", bare, "-o", out)
    assert refused.exit_code == 1
    assert not out.exists()
    found = answer(
        "map", "info", bare, "--unit-cell", "20 20 28 90 90 90", "--space-group", "P41",
        "--file-divisions", 4, 4, 4,
    )  # fmt: skip
    assert found["space_group"] == "P 41"
    assert found["divisions"] == [4, 4, 4]


@pytest.mark.parametrize(
    "arguments",
    [
        ["map", "slice", "MAP", "--plane", "q=1", "-o", "x.png"],
        ["map", "slice", "MAP", "--plane", "l=nan", "-o", "x.png"],
        ["map", "slice", "MAP", "-o", "x.gif"],
        ["map", "symmetrize", "MAP", "--weights", "best", "-o", "x.nxs"],
        ["map", "symmetrize", "MAP"],
        ["map", "resample", "MAP", "-o", "x.nxs"],
        ["map", "resample", "MAP", "--divisions", "2", "2", "0", "-o", "x.nxs"],
        ["map", "mask-bragg", "MAP", "--radius", "-1", "-o", "x.nxs"],
        ["map", "turn", "MAP"],
    ],
)
def test_bad_usage_exits_2(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = unstill(*[str(path) if word == "MAP" else word for word in arguments])
    assert found.exit_code == 2, found.stdout
    assert [entry.name for entry in tmp_path.iterdir()] == ["map.nxs"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["map", "slice", "MAP", "--plane", "l=0.3", "-o", "x.png"], "no voxels lie at l"),
        (["map", "resample", "MAP", "--divisions", "3", "2", "2", "-o", "x.nxs"], "must divide"),
        (["map", "mask-bragg", "MAP", "--radius", "9", "-o", "x.nxs"], "leaves no voxel"),
        (["map", "convert", "MAP", "-o", "x.doc"], "no map format"),
        (["map", "convert", "MAP", "-o", "gone/x.nxs"], "folder does not exist"),
        (["map", "convert", "MAP", "-o", "."], "suffix"),
        (["map", "convert", "gone.nxs", "-o", "x.nxs"], "file not found"),
        (["map", "symmetrize", "MAP", "--space-group", "P 99", "-o", "x.nxs"], "space group"),
        (["map", "symmetrize", "MAP", "--space-group", "P 2 3", "-o", "x.nxs"], "does not fit"),
        (["map", "difference", "MAP", "MAP", "--reindex", "a,b", "-o", "x.nxs"], "operator"),
    ],
)
def test_bad_input_exits_1_and_leaves_no_file(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    found = unstill(*[str(path) if word == "MAP" else word for word in arguments])
    assert found.exit_code == 1, found.stdout
    assert text in found.stderr
    assert "Traceback" not in found.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == ["map.nxs"]


def test_an_interrupted_run_exits_130_and_leaves_no_file(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("unstill.maps.resample._box_sum", interrupted)
    out = tmp_path / "out.nxs"
    found = unstill("map", "resample", path, "--divisions", 2, 2, 2, "-o", out)
    assert found.exit_code == 130
    assert [entry.name for entry in tmp_path.iterdir()] == ["map.nxs"]
