"""What intensity is expected at a resolution, before a voxel is looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.reduction.merging.representatives import unpacked
from unstill.shapes import Float, Int

N_SHELLS = 60
ROWS_PER_SHELL = 50
"""Shells are so wide that each has at least so many voxels."""


@dataclass(frozen=True, eq=False)
class Expectation:
    """Mean and spread of the intensity by resolution.

    Parameters
    ----------
    crystal, divisions
        The lattice that voxels are of.
    s
        ``(n_shells,)`` 1/d of the knots (Å⁻¹).
    mean
        ``(n_shells,)`` mean intensity, positive.
    variance
        ``(n_shells,)`` variance of the true intensity around it, positive.
    """

    crystal: Crystal
    divisions: Triple
    s: Float[np.ndarray, " shells"]
    mean: Float[np.ndarray, " shells"]
    variance: Float[np.ndarray, " shells"]

    def mean_at(self, key: Int[np.ndarray, " v"]) -> Float[np.ndarray, " v"]:
        """Return the expected intensity of voxels."""
        mean: np.ndarray = np.interp(self.s_of(key), self.s, self.mean)
        return mean

    def variance_at(self, key: Int[np.ndarray, " v"]) -> Float[np.ndarray, " v"]:
        """Variance of the true intensity of voxels around it."""
        variance: np.ndarray = np.interp(self.s_of(key), self.s, self.variance)
        return variance

    def s_of(self, key: Int[np.ndarray, " v"]) -> Float[np.ndarray, " v"]:
        """1/d (Å⁻¹) of voxels."""
        hkl = unpacked(key) / np.array(self.divisions)
        s: np.ndarray = np.sqrt(self.crystal.s_squared(hkl))
        return s

    def of_sampling(self, divisions: Triple) -> Expectation:
        """Return the same curves for another sampling of the same lattice."""
        return replace(self, divisions=divisions)


@dataclass(frozen=True, eq=False)
class ShellSums:
    """Sums in narrow bins of s that shells are made of; parts add up."""

    n: Int[np.ndarray, " bins"]
    radius: Float[np.ndarray, " bins"]
    signal: Float[np.ndarray, " bins"]
    exposure: Float[np.ndarray, " bins"]


def mean_by_shell(crystal: Crystal, divisions: Triple, bins: ShellSums) -> Expectation:
    """Return the mean Σ signal / Σ exposure by shell, with a spread as wide as the mean.

    Parameters
    ----------
    crystal, divisions
        The lattice.
    bins
        Sums over all rows: voxels, Σ s over voxels, Σ (counts − B), Σ e.
    """
    label = _shells(bins.n)
    n, radius, signal, exposure = (
        np.bincount(label, weights=column)
        for column in (bins.n, bins.radius, bins.signal, bins.exposure)
    )
    some = (n > 0) & (exposure > 0)
    if not some.any():
        one = np.ones(1)
        return Expectation(crystal, divisions, np.zeros(1), one, one)
    mean = signal[some] / exposure[some]
    # Nothing counted, or less than the background: as much as could hide there.
    total = exposure[some].sum()
    least = max(1e-3 * abs(signal[some].sum()), 1.0) / total
    mean = np.maximum(mean, least)
    return Expectation(crystal, divisions, radius[some] / n[some], mean, mean**2)


def with_variance(
    expectation: Expectation, weight: Float[np.ndarray, " s"], excess: Float[np.ndarray, " s"]
) -> Expectation:
    """Return the expectation with the spread Σ w (deviation² − σ²) / Σ w at each knot."""
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.where(weight > 0, excess / weight, expectation.variance)
    return replace(expectation, variance=np.maximum(variance, 1e-6 * expectation.mean**2))


def _shells(n: np.ndarray) -> np.ndarray:
    """Return the number of the shell of each narrow bin: wide enough to hold voxels."""
    width = max(1, len(n) // N_SHELLS)
    label = np.zeros(len(n), dtype=np.int64)
    shell, held, since = 0, 0, 0
    for i, number in enumerate(n):
        label[i] = shell
        held, since = held + int(number), since + 1
        if held >= ROWS_PER_SHELL and since >= width:
            shell, held, since = shell + 1, 0, 0
    if held < ROWS_PER_SHELL and shell > 0:
        # What is left over joins the shell before it.
        label[label == shell] = shell - 1
    return label
