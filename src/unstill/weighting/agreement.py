"""How well weighted intensities agree with the data, in the work set and in the free set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.maps.blocks import bootstrap_weights
from unstill.shapes import Float
from unstill.weighting.backends import weighting_backend
from unstill.weighting.data import Observed
from unstill.weighting.holdout import HoldOut
from unstill.weighting.problems import Problems
from unstill.weighting.targets.correlation import Pearson, ShellSplit


@dataclass(frozen=True)
class Agreement:
    """Correlation of the intensities, and of their anisotropic parts."""

    total: float
    aniso: float

    def as_dict(self) -> dict[str, float]:
        """Return the keys of the JSON."""
        return {"total": self.total, "aniso": self.aniso}


def correlations(
    x: Float[np.ndarray, "sets orbits"], data: list[Observed], counted: np.ndarray
) -> Float[np.ndarray, "sets 2"]:
    """Total and anisotropic CC over the orbits that count.

    Both maps are split into isotropic curve and rest over everything that was
    measured, as ``unstill compare`` does, whichever orbits count afterwards.

    Parameters
    ----------
    x
        ``(n_sets, n_orbits)`` calculated intensities.
    data
        What each is compared with.
    counted
        ``(n_sets, n_orbits)`` how often each orbit counts.
    """
    problems = Problems.of(data, list(counted))
    everything = np.arange(len(x))
    measured = np.stack([one.measured.astype(float) for one in data])
    backend = weighting_backend()
    total = Pearson(problems, backend, anisotropic=False)
    aniso = Pearson(problems, backend, anisotropic=True, shells_of=measured)
    found: np.ndarray = np.stack(
        [total.correlation(x, everything), aniso.correlation(x, everything)], axis=1
    )
    return found


def agreements(
    x: Float[np.ndarray, "sets orbits"], data: list[Observed], held: HoldOut
) -> tuple[list[Agreement], list[Agreement]]:
    """Agreement of each set in the work set and in the free set."""
    n = len(x)
    return (
        [Agreement(*row) for row in correlations(x, data, _rows(held.work, n)).tolist()],
        [
            Agreement(*row)
            for row in correlations(x, data, _rows(held.free & held.measured, n)).tolist()
        ],
    )


def bootstrap_agreement(
    x: Float[np.ndarray, " orbits"],
    reference: Float[np.ndarray, " orbits"],
    data: Observed,
    held: HoldOut,
    *,
    free: bool,
    n_draws: int,
    seed: int,
) -> tuple[Float[np.ndarray, "draws 2"], Float[np.ndarray, "draws 2"]]:
    """CC of two sets of intensities over blocks drawn with replacement.

    The same draws for both, so that the interval of their difference is that
    of a paired comparison.

    Parameters
    ----------
    x, reference
        ``(n_orbits,)`` weighted intensities, and those of the prior weights.
    data, held
        What they are compared with, and where.
    free
        In the free set; else in the work set.
    n_draws, seed
        Of the bootstrap.

    Returns
    -------
    of_x, of_reference
        ``(n_draws, 2)`` total and anisotropic CC.
    """
    chosen = held.free & held.measured if free else held.work
    _, label = np.unique(held.block[chosen], return_inverse=True)
    n_blocks = int(label.max()) + 1
    draws = bootstrap_weights(n_blocks, n_draws, np.random.default_rng(seed))
    split = ShellSplit(
        Problems.of([data], [np.ones(len(x))]), weighting_backend(), data.measured[None] * 1.0
    )
    found = []
    for calculated in (x, reference):
        by_part = []
        for anisotropic in (False, True):
            pair = np.stack([calculated, data.intensity])
            weight = data.multiplicity * (data.inside if anisotropic else 1.0)
            if anisotropic:
                pair = split.anisotropic(pair, np.zeros(2, dtype=int))
            by_part.append(_drawn(pair[:, chosen], weight[chosen], label, draws))
        found.append(np.stack(by_part, axis=1))
    return found[0], found[1]


def _drawn(
    pair: np.ndarray, weight: np.ndarray, label: np.ndarray, draws: np.ndarray
) -> Float[np.ndarray, " draws"]:
    """CC of each draw from sums over blocks."""
    a, b = pair
    moments = np.stack(
        [
            np.bincount(label, weights=weight * values, minlength=draws.shape[1])
            for values in (np.ones_like(a), a, b, a * a, b * b, a * b)
        ],
        axis=1,
    )
    n, sum_a, sum_b, sum_aa, sum_bb, sum_ab = (draws @ moments).T
    norm = (sum_aa - sum_a**2 / n) * (sum_bb - sum_b**2 / n)
    cc: np.ndarray = (sum_ab - sum_a * sum_b / n) / np.sqrt(np.maximum(norm, np.finfo(float).tiny))
    return cc


def _rows(mask: np.ndarray, n: int) -> np.ndarray:
    return np.repeat(mask[None].astype(float), n, axis=0)
