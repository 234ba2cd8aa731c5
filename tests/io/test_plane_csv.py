"""Planes as tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unstill.crystal import Crystal, HklGrid
from unstill.errors import OutputError
from unstill.io.plane_csv import write_plane_csv
from unstill.maps import IntensityMap
from unstill.maps.slices import extract_plane


def test_each_usable_voxel_is_a_line_with_its_hkl(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grid = HklGrid((-2, -3, -1), (4, 5, 6), (2, 2, 2))
    mask = rng.random(grid.shape) < 0.3
    crystal = Crystal((20.0, 20.0, 28.0, 90.0, 90.0, 90.0))
    full = IntensityMap(crystal, grid, rng.normal(size=grid.shape), mask=mask)
    path = tmp_path / "plane.csv"
    write_plane_csv(extract_plane(full, "k", -0.5), path)
    assert path.read_text().splitlines()[0] == "h,k,l,intensity"
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    assert len(table) == np.count_nonzero(~mask[:, 2])
    assert (table[:, 1] == -0.5).all()
    at = grid.position(grid.index_of(table[:, :3]))
    assert np.allclose(full.intensity.ravel()[at], table[:, 3], rtol=1e-8)
    assert not mask.ravel()[at].any()


def test_an_unwritable_place_is_told(tmp_path: Path) -> None:
    grid = HklGrid((0, 0, 0), (2, 2, 2))
    crystal = Crystal((20.0, 20.0, 28.0, 90.0, 90.0, 90.0))
    plane = extract_plane(IntensityMap(crystal, grid, np.ones(grid.shape)), "l", 0.0)
    with pytest.raises(OutputError, match="folder does not exist"):
        write_plane_csv(plane, tmp_path / "gone" / "plane.csv")
