"""Total and anisotropic correlation on common voxels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.crystal import Crystal, HklGrid
from unstill.errors import InputError
from unstill.maps import IntensityMap
from unstill.maps.correlation import correlate, pearson
from unstill.maps.isotropic import split_isotropic
from unstill.maps.overlap import crop, overlap

MakeMap = Callable[..., IntensityMap]


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=30), st.integers(0, 9))
def test_pearson_is_numpys(values: list[float], seed: int) -> None:
    a = np.array(values)
    b = np.random.default_rng(seed).normal(size=a.size)
    if np.std(a) > 1e-6:
        assert pearson(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-9)


def test_pearson_of_a_constant_or_of_two_numbers_is_not_a_number() -> None:
    line = np.arange(10.0)
    assert np.isnan(pearson(np.full(10, 3.3), line))
    assert np.isnan(pearson(line[:2], line[:2]))
    assert pearson(line, 1e9 + line) == pytest.approx(1)


def test_a_map_agrees_with_itself_on_any_scale(make_map: MakeMap) -> None:
    full = make_map()
    found = correlate(full, full.replace(intensity=3 * full.intensity + 5))
    assert found.cc_total == pytest.approx(1)
    assert found.cc_aniso == pytest.approx(1)
    assert found.n_voxels == full.n_measured


def test_total_correlation_is_blind_to_features_and_the_anisotropic_one_is_not(
    make_map: MakeMap,
) -> None:
    a, b = make_map(seed=1, features=0.3), make_map(seed=2, features=0.3)
    found = correlate(a, b)
    assert found.cc_total > 0.9
    assert abs(found.cc_aniso) < 0.3


def test_an_isotropic_difference_does_not_matter(make_map: MakeMap) -> None:
    a, b = make_map(), make_map(isotropic=2.5)
    found = correlate(a, b)
    # The curve runs through shell means, so a curved decay leaves a trace.
    assert found.cc_aniso > 0.995
    assert found.cc_total < found.cc_aniso


def test_each_map_is_split_on_the_common_mask(make_map: MakeMap) -> None:
    rng = np.random.default_rng(0)
    a = make_map(noise=3.0, mask=rng.random((17, 17, 21)) < 0.4)
    b = make_map(seed=2, noise=3.0, noise_seed=1, mask=rng.random((17, 17, 21)) < 0.4)
    mask = a.mask | b.mask
    parts = [split_isotropic(full.replace(mask=mask)).anisotropic for full in (a, b)]
    used = parts[0].measured
    expected = np.corrcoef(parts[0].intensity[used], parts[1].intensity[used])[0, 1]
    found = correlate(a, b)
    assert found.cc_aniso == pytest.approx(expected)
    total = np.corrcoef(a.intensity[~mask], b.intensity[~mask])[0, 1]
    assert found.cc_total == pytest.approx(total)
    assert found.n_voxels == np.count_nonzero(~mask)


def test_shells_partition_the_voxels_and_go_to_high_resolution(make_map: MakeMap) -> None:
    a, b = make_map(noise=1.0), make_map(noise=1.0, noise_seed=9)
    found = correlate(a, b, d_min=2.5, d_max=15.0, n_shells=8)
    used = split_isotropic(
        a, mask=(a.crystal.d(a.grid.hkl()) < 2.5) | (a.crystal.d(a.grid.hkl()) > 15)
    ).anisotropic
    assert sum(shell.n for shell in found.shells) == used.n_measured
    spacings = [shell.d for shell in found.shells]
    assert spacings == sorted(spacings, reverse=True)
    assert max(spacings) <= 15
    assert min(spacings) >= 2.5
    for shell in found.shells:
        s = np.sqrt(a.s_squared())
        inside = used.measured & (s >= (1 - 1e-9) / shell.d_max) & (s <= (1 + 1e-9) / shell.d_min)
        assert shell.n == pytest.approx(inside.sum(), abs=8)


def test_noise_lowers_the_correlation_as_it_should(make_map: MakeMap) -> None:
    truth = make_map()
    noisy = make_map(noise=4.0)
    split = split_isotropic(truth).anisotropic
    variance = np.var(split.intensity[split.measured])
    expected = 1 / np.sqrt(1 + 16 / variance)
    assert correlate(truth, noisy).cc_aniso == pytest.approx(expected, abs=0.01)


def test_boxes_are_cropped_to_what_they_share(make_map: MakeMap) -> None:
    a = make_map()
    b = crop(make_map(), (-5, -8, 0), (9, 12, 11))
    first, second = overlap(a, b)
    assert first.grid == second.grid == HklGrid((-5, -8, 0), (9, 12, 11))
    assert np.array_equal(first.intensity, second.intensity)
    assert overlap(a, a)[0] is a
    found = correlate(a, b)
    assert found.n_voxels == 9 * 12 * 11
    assert found.cc_aniso == pytest.approx(1)


def test_cropping_cuts_every_array(make_map: MakeMap) -> None:
    full = make_map(noise=1.0, n_obs=np.ones((17, 17, 21), int))
    part = crop(full, (0, 0, 0), (2, 3, 4))
    assert part.sigma.shape == part.n_obs.shape == part.mask.shape == (2, 3, 4)
    assert part.intensity[1, 2, 3] == full.intensity[9, 10, 13]
    with pytest.raises(InputError, match="leaves the map"):
        crop(full, (0, 0, 0), (20, 3, 4))


def test_maps_without_common_voxels_are_refused(make_map: MakeMap) -> None:
    full = make_map()
    with pytest.raises(InputError, match="no common voxels"):
        overlap(crop(full, (-8, -8, -10), (3, 3, 3)), crop(full, (0, 0, 0), (3, 3, 3)))
    left = np.zeros(full.grid.shape, bool)
    left[:9] = True
    with pytest.raises(InputError, match="no common voxels"):
        correlate(full.replace(mask=left), full.replace(mask=~left))
    with pytest.raises(InputError, match="no common voxels"):
        correlate(full, full, d_min=0.1, d_max=0.2)


def test_the_wrong_cell_is_refused_and_a_slightly_different_one_is_not(make_map: MakeMap) -> None:
    full = make_map()
    near = Crystal((20.1, 20.1, 28.2, 90.0, 90.0, 90.0), "P 41")
    far = Crystal((20.5, 20.5, 28.0, 90.0, 90.0, 90.0), "P 41")
    assert correlate(full, full.replace(crystal=near)).cc_aniso == pytest.approx(1)
    with pytest.raises(InputError, match="wrong cell"):
        correlate(full, full.replace(crystal=far))


def test_other_divisions_are_refused(make_map: MakeMap) -> None:
    with pytest.raises(InputError, match="sampled differently"):
        correlate(make_map(), make_map(divisions=(2, 2, 2)))


def test_space_groups_of_one_laue_class_compare_without_complaint(
    make_map: MakeMap, recwarn: pytest.WarningsRecorder
) -> None:
    full = make_map()
    other = full.replace(crystal=Crystal(full.crystal.unit_cell, "P 43"))
    assert correlate(full, other).cc_aniso == pytest.approx(1)
    assert not len(recwarn)


@pytest.mark.parametrize("limits", [{"d_min": 0.0}, {"d_max": -1.0}, {"d_min": 5.0, "d_max": 4.0}])
def test_impossible_limits_are_told(make_map: MakeMap, limits: dict[str, float]) -> None:
    with pytest.raises(InputError, match=r"d_min|d_max"):
        correlate(make_map(), make_map(), **limits)
