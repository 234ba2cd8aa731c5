"""Correlation around atoms: voxels as gemmi masks them, closed forms, two states of one site."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.validation.real_space import correlate_density, correlate_segments, voxels_near

CRYSTALS = {
    "P 1": (13.0, 11.0, 16.0, 81.0, 97.0, 108.0),
    "P 1 21 1": (13.0, 11.0, 16.0, 90.0, 104.0, 90.0),
    "P 31 2 1": (14.0, 14.0, 20.0, 90.0, 90.0, 120.0),
    "I 2 3": (16.0, 16.0, 16.0, 90.0, 90.0, 90.0),
}
SHAPE = (24, 24, 36)


def _crystal(group: str) -> Crystal:
    return Crystal(CRYSTALS[group], group)


def _blob(crystal: Crystal, places: np.ndarray, width: float = 0.7) -> np.ndarray:
    """Gaussians at Cartesian places and at all their mates, summed over nearby images."""
    points = np.stack(np.meshgrid(*[np.arange(n) / n for n in SHAPE], indexing="ij"), -1)
    total = np.zeros(SHAPE)
    for place in crystal.fractional(places):
        for operation in crystal.group.operations():
            mate = np.array(operation.apply_to_xyz(place.tolist()))
            apart = points - mate
            for shift in np.ndindex(3, 3, 3):
                image = apart - np.rint(apart) + np.array(shift) - 1
                r2 = np.sum(crystal.cartesian(image) ** 2, axis=-1)
                total += np.exp(-r2 / (2 * width**2))
    return total


@pytest.mark.parametrize("group", sorted(CRYSTALS))
def test_voxels_are_those_of_gemmi(group: str) -> None:
    crystal = _crystal(group)
    coord = np.random.default_rng(4).uniform(-5, 20, (5, 3))
    grid = gemmi.FloatGrid(*SHAPE)
    grid.set_unit_cell(crystal.cell)
    grid.spacegroup = crystal.group
    for place in coord:
        for operation in crystal.group.operations():
            mate = operation.apply_to_xyz(crystal.fractional(place).tolist())
            at = crystal.cell.orthogonalize(gemmi.Fractional(*mate))
            grid.set_points_around(at, radius=1.9, value=1.0)
    near = voxels_near(crystal, SHAPE, coord, 1.9)
    # Single precision may decide otherwise about points on the surface.
    assert np.count_nonzero(near != (grid.array > 0)) <= 2
    assert near.any()


def test_a_ball_has_its_volume() -> None:
    crystal = Crystal((20.0, 22.0, 24.0, 75.0, 95.0, 110.0))
    near = voxels_near(crystal, (100, 110, 120), np.array([[1.0, 2.0, 3.0]]), 3.0)
    assert near.mean() * crystal.volume == pytest.approx(36 * np.pi, rel=0.02)


@given(
    group=st.sampled_from(sorted(CRYSTALS)),
    seed=st.integers(0, 999),
    scale=st.floats(0.1, 50),
    offset=st.floats(-5, 5),
)
def test_scale_offset_and_choice_of_mate_do_not_matter(
    group: str, seed: int, scale: float, offset: float
) -> None:
    crystal, rng = _crystal(group), np.random.default_rng(seed)
    coord = rng.uniform(0, 10, (1, 4, 3))
    one, other = rng.random(SHAPE), rng.random(SHAPE)
    plain = correlate_density(one, other, crystal, coord)
    scaled = correlate_density(scale * one + offset, other, crystal, coord)
    assert scaled.correlation == pytest.approx(plain.correlation, abs=1e-9)
    moved = crystal.cartesian(crystal.fractional(coord) + rng.integers(-2, 3, 3))
    assert correlate_density(one, other, crystal, moved).n_voxels == plain.n_voxels
    same = correlate_density(one, scale * one + offset, crystal, coord)
    assert same.correlation == pytest.approx(1.0)
    assert correlate_density(one, -one, crystal, coord).correlation == pytest.approx(-1.0)


def test_equals_numpy_over_the_voxels() -> None:
    crystal, rng = _crystal("P 1 21 1"), np.random.default_rng(0)
    coord, one, other = rng.uniform(0, 9, (2, 3, 3)), rng.random(SHAPE), rng.random(SHAPE)
    one[voxels_near(crystal, SHAPE, coord[0, 0], 0.8)] = np.nan
    near = voxels_near(crystal, SHAPE, coord) & np.isfinite(one)
    found = correlate_density(one, other, crystal, coord)
    assert found.correlation == pytest.approx(np.corrcoef(one[near], other[near])[0, 1])
    assert found.n_voxels == near.sum()


def test_the_map_less_the_rest_sees_what_neighbours_hide() -> None:
    crystal = _crystal("P 1 21 1")
    atom, neighbour = np.array([[3.0, 3.0, 4.0]]), np.array([[4.6, 3.0, 4.0]])
    wrong = atom + np.array([0.0, 1.2, 0.0])
    others, model = _blob(crystal, neighbour), _blob(crystal, wrong)
    observed = _blob(crystal, atom) + others
    plain = correlate_density(observed, model + others, crystal, wrong[None])
    honest = correlate_density(observed, model, crystal, wrong[None], rest=others)
    assert honest.correlation < plain.correlation - 0.1
    right = correlate_density(observed, _blob(crystal, atom), crystal, atom[None], rest=others)
    assert right.correlation == pytest.approx(1.0)


def test_segments_and_states_are_told_apart() -> None:
    crystal = _crystal("P 1")
    coord = np.array([[[2.0, 2.0, 3.0], [2.0, 7.0, 9.0], [9.0, 2.0, 12.0]]])
    wrong = coord + np.array([[0.0, 0.0, 0.0], [1.5, 0.0, 0.0], [0.0, 0.0, 0.0]])
    observed, calculated = _blob(crystal, coord[0]), _blob(crystal, wrong[0])
    segment = np.array([0, 1, -1])
    found = correlate_segments(observed, calculated, crystal, wrong, segment)
    assert [agreement.correlation > 0.95 for agreement in found] == [True, False]
    own = correlate_segments(
        observed,
        calculated,
        crystal,
        wrong,
        np.array([0, 2, 2]),
        own=lambda number: _blob(crystal, wrong[0, [0]] if number == 0 else wrong[0, 1:]),
    )
    assert own[0].correlation == pytest.approx(1.0, abs=1e-3)
    assert np.isnan(own[1].correlation)
    assert own[2].correlation < 0.95


def test_a_half_occupied_state_alone_hides_the_other() -> None:
    crystal = _crystal("P 1")
    a, b = np.array([[4.0, 4.0, 6.0]]), np.array([[5.5, 4.0, 6.0]])
    observed = 0.5 * _blob(crystal, a) + 0.5 * _blob(crystal, b)
    both = np.stack([a, b])
    alone = correlate_density(observed, _blob(crystal, a), crystal, both)
    together = correlate_density(observed, observed.copy(), crystal, both)
    assert alone.correlation < 0.8
    assert together.correlation == pytest.approx(1.0)


def test_refuses_and_says_when_nothing_can_be_correlated() -> None:
    crystal = _crystal("P 1")
    coord, one = np.zeros((1, 1, 3)), np.random.default_rng(0).random(SHAPE)
    assert np.isnan(correlate_density(one, np.full(SHAPE, 0.1), crystal, coord).correlation)
    unknown = np.full(SHAPE, np.nan)
    assert correlate_density(unknown, one, crystal, coord).n_voxels == 0
    with pytest.raises(InputError, match="one grid"):
        correlate_density(one, one[:-1], crystal, coord)
    with pytest.raises(InputError, match="positive radius"):
        correlate_density(one, one, crystal, coord, radius=0.0)
    with pytest.raises(InputError, match="distance to atoms"):
        correlate_density(one, one, crystal, coord[:, :0])
    with pytest.raises(InputError, match="segments do not fit"):
        correlate_segments(one, one, crystal, coord, np.zeros(2, dtype=int))
