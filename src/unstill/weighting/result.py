"""What weighing found, and what it is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unstill.maps.intensity_map import IntensityMap
from unstill.maps.reindex import Candidate
from unstill.shapes import Float, Int
from unstill.weighting.agreement import Agreement
from unstill.weighting.bragg import BraggAgreement
from unstill.weighting.data import Observed
from unstill.weighting.entropy_price import Path
from unstill.weighting.holdout import HoldOut
from unstill.weighting.sigmoid_cc import SigmoidRecipe
from unstill.weighting.softmax import n_effective, n_effective_kl

Interval = tuple[float, float]

_ONE = 1 - 1e-12
"""Largest correlation with a finite z."""


@dataclass(frozen=True, eq=False)
class NullRun:
    """The same procedure on permuted data, all choices made anew for each permutation.

    Parameters
    ----------
    work, free, work_uniform, free_uniform
        Agreement of every permutation with its own weights, and with the prior weights.
    n_eff_kl
        ``(n_permutations,)`` N_eff of the weights that were found.
    theta
        ``(n_permutations,)`` θ that was chosen; NaN where there is none.
    same_theta
        The permutations at the θ of the true data: how much noise alone would
        gain there.
    """

    work: tuple[Agreement, ...]
    free: tuple[Agreement, ...]
    work_uniform: tuple[Agreement, ...]
    free_uniform: tuple[Agreement, ...]
    n_eff_kl: Float[np.ndarray, " permutations"]
    theta: Float[np.ndarray, " permutations"]
    same_theta: NullRun | None = None

    @property
    def n_permutations(self) -> int:
        """Number of permutations."""
        return len(self.work)

    def values(self, where: str, part: str) -> Float[np.ndarray, " permutations"]:
        """Return one correlation of all permutations, such as ``("free", "aniso")``."""
        return np.array([getattr(one, part) for one in getattr(self, where)])

    def gains(self, where: str, part: str) -> Float[np.ndarray, " permutations"]:
        """How much weighting raised a correlation in each permutation."""
        gains: np.ndarray = self.values(where, part) - self.values(f"{where}_uniform", part)
        return gains

    def gains_at(self, where: str, part: str, before: float) -> Float[np.ndarray, " permutations"]:
        """Gains as they would be at another correlation than that of permuted data.

        Correlations near zero scatter by far more than those near one; Fisher's
        z = artanh CC scatters alike everywhere. What each permutation gained
        in z is added to that of ``before``.
        """
        after, start = self.values(where, part), self.values(f"{where}_uniform", part)
        step = np.arctanh(np.clip(after, -_ONE, _ONE)) - np.arctanh(np.clip(start, -_ONE, _ONE))
        here = float(np.clip(before, -_ONE, _ONE))
        gains: np.ndarray = np.tanh(np.arctanh(here) + step) - here
        return gains

    def as_dict(self) -> dict[str, Any]:
        """Return the keys of the JSON."""
        found: dict[str, Any] = {"n_permutations": self.n_permutations}
        for where in ("work", "free"):
            found[where] = {
                part: {
                    "mean": float(self.values(where, part).mean()),
                    "mean_absolute": float(np.abs(self.values(where, part)).mean()),
                    "stderr": float(
                        self.values(where, part).std(ddof=1) / np.sqrt(self.n_permutations)
                    )
                    if self.n_permutations > 1
                    else None,
                    "largest": float(np.abs(self.values(where, part)).max()),
                    "gain_mean": float(self.gains(where, part).mean()),
                    "gain_largest": float(self.gains(where, part).max()),
                }
                for part in ("total", "aniso")
            }
        found["n_eff_kl"] = {
            "mean": float(self.n_eff_kl.mean()),
            "smallest": float(self.n_eff_kl.min()),
        }
        if self.same_theta is not None:
            found["same_theta"] = self.same_theta.as_dict()
        return found


@dataclass(frozen=True, eq=False)
class Weighed:
    """Weights of the members, with the proof that they mean something, or that they do not.

    Parameters
    ----------
    weights, prior
        ``(n_members,)`` after and before the fit; each sums to one.
    n_frames
        ``(n_members,)`` frames behind each.
    cc_work, cc_free, uniform_work, uniform_free
        Agreement in the work set and in the free set, with the weights and
        with the prior weights.
    free_interval, gain_interval
        95 % intervals of the free anisotropic CC and of its gain (block bootstrap).
    scale
        k from the calculated to the observed intensities.
    null
        The null control; ``None`` if it was left out.
    support
        Standard errors by which the weights predict held-out folds of the work
        set better than the prior does; NaN where that was not tried.
    verdict
        What the gain is.
    observed, held
        Data and partition at the Laue orbits.
    calculated, calculated_uniform
        ``(n_orbits,)`` intensities.
    weighted_map, observed_map
        Calculated map with the weights, on the scale of the data, and the data
        in the indexing that was used.
    operator, candidates
        That indexing, and all that were tried.
    seed
        Of everything that was drawn.
    """

    weights: Float[np.ndarray, " members"]
    prior: Float[np.ndarray, " members"]
    n_frames: Int[np.ndarray, " members"]
    cc_work: Agreement
    cc_free: Agreement
    uniform_work: Agreement
    uniform_free: Agreement
    free_interval: Interval
    gain_interval: Interval
    scale: float
    null: NullRun | None
    support: float
    verdict: str
    observed: Observed
    held: HoldOut
    calculated: Float[np.ndarray, " orbits"]
    calculated_uniform: Float[np.ndarray, " orbits"]
    weighted_map: IntensityMap
    observed_map: IntensityMap
    operator: str
    candidates: tuple[Candidate, ...]
    seed: int

    @property
    def n_members(self) -> int:
        """Number of members."""
        return len(self.weights)

    @property
    def n_eff_kl(self) -> float:
        """e^(−KL) times the number of members."""
        return n_effective_kl(self.weights, self.prior)

    @property
    def n_eff(self) -> float:
        """1/Σw²."""
        return n_effective(self.weights)

    def _limit(self, of: Callable[[np.ndarray], np.floating]) -> float:
        """Resolution (Å) of the measured point with the largest or smallest |s|."""
        return 1 / float(of(self.observed.orbits.s[self.observed.measured]))

    def as_dict(self) -> dict[str, Any]:
        """Return the keys of the JSON; NaN becomes null when it is written."""
        return {
            "verdict": self.verdict,
            "support": self.support,
            "cc_work": self.cc_work.as_dict(),
            "cc_free": {**self.cc_free.as_dict(), "aniso_interval": list(self.free_interval)},
            "cc_uniform": {
                "work": self.uniform_work.as_dict(),
                "free": self.uniform_free.as_dict(),
            },
            "gain_free_aniso": self.cc_free.aniso - self.uniform_free.aniso,
            "gain_free_aniso_interval": list(self.gain_interval),
            "null": None if self.null is None else self.null.as_dict(),
            "n_eff_kl": self.n_eff_kl,
            "n_eff": self.n_eff,
            "n_members": self.n_members,
            "n_frames": int(self.n_frames.sum()),
            "scale": self.scale,
            "n_work": self.held.n_work,
            "n_free": self.held.n_free,
            "free_touching": self.held.touching,
            "d_min": self._limit(np.max),
            "d_max": self._limit(np.min),
            "sigma_source": self.observed.sigma_source,
            "operator": self.operator,
            "candidates": [
                {"operator": one.operator.name, "cc_aniso": one.cc_aniso}
                for one in self.candidates
            ],
        }


@dataclass(frozen=True, eq=False)
class WeighResult(Weighed):
    """Weights by maximum entropy; what they are worth is in :class:`Weighed`.

    Parameters
    ----------
    weight_draws
        ``(n_draws, n_members)`` weights refitted to blocks of reciprocal space
        drawn with replacement; their spread is what the data leave open.
    target, theta, theta_rule
        What was minimised, the price of entropy, and how it was chosen
        (``"cross-validation"``, ``"l-curve"``, ``"given"`` or ``"none"``). θ is
        infinite where the data do not ask for other weights than the prior ones.
    iterations, converged
        Of the final fit.
    path
        The path of θ; ``None`` where θ was given.
    bragg, bragg_uniform
        Agreement of the Bragg amplitudes, where there are any.
    recipe
        What the published recipe did, if that was followed instead.
    """

    weight_draws: Float[np.ndarray, "draws members"]
    target: str
    theta: float
    theta_rule: str
    iterations: int
    converged: bool
    path: Path | None
    bragg: BraggAgreement | None
    bragg_uniform: BraggAgreement | None
    recipe: SigmoidRecipe | None = None

    @property
    def weight_errors(self) -> Float[np.ndarray, " members"]:
        """``(n_members,)`` standard deviation of each weight over the draws; NaN without draws."""
        if len(self.weight_draws) < 2:
            return np.full(self.n_members, np.nan)
        errors: np.ndarray = np.std(self.weight_draws, axis=0, ddof=1)
        return errors

    def as_dict(self) -> dict[str, Any]:
        """Return the keys of ``unstill weigh --json``; NaN becomes null when it is written."""
        return {
            **super().as_dict(),
            "theta": self.theta,
            "theta_rule": self.theta_rule,
            "target": self.target,
            "iterations": self.iterations,
            "converged": self.converged,
            "bragg": None if self.bragg is None else dict(self.bragg.__dict__),
            "bragg_uniform": None
            if self.bragg_uniform is None
            else dict(self.bragg_uniform.__dict__),
            "recipe": None if self.recipe is None else self.recipe.as_dict(),
        }
