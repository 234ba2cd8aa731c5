"""Large maps hold one voxel of each orbit; planes of them can still be shown."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_rows import draw

from unstill.errors import UnstillWarning
from unstill.maps.symmetrize import symmetrize
from unstill.reduction.merging import map_size
from unstill.reduction.merging.map_size import fits, fitting_map, plane_map
from unstill.reduction.merging.merge import merge_observations


def _merged():
    drawn = draw(d_min=3.0, counts=50)
    return merge_observations(drawn.observations, drawn.scale, drawn.offset)


def test_a_small_map_is_whole():
    merged = _merged()
    assert fits(merged)
    assert fitting_map(merged) is merged.map


def test_a_large_map_is_of_representatives_and_expands_to_the_whole(monkeypatch):
    merged = _merged()
    monkeypatch.setattr(map_size, "MOST_VOXELS", 1000)
    with pytest.warns(UnstillWarning, match="one of each"):
        found = fitting_map(merged)
    assert found.grid.size < merged.map.grid.size / 3
    assert found.n_measured == merged.n_voxels
    expanded = symmetrize(found, expand=True)
    both = expanded.measured & merged.map.measured
    assert both.sum() == merged.map.n_measured == expanded.n_measured
    np.testing.assert_allclose(expanded.intensity[both], merged.map.intensity[both])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_plane_is_that_of_the_whole(axis):
    merged = _merged()
    plane = plane_map(merged, axis, 1)
    expected = np.take(merged.map.intensity, [1 - merged.map.grid.start[axis]], axis=axis)
    np.testing.assert_array_equal(plane.intensity, expected)
