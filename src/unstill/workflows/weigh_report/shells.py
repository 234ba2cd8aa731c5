"""Agreement by resolution: work set and free set, before and after."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.report.blocks import Block, FigureBlock
from unstill.shapes import Bool, Float, Int
from unstill.weighting.backends import weighting_backend
from unstill.weighting.problems import Problems
from unstill.weighting.result import Weighed
from unstill.weighting.targets.correlation import ShellSplit
from unstill.workflows.weigh_report.figures import gain_curves, shell_curves
from unstill.workflows.weigh_report.words import SIGMA_TEXT

_N_SHELLS = 20
_FEWEST_FREE = 20
"""Neighbouring shells are joined until the free set has so many points in each."""

_FEWEST = 3
"""A correlation of so few points is not drawn."""

_N_PERMUTED = 40


@dataclass(frozen=True, eq=False)
class ShellAgreement:
    """Anisotropic correlation in shells of resolution, low resolution first.

    Parameters
    ----------
    x
        ``(n_shells,)`` mean 1/d² (Å⁻²) of the orbits.
    n_free
        ``(n_shells,)`` orbits of the free set.
    free, free_prior, work, work_prior
        ``(n_shells,)`` CC with the weights and with the prior weights.
    ceiling
        ``(n_shells,)`` CC_max by the noise of the data; NaN where it is not known.
    gain_error
        ``(n_shells,)`` standard error of ``free - free_prior``, the points
        taken as independent.
    permuted, permuted_prior
        ``(n_shells,)`` mean CC in the free set with permutations of the data,
        the weights being those of the data.
    """

    x: Float[np.ndarray, " shells"]
    n_free: Int[np.ndarray, " shells"]
    free: Float[np.ndarray, " shells"]
    free_prior: Float[np.ndarray, " shells"]
    work: Float[np.ndarray, " shells"]
    work_prior: Float[np.ndarray, " shells"]
    ceiling: Float[np.ndarray, " shells"]
    gain_error: Float[np.ndarray, " shells"]
    permuted: Float[np.ndarray, " shells"]
    permuted_prior: Float[np.ndarray, " shells"]


def shell_blocks(result: Weighed) -> list[Block]:
    """Show where in resolution the weights help."""
    shells = agreement_by_shell(result)
    source = result.observed.sigma_source
    ceiling = (
        f"CC_max is what a perfect model would reach, given {SIGMA_TEXT[source]}"
        if source != "shell"
        else "The noise of the map is not known, nor is CC_max"
    )
    return [
        FigureBlock(
            shell_curves(shells),
            f"Anisotropic correlation in shells of resolution with at least {_FEWEST_FREE} free "
            "points where the data allow. Shaded: 95 % interval if the free points were "
            f"independent, so rather too narrow. {ceiling}. Permuted data: the weighted map "
            f"against data permuted within shells, mean of {_N_PERMUTED}.",
            "Good: high and level, close under CC_max, with free and work set together. Bad: the "
            "work set far above the free set, which is a fit to noise. Permuted data must stay "
            "at zero.",
            narrow=True,
        ),
        FigureBlock(
            gain_curves(shells),
            "What the weights add to the correlation above. Shaded: 95 % interval, again as if "
            "the free points were independent.",
            "Good: the free set gains over most of the range, about as much as the work set. "
            "Bad: only the work set gains, or one shell alone does.",
            narrow=True,
        ),
    ]


def agreement_by_shell(result: Weighed) -> ShellAgreement:
    """Correlate orbits shell by shell, split as the whole comparison is."""
    data, held = result.observed, result.held
    draws = [data.permuted([result.seed, number]) for number in range(_N_PERMUTED)]
    rows = np.stack(
        [
            result.calculated,
            result.calculated_uniform,
            data.intensity,
            *(one.intensity for one in draws),
        ]
    )
    split = ShellSplit(
        Problems.of([data], [np.ones(len(data.intensity))]),
        weighting_backend(),
        data.measured[None] * 1.0,
    )
    weighted, prior, observed, *permuted = split.anisotropic(rows, np.zeros(len(rows), dtype=int))
    used = data.measured & data.inside
    free, work = held.free & used, held.work & used
    shell = _shells(data.orbits.s, used, free)
    n = int(shell.max(initial=-1)) + 1
    weight = data.multiplicity

    def by_shell(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> np.ndarray:
        return _correlations(a[where], b[where], weight[where], shell[where], n)

    count = np.bincount(shell[used], minlength=n)
    s_squared = np.bincount(shell[used], data.orbits.s[used] ** 2, minlength=n)
    return ShellAgreement(
        x=s_squared / np.maximum(count, 1),
        n_free=np.bincount(shell[free], minlength=n),
        free=by_shell(weighted, observed, free),
        free_prior=by_shell(prior, observed, free),
        work=by_shell(weighted, observed, work),
        work_prior=by_shell(prior, observed, work),
        ceiling=_ceiling(result, observed, used, shell, n),
        gain_error=_gain_error(
            np.stack([one[free] for one in (weighted, prior, observed)]),
            weight[free],
            shell[free],
            n,
        ),
        permuted=np.mean([by_shell(weighted, one, free) for one in permuted], axis=0),
        permuted_prior=np.mean([by_shell(prior, one, free) for one in permuted], axis=0),
    )


def _shells(
    s: Float[np.ndarray, " orbits"],
    used: Bool[np.ndarray, " orbits"],
    free: Bool[np.ndarray, " orbits"],
) -> Int[np.ndarray, " orbits"]:
    """Shells of equal width in |s|, joined where the free set is thin; −1 where not used."""
    low, high = float(s[used].min()), float(s[used].max())
    width = (high - low) / _N_SHELLS or 1.0
    fine = np.minimum(((s - low) / width).astype(int), _N_SHELLS - 1)
    count = np.bincount(fine[free], minlength=_N_SHELLS)
    joined, number, held = np.zeros(_N_SHELLS, dtype=int), 0, 0
    for place in range(_N_SHELLS):
        joined[place] = number
        held += int(count[place])
        if held >= _FEWEST_FREE:
            number, held = number + 1, 0
    # What is left over at the rim is too little for a shell of its own.
    if held < _FEWEST_FREE and number > 0:
        joined[joined == number] = number - 1
    return np.where(used, joined[np.clip(fine, 0, None)], -1)


def _correlations(
    a: np.ndarray, b: np.ndarray, weight: np.ndarray, shell: np.ndarray, n: int
) -> Float[np.ndarray, " shells"]:
    """Pearson correlation in each shell; NaN where it is not defined."""
    za, zb = _standardised(np.stack([a, b]), weight, shell, n)
    cc = _mean(za * zb, weight, shell, n)
    return np.where(np.bincount(shell, minlength=n) > _FEWEST, cc, np.nan)


def _gain_error(
    rows: Float[np.ndarray, "3 points"], weight: np.ndarray, shell: np.ndarray, n: int
) -> Float[np.ndarray, " shells"]:
    """Return the standard error of cc(first, third) − cc(second, third), to first order.

    A point moves a correlation of standardised numbers by
    :math:`z_a z_b - r (z_a^2 + z_b^2)/2`; both correlations share their points.
    """
    first, second, data = _standardised(rows, weight, shell, n)

    def moves(z: np.ndarray) -> np.ndarray:
        cc = _mean(z * data, weight, shell, n)
        return np.asarray(z * data - cc[shell] * (z**2 + data**2) / 2)

    square = np.bincount(shell, (weight * (moves(first) - moves(second))) ** 2, minlength=n)
    total = np.bincount(shell, weight, minlength=n)
    error = np.sqrt(square) / np.where(total > 0, total, np.nan)
    return np.where(np.bincount(shell, minlength=n) > _FEWEST, error, np.nan)


def _standardised(
    rows: Float[np.ndarray, "rows points"], weight: np.ndarray, shell: np.ndarray, n: int
) -> Float[np.ndarray, "rows points"]:
    """Mean 0 and variance 1 in each shell; NaN where all are equal."""
    found = []
    for values in rows:
        centred = values - _mean(values, weight, shell, n)[shell]
        spread = np.sqrt(_mean(centred**2, weight, shell, n))
        found.append(centred / np.where(spread > 0, spread, np.nan)[shell])
    return np.array(found)


def _mean(
    values: np.ndarray, weight: np.ndarray, shell: np.ndarray, n: int
) -> Float[np.ndarray, " shells"]:
    total = np.bincount(shell, weight, minlength=n)
    mean: np.ndarray = np.bincount(shell, weight * values, minlength=n)
    return mean / np.where(total > 0, total, np.nan)


def _ceiling(
    result: Weighed, observed: np.ndarray, used: np.ndarray, shell: np.ndarray, n: int
) -> Float[np.ndarray, " shells"]:
    r"""√(1 − ⟨σ²⟩/Var(I_aniso)) in each shell, as :mod:`unstill.maps.ceiling` has it for a map."""
    data = result.observed
    if data.sigma_source == "shell":
        return np.full(n, np.nan)
    weight, label = data.multiplicity[used], shell[used]
    total = np.bincount(label, weight, minlength=n)
    noise = np.bincount(label, weight / data.precision[used], minlength=n) / total
    mean = np.bincount(label, weight * observed[used], minlength=n) / total
    spread = (observed[used] - mean[label]) ** 2
    variance = np.bincount(label, weight * spread, minlength=n) / total
    share = 1 - noise / np.where(variance > 0, variance, np.nan)
    return np.sqrt(np.maximum(share, 0.0))
