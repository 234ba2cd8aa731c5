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
from typing import Any

import numpy as np

from unstill.errors import InputError
from unstill.shapes import Float
from unstill.weighting.adam import adam
from unstill.weighting.forward import each
from unstill.weighting.problems import Problems
from unstill.weighting.table import MemberTable, Slab
from unstill.weighting.targets.correlation import Pearson

N_STEPS = 500
LEARNING_RATE = 0.05


@dataclass(frozen=True, eq=False)
class SigmoidRecipe:
    """What the recipe gives, problem by problem.

    Parameters
    ----------
    raw
        ``(n_problems, n_members)`` sigmoids, as they come out.
    weights
        The same divided by their sums.
    sum_at_start
        Σw where it begins.
    negative_at_start
        Share of the orbits of the work set whose x' is negative there.
    cc_at_start, cc
        ``(n_problems,)`` total CC of x' with the work set, at the start and at the end.
    n_steps
        Steps of Adam.
    """

    raw: Float[np.ndarray, "problems members"]
    weights: Float[np.ndarray, "problems members"]
    sum_at_start: float
    negative_at_start: float
    cc_at_start: Float[np.ndarray, " problems"]
    cc: Float[np.ndarray, " problems"]
    n_steps: int

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers of the first problem for the JSON."""
        return {
            "sum_at_start": self.sum_at_start,
            "negative_at_start": self.negative_at_start,
            "cc_at_start": float(self.cc_at_start[0]),
            "cc": float(self.cc[0]),
            "n_steps": self.n_steps,
        }


def sigmoid_cc(
    table: MemberTable, problems: Problems, *, n_steps: int = N_STEPS, workers: int = 1
) -> SigmoidRecipe:
    """Follow the recipe for several data sets at a time.

    Parameters
    ----------
    table
        The members (numpy).
    problems
        Observed maps and the orbits to use; the recipe as published uses all.
    n_steps
        Steps of Adam.
    workers
        Threads; the result does not depend on it.

    Raises
    ------
    InputError
        If the table is not with numpy.
    """
    if table.backend.name != "numpy":
        raise InputError(
            "the published recipe runs on numpy only",
            found=f"backend {table.backend.name}",
            fix="use --backend numpy",
        )
    target = Pearson(problems, table.backend, anisotropic=False)
    everything = np.arange(problems.n_problems)

    def evaluate(p: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        w = _sigmoid(p)
        x, slope = unnormalised(table, w, workers=workers)
        value, by_x = target.value_and_gradient(x, which)
        return value, slope(by_x) * w * (1 - w)

    start = np.zeros((problems.n_problems, table.n_members))
    x_start, _ = unnormalised(table, _sigmoid(start[:1]), workers=workers)
    x_start = np.repeat(x_start, problems.n_problems, axis=0)
    found = adam(evaluate, start, n_steps=n_steps, learning_rate=LEARNING_RATE)
    raw = _sigmoid(found.point)
    return SigmoidRecipe(
        raw=raw,
        weights=raw / raw.sum(axis=1, keepdims=True),
        sum_at_start=table.n_members / 2,
        negative_at_start=float(np.mean(x_start[0][problems.work[0] > 0] < 0)),
        cc_at_start=target.correlation(x_start, everything),
        cc=1 - found.value,
        n_steps=n_steps,
    )


def unnormalised(
    table: MemberTable, w: Float[np.ndarray, "sets members"], *, workers: int = 1
) -> tuple[
    Float[np.ndarray, "sets orbits"],
    Callable[[Float[np.ndarray, "sets orbits"]], Float[np.ndarray, "sets members"]],
]:
    """Return x' of weights that need not sum to one, and what pulls a gradient back to them.

    Here the centre of the table does not drop out, and is put back.
    """
    total = w.sum(axis=1, keepdims=True)
    single = w.astype(table.slabs[0].re.dtype)
    edges = np.cumsum([0, *(slab.re.shape[1] for slab in table.slabs)])
    pieces = list(zip(table.slabs, edges[:-1], edges[1:], strict=True))

    def forward(piece: tuple[Slab, int, int]) -> tuple[np.ndarray, np.ndarray]:
        slab, begin, end = piece
        centre = table.centre[begin:end]
        moved = (single @ slab.re).astype(float) + 1j * (single @ slab.im)
        s1 = total * centre + moved
        rest = 2 * (centre.conj() * moved).real + total * np.abs(centre) ** 2 - np.abs(s1) ** 2
        coherent = rest.reshape(len(w), -1, slab.size).mean(axis=2)
        return (single @ slab.square) + coherent, s1

    parts = each(forward, pieces, workers)
    x = np.concatenate([part for part, _ in parts], axis=1) / table.n_cells

    def slope(by_x: np.ndarray) -> np.ndarray:
        def backward(numbered: tuple[tuple[Slab, int, int], np.ndarray]) -> np.ndarray:
            (slab, begin, end), s1 = numbered
            centre = table.centre[begin:end]
            g = by_x[:, slab.orbits] / table.n_cells
            spread = np.repeat(g, slab.size, axis=1) / slab.size
            left = (2 * spread * (centre - s1)).astype(np.result_type(single.dtype, np.complex64))
            shared = spread * (np.abs(centre) ** 2 - 2 * (s1.conj() * centre).real)
            pulled: np.ndarray = (
                g.astype(single.dtype) @ slab.square.T
                + left.real @ slab.re.T
                + left.imag @ slab.im.T
                + shared.sum(axis=1, keepdims=True)
            )
            return pulled

        pairs = list(zip(pieces, (s1 for _, s1 in parts), strict=True))
        found: np.ndarray = np.sum(each(backward, pairs, workers), axis=0)
        return found

    return x, slope


def _sigmoid(p: np.ndarray) -> np.ndarray:
    values: np.ndarray = 1 / (1 + np.exp(-p))
    return values
