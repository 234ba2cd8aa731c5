r"""Greedy removal: the member whose absence agrees best goes, and where that stops.

Every pass looks at the map without each member in turn and removes the one
that raises the criterion most (or several, where there are thousands). How
many passes there are is found by cross-validation: the same is done without
each fold of the work set in turn, in whole blocks of reciprocal space, and
after each pass the members that are left there, with scale and curve of that
fit, predict the fold. The passes that predict best are done, unless that is
not clearly better than with all members: noise has its favourites too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unstill.shapes import Bool, Float, Int
from unstill.weighting.criterion import Criterion, CriterionName
from unstill.weighting.data import Observed
from unstill.weighting.forward import Means, each, weighted_intensity
from unstill.weighting.holdout import HoldOut
from unstill.weighting.leave_one_out import leave_one_out
from unstill.weighting.table import MemberTable
from unstill.weighting.verdict import CLEAR


@dataclass(frozen=True)
class Rules:
    """What goes, and when to stop.

    Parameters
    ----------
    criterion
        What is raised.
    held_out
        Stop by cross-validation; else go on as long as the criterion rises.
    per_pass
        Members that go at a time.
    patience
        Passes without a better prediction after which to stop, or half of
        those that led to the best one, if that is more.
    fewest
        Members that stay in any case.
    """

    criterion: CriterionName
    held_out: bool
    per_pass: int
    patience: int
    fewest: int


@dataclass(frozen=True, eq=False)
class Removal:
    """Members in the order in which they went, and what each pass led to.

    Parameters
    ----------
    order
        ``(n_removed,)`` members that went in all passes, first to last.
    n_kept
        ``(n_steps,)`` members that were left; all of them in the first step.
    fit
        ``(n_steps,)`` criterion in the work set.
    held_out
        ``(n_steps,)`` mean of (y − k x − b)²/σ² in the folds that were left
        out; NaN without cross-validation.
    held_out_error
        ``(n_steps,)`` standard error of its difference from the chosen step.
    chosen
        The step that was chosen.
    """

    order: Int[np.ndarray, " removed"]
    n_kept: Int[np.ndarray, " steps"]
    fit: Float[np.ndarray, " steps"]
    held_out: Float[np.ndarray, " steps"]
    held_out_error: Float[np.ndarray, " steps"]
    chosen: int

    @property
    def removed(self) -> Int[np.ndarray, " chosen"]:
        """Members that went up to the chosen step."""
        gone: np.ndarray = self.order[: int(self.n_kept[0] - self.n_kept[self.chosen])]
        return gone

    @property
    def kept(self) -> Bool[np.ndarray, " members"]:
        """``(n_members,)`` True for those that are left at the chosen step."""
        left = np.ones(int(self.n_kept[0]), dtype=bool)
        left[self.removed] = False
        return left

    @property
    def support(self) -> float:
        """Standard errors by which the chosen step predicts the folds better than the first."""
        gain = float(self.held_out[0] - self.held_out[self.chosen])
        error = float(self.held_out_error[0])
        return gain / error if error > 0 or np.isnan(error) else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the keys of the JSON."""
        return {
            "n_kept": self.n_kept.tolist(),
            "fit": self.fit.tolist(),
            "held_out": self.held_out.tolist(),
            "held_out_error": self.held_out_error.tolist(),
            "chosen": self.chosen,
        }


def remove_greedily(
    table: MemberTable,
    data: Observed,
    held: HoldOut,
    rules: Rules,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Removal:
    """Remove members one after the other.

    Parameters
    ----------
    table
        The members.
    data, held
        The data, work set and folds; the free set is not looked at.
    rules
        What goes, and when to stop.
    workers
        Threads; the result does not depend on it.
    progress
        Called with (members removed, most that can be).
    """
    nothing = np.zeros_like(held.work)
    n_folds = int(held.fold.max()) + 1 if rules.held_out else 0
    left_out = [held.work & (held.fold == fold) for fold in range(n_folds)]
    whole, *folds = (_Walker(table, data, held, out, rules) for out in (nothing, *left_out))
    most = max(table.n_members - rules.fewest, 0)
    while not (whole.finished or _spent(folds, rules.patience)):
        each(_Walker.advance, [whole, *folds], workers)
        if progress is not None:
            progress(len(whole.order), most)
    if progress is not None:
        progress(most, most)
    n_steps = len(whole.fit)
    chosen, held_out, error = n_steps - 1, np.full(n_steps, np.nan), np.full(n_steps, np.nan)
    if folds:
        losses = _losses(folds)[:n_steps]
        n_points = int(np.count_nonzero(held.work))
        chosen = _choose(losses)
        held_out, error = losses.sum(axis=1) / n_points, _error(losses, chosen) / n_points
    return Removal(
        np.array(whole.order, dtype=int),
        np.array(whole.n_kept),
        np.array(whole.fit),
        held_out,
        error,
        chosen,
    )


class _Walker:
    """One fit on its way: to the work set, or to all of it but a fold."""

    def __init__(
        self,
        table: MemberTable,
        data: Observed,
        held: HoldOut,
        left_out: np.ndarray,
        rules: Rules,
    ) -> None:
        self.table, self.rules, self.left_out = table, rules, left_out
        self.criterion = Criterion.of(data, held.work & ~left_out, rules.criterion)
        self.whole = Criterion.of(data, held.work, rules.criterion)
        _, block = np.unique(held.block[held.work], return_inverse=True)
        self.block = block[left_out[held.work]]
        self.n_blocks = int(block.max()) + 1
        self.kept = np.ones(table.n_members, dtype=bool)
        self.order: list[int] = []
        self.n_kept: list[int] = []
        self.fit: list[float] = []
        self.losses: list[np.ndarray] = []
        self.finished = False
        self._stand(self.kept, *self._intensity(self.kept))

    def advance(self) -> None:
        """Remove the best, if that raises the criterion."""
        number = min(self.rules.per_pass, int(self.kept.sum()) - self.rules.fewest)
        if self.finished or number < 1:
            self.finished = True
            return
        value = leave_one_out(self.table, self.criterion, self.kept, self.x, self.means)
        best = np.argsort(-value, kind="stable")[:number]
        gone = np.flatnonzero(self.kept)[best[value[best] > self.fit[-1]]]
        left = self.kept.copy()
        left[gone] = False
        x, means = self._intensity(left)
        # What each raises alone, several need not raise together.
        if not len(gone) or self.criterion.value(x) <= self.fit[-1]:
            self.finished = True
            return
        self.order += gone.tolist()
        self._stand(left, x, means)

    def _intensity(self, kept: np.ndarray) -> tuple[np.ndarray, Means]:
        weights = kept_weights(self.table.prior, kept)
        x, means = weighted_intensity(self.table, weights[None])
        return x[0], means

    def _stand(self, kept: np.ndarray, x: np.ndarray, means: Means) -> None:
        self.kept, self.x, self.means = kept, x, means
        self.n_kept.append(int(kept.sum()))
        self.fit.append(self.criterion.value(x))
        squares = self.criterion.squares(x, self.whole)[self.left_out]
        self.losses.append(np.bincount(self.block, squares, minlength=self.n_blocks))


def kept_weights(
    prior: Float[np.ndarray, " members"], kept: Bool[np.ndarray, " members"]
) -> Float[np.ndarray, " members"]:
    """Prior weights of those that are kept, made to sum to one."""
    weights = np.where(kept, prior, 0.0)
    normalised: np.ndarray = weights / weights.sum()
    return normalised


def _spent(folds: list[_Walker], patience: int) -> bool:
    """Whether more passes promise no better prediction."""
    if not folds:
        return False
    losses = _losses(folds)
    best = int(np.argmin(losses.sum(axis=1)))
    passes = len(losses) - 1
    # A long way that led somewhere has earned a longer wait; one that began in noise has not.
    return passes - best >= max(patience, best // 2) or (
        passes >= patience and not _clear(losses, best, CLEAR / 2)
    )


def _losses(folds: list[_Walker]) -> Float[np.ndarray, "steps blocks"]:
    """Σ (y − k x − b)²/σ² of every step by block; a fit that has ended stays where it is."""
    n_steps = max(len(fold.losses) for fold in folds)
    padded = [fold.losses + [fold.losses[-1]] * (n_steps - len(fold.losses)) for fold in folds]
    total: np.ndarray = np.sum(padded, axis=0)
    return total


def _choose(losses: np.ndarray) -> int:
    """Step that predicts best, or the first."""
    best = int(np.argmin(losses.sum(axis=1)))
    # Without clear evidence that fewer members predict better, all of them stay.
    return best if _clear(losses, best, CLEAR) else 0


def _clear(losses: np.ndarray, step: int, n_errors: float) -> bool:
    """Whether a step predicts better than the first by so many standard errors."""
    totals = losses.sum(axis=1)
    return bool(totals[0] - totals[step] > n_errors * _error(losses, step)[0])


def _error(losses: np.ndarray, step: int) -> np.ndarray:
    """Return the standard error, over blocks, of the difference of each loss from a step's."""
    change = losses - losses[step]
    error: np.ndarray = np.std(change, axis=1, ddof=1) * np.sqrt(losses.shape[1])
    return error
