"""Truths: exact symmetry, and one function whether compiled or not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.symmetry import laue_operations
from unstill.errors import InputError, UnstillWarning
from unstill.maps import IntensityMap
from unstill.simulation.analytic_truth import AnalyticTruth
from unstill.simulation.map_truth import MapTruth

# One space group of every Laue class, with centrings and two settings.
CELLS = {
    "P 1": (30, 35, 40, 80, 95, 105),
    "P 1 21 1": (30, 35, 40, 90, 105, 90),
    "C 1 2 1": (50, 35, 40, 90, 105, 90),
    "C 2 2 21": (30, 45, 40, 90, 90, 90),
    "I 41": (40, 40, 70, 90, 90, 90),
    "P 43 21 2": (40, 40, 70, 90, 90, 90),
    "R 3:H": (50, 50, 70, 90, 90, 120),
    "R 3 2:H": (50, 50, 70, 90, 90, 120),
    "P 3 1 2": (50, 50, 70, 90, 90, 120),
    "P 61": (50, 50, 70, 90, 90, 120),
    "P 6 2 2": (50, 50, 70, 90, 90, 120),
    "F 2 3": (60, 60, 60, 90, 90, 90),
    "P 4 3 2": (60, 60, 60, 90, 90, 90),
}
TRUTHS = {
    name: AnalyticTruth(Crystal(tuple(map(float, cell)), name)) for name, cell in CELLS.items()
}
fractional = st.floats(-25, 25, allow_nan=False)


@given(name=st.sampled_from(sorted(CELLS)), hkl=st.tuples(fractional, fractional, fractional))
def test_analytic_truth_has_the_laue_symmetry_and_is_positive(name, hkl):
    truth = TRUTHS[name]
    mates = np.array(hkl) @ laue_operations(truth.crystal)
    intensity = truth.at(mates)
    assert intensity.min() >= 0
    np.testing.assert_allclose(intensity, intensity[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["P 1", "P 43 21 2", "F 2 3"])
def test_the_kernel_is_the_formula(name):
    truth = TRUTHS[name]
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(3, 3)) * 30
    s = rng.uniform(-0.5, 0.5, (300, 3))
    out = np.full(300, 7.0)
    truth.add(out, s, matrix, 2.5)
    np.testing.assert_allclose(out, 7 + 2.5 * truth.at(s @ matrix.T), rtol=1e-11)


def test_halos_stand_at_allowed_lattice_points_only():
    truth = TRUTHS["F 2 3"]
    flat = AnalyticTruth(truth.crystal, halo=0.0)
    nodes = np.array([[1.0, 1, 1], [2, 4, 6], [1, 2, 3], [0.5, 0.5, 0.5]])
    flat_ring = AnalyticTruth(truth.crystal, halo=0.0, anisotropy=0, modulation=0)
    ring = (
        flat_ring.scale * 0.5 * np.exp(-((np.linalg.norm(nodes / 60, axis=1) - 0.3) ** 2) / 0.0072)
    )
    ratio = (truth.at(nodes) - ring) / (flat.at(nodes) - ring)
    np.testing.assert_allclose(ratio[:2], 4.0, rtol=1e-9)
    assert ratio[2:].max() < 1.5


def test_a_truth_that_could_be_negative_is_refused():
    with pytest.raises(InputError, match="negative"):
        AnalyticTruth(TRUTHS["P 1"].crystal, anisotropy=0.6, modulation=0.5)


def test_a_cell_without_the_symmetry_is_refused():
    with pytest.raises(InputError, match="symmetry"):
        AnalyticTruth(Crystal((40.0, 42.0, 70.0, 90.0, 90.0, 90.0), "I 41"))


def test_negative_voxels_scatter_nothing():
    crystal = TRUTHS["P 1"].crystal
    grid = HklGrid((-2, -2, -2), (5, 5, 5))
    intensity = np.full(grid.shape, 3.0)
    intensity[3, 2, 2] = intensity[1, 2, 2] = -1.0
    with pytest.warns(UnstillWarning, match="2 voxels of the map are negative"):
        truth = MapTruth(IntensityMap(crystal, grid, intensity), missing_share=1.0)
    assert truth.at(np.array([[1.0, 0, 0], [0.5, 0, 0]])).tolist() == [0.0, 1.5]


def test_map_truth_is_the_map_on_its_voxels_and_linear_between():
    truth = TRUTHS["C 2 2 21"]
    grid = HklGrid.covering(truth.crystal, 4.0, (2, 2, 2))
    full = IntensityMap(truth.crystal, grid, truth.at(grid.hkl()))
    half = IntensityMap(
        truth.crystal,
        HklGrid((0, 0, 0), (9, 9, 9), (2, 2, 2)),
        truth.at(HklGrid((0, 0, 0), (9, 9, 9), (2, 2, 2)).hkl()),
    )
    inside = grid.hkl().reshape(-1, 3)
    inside = inside[np.all(np.abs(inside) <= 4, axis=1)]
    for found in (MapTruth(full, missing_share=1.0), MapTruth(half, missing_share=1.0)):
        np.testing.assert_allclose(found.at(inside), truth.at(inside), rtol=1e-9)
    between = np.array([[1.25, 0.5, 1.0]])
    ends = truth.at(np.array([[1.0, 0.5, 1.0], [1.5, 0.5, 1.0]]))
    np.testing.assert_allclose(MapTruth(full, missing_share=1.0).at(between), ends.mean())


def test_map_truth_fills_small_holes_and_warns_of_large_ones():
    truth = TRUTHS["C 2 2 21"]
    grid = HklGrid.covering(truth.crystal, 5.0, (2, 2, 2))
    intensity = truth.at(grid.hkl())
    at = tuple(np.array([1, 2, 3]) - np.array(grid.start))
    holed = intensity.copy()
    holed[at] = np.nan
    # Its Laue mates tell what the hole is.
    found = MapTruth(IntensityMap(truth.crystal, grid, holed), missing_share=1.0)
    np.testing.assert_allclose(found.at(np.array([[0.5, 1.0, 1.5]])), intensity[at])
    holed[np.abs(grid.index()).max(axis=-1) < 7] = np.nan
    with pytest.warns(UnstillWarning, match="no intensity"):
        found = MapTruth(IntensityMap(truth.crystal, grid, holed), outside=3.0)
    assert found.at(np.array([[0.2, 0.2, 0.2], [90.0, 0, 0]])).tolist() == [3.0, 3.0]
