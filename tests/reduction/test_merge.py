"""Merging: no voxel lost, no bias at low counts, right sigmas, the same bits in any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_rows import TETRAGONAL, draw, smooth_truth
from test_halves import LAUE

from unstill.crystal import HklGrid
from unstill.crystal.symmetry import laue_operations
from unstill.errors import InputError, UnstillWarning
from unstill.io.map_files import read_map, write_map
from unstill.maps.compare import compare
from unstill.maps.observations import concatenate
from unstill.maps.symmetrize import symmetrize
from unstill.reduction.merging.error_model import ErrorModel, fit_error_model
from unstill.reduction.merging.merge import merge_observations
from unstill.reduction.merging.row_prediction import predict_rows

ARRAYS = ("index", "intensity", "sigma", "n_obs", "multiplicity", "half_intensity", "deviations")


def merged_of(drawn, **options):
    return merge_observations(drawn.observations, drawn.scale, drawn.offset, **options)


def truth_of(merged):
    return smooth_truth(merged.crystal)(merged.index, merged.divisions)


def shell_and_quartile_bias(merged):
    """Ratio of sums less one, by shell and by quartile of the truth."""
    true = truth_of(merged)
    exposure = merged.multiplicity
    quartile = np.digitize(true, np.quantile(true, [0.25, 0.5, 0.75]))
    shell = np.digitize(merged.s(), np.quantile(merged.s(), [0.2, 0.4, 0.6, 0.8]))
    return [
        (merged.intensity * exposure)[group == i].sum() / (true * exposure)[group == i].sum() - 1
        for group in (quartile, shell)
        for i in range(group.max() + 1)
    ]


def test_low_counts_are_merged_without_bias_and_no_voxel_is_lost():
    drawn = draw(counts=6, divisions=(3, 3, 3), n_sweeps=12, seed=1)
    assert np.median(drawn.observations.counts) == 6
    merged = merged_of(drawn)
    covered = np.unique(merged.index, axis=0)
    assert merged.n_voxels == len(covered) == len(merged)
    assert np.all(np.isfinite(merged.sigma) & (merged.sigma > 0))
    assert np.max(np.abs(shell_and_quartile_bias(merged))) <= 0.005


@pytest.mark.parametrize("symmetry", [True, False])
def test_voxels_that_counted_nothing_are_kept_with_a_sigma(symmetry):
    drawn = draw(counts=1, background=0.0, offset=0.0, n_sweeps=1)
    merged = merged_of(drawn, symmetry=symmetry)
    empty = merged.intensity == 0
    assert empty.sum() > 20
    assert np.all(merged.sigma[empty] > 0.2 * np.median(merged.sigma))
    assert merged.n_voxels == len(merged)


def test_pure_poisson_counts_give_the_ratio_of_sums():
    drawn = draw(counts=6, background=0.0, offset=0.0)
    merged = merged_of(drawn, symmetry=False, friedel=False)
    rows = drawn.observations
    _, voxel = np.unique(rows.index, axis=0, return_inverse=True)
    ratio = np.bincount(voxel.ravel(), rows.counts) / np.bincount(
        voxel.ravel(), rows.exposure * drawn.scale
    )
    np.testing.assert_allclose(merged.intensity, ratio, rtol=1e-12)


@pytest.mark.parametrize(
    "options",
    [
        {"counts": 6},
        {"counts": 6, "background": 0.0, "offset": 0.0},
        {"counts": 30, "background_sigma": 0.2},
        {"counts": 60, "gain": 1.5},
        {"counts": 1500, "relative": 0.05},
    ],
)
def test_sigmas_are_those_of_the_pulls(options):
    model = ErrorModel(options.get("gain", 1.0), options.get("relative", 0.0))
    merged = merged_of(draw(**options, divisions=(3, 3, 3)), error_model=model)
    pull = (merged.intensity - truth_of(merged)) / merged.sigma
    assert 0.95 <= np.mean(pull**2) <= 1.10
    assert 0.95 <= merged.chi2 <= 1.10
    for half in (0, 1, 2, 3):
        seen = merged.half_n[half] > 0
        pulls = (merged.half_intensity[half] - truth_of(merged)) / merged.half_sigma[half]
        assert 0.93 <= np.mean(pulls[seen] ** 2) <= 1.12


def test_high_dose_keeps_the_scale():
    merged = merged_of(draw(counts=1500, relative=0.05), error_model=ErrorModel(1.0, 0.05))
    true = truth_of(merged)
    assert abs((merged.intensity @ true) / (true @ true) - 1) < 1e-3


@pytest.mark.parametrize(
    "planted", [ErrorModel(1.0, 0.0), ErrorModel(1.6, 0.0), ErrorModel(1.2, 0.05)]
)
@pytest.mark.parametrize("counts", [6, 1000])
def test_the_error_model_is_recovered_or_left_alone(planted, counts):
    drawn = draw(counts=counts, gain=planted.gain, relative=planted.relative, n_sweeps=4)
    found = ErrorModel()
    for _ in range(2):
        merged = merged_of(drawn, error_model=found)
        rows = drawn.observations
        intensity, leverage = predict_rows(rows, drawn.scale, drawn.offset, merged)
        found = fit_error_model(rows, drawn.scale, drawn.offset, intensity, leverage)
    assert abs(found.gain - planted.gain) < max(0.02, 4 * found.gain_sigma)
    if counts == 6:  # 5 % of 6 counts cannot be seen, and is not invented
        assert found.relative < 0.1
    else:
        assert abs(found.relative - planted.relative) < 0.003


def test_few_rows_leave_the_error_model_alone():
    drawn = draw(d_min=8.0)
    some = np.arange(100)
    rows = drawn.observations.take(some)
    found = fit_error_model(
        rows, drawn.scale[some], drawn.offset[some], np.ones(100), 0 * np.ones(100)
    )
    assert found == ErrorModel()


@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_rows_changes_no_bit(seed):
    drawn = draw(d_min=3.0, n_sweeps=3)
    first = merged_of(drawn, seed=3)
    order = np.random.default_rng(seed).permutation(len(drawn.observations))
    second = merge_observations(
        drawn.observations.take(order), drawn.scale[order], drawn.offset[order], seed=3
    )
    for name in ARRAYS:
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes(), name


def test_rows_of_one_voxel_on_two_panels_do_not_depend_on_order_either():
    drawn = draw(d_min=4.0, n_sweeps=1)
    rows = drawn.observations
    twins = concatenate([rows, rows.replace(panel=rows.panel + 1, counts=rows.counts * 0.3)])
    scale, offset = np.tile(drawn.scale, 2), np.tile(drawn.offset, 2)
    back = np.arange(len(twins))[::-1]
    first = merge_observations(twins, scale, offset)
    second = merge_observations(twins.take(back), scale[back], offset[back])
    assert first.intensity.tobytes() == second.intensity.tobytes()


def test_working_memory_changes_nothing_that_matters():
    drawn = draw(d_min=3.0)
    first, second = merged_of(drawn), merged_of(drawn, rows_at_once=500)
    assert np.array_equal(first.index, second.index)
    np.testing.assert_allclose(first.intensity, second.intensity, rtol=1e-12)
    third = merged_of(drawn, rows_at_once=500, expectation=first.expectation)
    for name in ARRAYS:
        assert getattr(first, name).tobytes() == getattr(third, name).tobytes(), name


@pytest.mark.parametrize("name", LAUE)
def test_the_merged_map_has_the_laue_symmetry(name):
    crystal = LAUE[name]
    drawn = draw(crystal, truth=smooth_truth(crystal), d_min=6.0, n_sweeps=1)
    merged = merged_of(drawn)
    full = merged.map
    for operation in laue_operations(crystal):
        mates = full.grid.index().reshape(-1, 3) @ operation
        inside = full.grid.contains(mates)
        place = full.grid.position(mates[inside])
        there = full.intensity.ravel()[place]
        assert np.array_equal(full.intensity.ravel()[inside], there, equal_nan=True)
    assert full.n_measured >= len(np.unique(drawn.observations.index, axis=0))
    # The same as P 1, averaged over the group by another route.
    p1 = merged_of(drawn, symmetry=False, friedel=False)
    assert len(p1) == len(np.unique(drawn.observations.index, axis=0))
    averaged = symmetrize(p1.map, expand=True)
    assert averaged.grid == full.grid
    assert np.array_equal(averaged.mask, full.mask)
    assert np.array_equal(averaged.n_obs, full.n_obs)


def test_p1_keeps_voxels_that_symmetry_would_merge():
    drawn = draw(d_min=3.0)
    p1 = merged_of(drawn, symmetry=False)
    grid, full = p1.map.grid, p1.map.intensity
    assert np.array_equal(full, full[::-1, ::-1, ::-1], equal_nan=True)
    both = np.isfinite(full) & np.isfinite(full[:, :, ::-1])
    assert np.mean(full[both] == full[:, :, ::-1][both]) < 0.2
    assert grid.divisions == (2, 2, 2)


def test_halves_are_parts_of_the_whole():
    drawn = draw(d_min=3.0)
    merged = merged_of(drawn)
    assert np.array_equal(merged.half_n[0] + merged.half_n[1], merged.n_obs)
    assert np.array_equal(merged.half_n[2] + merged.half_n[3], merged.n_obs)
    random, friedel = merged.random_halves, merged.friedel_halves
    assert random[0].grid == friedel[1].grid == merged.map.grid
    both = random[0].measured & random[1].measured
    low = np.minimum(random[0].intensity, random[1].intensity)[both]
    high = np.maximum(random[0].intensity, random[1].intensity)[both]
    whole = merged.map.intensity[both]
    assert np.all((low <= whole * (1 + 1e-9)) & (whole <= high * (1 + 1e-9)))


def test_rejected_rows_leave_a_trace():
    drawn = draw(d_min=4.0)
    rows = drawn.observations
    representative = rows.index[0]
    same = np.all(rows.index == representative, axis=1)
    merged = merged_of(drawn, keep=~same, symmetry=False, friedel=False)
    place = tuple(representative - np.array(merged.map.grid.start))
    assert merged.map.mask[place]
    assert merged.map.n_obs[place] == same.sum()
    assert merged.n_rejected.sum() == same.sum()
    assert merged.n_voxels == len(merged) - 1


def test_multiplicity_counts_how_often_a_voxel_was_swept():
    drawn = draw(d_min=4.0)  # every row sweeps the volume of one voxel
    merged = merged_of(drawn)
    np.testing.assert_allclose(merged.multiplicity, merged.n_obs, rtol=1e-12)


@pytest.mark.parametrize("suffix", [".nxs", ".mtz", ".ccp4"])
@pytest.mark.filterwarnings(f"ignore::{UnstillWarning.__module__}.{UnstillWarning.__name__}")
def test_merged_maps_go_through_files_and_comparison(suffix, tmp_path):
    merged = merged_of(draw(d_min=3.0, counts=200))
    path = tmp_path / f"map{suffix}"
    write_map(merged.map, path)
    back = read_map(path)
    assert back.grid == merged.map.grid
    assert back.crystal.space_group == TETRAGONAL.space_group
    assert np.array_equal(back.mask, merged.map.mask)
    np.testing.assert_allclose(
        back.intensity[back.measured], merged.map.intensity[back.measured], rtol=1e-6
    )
    found = compare(merged.map, back, reindex="none")
    assert found.cc_aniso > 0.99999


def test_a_wedge_and_a_given_box_hold_the_same_values():
    merged = merged_of(draw(d_min=3.0))
    wedge = merged.to_map(expand=False)
    assert wedge.grid.size < merged.map.grid.size / 3
    assert wedge.n_measured == merged.n_voxels
    closed = symmetrize(wedge, expand=True)
    assert np.array_equal(closed.mask, merged.map.mask)
    np.testing.assert_allclose(
        closed.intensity[closed.measured], merged.map.intensity[closed.measured], rtol=1e-12
    )
    box = HklGrid((0, 0, 0), (5, 6, 7), (2, 2, 2))
    boxed = merged_of(draw(d_min=3.0), grid=box).map
    start = -np.array(merged.map.grid.start)
    i, j, k = start
    assert np.array_equal(
        boxed.intensity, merged.map.intensity[i : i + 5, j : j + 6, k : k + 7], equal_nan=True
    )


def test_what_cannot_be_merged_is_said():
    drawn = draw(d_min=6.0)
    nothing = np.zeros(len(drawn.observations), bool)
    with pytest.raises(InputError, match="no row is left"):
        merged_of(drawn, keep=nothing)
    with pytest.raises(InputError, match="no row is left"):
        merge_observations(drawn.observations.take(nothing), np.zeros(0), np.zeros(0))
    dark = drawn.observations.replace(exposure=0 * drawn.scale)
    with pytest.raises(InputError, match="exposure times"):
        merge_observations(dark, drawn.scale, drawn.offset)
    bad = drawn.scale.copy()
    bad[3] = -1
    with pytest.raises(InputError, match="1 of"):
        merge_observations(drawn.observations, bad, drawn.offset)
    kept = np.arange(len(bad)) != 3
    assert merge_observations(drawn.observations, bad, drawn.offset, keep=kept).n_voxels > 0
    with pytest.raises(InputError, match="does not fit"):
        merge_observations(drawn.observations, bad[:5], drawn.offset)
