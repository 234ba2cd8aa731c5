"""Enrichment: remove the members that speak against an observed map, with held-out proof."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from unstill.errors import InputError
from unstill.maps.intensity_map import IntensityMap
from unstill.maps.members import MemberSource
from unstill.weighting.criterion import CriterionName
from unstill.weighting.enrich_result import EnrichResult
from unstill.weighting.forward import weighted_intensity
from unstill.weighting.greedy import Rules, kept_weights, remove_greedily
from unstill.weighting.holdout import hold_out
from unstill.weighting.judged import fitted_scale, judge_weights
from unstill.weighting.options import N_NULL, Progress, silent
from unstill.weighting.prepare import Prepared, map_of_orbits, prepare
from unstill.weighting.table import MEMORY

FEWEST = 3
"""Members that are kept in any case; fewer explain a map by accident."""

Stop = Literal["held-out", "fit"]
"""What ends the removal: folds that are left out, or the fit itself."""

_PASSES = 200
"""With more than so many members about one in so many goes at a time."""


@dataclass(frozen=True)
class EnrichOptions:
    """How members are removed.

    Parameters
    ----------
    criterion
        ``"chi2"``: correlation of the anisotropic parts, weighted by 1/σ², at
        whose highest χ² with free scale and isotropic curve is lowest.
        ``"cc"``: total correlation, as published.
    stop
        ``"held-out"``: as long as members that are left predict folds of the
        work set better, which their fit does not see (cross-validation).
        ``"fit"``: as long as the criterion rises, as published; the free set
        tells what that costs.
    per_pass
        Members that go at a time; by default one up to 399, then one in 200.
    patience
        Passes without a better prediction after which to stop, or half of
        those that led to the best one, if that is more; by default the passes
        that remove 2 % of the members, five at least.
    fewest
        Members that are kept in any case, two or more.
    holdout
        Share of the data in the free set.
    n_null
        Permutations of the null control.
    seed
        Of the free set, the folds, the permutations and the bootstrap.
    workers
        Threads; the result does not depend on it.
    """

    criterion: CriterionName = "chi2"
    stop: Stop = "held-out"
    per_pass: int | None = None
    patience: int | None = None
    fewest: int = FEWEST
    holdout: float = 0.1
    n_null: int = N_NULL
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        for name, value, known in (
            ("criterion", self.criterion, get_args(CriterionName)),
            ("stop", self.stop, get_args(Stop)),
        ):
            if value not in known:
                raise InputError(
                    f"unknown {name} of enrichment",
                    found=repr(value),
                    fix=f"choose from {', '.join(known)}",
                )
        for name, number, least in (
            ("per_pass", self.per_pass, 1),
            ("patience", self.patience, 1),
            ("fewest", self.fewest, 2),
        ):
            if number is not None and number < least:
                raise InputError(
                    f"{name} of enrichment is too small",
                    found=number,
                    fix=f"give {least} or more",
                )

    def rules(self, n_members: int) -> Rules:
        """Return the rules for so many members."""
        per_pass = self.per_pass or max(1, n_members // _PASSES)
        patience = self.patience or max(5, round(0.02 * n_members / per_pass))
        return Rules(self.criterion, self.stop == "held-out", per_pass, patience, self.fewest)


def enrich(
    source: MemberSource,
    observed: IntensityMap,
    options: EnrichOptions | None = None,
    *,
    d_min: float | None = None,
    d_max: float | None = None,
    reindex: str = "auto",
    backend: str = "numpy",
    memory: int = MEMORY,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> EnrichResult:
    r"""Find the members that explain an observed diffuse map better than all of them do.

    Removes one member after the other, each time that whose absence raises the
    agreement most of

    .. math:: x = \sum_t w_t \langle|F_t|^2\rangle - |\sum_t w_t \langle F_t\rangle|^2

    with the map, w being the prior weights of those that are left.
    Cross-validation in the work set decides where to stop; the free set is
    seen by no fit and no choice. Where members shall be weighed rather than chosen from, see
    :func:`unstill.weighting.weigh`, which costs less and finds more.

    Parameters
    ----------
    source
        Frames, or blocks of frames.
    observed
        The measured map; its sigma is used where it has one.
    options
        Criterion, where to stop, held-out share and the rest.
    d_min, d_max
        Resolution limits (Å).
    reindex
        ``"auto"``, ``"none"`` or an operator such as ``"k,h,-l"``.
    backend
        ``"numpy"``; there is no other for enrichment.
    memory, folder
        Bytes above which members go to a scratch file, and its folder.
    progress
        Called with stage, steps done, steps in all.

    Returns
    -------
    EnrichResult

    Raises
    ------
    InputError
        If members and map do not belong together, or there are too few
        members or data.
    """
    options = options or EnrichOptions()
    _check_backend(backend)
    told = progress or silent
    ready = prepare(
        source,
        observed,
        d_min=d_min,
        d_max=d_max,
        reindex=reindex,
        memory=memory,
        folder=folder,
        progress=lambda done, total: told("members", done, total),
    )
    return enrich_prepared(ready, options, progress=told)


def enrich_prepared(
    ready: Prepared, options: EnrichOptions, *, progress: Progress | None = None
) -> EnrichResult:
    """Choose from members that were read before; see :func:`enrich`."""
    told = progress or silent
    table, data = ready.table, ready.observed
    _check_backend(table.backend.name)
    _check_number(table.n_members, options.fewest)
    held = hold_out(data, options.holdout, seed=options.seed)
    rules = options.rules(table.n_members)
    found = remove_greedily(
        table,
        data,
        held,
        rules,
        workers=options.workers,
        progress=lambda done, total: told("removal", done, total),
    )
    permuted = [data.permuted([options.seed, number]) for number in range(options.n_null)]
    null = []
    for number, one in enumerate(permuted):
        null.append(remove_greedily(table, one, held, rules, workers=options.workers))
        told("null control", number + 1, options.n_null)
    sets = np.array([kept_weights(table.prior, one.kept) for one in (found, *null)])
    sets = np.insert(sets, 1, table.prior, axis=0)
    x, _ = weighted_intensity(table, sets, workers=options.workers)
    judged = judge_weights(
        x,
        data,
        held,
        permuted,
        sets[2:],
        table.prior,
        support=found.support,
        seed=options.seed,
    )
    scale = fitted_scale(data, x[0])
    return EnrichResult(
        weights=sets[0],
        prior=table.prior,
        n_frames=table.n_frames,
        trace=found,
        null_n_kept=np.array([np.count_nonzero(one.kept) for one in null], dtype=int),
        criterion=options.criterion,
        stop=options.stop,
        per_pass=rules.per_pass,
        scale=scale,
        observed=data,
        held=held,
        calculated=x[0],
        calculated_uniform=x[1],
        weighted_map=map_of_orbits(data.orbits, scale * x[0]),
        observed_map=ready.observed_map,
        operator=ready.operator,
        candidates=ready.candidates,
        seed=options.seed,
        **vars(judged),
    )


def _check_backend(name: str) -> None:
    if name != "numpy":
        raise InputError(
            "enrichment runs on numpy only",
            found=f"backend {name!r}",
            fix="leave the backend out, or weigh the members instead: unstill weigh",
        )


def _check_number(n_members: int, fewest: int) -> None:
    if n_members <= fewest:
        raise InputError(
            "there are too few members to remove any",
            found=f"{n_members} members, of which {fewest} are kept in any case",
            fix="give more frames, or block sums with more --blocks",
        )
