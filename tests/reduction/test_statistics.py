"""Statistics of merging: counted right, and CC1/2 is what the sigmas promise."""

from __future__ import annotations

import json

import numpy as np
import pytest
from synthetic_rows import TETRAGONAL, draw, smooth_truth
from test_halves import EVERY

from unstill.crystal import HklGrid
from unstill.crystal.symmetry import index_operations, map_to_asu
from unstill.errors import InputError
from unstill.maps.bragg import mask_bragg
from unstill.maps.common_split import split_on_common_mask
from unstill.maps.correlation import pearson
from unstill.maps.correlation_interval import correlation_interval
from unstill.reduction.merging.merge import merge_observations
from unstill.reduction.merging.statistics import cc_star, merging_statistics
from unstill.reduction.merging.unique_voxels import unique_by_shell
from unstill.reduction.merging.voxel_split import interval_of, split_voxels


def merged_of(drawn, **options):
    return merge_observations(drawn.observations, drawn.scale, drawn.offset, **options)


@pytest.mark.parametrize(("counts", "sweeps"), [(6, 8), (40, 4), (1500, 2)])
def test_halves_agree_as_their_sigmas_promise(counts, sweeps):
    merged = merged_of(draw(counts=counts, n_sweeps=sweeps, divisions=(3, 3, 3)))
    overall = merging_statistics(merged, interval=False).overall
    assert abs(overall.cc_half - overall.cc_expected) < 0.005
    assert abs(overall.cc_friedel - overall.cc_expected) < 0.015


def test_cc_star_is_the_correlation_with_the_truth():
    merged = merged_of(draw(counts=6, n_sweeps=10, divisions=(3, 3, 3)))
    true = smooth_truth(TETRAGONAL)(merged.index, merged.divisions)
    decay = np.exp(-2 * merged.s() ** 2)
    found = merging_statistics(merged, interval=False).overall.cc_star
    assert abs(pearson(merged.intensity - decay, true - decay) - found) < 0.01
    assert np.isnan(cc_star(-0.2))


def test_shells_add_up_to_the_whole():
    drawn = draw(counts=20, coverage=0.05, n_sweeps=1)
    keep = np.random.default_rng(0).random(len(drawn.observations)) > 0.1
    merged = merged_of(drawn, keep=keep)
    found = merging_statistics(merged, n_shells=7)
    for name in ("n_voxels", "n_unique", "n_obs", "n_rejected"):
        assert sum(getattr(shell, name) for shell in found.shells) == getattr(found.overall, name)
    assert found.overall.n_obs == keep.sum()
    assert found.overall.n_rejected == (~keep).sum()
    assert found.overall.n_voxels == merged.n_voxels
    assert 0 < found.overall.completeness < 1
    assert found.shells[0].d_max > found.shells[0].d_min == found.shells[1].d_max
    low, high = found.cc_half_interval
    assert low < found.overall.cc_half < high


@pytest.mark.parametrize("name", EVERY)
def test_unique_voxels_are_those_of_the_full_sphere(name):
    crystal, divisions, edges = EVERY[name], (2, 2, 2), np.linspace(0.02, 1 / 9, 4)
    operations = index_operations(crystal, divisions)
    counted, _ = unique_by_shell(crystal, divisions, operations, edges)
    index = HklGrid.covering(crystal, 9.0, divisions).index().reshape(-1, 3)
    unique = np.unique(map_to_asu(crystal, index, divisions), axis=0)
    s = np.sqrt(crystal.s_squared(unique / 2))
    assert counted.tolist() == np.histogram(s, edges)[0].tolist()


def test_completeness_of_what_could_be_reached():
    merged = merged_of(draw(d_min=3.0))
    found = merging_statistics(
        merged, n_shells=3, accessible=lambda index: index[:, 2] > 3, interval=False
    )
    upper = int((merged.index[:, 2] > 3).sum())
    assert upper <= round(upper / found.overall.completeness_accessible) <= upper + 5
    assert found.overall.completeness_accessible > 0.99


def test_bragg_voxels_are_told_apart():
    drawn = draw(counts=200, divisions=(2, 2, 2), d_min=2.5)
    bragg = np.all(drawn.observations.index % 2 == 0, axis=1)
    noise = np.where(bragg, np.random.default_rng(3).exponential(5.0, len(bragg)), 1.0)
    spoiled = drawn.observations.replace(counts=drawn.observations.counts * noise)
    overall = merging_statistics(
        merge_observations(spoiled, drawn.scale, drawn.offset), interval=False
    ).overall
    assert overall.cc_half < overall.cc_half_off_bragg - 0.1


def test_statistics_go_into_json():
    found = merging_statistics(merged_of(draw(d_min=4.0)), n_shells=3, interval=False).as_dict()
    assert json.loads(json.dumps(found))["overall"]["n_obs"] == found["overall"]["n_obs"]


def test_too_few_voxels_give_no_correlation_and_no_error():
    drawn = draw(d_min=4.0)
    rows = drawn.observations.take(slice(0, 3))
    merged = merge_observations(rows, drawn.scale[:3], drawn.offset[:3], symmetry=False)
    overall = merging_statistics(merged, n_shells=2).overall
    assert np.isnan(overall.cc_half)
    assert overall.n_obs == 3


def test_limits_without_voxels_are_refused():
    with pytest.raises(InputError, match="no voxel"):
        merging_statistics(merged_of(draw(d_min=4.0)), d_min=30.0, d_max=31.0)


def test_tables_are_split_as_boxes_are():
    merged = merged_of(draw(d_min=2.2, counts=30))
    usable = np.all(np.isfinite(merged.half_sigma[:2]), axis=0)
    found = split_voxels(
        merged, (merged.half_intensity[0], merged.half_intensity[1]), usable, d_max=12.0
    )
    boxes = [merged.to_map(expand=False, half=half) for half in (0, 1)]
    common = split_on_common_mask(*boxes, d_max=12.0)
    np.testing.assert_allclose(found.parts[0], common.aniso_a(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.parts[1], common.aniso_b(), rtol=1e-9, atol=1e-12)
    assert interval_of(merged, found) == pytest.approx(correlation_interval(common), rel=1e-9)
    off = [mask_bragg(box) for box in boxes]
    overall = merging_statistics(merged, d_max=12.0, interval=False).overall
    whole = split_on_common_mask(*off, d_max=12.0)
    assert overall.cc_half_off_bragg == pytest.approx(
        pearson(whole.aniso_a(), whole.aniso_b()), rel=1e-9
    )
