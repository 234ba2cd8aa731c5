"""Outliers are found on both sides, and little else."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import make

from unstill.reduction.merging.error_model import ErrorModel
from unstill.reduction.scaling.fit import begin
from unstill.reduction.scaling.intensities import Prediction
from unstill.reduction.scaling.options import ScaleOptions
from unstill.reduction.scaling.outliers import find_outliers, residuals
from unstill.reduction.scaling.rows import voxel_rows
from unstill.reduction.scaling.scale import scale_observations

ONLY_SCALE = ScaleOptions(absorption="off", offset="off", detector="off")


def spoiled(truth, seed=5, sigmas=20.0):
    """1 % of the rows brighter and 1 % darker by so many sigma; their numbers."""
    rows = truth.observations
    n = len(rows)
    picked = np.random.default_rng(seed).permutation(n)[: n // 50]
    bright, dark = picked[: n // 100], picked[n // 100 :]
    sigma = np.sqrt(truth.expected)
    counts = rows.counts.copy()
    counts[bright] += np.round(sigmas * sigma[bright])
    counts[dark] = np.maximum(counts[dark] - np.round(sigmas * sigma[dark]), 0)
    good = np.ones(n, bool)
    good[picked] = False
    return rows.replace(counts=counts), bright, dark, good


def test_one_percent_bright_and_dark_at_high_dose():
    truth = make(n_voxels=4000, multiplicity=8, effects="b", seed=2)
    rows, bright, dark, good = spoiled(truth)
    result = scale_observations(rows, ONLY_SCALE)
    assert np.mean(result.rejected[bright] == 1) >= 0.99
    assert np.mean(result.rejected[dark] == 2) >= 0.99
    assert np.mean(result.rejected[good] > 0) <= 1e-3
    assert 0.95 <= result.chi2 <= 1.10
    bias = result.intensity[good].sum() / truth.intensity[good].sum()
    clean = scale_observations(truth.observations, ONLY_SCALE)
    assert bias == pytest.approx(
        clean.intensity[good].sum() / truth.intensity[good].sum(), rel=2e-3
    )


def test_skewed_poisson_counts_are_no_outliers():
    truth = make(n_voxels=3000, multiplicity=8, counts=3.0, effects="", background=0.1, seed=3)
    result = scale_observations(truth.observations, ONLY_SCALE)
    assert np.mean(result.rejected > 0) <= 1e-4
    assert np.mean(truth.observations.counts == 0) > 0.05
    assert np.isfinite(result.intensity).all()


def test_a_bright_row_among_zeros_is_found_and_zeros_are_kept():
    truth = make(n_voxels=2000, multiplicity=8, counts=2.0, effects="", background=0.0, seed=4)
    rows = truth.observations
    counts = rows.counts.copy()
    counts[1000] = 60
    result = scale_observations(rows.replace(counts=counts), ONLY_SCALE)
    assert result.rejected[1000] == 1
    assert np.count_nonzero(result.rejected) <= 2


def test_rows_without_mates_are_kept_and_counted():
    truth = make(n_voxels=500, multiplicity=6, effects="", seed=6)
    rows = truth.observations
    keep = np.ones(len(rows), bool)
    keep[6:60] = np.arange(54) % 6 == 0  # nine voxels keep one row
    result = scale_observations(rows.take(keep), ONLY_SCALE)
    assert result.n_untested == 9
    assert np.count_nonzero(np.isnan(result.residual)) == 9
    assert np.all(result.rejected[np.isnan(result.residual)] == 0)


def test_of_a_pair_the_one_far_from_its_shell_goes():
    truth = make(n_voxels=3000, multiplicity=2, effects="", contrast=0.1, seed=7)
    rows, bright, dark, good = spoiled(truth)
    result = scale_observations(rows, ONLY_SCALE)
    assert np.mean(result.rejected[np.r_[bright, dark]] > 0) > 0.95
    assert np.mean(result.rejected[good] > 0) < 2e-3


def test_leave_one_out_residuals_have_unit_variance():
    truth = make(n_voxels=3000, multiplicity=3, effects="", counts=400, seed=8)
    rows = voxel_rows(truth.observations)
    predicted = Prediction(rows.observations.exposure, rows.observations.background)
    state = begin(rows, predicted)
    found = residuals(rows, predicted, state.expected, state.merged, ErrorModel())
    assert np.std(found.z) == pytest.approx(1, abs=0.03)
    assert np.mean(found.z) == pytest.approx(0, abs=0.03)


def test_rows_that_were_rejected_before_are_taken_back():
    truth = make(n_voxels=1000, multiplicity=3, effects="", counts=400, seed=8)
    rows = voxel_rows(truth.observations)
    predicted = Prediction(rows.observations.exposure, rows.observations.background)
    expected = begin(rows, predicted).expected
    before = np.random.default_rng(1).random(len(rows)) < 0.5
    kept = find_outliers(rows, predicted, expected, ErrorModel(), before, cutoff=6.0)
    assert kept.mean() > 0.999


def test_outliers_do_not_hide_in_the_relative_error():
    # Rows of a voxel truly differ by 5 %, so that 20 √N are 5 to 12 σ.
    truth = make(n_voxels=3000, multiplicity=8, counts=1500.0, effects="", seed=31)
    uneven = np.random.default_rng(6).normal(0, 0.05, truth.expected.size) * truth.expected

    def scaled(rows):
        counts = np.maximum(np.round(rows.counts + uneven), 0)
        return scale_observations(rows.replace(counts=counts), ONLY_SCALE)

    clean = scaled(truth.observations).error_model
    rows, _, _, good = spoiled(truth)
    found = scaled(rows)
    assert found.error_model.relative == pytest.approx(clean.relative, rel=0.1)
    sigma = np.sqrt(truth.expected + (0.05 * truth.expected) ** 2)
    plain = ~good & (20 * np.sqrt(truth.expected) > 9 * sigma)
    assert np.mean(found.rejected[plain] > 0) > 0.95
    assert np.mean(found.rejected[good] > 0) <= 1e-3
