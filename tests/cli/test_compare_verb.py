"""``unstill compare`` from files, and what it says about bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from unstill.cli.app import complete_app
from unstill.crystal import Crystal, HklGrid
from unstill.crystal.reindexing import parse_operator
from unstill.io import write_map
from unstill.io.block_sums_file import write_block_sums
from unstill.maps import IntensityMap
from unstill.maps.block_sums import BlockSums
from unstill.maps.reindex import reindex

CELL = (20.0, 20.0, 28.0, 90.0, 90.0, 90.0)
KEYS = {
    "cc_total", "cc_aniso", "cc_max", "n_voxels", "operator", "candidates", "shells",
    "outputs", "warnings", "provenance",
}  # fmt: skip


def unstill(*arguments: object) -> Result:
    return CliRunner().invoke(complete_app(), [str(argument) for argument in arguments])


def answer(*arguments: object) -> dict[str, Any]:
    found = unstill(*arguments, "--json")
    assert found.exit_code == 0, found.stderr
    parsed: dict[str, Any] = json.loads(found.stdout)
    return parsed


def features(space_group: str = "P 41", noise: float = 0.0, seed: int = 0) -> IntensityMap:
    """A map with 4/m features on an isotropic decay."""
    crystal = Crystal(CELL, space_group)
    grid = HklGrid((-8, -8, -10), (17, 17, 21))
    h, k, l = np.moveaxis(grid.hkl(), -1, 0)
    wave = np.cos(0.9 * h + 0.4 * k) + np.cos(0.9 * k - 0.4 * h)
    decay = np.exp(-4 * crystal.s_squared(grid.hkl()))
    rng = np.random.default_rng(seed)
    intensity = decay * (100 + 20 * wave * np.cos(0.7 * l)) + noise * rng.normal(size=grid.shape)
    sigma = np.full(grid.shape, noise) if noise else None
    return IntensityMap(crystal, grid, intensity, sigma=sigma)


@pytest.fixture
def maps(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "a.nxs", tmp_path / "b.nxs"
    write_map(features(noise=1.0), paths[0])
    write_map(reindex(features(noise=1.0, seed=1), parse_operator("k,h,-l")), paths[1])
    return paths


def test_json_has_the_exact_keys_and_finds_the_indexing(maps: tuple[Path, Path]) -> None:
    found = answer("compare", *maps, "--d-min", 2.2, "--d-max", 20)
    assert set(found) == KEYS
    assert found["operator"] == "k,h,-l"
    assert found["cc_aniso"] > 0.9
    assert [c["operator"] for c in found["candidates"]] == ["k,h,-l", "h,k,l"]
    assert set(found["shells"][0]) == {"d", "cc_aniso", "n"}
    assert found["cc_aniso"] == pytest.approx(found["cc_max"], abs=0.05)
    assert found["outputs"] == {}
    assert found["warnings"] == []
    assert found["provenance"]["parameters"]["d_min"] == 2.2
    assert len(found["provenance"]["inputs"]) == 2


def test_values_that_do_not_apply_are_null(tmp_path: Path) -> None:
    paths = tmp_path / "a.nxs", tmp_path / "b.nxs"
    for path in paths:
        write_map(features(), path)
    assert answer("compare", *paths)["cc_max"] is None


def test_reindexing_can_be_switched_off_or_given(maps: tuple[Path, Path]) -> None:
    none = answer("compare", *maps, "--reindex", "none")
    given = answer("compare", *maps, "--reindex", "k,h,-l")
    assert none["operator"] == "h,k,l"
    assert none["cc_aniso"] < 0.5 < given["cc_aniso"]
    assert len(none["candidates"]) == len(given["candidates"]) == 1


def test_the_text_for_people_says_the_same(maps: tuple[Path, Path]) -> None:
    found = unstill("compare", *maps, "--shells", 5)
    assert found.exit_code == 0
    assert "k,h,-l, h,k,l gives" in found.stdout
    assert found.stdout.count("\n") >= 9


def test_out_holds_everything_and_is_named(maps: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    found = answer("compare", *maps, "-o", out)
    assert found["outputs"] == {"comparison": str(out)}
    stored = json.loads(out.read_text())
    assert stored["cc_aniso"] == found["cc_aniso"]
    assert stored["margin"] > 0.4
    assert stored["bragg_distance"][0]["distance"] == 0
    assert stored["provenance"]["command"] == "unstill compare"


@pytest.mark.parametrize("suffix", [".lat", ".hkl"])
def test_a_map_without_a_crystal_takes_that_of_its_partner(tmp_path: Path, suffix: str) -> None:
    bare, whole = tmp_path / f"bare{suffix}", tmp_path / "whole.nxs"
    write_map(features(), bare)
    write_map(features(), whole)
    for pair in ((bare, whole), (whole, bare)):
        assert answer("compare", *pair)["cc_aniso"] == pytest.approx(1, abs=1e-4)


def test_nobody_knowing_the_crystal_is_the_only_refusal(tmp_path: Path) -> None:
    paths = tmp_path / "a.lat", tmp_path / "b.lat"
    for path in paths:
        write_map(features(), path)
    refused = unstill("compare", *paths)
    assert refused.exit_code == 1
    assert "--unit-cell" in refused.stderr
    told = answer("compare", *paths, "--unit-cell", "20,20,28", "--space-group", "P 41")
    assert told["cc_aniso"] == pytest.approx(1)


def test_one_laue_class_makes_no_complaint_and_another_a_remark(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.nxs" for n in range(3)]
    for path, group in zip(paths, ("P 41", "P 43", "P 1"), strict=True):
        write_map(features(group), path)
    assert answer("compare", *paths[:2])["warnings"] == []
    assert "Laue classes differ" in answer("compare", paths[0], paths[2])["warnings"][0]


def test_a_near_tie_is_a_warning(tmp_path: Path) -> None:
    paths = tmp_path / "a.nxs", tmp_path / "b.nxs"
    write_map(features(), paths[0])
    write_map(features(noise=500.0), paths[1])
    assert any("nearly a tie" in text for text in answer("compare", *paths)["warnings"])


def test_the_wrong_cell_and_maps_without_common_voxels_are_refused(tmp_path: Path) -> None:
    full = features()
    paths = {name: tmp_path / f"{name}.nxs" for name in ("full", "cell", "left", "right", "fine")}
    write_map(full, paths["full"])
    wrong = Crystal((20.0, 20.0, 29.0, 90.0, 90.0, 90.0), "P 41")
    write_map(full.replace(crystal=wrong), paths["cell"])
    low = np.indices(full.grid.shape)[2] < 8
    write_map(full.replace(mask=low), paths["left"])
    write_map(full.replace(mask=~low), paths["right"])
    finer = HklGrid(full.grid.start, full.grid.shape, (2, 2, 2))
    write_map(full.replace(grid=finer), paths["fine"])
    for a, b, text in (
        ("full", "cell", "wrong cell"),
        ("left", "right", "no common voxels"),
        ("full", "fine", "sampled differently"),
    ):
        found = unstill("compare", paths[a], paths[b], "--json")
        assert found.exit_code == 1
        parsed = json.loads(found.stdout)
        assert text in parsed["error"]["what"]
        assert parsed["error"]["fix"]
        assert {"outputs", "warnings", "provenance"} <= set(parsed)


def test_failures_leave_no_file(maps: tuple[Path, Path], tmp_path: Path) -> None:
    found = unstill("compare", *maps, "-o", tmp_path / "missing" / "result.json")
    assert found.exit_code == 1
    assert "output folder does not exist" in found.stderr
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.nxs", "b.nxs"]


def test_bad_usage_exits_2(maps: tuple[Path, Path]) -> None:
    assert unstill("compare", maps[0]).exit_code == 2
    assert unstill("compare", *maps, "--shells", 0).exit_code == 2


def test_blocks_give_the_ceiling(tmp_path: Path, maps: tuple[Path, Path]) -> None:
    from unstill.crystal.half_space import friedel_half

    rng = np.random.default_rng(0)
    crystal = Crystal(CELL, "P 41")
    index = friedel_half(crystal, 2.5)
    n_blocks, frames = 4, 8
    truth = np.exp(-4 * crystal.s_squared(index)) * (1 + 0.5 * np.sin(index @ [0.9, 0.4, 0.7]))
    shape = (n_blocks, frames, 1, len(index))
    f = (rng.normal(size=shape) + 1j * rng.normal(size=shape)) * np.sqrt(truth)
    sums = BlockSums(
        crystal=crystal,
        divisions=(1, 1, 1),
        index=index,
        s1=f.sum(axis=1),
        s2=(np.abs(f) ** 2).sum(axis=1),
        weight=np.full(n_blocks, float(frames)),
        weight_squared=np.full(n_blocks, float(frames)),
        n_frames=np.full(n_blocks, frames),
    )
    path = tmp_path / "blocks.nxs"
    write_block_sums(sums, path)
    plain = answer("compare", *maps)["cc_max"]
    with_blocks = answer("compare", *maps, "--blocks", path)["cc_max"]
    assert 0 < with_blocks < plain


def test_blocks_beyond_the_resolution_of_the_maps_do_not_change_the_ceiling(
    tmp_path: Path,
) -> None:
    from unstill.crystal.half_space import friedel_half

    rng = np.random.default_rng(0)
    crystal = Crystal(CELL, "P 41")
    model = features()
    edge = 2.5
    model = model.replace(mask=model.mask | (model.s_squared() > 1 / edge**2))
    path = tmp_path / "model.nxs"
    write_map(model, path)
    ceilings = []
    for d_min in (edge, 1.5):
        index = friedel_half(crystal, d_min)
        beyond = crystal.s_squared(index) > 1 / edge**2
        wave = 1 + 0.5 * np.sin(index @ [0.9, 0.4, 0.7])
        truth = np.exp(-4 * crystal.s_squared(index)) * np.where(beyond, 30.0, wave)
        f = np.sqrt(truth) * (rng.normal(size=(4, 8, 1, len(index))) + 0j)
        sums = BlockSums(
            crystal=crystal,
            divisions=(1, 1, 1),
            index=index,
            s1=f.sum(axis=1),
            s2=(np.abs(f) ** 2).sum(axis=1),
            weight=np.full(4, 8.0),
            weight_squared=np.full(4, 8.0),
            n_frames=np.full(4, 8),
        )
        write_block_sums(sums, tmp_path / "blocks.nxs")
        found = answer("compare", path, path, "--blocks", tmp_path / "blocks.nxs")
        ceilings.append(found["cc_max"])
    assert ceilings[1] == pytest.approx(ceilings[0], abs=0.05)
