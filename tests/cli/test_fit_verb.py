"""``unstill fit`` from files, and what it says about bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import biotite.structure
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from unstill.cli.app import complete_app
from unstill.crystal import Crystal, HklGrid
from unstill.disorder.model import intensity_map
from unstill.disorder.rigid_translation import RigidTranslation
from unstill.disorder.transform import ModelAtoms
from unstill.ensembles import Ensemble
from unstill.io import read_map, write_map, write_structure

KEYS = {
    "cc_total", "cc_aniso", "cc_max", "n_voxels", "operator", "candidates", "shells",
    "model", "parameters", "stderr", "outputs", "warnings", "provenance",
}  # fmt: skip


def unstill(*arguments: object) -> Result:
    return CliRunner().invoke(complete_app(), [str(argument) for argument in arguments])


def structure(unit_cell: tuple[float, ...] = (20.0, 20.0, 16.0, 90.0, 90.0, 90.0)) -> Ensemble:
    rng = np.random.default_rng(4)
    atoms = biotite.structure.AtomArray(30)
    atoms.element = rng.choice(["C", "N", "O"], 30)
    atoms.atom_name = np.array([f"X{number}" for number in range(30)])
    atoms.res_name = np.array(["LIG"] * 30)
    atoms.res_id = np.ones(30, dtype=int)
    atoms.chain_id = np.array(["A"] * 30)
    coord = rng.uniform(2.0, 11.0, (1, 30, 3)).round(3)
    return Ensemble(atoms, coord, crystal=Crystal(unit_cell, "P 41"))  # type: ignore[arg-type]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    model = RigidTranslation(ModelAtoms.of(structure()))
    grid = HklGrid.covering(model.atoms.crystal, 2.2, (1, 1, 1))
    exact = intensity_map(model, model.theta(0.35), grid, d_min=2.2)
    noise = np.random.default_rng(0).normal(size=grid.shape)
    level = 0.02 * np.nanmean(exact.intensity)
    paths = tmp_path / "data.nxs", tmp_path / "model.cif"
    noisy = exact.replace(
        intensity=exact.intensity + level * noise, sigma=np.full(grid.shape, float(level))
    )
    write_map(noisy.replace(provenance={}), paths[0])
    write_structure(structure(), paths[1])
    return paths


def answer(*arguments: object) -> dict[str, Any]:
    found = unstill(*arguments, "--json")
    assert found.exit_code == 0, found.stderr
    parsed: dict[str, Any] = json.loads(found.stdout)
    return parsed


def test_json_has_exactly_the_promised_keys(files: tuple[Path, Path]) -> None:
    found = answer("fit", *files, "--disorder", "translation")
    assert set(found) == KEYS
    assert found["model"] == "translation"
    assert set(found["parameters"]) == set(found["stderr"]) == {"sigma"}
    assert found["parameters"]["sigma"] == pytest.approx(0.35, abs=3 * found["stderr"]["sigma"])
    assert found["operator"] == "h,k,l"
    assert [one["operator"] for one in found["candidates"]] == ["h,k,l", "k,h,-l"]
    assert found["cc_aniso"] > 0.98
    used = found["provenance"]["parameters"]
    assert used["d_max"] == 20.0
    assert used["d_min"] == pytest.approx(2.2, abs=0.05)


def test_the_range_of_the_fit_is_printed(files: tuple[Path, Path]) -> None:
    found = unstill("fit", *files, "--disorder", "translation", "--d-min", "2.5")
    assert found.exit_code == 0
    assert "20 to 2.5 Å" in found.stdout
    assert "95 % interval" in found.stdout
    assert "sigma (Å)" in found.stdout


@pytest.mark.parametrize(
    ("disorder", "names"),
    [("liquid-like", {"sigma", "gamma"}), ("rigid-body", {"sigma", "libration", "T11", "S33"})],
)
def test_every_model_can_be_asked_for(
    files: tuple[Path, Path], disorder: str, names: set[str]
) -> None:
    found = answer("fit", *files, "--disorder", disorder, "--bootstrap", 0, "--reindex", "none")
    assert names <= set(found["parameters"])
    assert [one["operator"] for one in found["candidates"]] == ["h,k,l"]


def test_maps_and_numbers_are_written(files: tuple[Path, Path], tmp_path: Path) -> None:
    options = ("fit", *files, "--disorder", "translation")
    folder = tmp_path / "fitted"
    found = answer(*options, "-o", folder)
    names = {"model_map": "model.nxs", "residual": "residual.nxs", "fit": "fit.json"}
    assert found["outputs"] == {name: str(folder / file) for name, file in names.items()}
    scaled, residual = read_map(folder / "model.nxs"), read_map(folder / "residual.nxs")
    data = read_map(files[0])
    kept = residual.measured & scaled.measured
    assert np.std(residual.intensity[kept]) < 0.2 * np.std(data.intensity[kept])
    written = json.loads((folder / "fit.json").read_text())
    assert {"intervals", "scale", "curve", "at_bounds", "provenance"} <= set(written)
    for name, key in (("alone.mtz", "model_map"), ("alone.json", "fit")):
        single = answer(*options, "-o", tmp_path / name)["outputs"]
        assert single == {key: str(tmp_path / name)}
        assert (tmp_path / name).is_file()


def test_another_cell_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "other.cif"
    write_structure(structure((21.0, 21.0, 16.0, 90.0, 90.0, 90.0)), other)
    found = unstill("fit", files[0], other)
    assert found.exit_code == 1
    assert "wrong cell" in found.stderr


def test_options_that_do_not_go_together_are_bad_usage(files: tuple[Path, Path]) -> None:
    found = unstill("fit", *files, "--disorder", "translation", "--confined")
    assert found.exit_code == 2
    assert unstill("fit", *files, "--disorder", "unknown").exit_code == 2


def test_an_unwritable_output_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cases = {
        tmp_path / "missing" / "m.nxs": "does not exist",
        tmp_path / "m.xyz": "no map format has this suffix",
        tmp_path / "file": "a file stands where",
        tmp_path / "file" / "sub": "a file stands where",
    }
    for out, text in cases.items():
        found = unstill("fit", "not-there.nxs", "not-there.cif", "-o", out)
        assert found.exit_code == 1
        assert text in found.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_fit_that_fails_leaves_no_folder(files: tuple[Path, Path], tmp_path: Path) -> None:
    found = unstill("fit", *files, "--d-min", "30", "-o", tmp_path / "a" / "b")
    assert found.exit_code == 1
    assert not (tmp_path / "a").exists()


def test_help_shows_an_example() -> None:
    assert "Example: unstill fit" in unstill("fit", "--help").stdout
