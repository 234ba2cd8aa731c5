"""Weights of members against an observed map, with held-out proof."""

from __future__ import annotations

import warnings
from pathlib import Path as FilePath
from typing import Any

import numpy as np

from unstill.errors import InputError, UnstillWarning
from unstill.maps.amplitudes import Amplitudes
from unstill.maps.blocks import bootstrap_weights
from unstill.maps.intensity_map import IntensityMap
from unstill.maps.members import MemberSource
from unstill.shapes import Float
from unstill.weighting.backends import weighting_backend
from unstill.weighting.bragg import BraggTerm
from unstill.weighting.data import Observed
from unstill.weighting.entropy_price import Path, follow_paths, support_of
from unstill.weighting.holdout import HoldOut, hold_out
from unstill.weighting.judged import fitted_scale, judge_weights
from unstill.weighting.noise import intensities_of, null_weights_of, weights_at_theta
from unstill.weighting.objective import Objective, Solution, lbfgs
from unstill.weighting.options import Options, Progress, silent
from unstill.weighting.prepare import Prepared, map_of_orbits, prepare
from unstill.weighting.problems import Problems
from unstill.weighting.result import WeighResult
from unstill.weighting.sigmoid_cc import sigmoid_cc
from unstill.weighting.softmax import n_effective, n_effective_kl
from unstill.weighting.table import MEMORY

COLLAPSED = 3.0
"""N_eff below which weights have collapsed."""


def weigh(
    source: MemberSource,
    observed: IntensityMap,
    options: Options | None = None,
    *,
    d_min: float | None = None,
    d_max: float | None = None,
    reindex: str = "auto",
    backend: str = "numpy",
    amplitudes: Amplitudes | None = None,
    bragg_weight: float = 0.0,
    memory: int = MEMORY,
    folder: FilePath | None = None,
    progress: Progress | None = None,
) -> WeighResult:
    r"""Find the weights of members that explain an observed diffuse map.

    Minimises, over :math:`w = \mathrm{softmax}(g)`,

    .. math:: L(x_w) + \theta \sum_t w_t \ln(w_t/w^0_t), \qquad
              x_w = \sum_t w_t \langle|F_t|^2\rangle - |\sum_t w_t \langle F_t\rangle|^2

    on the work set of a map that is averaged over its Laue group. The free set
    is seen by no fit, and by no choice but that of the indexing.

    Parameters
    ----------
    source
        Frames, or blocks of frames.
    observed
        The measured map; its sigma is used where it has one.
    options
        Target, θ, held-out share and the rest.
    d_min, d_max
        Resolution limits (Å).
    reindex
        ``"auto"``, ``"none"`` or an operator such as ``"k,h,-l"``.
    backend
        ``"numpy"``, ``"jax"``, ``"torch"`` or ``"cupy"``.
    amplitudes, bragg_weight
        Measured Bragg amplitudes, and what they count beside the diffuse
        target; with 0 their agreement is told only.
    memory, folder
        Bytes above which members go to a scratch file, and its folder.
    progress
        Called with stage, steps done, steps in all.

    Returns
    -------
    WeighResult

    Raises
    ------
    InputError
        If members and map do not belong together, data are too few, or the
        weights collapse on fewer than three members.
    """
    options = options or Options()
    told = progress or silent
    ready = prepare(
        source,
        observed,
        d_min=d_min,
        d_max=d_max,
        reindex=reindex,
        backend=weighting_backend(backend),
        bragg=amplitudes is not None,
        memory=memory,
        folder=folder,
        progress=lambda done, total: told("members", done, total),
    )
    bragg = bragg_term(ready, amplitudes, bragg_weight, options)
    return weigh_prepared(ready, options, bragg=bragg, progress=told)


def bragg_term(
    ready: Prepared, amplitudes: Amplitudes | None, weight: float, options: Options
) -> BraggTerm | None:
    """Hold prepared members against Bragg amplitudes; ``None`` where there are none.

    Raises
    ------
    InputError
        If the amplitudes are of another crystal.
    """
    if amplitudes is None or ready.table.folded is None:
        return None
    return BraggTerm(
        ready.table.folded,
        ready.table.prior,
        amplitudes,
        ready.table.orbits.crystal,
        weight=weight,
        n_permutations=options.n_null,
        seed=options.seed,
    )


def weigh_prepared(
    ready: Prepared,
    options: Options,
    *,
    bragg: BraggTerm | None = None,
    progress: Progress | None = None,
) -> WeighResult:
    """Weigh members that were read before; see :func:`weigh`."""
    told = progress or silent
    table, data = ready.table, ready.observed
    held = hold_out(data, options.holdout, seed=options.seed)
    used = bragg if bragg is not None and bragg.weight > 0 else None
    objective = Objective(table, options.target, used, workers=options.workers)
    permuted = [data.permuted([options.seed, number]) for number in range(options.n_null)]
    theta, paths = _choose_theta(objective, [data, *permuted], held, options, told)
    final = _final(objective, data, held, theta[0], options)
    weights = final.weights[0]
    _check_collapse(weights, table.prior, options)
    draws = _bootstrap_weights(objective, data, held, theta[0], weights, options, told)
    null_weights = null_weights_of(objective, permuted, held, theta[1:], paths)
    x = intensities_of(objective, np.concatenate([weights[None], table.prior[None], null_weights]))
    judged = judge_weights(
        x,
        data,
        held,
        permuted,
        null_weights,
        table.prior,
        theta=theta[1:],
        at_theta=weights_at_theta(objective, permuted, held, float(theta[0])) if paths else None,
        support=paths[0].support if paths else support_of(objective, data, held, float(theta[0])),
        seed=options.seed,
    )
    return _result(
        ready,
        held,
        bragg,
        weights,
        x,
        options.seed,
        target=options.target.name,
        theta=float(theta[0]),
        theta_rule=paths[0].rule if paths else "given",
        iterations=int(final.iterations[0]),
        converged=bool(final.converged[0]),
        weight_draws=draws,
        path=paths[0] if paths else None,
        **vars(judged),
    )


def weigh_by_sigmoids(
    ready: Prepared,
    options: Options,
    *,
    bragg: BraggTerm | None = None,
    progress: Progress | None = None,
) -> WeighResult:
    """Follow the published recipe instead, and hold it against data that it has not seen.

    It knows no prior, no θ and no sigma; see :mod:`unstill.weighting.sigmoid_cc`.
    Weights are its sigmoids divided by their sum.
    """
    told = progress or silent
    table, data = ready.table, ready.observed
    held = hold_out(data, options.holdout, seed=options.seed)
    permuted = [data.permuted([options.seed, number]) for number in range(options.n_null)]
    told("recipe", 0, 1)
    work = held.work.astype(float)
    problems = Problems.of([data, *permuted], [work] * (1 + len(permuted)))
    recipe = sigmoid_cc(table, problems, workers=options.workers)
    told("recipe", 1, 1)
    weights, null_weights = recipe.weights[0], recipe.weights[1:]
    _check_collapse(weights, table.prior, options)
    objective = Objective(table, options.target, workers=options.workers)
    x = intensities_of(objective, np.concatenate([weights[None], table.prior[None], null_weights]))
    judged = judge_weights(x, data, held, permuted, null_weights, table.prior, seed=options.seed)
    return _result(
        ready,
        held,
        bragg,
        weights,
        x,
        options.seed,
        target="sigmoid-cc",
        theta=0.0,
        theta_rule="none",
        iterations=recipe.n_steps,
        converged=False,
        weight_draws=np.zeros((0, len(weights))),
        path=None,
        recipe=recipe,
        **vars(judged),
    )


def _result(
    ready: Prepared,
    held: HoldOut,
    bragg: BraggTerm | None,
    weights: np.ndarray,
    x: np.ndarray,
    seed: int,
    **found: Any,
) -> WeighResult:
    """Put together what is the same however weights were found."""
    table, data = ready.table, ready.observed
    scale = fitted_scale(data, x[0])
    return WeighResult(
        weights=weights,
        prior=table.prior,
        n_frames=table.n_frames,
        scale=scale,
        bragg=None if bragg is None else bragg.agreement(weights),
        bragg_uniform=None if bragg is None else bragg.agreement(table.prior),
        observed=data,
        held=held,
        calculated=x[0],
        calculated_uniform=x[1],
        weighted_map=map_of_orbits(data.orbits, scale * x[0]),
        observed_map=ready.observed_map,
        operator=ready.operator,
        candidates=ready.candidates,
        seed=seed,
        **found,
    )


def _final(
    objective: Objective, data: Observed, held: HoldOut, theta: float, options: Options
) -> Solution:
    problems = Problems.of([data], [held.work.astype(float)])
    first = np.zeros(1, dtype=int)
    if np.isinf(theta):
        return objective.at(problems, objective.starting_weights(1), permutations=first)
    found = objective.solve(problems, np.array([theta]), permutations=first, search=options.search)
    if not found.converged[0]:
        warnings.warn("the fit of the weights has not converged", UnstillWarning, stacklevel=4)
    return found


def _choose_theta(
    objective: Objective,
    data: list[Observed],
    held: HoldOut,
    options: Options,
    told: Progress,
) -> tuple[Float[np.ndarray, " data"], list[Path]]:
    if not isinstance(options.theta, str):
        return np.full(len(data), float(options.theta)), []
    rule = "cross-validation" if options.theta == "auto" else "l-curve"
    paths = follow_paths(
        objective,
        data,
        held,
        rule=rule,
        progress=lambda done, total: told("theta", done, total),
    )
    return np.array([path.theta[path.chosen] for path in paths]), paths


def _bootstrap_weights(
    objective: Objective,
    data: Observed,
    held: HoldOut,
    theta: float,
    weights: np.ndarray,
    options: Options,
    told: Progress,
) -> Float[np.ndarray, "draws members"]:
    n = options.n_bootstrap
    if n < 1 or np.isinf(theta):
        return np.zeros((0, len(weights)))
    told("bootstrap", 0, 1)
    _, label = np.unique(held.block[held.work], return_inverse=True)
    draws = bootstrap_weights(int(label.max()) + 1, n, np.random.default_rng([options.seed, n]))
    work = np.zeros((n, len(held.work)))
    work[:, held.work] = draws[:, label]
    found = objective.solve(
        Problems.of([data] * n, list(work)),
        np.full(n, theta),
        np.repeat(weights[None], n, axis=0),
        permutations=np.zeros(n, dtype=int),
        search=lbfgs(),
    )
    told("bootstrap", 1, 1)
    return found.weights


def _check_collapse(weights: np.ndarray, prior: np.ndarray, options: Options) -> None:
    smallest = min(n_effective(weights), n_effective_kl(weights, prior))
    n_prior = n_effective(prior)
    # Two or three members, or a prior that rests on few, cannot spread over three.
    if smallest >= (COLLAPSED if n_prior > COLLAPSED else n_prior / 2):
        return
    found = f"N_eff {smallest:.2f} of {len(weights)} members, θ {options.theta}"
    if not options.force:
        raise InputError(
            "the weights have collapsed on a few members, which explain the map by accident",
            found=found,
            fix="raise θ, use --theta auto, give blocks of frames, or accept it with --force",
        )
    warnings.warn(f"the weights have collapsed: {found}", UnstillWarning, stacklevel=4)
