r"""The published recipe, kept to show where it goes wrong.

Weights are :math:`w_t = 1/(1 + e^{-p_t})`, started at ½ and **not** normalised;
the total Pearson correlation of

.. math:: x'(h) = \sum_t w_t |F_t|^2 - \Big|\sum_t w_t F_t\Big|^2

with the data is raised by Adam on all of the data. With :math:`\sum w \ne 1` this
is no variance: for two members the start happens to sum to one, for T it sums to
T/2, and then most of x' is negative. Nothing is held out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unstill.shapes import Float
from unstill.weighting.adam import adam
from unstill.weighting.backends import weighting_backend
from unstill.weighting.data import Observed
from unstill.weighting.problems import Problems
from unstill.weighting.table import MemberTable
from unstill.weighting.targets.correlation import Pearson

N_STEPS = 500
LEARNING_RATE = 0.05


@dataclass(frozen=True, eq=False)
class SigmoidRecipe:
    """What the recipe gives.

    Parameters
    ----------
    raw
        ``(n_members,)`` sigmoids, as they come out.
    weights
        The same divided by their sum.
    sum_at_start
        Σw where it begins.
    negative_at_start
        Share of the orbits whose x' is negative there.
    cc_at_start, cc
        Total CC of x' with the work set at the start and at the end.
    n_steps
        Steps of Adam.
    """

    raw: Float[np.ndarray, " members"]
    weights: Float[np.ndarray, " members"]
    sum_at_start: float
    negative_at_start: float
    cc_at_start: float
    cc: float
    n_steps: int


def sigmoid_cc(
    table: MemberTable, data: Observed, work: np.ndarray, *, n_steps: int = N_STEPS
) -> SigmoidRecipe:
    """Follow the recipe.

    Parameters
    ----------
    table
        The members, in memory (numpy).
    data, work
        Observed map and the orbits to use; the recipe as published uses all.
    n_steps
        Steps of Adam.
    """
    problems = Problems.of([data], [work.astype(float)])
    target = Pearson(problems, weighting_backend(), anisotropic=False)
    only = np.zeros(1, dtype=int)

    def evaluate(p: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        del which
        w = _sigmoid(p)
        x, slope = _unnormalised(table, w[0])
        value, by_x = target.value_and_gradient(x[None], only)
        return value, slope(by_x[0])[None] * w * (1 - w)

    start = np.zeros((1, table.n_members))
    x_start, _ = _unnormalised(table, _sigmoid(start)[0])
    found = adam(evaluate, start, n_steps=n_steps, learning_rate=LEARNING_RATE)
    raw = _sigmoid(found.point)[0]
    used = work & data.measured
    return SigmoidRecipe(
        raw=raw,
        weights=raw / raw.sum(),
        sum_at_start=table.n_members / 2,
        negative_at_start=float(np.mean(x_start[used] < 0)),
        cc_at_start=float(target.correlation(x_start[None], only)[0]),
        cc=1 - float(found.value[0]),
        n_steps=n_steps,
    )


def _unnormalised(
    table: MemberTable, w: np.ndarray
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """X' of weights that need not sum to one, and what pulls a gradient back to them.

    Here the centre of the table does not drop out, and is put back.
    """
    total, place, parts, sums = w.sum(), 0, [], []
    single = w.astype(table.slabs[0].re.dtype)
    for slab in table.slabs:
        stop = place + slab.re.shape[1]
        centre = table.centre[place:stop]
        moved = (single @ slab.re).astype(float) + 1j * (single @ slab.im)
        s1 = total * centre + moved
        rest = 2 * (centre.conj() * moved).real + total * np.abs(centre) ** 2 - np.abs(s1) ** 2
        parts.append((single @ slab.square) + rest.reshape(-1, slab.size).mean(axis=1))
        sums.append((centre, s1))
        place = stop
    x = np.concatenate(parts) / table.n_cells

    def slope(by_x: np.ndarray) -> np.ndarray:
        found = np.zeros(len(w))
        for slab, (centre, s1) in zip(table.slabs, sums, strict=True):
            g = by_x[slab.orbits] / table.n_cells
            spread = np.repeat(g, slab.size) / slab.size
            left = 2 * spread * (centre - s1)
            shared = spread @ (np.abs(centre) ** 2 - 2 * (s1.conj() * centre).real)
            found += slab.square @ g + slab.re @ left.real + slab.im @ left.imag + shared
        return found

    return x, slope


def _sigmoid(p: np.ndarray) -> np.ndarray:
    values: np.ndarray = 1 / (1 + np.exp(-p))
    return values
