"""What weights are worth: agreement, its intervals, the null control and the verdict."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from unstill.errors import UnstillWarning
from unstill.shapes import Float
from unstill.weighting.agreement import Agreement, agreements, bootstrap_agreement
from unstill.weighting.backends import weighting_backend
from unstill.weighting.data import Observed
from unstill.weighting.holdout import HoldOut
from unstill.weighting.problems import Problems
from unstill.weighting.result import Interval, NullRun
from unstill.weighting.softmax import n_effective_kl
from unstill.weighting.targets.chi_square import FittedScale
from unstill.weighting.verdict import judge

_N_DRAWS = 400


@dataclass(frozen=True, eq=False)
class AtTheta:
    """Weights of every permutation at one θ: intensities, weights and that θ, by permutation."""

    x: Float[np.ndarray, "permutations orbits"]
    weights: Float[np.ndarray, "permutations members"]
    theta: Float[np.ndarray, " permutations"]


@dataclass(frozen=True, eq=False)
class Judged:
    """The part of a result that does not depend on how weights were found.

    The fields are those of :class:`unstill.weighting.result.Weighed`.
    """

    cc_work: Agreement
    cc_free: Agreement
    uniform_work: Agreement
    uniform_free: Agreement
    free_interval: Interval
    gain_interval: Interval
    null: NullRun | None
    support: float
    verdict: str


def judge_weights(
    x: Float[np.ndarray, "sets orbits"],
    data: Observed,
    held: HoldOut,
    permuted: list[Observed],
    null_weights: Float[np.ndarray, "permutations members"],
    prior: Float[np.ndarray, " members"],
    *,
    theta: Float[np.ndarray, " permutations"] | None = None,
    at_theta: AtTheta | None = None,
    support: float = float("nan"),
    seed: int = 0,
) -> Judged:
    """Compare weights with the prior in the work set and in the free set, and with chance.

    Parameters
    ----------
    x
        ``(2 + n_permutations, n_orbits)`` intensities with the weights, with
        the prior weights, and with the weights of each permutation.
    data, held
        The data and their partition.
    permuted, null_weights
        Permutations of the data, and the weights that each led to.
    prior
        Weights before anything was fitted.
    theta
        Price of entropy that each permutation chose, where there is one.
    at_theta
        Weights that each permutation leads to at the θ of the data.
    support
        Standard errors by which held-out folds are predicted better than by
        the prior; NaN where that was not tried.
    seed
        Of the bootstrap.
    """
    in_work, in_free = agreements(x[:2], [data, data], held)
    of_x, of_prior = bootstrap_agreement(
        x[0], x[1], data, held, free=True, n_draws=_N_DRAWS, seed=seed
    )
    gain_interval = _interval(of_x[:, 1] - of_prior[:, 1])
    free_interval = _interval(of_x[:, 1])
    null, null_gains = None, []
    if permuted:
        nowhere = np.full(len(permuted), np.nan) if theta is None else theta
        null = _null_run(x[2:], x[1], permuted, held, null_weights, prior, nowhere)
        null_gains = null.gains_at("free", "aniso", in_free[1].aniso).tolist()
    if null is not None and at_theta is not None:
        same = _null_run(at_theta.x, x[1], permuted, held, at_theta.weights, prior, at_theta.theta)
        null = replace(null, same_theta=same)
        null_gains += same.gains_at("free", "aniso", in_free[1].aniso).tolist()
    return Judged(
        cc_work=in_work[0],
        cc_free=in_free[0],
        uniform_work=in_work[1],
        uniform_free=in_free[1],
        free_interval=free_interval,
        gain_interval=gain_interval,
        null=null,
        support=support,
        verdict=judge(
            work_gain=in_work[0].aniso - in_work[1].aniso,
            free_gain=in_free[0].aniso - in_free[1].aniso,
            free_total_gain=in_free[0].total - in_free[1].total,
            gain_interval=gain_interval,
            free_interval=free_interval,
            null_gains=null_gains,
            support=support,
        ),
    )


def _null_run(
    x: np.ndarray,
    x_prior: np.ndarray,
    permuted: list[Observed],
    held: HoldOut,
    weights: np.ndarray,
    prior: np.ndarray,
    theta: np.ndarray,
) -> NullRun:
    n = len(permuted)
    # With its own weights, then with the prior, for every permutation.
    sets = np.concatenate([x, np.repeat(x_prior[None], n, axis=0)])
    in_work, in_free = agreements(sets, [*permuted, *permuted], held)
    return NullRun(
        work=tuple(in_work[:n]),
        free=tuple(in_free[:n]),
        work_uniform=tuple(in_work[n:]),
        free_uniform=tuple(in_free[n:]),
        n_eff_kl=np.array([n_effective_kl(w, prior) for w in weights]),
        theta=theta,
    )


def fitted_scale(data: Observed, x: Float[np.ndarray, " orbits"]) -> float:
    """Scale k from calculated to observed intensities, with a free isotropic curve beside it."""
    everything = Problems.of([data], [np.ones(data.orbits.n_orbits)])
    fitted = FittedScale(everything, weighting_backend())
    scale = float(fitted.scale(x[None], np.zeros(1, dtype=int))[0])
    if scale == 0:
        warnings.warn(
            "the members explain nothing of the anisotropic part of the map",
            UnstillWarning,
            stacklevel=4,
        )
    return scale


def _interval(draws: np.ndarray) -> Interval:
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)
