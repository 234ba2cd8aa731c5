"""Whole copies of a component at the least cost, proven by integer programming."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.optimize
import scipy.sparse

from unstill.ensembles.decode.cliques import CliqueTree
from unstill.errors import InputError
from unstill.shapes import Float, Int

# Status of scipy.optimize.milp.
_INFEASIBLE = 2


@dataclass(frozen=True, eq=False)
class Programme:
    """Linear programme over the tables of a clique tree.

    The variables are the shares (or numbers) of copies with each allowed combination of
    values of each clique. Cliques agree on what they share.
    """

    tree: CliqueTree

    @cached_property
    def entries(self) -> tuple[np.ndarray, ...]:
        """Flat indices of the allowed entries of each table."""
        return tuple(np.flatnonzero(np.isfinite(c.cost.reshape(-1))) for c in self.tree.cliques)

    @cached_property
    def start(self) -> Int[np.ndarray, " n"]:
        """First variable of each table, and the number of variables at the end."""
        return np.concatenate([[0], np.cumsum([len(found) for found in self.entries])])

    @cached_property
    def cost(self) -> Float[np.ndarray, " n_variables"]:
        """Cost of one copy with each combination."""
        return np.concatenate(
            [
                clique.cost.reshape(-1)[found]
                for clique, found in zip(self.tree.cliques, self.entries, strict=True)
            ]
        )

    @cached_property
    def agreement(self) -> scipy.sparse.csr_matrix:
        """Rows that are zero where each clique and its parent have the same separator."""
        blocks = []
        for number, clique in enumerate(self.tree.cliques):
            if clique.parent < 0:
                continue
            own = self._sums(number, tuple(range(1, clique.cost.ndim)))
            other = self._sums(clique.parent, self.tree.separator_axes(number))
            blocks.append(own - other)
        if not blocks:
            return scipy.sparse.csr_matrix((0, int(self.start[-1])))
        return scipy.sparse.csr_matrix(scipy.sparse.vstack(blocks))

    @cached_property
    def margins(self) -> scipy.sparse.csr_matrix:
        """One row a group (by the order of cliques) and value: copies that have the value."""
        sums = [self._sums(number, (0,)) for number in range(len(self.tree.cliques))]
        return scipy.sparse.csr_matrix(scipy.sparse.vstack(sums))

    def tables(self, solution: np.ndarray) -> list[np.ndarray]:
        """Values of the variables as one table a clique, zero where forbidden."""
        found = []
        for number, clique in enumerate(self.tree.cliques):
            table = np.zeros(clique.cost.size, dtype=solution.dtype)
            table[self.entries[number]] = solution[self.start[number] : self.start[number + 1]]
            found.append(table.reshape(clique.cost.shape))
        return found

    def _sums(self, number: int, axes: tuple[int, ...]) -> scipy.sparse.csr_matrix:
        """Matrix that sums a table over all axes but some."""
        shape = self.tree.cliques[number].cost.shape
        index = np.unravel_index(self.entries[number], shape)
        kept = [shape[axis] for axis in axes]
        row = np.zeros(len(self.entries[number]), dtype=int)
        for axis, size in zip(axes, kept, strict=True):
            row = row * size + index[axis]
        column = self.start[number] + np.arange(len(row))
        size = (int(np.prod(kept)), int(self.start[-1]))
        return scipy.sparse.csr_matrix((np.ones(len(row)), (row, column)), shape=size)


@dataclass(frozen=True, eq=False)
class Optimum:
    """Numbers of copies on the cliques, and how good they are known to be.

    Parameters
    ----------
    tables
        One a clique, whole numbers.
    cost
        Of all copies.
    bound
        No assignment can cost less.
    """

    tables: list[np.ndarray]
    cost: float
    bound: float


def least_cost(
    tree: CliqueTree, counts: Int[np.ndarray, " n_margins"], *, seconds: float
) -> Optimum | None:
    """Return copies of the least cost whose groups have given counts.

    Parameters
    ----------
    tree
        Of the component.
    counts
        Copies with each value of the first group of each clique, clique by clique.
    seconds
        Time allowed; the best found by then is returned with its bound.

    Returns
    -------
    Optimum or None
        ``None`` if no assignment has these counts.

    Raises
    ------
    InputError
        If nothing was found in the time allowed.
    """
    programme = Programme(tree)
    matrix = scipy.sparse.vstack([programme.agreement, programme.margins], format="csc")
    right = np.concatenate([np.zeros(programme.agreement.shape[0]), counts])
    found = scipy.optimize.milp(
        programme.cost,
        integrality=np.ones(len(programme.cost), dtype=int),
        bounds=scipy.optimize.Bounds(0, np.inf),
        constraints=scipy.optimize.LinearConstraint(matrix, right, right),
        options={"mip_rel_gap": 0.0, "time_limit": seconds},
    )
    solution = _whole(found, matrix, right, seconds)
    if solution is None:
        return None
    cost = float(programme.cost @ solution)
    bound = cost if found.status == 0 else float(found.mip_dual_bound or 0.0)
    return Optimum(programme.tables(solution), cost, min(bound, cost))


def nearest_counts(
    tree: CliqueTree, wanted: Float[np.ndarray, " n_margins"], n_members: int, *, seconds: float
) -> Int[np.ndarray, " n_margins"] | None:
    """Return counts nearest to what is wanted, that some copies can have together.

    Least sum of absolute deviations; costs of pairs do not matter here.

    Parameters
    ----------
    tree, wanted
        As in ``least_cost``; ``wanted`` need not be whole.
    n_members
        Number of copies.
    seconds
        Time allowed.

    Returns
    -------
    counts or None
        ``None`` if no copy can be made at all.

    Raises
    ------
    InputError
        If nothing was found in the time allowed.
    """
    programme = Programme(tree)
    n, k = len(programme.cost), len(wanted)
    eye = scipy.sparse.identity(k, format="csr")
    last = np.zeros(k)
    last[-tree.cliques[-1].cost.shape[0] :] = 1.0
    # deviation ≥ ±(margin − wanted); the last group's values sum to the number of copies
    whole = scipy.sparse.csr_matrix(last @ programme.margins.toarray()[:, :n])
    alone = scipy.sparse.vstack([programme.agreement, whole])
    matrix = scipy.sparse.vstack(
        [
            scipy.sparse.hstack([alone, scipy.sparse.csr_matrix((alone.shape[0], k))]),
            scipy.sparse.hstack([programme.margins, eye]),
            scipy.sparse.hstack([-programme.margins, eye]),
        ],
        format="csc",
    )
    zeros = np.zeros(programme.agreement.shape[0])
    low = np.concatenate([zeros, [n_members], wanted, -wanted])
    high = np.concatenate([zeros, [n_members], np.full(2 * k, np.inf)])
    found = scipy.optimize.milp(
        np.concatenate([np.zeros(n), np.ones(k)]),
        integrality=np.concatenate([np.ones(n), np.zeros(k)]),
        bounds=scipy.optimize.Bounds(0, np.inf),
        constraints=scipy.optimize.LinearConstraint(matrix, low, high),
        options={"mip_rel_gap": 0.0, "time_limit": seconds},
    )
    solution = _whole(found, matrix[: len(zeros), :n], zeros, seconds)
    return None if solution is None else np.asarray(programme.margins @ solution[:n], dtype=int)


def _whole(
    found: Any, equations: scipy.sparse.csc_matrix, right: np.ndarray, seconds: float
) -> Int[np.ndarray, " n"] | None:
    """Return the solution in whole numbers, or ``None`` where there is none."""
    if found.x is None and found.status == _INFEASIBLE:
        return None
    if found.x is not None:
        solution: np.ndarray = np.rint(found.x).astype(int)
        if np.array_equal(equations @ solution[: equations.shape[1]], np.rint(right)):
            return solution
    raise InputError(
        "no members were found in the time allowed",
        found=f"{equations.shape[1]} combinations of states, {seconds:.3g} s: {found.message}",
        fix="allow more time, ask for fewer members, or remove rules",
    )


def deal(
    tree: CliqueTree, tables: list[np.ndarray], rng: np.random.Generator
) -> dict[int, Int[np.ndarray, " n_members"]]:
    """Return the value of every group in every copy, at random among what the tables allow.

    Parameters
    ----------
    tree, tables
        Cliques, and whole numbers of copies that agree on what cliques share.
    rng
        Deals copies that are alike so far to combinations.
    """
    values: dict[int, np.ndarray] = {}
    for number in range(len(tree.cliques) - 1, -1, -1):
        clique, table = tree.cliques[number], tables[number]
        own = np.arange(table.shape[0])
        if clique.parent < 0:
            values[clique.scope[0]] = rng.permutation(np.repeat(own, table))
            continue
        size = table.shape[1:]
        met = np.ravel_multi_index([values[group] for group in clique.scope[1:]], size)
        dealt = np.empty(len(met), dtype=int)
        flat = table.reshape(len(own), -1)
        for combination in np.unique(met).tolist():
            copies = np.flatnonzero(met == combination)
            dealt[copies] = rng.permutation(np.repeat(own, flat[:, combination]))
        values[clique.scope[0]] = dealt
    return values
