r"""The price θ of leaving the prior weights: a path from dear to cheap, and where to stop.

Held-out likelihood: the work set is divided into folds of whole blocks of
reciprocal space; for each θ the weights of the other folds, with their scale
and isotropic curve, predict the one that was left out. The largest θ is taken
whose prediction is not worse than the best by more than one standard error of
the difference (over blocks). The path begins at the prior itself (θ = ∞), which
is left only if something predicts better by three standard errors: data that hold
nothing about the weights must not move them.

L-curve: the elbow of misfit against √KL, where paying more for the prior begins
to cost agreement (Hummer, G. & Köfinger, J. (2015). *J. Chem. Phys.* 143, 243150,
https://doi.org/10.1063/1.4937786).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from unstill.shapes import Float
from unstill.weighting.data import Observed
from unstill.weighting.forward import weighted_intensity
from unstill.weighting.holdout import HoldOut
from unstill.weighting.objective import Objective, lbfgs
from unstill.weighting.problems import Problems
from unstill.weighting.softmax import relative_entropy
from unstill.weighting.targets.chi_square import FittedScale
from unstill.weighting.verdict import CLEAR

FIRST_DIVERGENCE = 1e-3
"""KL at the first finite θ: N_eff is about 0.999 of the members there."""

_PER_DECADE = 2
_MOST_STEPS = 14
_PATIENCE = 2
_SETTLED = 1e-3


@dataclass(frozen=True, eq=False)
class Path:
    """Fits of one data set at falling θ.

    Parameters
    ----------
    theta
        ``(n_steps,)`` falling; infinite at the prior, where the path begins.
    held_out
        ``(n_steps,)`` mean of (y − k x − b)²/σ² in the folds that were left out.
    held_out_error
        ``(n_steps,)`` standard error of the difference from the best step.
    misfit, divergence
        ``(n_steps,)`` target and KL of the fit to the whole work set.
    weights
        ``(n_steps, n_members)`` of that fit.
    chosen
        The step that was chosen.
    rule
        ``"cross-validation"`` or ``"l-curve"``.
    support
        Standard errors by which the chosen step predicts the folds better than
        the prior does.
    """

    theta: Float[np.ndarray, " steps"]
    held_out: Float[np.ndarray, " steps"]
    held_out_error: Float[np.ndarray, " steps"]
    misfit: Float[np.ndarray, " steps"]
    divergence: Float[np.ndarray, " steps"]
    weights: Float[np.ndarray, "steps members"]
    chosen: int
    rule: str
    support: float


def follow_paths(
    objective: Objective,
    data: Sequence[Observed],
    held: HoldOut,
    *,
    rule: str = "cross-validation",
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Follow the path of θ for several data sets at a time.

    Parameters
    ----------
    objective
        Members and target.
    data
        The observed data, first the true ones; the i-th is the i-th permutation
        for a Bragg term too.
    held
        Work set and folds; the free set is not looked at.
    rule
        ``"cross-validation"`` or ``"l-curve"``.
    progress
        Called with (steps done, most steps).
    """
    walkers = [
        _Walker(one, held, number, objective.table.prior) for number, one in enumerate(data)
    ]
    whole = Problems.of([w.data for w in walkers], [held.work.astype(float)] * len(walkers))
    first = _first_theta(objective.sensitivity(whole))
    for step in range(_MOST_STEPS):
        active = [w for w in walkers if not w.finished(rule)]
        if not active:
            break
        theta = np.full(len(first), np.inf)
        if step:
            theta = first * 10 ** (-(step - 1) / _PER_DECADE)
        _advance(objective, active, theta, held)
        if progress is not None:
            progress(step + 1, _MOST_STEPS)
    if progress is not None:
        progress(_MOST_STEPS, _MOST_STEPS)
    return [w.path(rule) for w in walkers]


def support_of(objective: Objective, data: Observed, held: HoldOut, theta: float) -> float:
    """Say by how many standard errors a given θ predicts held-out folds better than the prior.

    Parameters
    ----------
    objective, data, held
        As for :func:`follow_paths`.
    theta
        Price of entropy, finite.
    """
    walker = _Walker(data, held, 0, objective.table.prior)
    for price in (np.inf, theta):
        _advance(objective, [walker], np.array([price]), held)
    return walker.support(1)


def _first_theta(sensitivity: np.ndarray) -> np.ndarray:
    """Price at which the weights begin to move, to first order.

    Where the members explain nothing at first, the slope there says nothing.
    """
    first = sensitivity / np.sqrt(2 * FIRST_DIVERGENCE)
    least = 1e-2 * float(first[0])
    found: np.ndarray = np.maximum(first, least if least > 0 else 1.0)
    return found


class _Walker:
    """One data set on its way."""

    def __init__(self, data: Observed, held: HoldOut, number: int, prior: np.ndarray) -> None:
        self.data, self.number = data, number
        n_folds = int(held.fold.max()) + 1
        self.work = [held.work.astype(float)]
        self.work += [(held.work & (held.fold != fold)).astype(float) for fold in range(n_folds)]
        self.left_out = [held.work & (held.fold == fold) for fold in range(n_folds)]
        self.block = held.block
        self.n_blocks = int(held.block.max()) + 1
        self.weights = np.repeat(prior[None], n_folds + 1, axis=0)
        self.theta: list[float] = []
        self.losses: list[np.ndarray] = []
        self.misfit: list[float] = []
        self.divergence: list[float] = []
        self.kept: list[np.ndarray] = []

    def finished(self, rule: str) -> bool:
        """Whether smaller θ promise nothing more."""
        totals = np.array([loss.sum() for loss in self.losses])
        if len(totals) < 4:
            return False
        settled = abs(totals[-1] - totals[-2]) < _SETTLED * abs(totals[0] - totals.min())
        if rule != "cross-validation":
            return bool(settled and self.divergence[-1] < 1.01 * self.divergence[-2])
        return bool(len(totals) - 1 - int(np.argmin(totals)) >= _PATIENCE or settled)

    def path(self, rule: str) -> Path:
        """Return the path with its choice."""
        losses = np.array(self.losses)
        totals = losses.sum(axis=1)
        best = int(np.argmin(totals))
        n_points = max(sum(int(mask.sum()) for mask in self.left_out), 1)
        used = np.bincount(self.block[self.work[0] > 0], minlength=self.n_blocks) > 0
        error = _error(losses[:, used] - losses[best, used])
        if rule == "cross-validation":
            supported = totals[0] - totals[best] > CLEAR * error[0]
            chosen = int(np.flatnonzero(totals - totals[best] <= error)[0]) if supported else 0
        else:
            chosen = _corner(np.array(self.misfit), np.array(self.divergence))
        return Path(
            np.array(self.theta),
            totals / n_points,
            error / n_points,
            np.array(self.misfit),
            np.array(self.divergence),
            np.array(self.kept),
            chosen,
            rule,
            self.support(chosen),
        )

    def support(self, step: int) -> float:
        """Say by how many standard errors a step predicts better than the first."""
        used = np.bincount(self.block[self.work[0] > 0], minlength=self.n_blocks) > 0
        gain = self.losses[0][used] - self.losses[step][used]
        error = float(_error(gain))
        return float(gain.sum()) / error if error > 0 else 0.0


def _error(change: np.ndarray) -> np.ndarray:
    """Return the standard error of a sum over blocks, the last axis."""
    error: np.ndarray = np.std(change, axis=-1, ddof=1) * np.sqrt(change.shape[-1])
    return error


def _advance(
    objective: Objective, active: list[_Walker], theta: np.ndarray, held: HoldOut
) -> None:
    n_parts = len(active[0].work)
    data = [w.data for w in active for _ in range(n_parts)]
    problems = Problems.of(data, [work for w in active for work in w.work])
    numbers = np.array([w.number for w in active for _ in range(n_parts)])
    start = np.concatenate([w.weights for w in active])
    if np.isinf(theta[active[0].number]):
        found = objective.at(problems, start, permutations=numbers)
    else:
        search = lbfgs()
        found = objective.solve(
            problems, theta[numbers], start, permutations=numbers, search=search
        )
    entropy = relative_entropy(found.weights, objective.table.prior)
    for place, walker in enumerate(active):
        rows = slice(place * n_parts, (place + 1) * n_parts)
        price = theta[walker.number]
        walker.weights = found.weights[rows]
        walker.theta.append(float(price))
        walker.divergence.append(float(entropy[rows][0]))
        paid = 0.0 if np.isinf(price) else price * entropy[rows][0]
        walker.misfit.append(float(found.value[rows][0] - paid))
        walker.kept.append(found.weights[rows][0])
        walker.losses.append(_held_out_loss(objective, walker, problems.take(rows), held))


def _held_out_loss(
    objective: Objective, walker: _Walker, problems: Problems, held: HoldOut
) -> np.ndarray:
    """Σ (y − k x − b)²/σ² of the folds that each fit has not seen, by block.

    Weights and scale are those of the fit; the isotropic curve is that of the
    whole work set, because a fold may hold all of a shell at low resolution,
    and what is to be predicted is the anisotropic part.
    """
    backend = objective.table.backend
    folds = np.arange(1, problems.n_problems)
    with backend.scope():
        x, _ = weighted_intensity(objective.table, walker.weights[1:], workers=objective.workers)
        fitted = FittedScale(problems, backend)
        rest = fitted.rest(x, folds)
        residual = backend.to_host(fitted.without_curve(rest, 0 * folds))
    squares = residual**2 * problems.precision[1:]
    loss = np.zeros(walker.n_blocks)
    for row, left_out in zip(squares, walker.left_out, strict=True):
        loss += np.bincount(held.block[left_out], row[left_out], minlength=walker.n_blocks)
    return loss


def _corner(misfit: np.ndarray, divergence: np.ndarray) -> int:
    """Step furthest below the chord from the first to the last, both axes scaled to one.

    Against √KL, which is how far the weights have moved: the misfit falls in
    proportion to it where all is signal.
    """
    tiny = np.finfo(float).tiny
    moved = np.sqrt(divergence)
    u = (moved - moved[0]) / max(moved[-1] - moved[0], tiny)
    v = (misfit - misfit[-1]) / max(misfit[0] - misfit[-1], tiny)
    return int(np.argmax(1 - u - v))
