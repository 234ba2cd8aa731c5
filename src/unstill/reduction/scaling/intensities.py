"""Intensities of voxels inside the loop of scaling, and what a resolution lets expect.

With e = exposure · scale and B = background + exposure · offset, weights
w = 1 / variance from *expected* counts give

    I = Σ w e (counts − B) / Σ w e²

which is the ratio Σ (counts − B) / Σ e where counts are Poisson without
background. No row is dropped for counting nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.reduction.merging.error_model import ErrorModel
from unstill.reduction.scaling.rows import VoxelRows
from unstill.shapes import Float

_NARROWEST = 0.05
_CLIP = 5.0
_LEAST = 0.02


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the scales say of each row: counts ≈ effective · I + flat.

    Parameters
    ----------
    effective
        ``(n,)`` exposure · scale.
    flat
        ``(n,)`` background + exposure · offset (counts).
    """

    effective: Float[np.ndarray, " n"]
    flat: Float[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Expected:
    """What is known of the intensity of voxels before the next round.

    Parameters
    ----------
    mean, variance
        ``(v,)`` of the true intensity at the resolution of the voxel.
    shrunk
        ``(v,)`` the merged intensity drawn to that mean as its error asks, positive.
    """

    mean: Float[np.ndarray, " v"]
    variance: Float[np.ndarray, " v"]
    shrunk: Float[np.ndarray, " v"]

    def prior_variance(self, intensity: Float[np.ndarray, " v"]) -> Float[np.ndarray, " v"]:
        """Variance of the prior; voxels far from the mean are not drawn to it."""
        widened: np.ndarray = np.maximum(self.variance, (intensity - self.mean) ** 2)
        return widened


@dataclass(frozen=True, eq=False)
class Intensities:
    """Merged intensities.

    Parameters
    ----------
    intensity
        ``(v,)`` I; the expected mean where no row has weight.
    information
        ``(v,)`` Σ w e², the inverse of its variance.
    weight
        ``(n,)`` w of the rows, 0 for those left out.
    variance
        ``(n,)`` expected variance of the counts of the rows.
    """

    intensity: Float[np.ndarray, " v"]
    information: Float[np.ndarray, " v"]
    weight: Float[np.ndarray, " n"]
    variance: Float[np.ndarray, " n"]


def merge_voxels(
    rows: VoxelRows,
    predicted: Prediction,
    expected: Expected,
    error_model: ErrorModel,
    trust: Float[np.ndarray, " n"],
) -> Intensities:
    """Merge the rows of each voxel.

    Parameters
    ----------
    rows, predicted
        The rows and their scales.
    expected
        From the round before; gives the weights.
    error_model
        Variance of expected counts.
    trust
        ``(n,)`` factor of the weights, 0 to 1: rejected rows have none.
    """
    variance = row_variance(rows, predicted, expected.shrunk, error_model)
    weight = trust / variance
    return merge_weighted(rows, predicted, weight, variance, unknown=expected.mean)


def merge_weighted(
    rows: VoxelRows,
    predicted: Prediction,
    weight: Float[np.ndarray, " n"],
    variance: Float[np.ndarray, " n"],
    *,
    unknown: Float[np.ndarray, " v"] | float = 0.0,
) -> Intensities:
    """Merge with given weights; voxels without weight get ``unknown``."""
    pull = weight * predicted.effective
    information = rows.sums(pull * predicted.effective)
    signal = rows.sums(pull * (rows.observations.counts - predicted.flat))
    known = information > 0
    intensity = np.where(known, signal / np.where(known, information, 1.0), unknown)
    return Intensities(intensity, information, weight, variance)


def row_variance(
    rows: VoxelRows,
    predicted: Prediction,
    intensity: Float[np.ndarray, " v"],
    error_model: ErrorModel,
) -> Float[np.ndarray, " n"]:
    """Variance of the counts of rows for an intensity of their voxels, positive."""
    signal = predicted.effective * intensity[rows.voxel]
    # A background that was subtracted too far must not make a row count for everything.
    counts = np.maximum(signal + predicted.flat, _LEAST * np.abs(signal))
    variance = error_model.variance(counts, signal, rows.observations.background_sigma)
    positive: np.ndarray = np.maximum(variance, 1e-9)
    return positive


def first_expected(rows: VoxelRows, predicted: Prediction) -> Expected:
    """Mean intensity by resolution before anything is merged: ratios of sums."""
    shell, s = rows.shells
    n_shells = len(s)
    signal = np.bincount(
        shell, rows.sums(rows.observations.counts - predicted.flat), minlength=n_shells
    )
    exposure = np.bincount(shell, rows.sums(predicted.effective), minlength=n_shells)
    overall = max(float(signal.sum()), 1.0) / exposure.sum()
    mean = np.maximum(signal / np.maximum(exposure, 1e-300), _LEAST * overall)
    at = _between_shells(rows.s, s, mean)
    return Expected(at, at**2, at)


@dataclass(frozen=True, eq=False)
class Curve:
    """Mean and spread of the true intensity by resolution.

    Parameters
    ----------
    s
        ``(n_shells,)`` 1/d (Å⁻¹), ascending.
    mean, variance
        ``(n_shells,)`` there.
    """

    s: Float[np.ndarray, " n_shells"]
    mean: Float[np.ndarray, " n_shells"]
    variance: Float[np.ndarray, " n_shells"]

    def before(self, s: Float[np.ndarray, " v"]) -> Expected:
        """Return what is expected of voxels that were not looked at yet."""
        mean = _between_shells(s, self.s, self.mean)
        return Expected(mean, _between_shells(s, self.s, self.variance), mean)

    def after(self, s: Float[np.ndarray, " v"], merged: Intensities) -> Expected:
        """Return what is expected of voxels once they were merged."""
        known = merged.information > 0
        mean_at = _between_shells(s, self.s, self.mean)
        variance_at = _between_shells(s, self.s, self.variance)
        prior = np.maximum(variance_at, np.where(known, (merged.intensity - mean_at) ** 2, 0.0))
        total = merged.information + 1 / prior
        shrunk = (merged.information * merged.intensity + mean_at / prior) / total
        return Expected(mean_at, variance_at, np.maximum(shrunk, _LEAST * mean_at))


def expect(rows: VoxelRows, merged: Intensities, curve: Curve | None = None) -> Expected:
    """Update what is expected from merged intensities.

    Parameters
    ----------
    rows, merged
        The rows, and the intensities of their voxels.
    curve
        Of all rows, where these are a part; by default it is taken from them.
    """
    return (shell_curve(rows, merged) if curve is None else curve).after(rows.s, merged)


def shell_curve(rows: VoxelRows, merged: Intensities) -> Curve:
    """Estimate mean and spread by resolution.

    Mean of each shell: without what lies far out. Spread: what the errors do not explain.
    """
    shell, s = rows.shells
    n_shells = len(s)
    known = merged.information > 0
    noise = np.where(known, 1 / np.where(known, merged.information, 1.0), np.inf)
    weight = known.astype(float)
    mean, variance = np.zeros(n_shells), np.ones(n_shells)
    for _ in range(3):
        # Weights that do not follow the intensity of the voxel: rows and their exposure.
        total = np.maximum(np.bincount(shell, weight, minlength=n_shells), 1e-12)
        mean = np.bincount(shell, weight * merged.intensity, minlength=n_shells) / total
        deviation = merged.intensity - mean[shell]
        spread = np.bincount(shell, weight * deviation**2, minlength=n_shells) / total
        finite = np.where(known, noise, 0.0)
        explained = np.bincount(shell, weight * finite, minlength=n_shells) / total
        least = (_NARROWEST * np.maximum(np.abs(mean), 1e-12)) ** 2
        variance = np.maximum(spread - explained, least)
        far = deviation**2 > _CLIP**2 * (variance[shell] + finite)
        weight = (known & ~far).astype(float)
    overall = float(np.mean(np.abs(mean)))
    return Curve(s, np.maximum(mean, _LEAST * overall), variance)


def _between_shells(at: np.ndarray, s: np.ndarray, values: np.ndarray) -> np.ndarray:
    between: np.ndarray = np.interp(at, s, values)
    return between
