"""Files laid out as mdx2 lays them out."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from unstill.crystal import Crystal
from unstill.errors import FormatError, InputError, UnknownCrystalError
from unstill.io import read_crystal, read_map

CRYSTAL = Crystal((20.0, 20.0, 30.0, 90.0, 90.0, 90.0), "P 41")


def write_grid(file: h5py.File, name: str, axes: list[np.ndarray], values: np.ndarray) -> None:
    group = file.create_group(f"entry/{name}")
    group.attrs.update(
        {
            "NX_class": "NXdata",
            "signal": "signal",
            "axes": ["h", "k", "l"],
            "mdx2_class": "GridData",
        }
    )
    group["signal"] = values
    for label, axis in zip("hkl", axes, strict=True):
        group[label] = axis


def write_crystal(file: h5py.File) -> None:
    group = file.create_group("entry/crystal")
    group["unit_cell"] = np.array(CRYSTAL.unit_cell)
    group["space_group"] = "P 41"


@pytest.fixture
def grid_file(tmp_path: Path) -> Path:
    rng = np.random.default_rng(5)
    axes = [np.arange(0, 5) / 2, np.arange(-3, 2) / 2, np.arange(0, 4) / 3]
    values = rng.normal(size=(5, 5, 4))
    values[0, 0, 0] = np.nan
    with h5py.File(tmp_path / "map.nxs", "w") as file:
        write_grid(file, "intensity", axes, values)
        write_grid(file, "intensity_error", axes, np.full((5, 5, 4), 0.5))
    return tmp_path / "map.nxs"


def test_a_map_keeps_values_axes_and_errors(grid_file) -> None:
    found = read_map(grid_file, crystal=CRYSTAL)
    assert found.grid.divisions == (2, 2, 3)
    assert found.grid.start == (0, -3, 0)
    assert found.n_measured == 99
    assert found.sigma is not None
    assert set(found.sigma.ravel()) == {0.5}
    with h5py.File(grid_file) as file:
        np.testing.assert_array_equal(found.intensity, file["entry/intensity/signal"][()])


def test_a_map_without_crystal_is_refused_and_with_one_is_not(grid_file) -> None:
    with pytest.raises(UnknownCrystalError):
        read_map(grid_file)
    assert read_crystal(grid_file) is None
    with h5py.File(grid_file, "r+") as file:
        write_crystal(file)
    assert read_map(grid_file).crystal == CRYSTAL
    assert read_crystal(grid_file) == CRYSTAL
    with pytest.raises(InputError, match="wrong cell"):
        read_map(grid_file, crystal=Crystal((25.0, 25.0, 30.0, 90.0, 90.0, 90.0), "P 41"))


def test_a_merged_table_is_filled_by_the_laue_group(tmp_path) -> None:
    with h5py.File(tmp_path / "merged.nxs", "w") as file:
        table = file.create_group("entry/hkl_table")
        for name, values in (
            ("h", [0.5, 0.0]),
            ("k", [1.0, 0.0]),
            ("l", [2 / 3, 1.0]),
            ("intensity", [4.0, 9.0]),
            ("intensity_error", [0.1, 0.2]),
            ("count", [3, 7]),
            ("ndiv", [2, 2, 3]),
        ):
            table[name] = np.array(values)
        write_crystal(file)
    found = read_map(tmp_path / "merged.nxs")
    assert found.grid.divisions == (2, 2, 3)
    assert found.n_measured == 8 + 2
    assert found.n_obs is not None
    at = found.grid.position(np.array([[1, 2, 2], [-2, 1, 2], [2, -1, -2], [0, 0, -3]]))
    assert found.intensity.ravel()[at].tolist() == [4, 4, 4, 9]
    assert found.n_obs.ravel()[at].tolist() == [3, 3, 3, 7]


def test_irregular_axes_are_refused(tmp_path) -> None:
    axes = [np.array([0.0, 0.5, 1.5]), np.arange(2.0), np.arange(2.0)]
    with h5py.File(tmp_path / "x.nxs", "w") as file:
        write_grid(file, "intensity", axes, np.ones((3, 2, 2)))
    with pytest.raises(FormatError, match="not regular"):
        read_map(tmp_path / "x.nxs", crystal=CRYSTAL)


def test_a_file_without_map_or_table_says_what_it_holds(tmp_path) -> None:
    with h5py.File(tmp_path / "x.nxs", "w") as file:
        file.create_group("entry/peaks")
    with pytest.raises(FormatError, match="/entry/peaks"):
        read_map(tmp_path / "x.nxs", crystal=CRYSTAL)
