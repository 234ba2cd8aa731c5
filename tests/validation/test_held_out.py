"""Held-out terms: mates together, every resolution its share, and fits that are found out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.crystal import Crystal
from unstill.crystal.symmetry import laue_operations
from unstill.errors import InputError
from unstill.maps.density_map import DensityMap
from unstill.scattering.synthesis import Synthesis
from unstill.validation.held_out import (
    half_map_score,
    held_out_correlation,
    split_map,
    split_reflections,
)
from unstill.validation.real_space import voxels_near

CRYSTALS = {
    "P 1": (17.0, 15.0, 21.0, 81.0, 97.0, 108.0),
    "C 1 2 1": (23.0, 15.0, 19.0, 90.0, 104.0, 90.0),
    "P 31 2 1": (18.0, 18.0, 22.0, 90.0, 90.0, 120.0),
    "I 2 3": (24.0, 24.0, 24.0, 90.0, 90.0, 90.0),
}
D_MIN = 2.0


def _synthesis(group: str) -> Synthesis:
    return Synthesis(Crystal(CRYSTALS[group], group), D_MIN)


def _symmetric(synthesis: Synthesis, seed: int) -> np.ndarray:
    """F of the cell of random atoms of one asymmetric unit, with F(000)."""
    rng = np.random.default_rng(seed)
    frac, z = rng.uniform(size=(12, 3)), rng.uniform(4, 9, 12)
    damping = np.exp(-12 * synthesis.s_squared / 4)
    return synthesis.of_cell(np.exp(2j * np.pi * synthesis.index @ frac.T) @ z * damping)


@given(
    group=st.sampled_from(sorted(CRYSTALS)),
    fraction=st.floats(0.03, 0.5),
    seed=st.integers(0, 999),
    thin=st.booleans(),
)
def test_mates_stay_together_and_every_resolution_gives_its_share(
    group: str, fraction: float, seed: int, thin: bool
) -> None:
    synthesis = _synthesis(group)
    crystal, hkl = synthesis.crystal, synthesis.index
    shells = 5 if thin else None
    held = split_reflections(crystal, hkl, fraction=fraction, seed=seed, shells=shells)
    key = np.array([10**6, 10**3, 1])
    orbit = np.max([hkl @ operation @ key for operation in laue_operations(crystal)], axis=0)
    assert not np.intersect1d(orbit[held], orbit[~held]).size
    assert not held[synthesis.origin]
    n_orbits = len(np.unique(orbit)) - 1
    assert abs(len(np.unique(orbit[held])) / n_orbits - fraction) < (6 if thin else 1) / n_orbits
    again = split_reflections(crystal, hkl, fraction=fraction, seed=seed, shells=shells)
    assert np.array_equal(held, again)


def test_orbits_are_stratified_and_seeds_differ() -> None:
    synthesis = _synthesis("P 31 2 1")
    held = split_reflections(synthesis.crystal, synthesis.index, fraction=0.1, seed=3)
    order = np.argsort(synthesis.s_squared)
    quarters = [held[part].mean() for part in np.array_split(order, 4)]
    assert np.ptp(quarters) < 0.06
    other = split_reflections(synthesis.crystal, synthesis.index, fraction=0.1, seed=4)
    assert (held & other).sum() < 0.5 * held.sum()


def test_thin_shells_are_shells() -> None:
    synthesis = _synthesis("P 1")
    held = split_reflections(synthesis.crystal, synthesis.index, fraction=0.2, shells=4)
    order = np.argsort(synthesis.s_squared)
    changes = np.count_nonzero(np.diff(held[order].astype(int)))
    assert 4 <= changes <= 8


@pytest.mark.parametrize("group", sorted(CRYSTALS))
def test_work_and_held_out_terms_make_up_the_map(group: str) -> None:
    synthesis = _synthesis(group)
    f = _symmetric(synthesis, 1)
    target = DensityMap(synthesis.crystal, synthesis.density(f))
    split = split_map(target, D_MIN, fraction=0.15, seed=2)
    np.testing.assert_allclose(split.f, f, atol=1e-8)
    back = split.synthesis.structure_factors(split.work_map.values)
    np.testing.assert_allclose(back[split.held], 0, atol=1e-8)
    np.testing.assert_allclose(back[~split.held], f[~split.held], atol=1e-8)
    np.testing.assert_allclose(back, split.work_terms(f), atol=1e-8)
    np.testing.assert_allclose(split.filled_map(f).values, target.values, atol=1e-10)
    # The symmetry of the map is that of its work part.
    for operation in laue_operations(synthesis.crystal):
        place = {tuple(h): n for n, h in enumerate(synthesis.index.tolist())}
        mates = [place.get(tuple(h), -1) for h in (synthesis.index @ operation).tolist()]
        there = np.array(mates) >= 0
        amplitude = np.abs(back)
        np.testing.assert_allclose(amplitude[there], amplitude[np.array(mates)[there]], atol=1e-7)


def test_correlation_of_terms_is_that_of_densities() -> None:
    synthesis = _synthesis("C 1 2 1")
    target = DensityMap(synthesis.crystal, synthesis.density(_symmetric(synthesis, 1)))
    split = split_map(target, D_MIN, fraction=0.2, seed=5)
    model = _symmetric(synthesis, 1) * 3.0 + _symmetric(synthesis, 8)
    sides = [synthesis.density(np.where(split.held, f, 0)).ravel() for f in (model, split.f)]
    score = split.score(model)
    assert score.held == pytest.approx(np.corrcoef(*sides)[0, 1], abs=1e-10)
    everywhere = split.score(model, near=np.ones(target.shape, dtype=bool))
    assert everywhere.held == pytest.approx(score.held, abs=1e-10)
    assert everywhere.work == pytest.approx(score.work, abs=1e-10)
    assert 0.5 < score.work < 1


def _fit(split, shapes: np.ndarray) -> np.ndarray:
    """Least squares of the work terms by the given shapes (columns)."""
    work = ~split.held
    stacked = np.concatenate([shapes[work].real, shapes[work].imag])
    seen = np.concatenate([split.f[work].real, split.f[work].imag])
    amount, *_ = np.linalg.lstsq(stacked, seen, rcond=None)
    return shapes @ amount


@pytest.mark.parametrize("shells", [None, 12])
def test_a_fit_of_noise_is_found_out_and_a_true_one_is_not(shells: int | None) -> None:
    synthesis = _synthesis("P 1")
    rng = np.random.default_rng(0)
    frac = rng.uniform(size=(500, 3))
    shapes = np.exp(2j * np.pi * synthesis.index @ frac.T)
    shapes *= np.exp(-12 * synthesis.s_squared / 4)[:, None]
    truth = shapes[:, :12] @ rng.uniform(4, 9, 12)
    power = np.sqrt(np.mean(np.abs(truth) ** 2))
    noise = power * (rng.normal(size=(2, len(truth))).T @ np.array([1, 1j]))
    noise[synthesis.origin] = 0
    noisy = DensityMap(synthesis.crystal, synthesis.density(truth + noise))
    split = split_map(noisy, D_MIN, fraction=0.2, seed=1, shells=shells)
    right = split.score(_fit(split, shapes[:, :12]))
    over = split.score(_fit(split, shapes))
    assert abs(right.gap) < 0.06
    assert over.work > right.work
    assert over.held < right.held
    assert over.gap > 0.1
    # In the neighbourhood of the atoms the same is seen.
    near = voxels_near(
        synthesis.crystal, synthesis.shape, synthesis.crystal.cartesian(frac[:12]), 1.5
    )
    assert split.score(_fit(split, shapes), near=near).gap > 0.03


def test_the_gap_of_pure_noise_is_the_whole_of_the_fit() -> None:
    synthesis = _synthesis("P 31 2 1")
    rng = np.random.default_rng(1)
    noise = DensityMap(synthesis.crystal, rng.normal(size=synthesis.shape))
    split = split_map(noise, D_MIN, fraction=0.3, seed=1)
    shapes = np.exp(2j * np.pi * synthesis.index @ rng.uniform(size=(3, 200)))
    score = split.score(_fit(split, shapes))
    assert score.work > 0.25
    assert abs(score.held) < 0.15
    assert score.gap == score.work - score.held


def test_unknown_voxels_stay_unknown() -> None:
    synthesis = _synthesis("P 1")
    values = synthesis.density(_symmetric(synthesis, 3))
    values[:5] = np.nan
    split = split_map(DensityMap(synthesis.crystal, values), D_MIN)
    assert np.array_equal(np.isnan(split.work_map.values), np.isnan(values))


def test_half_maps() -> None:
    synthesis = _synthesis("P 1")
    rng = np.random.default_rng(2)
    truth = synthesis.density(_symmetric(synthesis, 1))
    noise = truth.std() * rng.normal(size=(2, *truth.shape))
    one, two = (DensityMap(synthesis.crystal, truth + n) for n in noise)
    honest = half_map_score(truth, one, two)
    assert abs(honest.gap) < 0.02
    assert half_map_score(truth + 0.5 * noise[0], one, two).gap > 0.1
    near = np.zeros(truth.shape, dtype=bool)
    near[:4] = True
    expected = np.corrcoef(truth[:4].ravel(), one.values[:4].ravel())[0, 1]
    assert half_map_score(truth, one, two, near).work == pytest.approx(expected)
    with pytest.raises(InputError, match="one grid"):
        half_map_score(truth[1:], one, two)
    with pytest.raises(InputError, match="one grid"):
        half_map_score(truth, one, two, np.zeros(truth.shape, dtype=bool))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fraction": 0.0}, "between 0 and 0.5"),
        ({"fraction": 0.9}, "between 0 and 0.5"),
        ({"fraction": float("nan")}, "between 0 and 0.5"),
        ({"fraction": 0.0001}, "too few reflections"),
        ({"shells": 0}, "too few reflections"),
        ({"shells": 10**6}, "too few reflections"),
    ],
)
def test_senseless_splits_are_refused(options: dict[str, float], message: str) -> None:
    synthesis = _synthesis("P 1")
    with pytest.raises(InputError, match=message):
        split_reflections(synthesis.crystal, synthesis.index, **options)


def test_what_does_not_fit_together_is_refused() -> None:
    synthesis = _synthesis("P 1")
    split = split_map(
        DensityMap(synthesis.crystal, synthesis.density(_symmetric(synthesis, 1))), 3
    )
    with pytest.raises(InputError, match="not those of the map's terms"):
        split.score(split.f[1:])
    with pytest.raises(InputError, match="not those of the map's terms"):
        split.filled_map(np.full(len(split.f), np.nan))
    with pytest.raises(InputError, match="voxels are not those"):
        split.score(split.f, near=np.zeros((2, 2, 2), dtype=bool))
    with pytest.raises(InputError, match="none is chosen"):
        held_out_correlation(split.f, split.f, np.zeros(len(split.f), dtype=bool))
    flat = held_out_correlation(np.zeros(len(split.f)) * 1j, split.f, split.held)
    assert np.isnan(flat)
