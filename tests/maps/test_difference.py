"""Difference maps: the scale, the noise, and what stands out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from unstill.crystal import Crystal
from unstill.crystal.symmetry import orbit
from unstill.errors import InputError
from unstill.maps import IntensityMap
from unstill.maps.blocks import bootstrap_weights, reciprocal_blocks
from unstill.maps.difference import difference
from unstill.maps.symmetrize import symmetrize

MakeMap = Callable[..., IntensityMap]


def test_the_scale_is_found_and_equal_maps_differ_by_nothing(make_map: MakeMap) -> None:
    a = make_map()
    found = difference(a, a.replace(intensity=2.5 * a.intensity))
    assert found.scale == pytest.approx(2.5)
    assert np.abs(found.map.intensity[found.map.measured]).max() < 1e-9
    assert found.rms_ratio < 1e-6


def test_features_do_not_decide_the_scale(make_map: MakeMap) -> None:
    a = make_map(features=0.2)
    b = make_map(features=3.0, isotropic=2.0)
    # Least squares over the voxels themselves would be pulled by the features.
    assert difference(a, b).scale == pytest.approx(2.0, rel=0.05)


def test_scale_is_the_least_squares_one_on_shell_means(make_map: MakeMap) -> None:
    a, b = make_map(noise=2.0), make_map(seed=3, noise=2.0, noise_seed=1, isotropic=1.4)
    found = difference(a, b)
    from unstill.maps.isotropic import shell_radius

    used = found.map.measured
    shell = np.floor(shell_radius(a)[used] + 0.5).astype(int)
    count = np.bincount(shell)
    mean_a = np.bincount(shell, a.intensity[used])[count > 0] / count[count > 0]
    mean_b = np.bincount(shell, b.intensity[used])[count > 0] / count[count > 0]
    weight = np.sqrt(count[count > 0])
    expected = np.linalg.lstsq((weight * mean_a)[:, None], weight * mean_b, rcond=None)[0][0]
    assert found.scale == pytest.approx(expected)
    delta = found.scale * a.intensity - b.intensity
    assert np.allclose(found.map.intensity[used], delta[used])


@pytest.mark.parametrize("with_sigma", [True, False])
def test_noise_alone_gives_a_standard_normal_z(make_map: MakeMap, with_sigma: bool) -> None:
    a, b = make_map(noise=2.0), make_map(noise=3.0, noise_seed=7, isotropic=1.0)
    if not with_sigma:
        a, b = a.replace(sigma=None), b.replace(sigma=None)
    found = difference(a, b)
    z = found.z.intensity[found.z.measured]
    assert found.noise == ("sigma" if with_sigma else "spread")
    assert abs(z.mean()) < 0.1
    assert z.std() == pytest.approx(1, abs=0.05)
    assert np.percentile(np.abs(z), 95) == pytest.approx(1.96, abs=0.15)


def test_a_change_stands_out_where_it_is_and_nowhere_else(make_map: MakeMap) -> None:
    a, b = make_map(noise=1.0), make_map(noise=1.0, noise_seed=2)
    place = (11, 10, 14)
    changed = a.intensity.copy()
    changed[place] += 20
    found = difference(a.replace(intensity=changed), b)
    z = np.where(found.z.measured, found.z.intensity, 0)
    assert np.unravel_index(np.argmax(z), z.shape) == place
    assert z[place] > 10
    z[place] = 0
    assert np.abs(z).max() < 6


def test_unrelated_features_give_a_ratio_of_root_two(make_map: MakeMap) -> None:
    rng = np.random.default_rng(0)
    a = make_map(features=0)
    draws = [
        a.replace(intensity=a.intensity + rng.normal(scale=9, size=a.grid.shape)) for _ in range(2)
    ]
    found = difference(*draws)
    assert found.rms_ratio == pytest.approx(np.sqrt(2), abs=0.1)


def test_the_bootstrap_says_how_well_the_scale_is_known(make_map: MakeMap) -> None:
    triclinic = Crystal((20.0, 21.0, 28.0, 90.0, 90.0, 90.0), "P 1")
    a = make_map(triclinic)
    scales, sigmas = [], []
    for seed in range(20):
        found = difference(a, make_map(triclinic, noise=30.0, noise_seed=seed), seed=seed)
        scales.append(found.scale)
        sigmas.append(found.scale_sigma)
    assert np.mean(sigmas) == pytest.approx(np.std(scales, ddof=1), rel=0.6)
    assert abs(np.mean(scales) - 1) < 4 * np.mean(sigmas) / np.sqrt(20)


def test_the_draws_follow_the_seed(make_map: MakeMap) -> None:
    a, b = make_map(noise=3.0), make_map(seed=2, noise=3.0, noise_seed=4)
    one, same, other = (difference(a, b, seed=seed) for seed in (1, 1, 2))
    assert one.scale_sigma == same.scale_sigma
    assert one.scale_sigma != other.scale_sigma
    assert one.scale == other.scale


def test_blocks_hold_whole_orbits_and_are_about_as_many_as_asked(make_map: MakeMap) -> None:
    full = make_map()
    label = reciprocal_blocks(full, n_blocks=30)
    assert set(np.unique(label)) == set(range(label.max() + 1))
    assert 15 <= label.max() + 1 <= 120
    spread = symmetrize(full.replace(intensity=label.astype(float))).intensity
    assert np.array_equal(spread, label)
    for index in ([3, 1, 2], [0, 4, -3]):
        mates = full.grid.position(orbit(full.crystal, np.array(index)))
        assert len(set(label.ravel()[mates])) == 1


def test_a_block_is_a_neighbourhood(make_map: MakeMap) -> None:
    full = make_map()
    label = reciprocal_blocks(full, n_blocks=30)
    index = full.grid.index()[8:, 8:, 10:]
    for number in np.unique(label):
        members = index[label[8:, 8:, 10:] == number]
        if len(members):
            assert np.ptp(members, axis=0).max() <= 8


def test_draws_keep_the_number_of_blocks() -> None:
    counts = bootstrap_weights(40, 500, np.random.default_rng(0))
    assert (counts.sum(axis=1) == 40).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(40), abs=0.25)


def test_what_cannot_be_scaled_is_refused(make_map: MakeMap) -> None:
    a = make_map()
    with pytest.raises(InputError, match="no positive scale"):
        difference(a, a.replace(intensity=-a.intensity))
    with pytest.raises(InputError, match="two draws"):
        difference(a, a, n_bootstrap=1)
