"""One of each Friedel pair."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.half_space import friedel_half
from unstill.errors import InputError

TRICLINIC = Crystal((21.0, 27.5, 33.1, 78.0, 84.0, 71.0))
divisions = st.tuples(*[st.integers(1, 4)] * 3)


@given(divisions=divisions, d_min=st.floats(6.0, 20.0))
def test_the_half_and_its_mates_are_the_whole_sphere_once(
    divisions: tuple[int, int, int], d_min: float
) -> None:
    half = friedel_half(TRICLINIC, d_min, divisions)
    both = np.concatenate([half, -half[1:]])
    grid = HklGrid.covering(TRICLINIC, d_min, divisions)
    sphere = grid.index()[TRICLINIC.d(grid.hkl()) >= d_min * (1 - 1e-9)]
    assert sorted(map(tuple, both)) == sorted(map(tuple, sphere))
    assert len(np.unique(both, axis=0)) == len(both)


def test_points_are_sorted_with_the_origin_first_and_fit_32_bits() -> None:
    half = friedel_half(TRICLINIC, 5.0, (2, 1, 3))
    assert half.dtype == np.int32
    assert half[0].tolist() == [0, 0, 0]
    assert np.array_equal(half, half[np.lexsort(half.T[::-1])])


def test_whole_cell_half_agrees_with_gemmi() -> None:
    ours = friedel_half(TRICLINIC, 4.0)[1:]
    # In P 1 gemmi's unique reflections are one of each Friedel pair, in its own half.
    theirs = np.asarray(gemmi.make_miller_array(TRICLINIC.cell, gemmi.SpaceGroup("P 1"), 4.0))
    assert len(ours) == len(theirs)
    assert {min(tuple(h), tuple(-h)) for h in ours} == {min(tuple(h), tuple(-h)) for h in theirs}


def test_d_max_leaves_out_the_origin_and_keeps_the_shell() -> None:
    half = friedel_half(TRICLINIC, 5.0, (2, 2, 2), d_max=12.0)
    d = TRICLINIC.d(half / 2)
    assert d.min() >= 5.0 - 1e-8
    assert d.max() <= 12.0 + 1e-8
    everything = TRICLINIC.d(friedel_half(TRICLINIC, 5.0, (2, 2, 2)) / 2)
    assert len(half) == np.count_nonzero(everything <= 12.0)


@pytest.mark.parametrize("limits", [(0.0, None), (-2.0, None), (np.nan, None), (5.0, 4.0)])
def test_impossible_limits_are_refused(limits: tuple[float, float | None]) -> None:
    with pytest.raises(InputError, match=r"d_min|d_max"):
        friedel_half(TRICLINIC, limits[0], d_max=limits[1])


def test_an_empty_shell_is_refused() -> None:
    with pytest.raises(InputError, match="between the limits"):
        friedel_half(TRICLINIC, 90.0, d_max=100.0)
