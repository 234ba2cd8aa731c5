"""The most random joint distribution with given populations and the fewest conflicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.optimize
import scipy.sparse
import scipy.special

from unstill.ensembles.decode.cliques import CliqueTree
from unstill.ensembles.decode.integer import Programme
from unstill.errors import InputError
from unstill.shapes import Bool, Float, Int

_COST = 1e-7
_ZERO = 1e-9

# The stubs of scipy know no sparse constraints.
_linprog: Any = scipy.optimize.linprog


@dataclass(frozen=True, eq=False)
class Joint:
    r"""Distribution :math:`p(x) \propto \exp \sum_g \lambda_g(x_g)` on allowed combinations.

    Parameters
    ----------
    tree
        Its cliques.
    allowed
        One a clique: entries that some distribution of fewest conflicts can have.
    fields
        λ, one array a clique, of the values of its first group.
    entropy
        In nats.
    """

    tree: CliqueTree
    allowed: list[Bool[np.ndarray, "..."]]
    fields: list[Float[np.ndarray, "..."]]
    entropy: float

    def draw(self, n: int, rng: np.random.Generator) -> dict[int, Int[np.ndarray, " n"]]:
        """Draw n combinations, systematically, so that shares are close to exact."""
        upward = _upward(self.tree, _logs(self.allowed, self.fields))
        values: dict[int, np.ndarray] = {}
        for number in range(len(self.tree.cliques) - 1, -1, -1):
            scope = self.tree.cliques[number].scope
            table = upward[number].reshape(upward[number].shape[0], -1)
            met = np.zeros(n, dtype=int)
            if len(scope) > 1:
                size = upward[number].shape[1:]
                met = np.ravel_multi_index([values[group] for group in scope[1:]], size)
            values[scope[0]] = np.empty(n, dtype=int)
            for place in np.unique(met).tolist():
                copies = np.flatnonzero(met == place)
                chance = scipy.special.softmax(table[:, place])
                at = (rng.random() + np.arange(len(copies))) / len(copies)
                steps = np.minimum(np.searchsorted(np.cumsum(chance), at), len(chance) - 1)
                values[scope[0]][copies] = rng.permutation(steps)
        return values


def most_random(tree: CliqueTree, shares: Float[np.ndarray, " n_margins"]) -> Joint:
    r"""Return the distribution of maximum entropy with given shares of all values.

    First the least expected cost is found by linear programming; combinations with a
    positive reduced cost, and those that no distribution of that cost has, are
    excluded. On what is left the entropy is maximal for :math:`p(x) \propto \exp
    \sum_g \lambda_g(x_g)`, whose λ minimise the convex dual :math:`\ln Z(\lambda) - \lambda
    \cdot \mu` (Jaynes, 1957, doi:10.1103/PhysRev.106.620).

    Parameters
    ----------
    tree
        Of the component.
    shares
        Share of copies with each value of the first group of each clique, clique by clique.

    Raises
    ------
    InputError
        If no distribution has these shares.
    """
    allowed = _face(Programme(tree), shares)
    sizes = [clique.cost.shape[0] for clique in tree.cliques]
    cuts = np.cumsum(sizes)[:-1]
    held = shares > _ZERO

    def dual(given: np.ndarray) -> tuple[float, np.ndarray]:
        fields = np.zeros(len(shares))
        fields[held] = given
        logs = _logs(allowed, np.split(fields, cuts))
        total, margins = _sum_up(tree, logs)
        return total - float(fields @ shares), (margins - shares)[held]

    found = scipy.optimize.minimize(
        dual,
        np.log(shares[held]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-9, "maxcor": 30},
    )
    fields = np.zeros(len(shares))
    fields[held] = found.x
    return Joint(tree, allowed, np.split(fields, cuts), max(float(found.fun), 0.0))


def exact_pieces(
    joint: Joint,
    drawn: dict[int, Int[np.ndarray, " n"]],
    shares: Float[np.ndarray, " n_margins"],
) -> tuple[Float[np.ndarray, " n"], list[tuple[float, dict[int, int]]]]:
    """Weights for drawn combinations, and the rest, so that the shares are exact.

    As much weight as possible (1/n each at most) stays on what was drawn; the
    rest is a distribution on allowed combinations that makes up for what is missing.

    Returns
    -------
    weights
        Of the drawn combinations.
    rest
        Further combinations with their weights; few.
    """
    tree = joint.tree
    masked = _restricted(tree, joint.allowed)
    programme = Programme(masked)
    n = len(next(iter(drawn.values())))
    hits = np.concatenate(
        [
            drawn[clique.scope[0]][None] == np.arange(clique.cost.shape[0])[:, None]
            for clique in tree.cliques
        ]
    ).astype(float)
    matrix = scipy.sparse.bmat(
        [
            [scipy.sparse.csr_matrix((programme.agreement.shape[0], n)), programme.agreement],
            [scipy.sparse.csr_matrix(hits), programme.margins],
        ],
        format="csc",
    )
    variables = matrix.shape[1] - n
    found = _linprog(
        np.concatenate([-np.ones(n), np.zeros(variables)]),
        A_eq=matrix,
        b_eq=np.concatenate([np.zeros(programme.agreement.shape[0]), shares]),
        bounds=np.stack(
            [
                np.zeros(n + variables),
                np.concatenate([np.full(n, 1 / n), np.full(variables, np.inf)]),
            ],
            axis=1,
        ),
        method="highs",
    )
    if found.x is None:
        raise InputError(
            "weights that keep the populations were not found",
            found=found.message,
            fix="use the marginal mode",
        )
    weights = np.where(found.x[:n] > _ZERO, found.x[:n], 0.0)
    return weights, _pieces(masked, programme.tables(np.maximum(found.x[n:], 0.0)))


def _face(programme: Programme, shares: np.ndarray) -> list[np.ndarray]:
    """Entries that distributions of the least expected cost can have."""
    matrix = scipy.sparse.vstack([programme.agreement, programme.margins], format="csc")
    right = np.concatenate([np.zeros(programme.agreement.shape[0]), shares])
    least = _linprog(programme.cost, A_eq=matrix, b_eq=right, method="highs")
    if least.x is None:
        raise InputError(
            "rules and populations cannot both be kept",
            found="no distribution over the allowed combinations has the stated occupancies",
            fix="validate the hierarchy, and correct its rules or occupancies",
        )
    reduced = programme.cost - matrix.T @ least.eqlin.marginals
    scale = max(float(np.abs(programme.cost).max(initial=0.0)), 1.0)
    able = reduced <= _COST * scale
    n = len(able)
    # Largest support: y solves the equations up to a factor, t ≤ y, t ≤ 1, most t.
    eye = scipy.sparse.identity(n, format="csr")
    column = scipy.sparse.csr_matrix(-right[:, None])
    equal = scipy.sparse.bmat(
        [[matrix, scipy.sparse.csr_matrix((len(right), n)), column]], format="csc"
    )
    below = scipy.sparse.bmat([[-eye, eye, scipy.sparse.csr_matrix((n, 1))]], format="csc")
    top = np.where(able, np.inf, 0.0)
    found = _linprog(
        np.concatenate([np.zeros(n), -np.ones(n), [0.0]]),
        A_eq=equal,
        b_eq=np.zeros(len(right)),
        A_ub=below,
        b_ub=np.zeros(n),
        bounds=np.stack(
            [
                np.concatenate([np.zeros(n), np.zeros(n), [1.0]]),
                np.concatenate([top, np.minimum(top, 1.0), [1e6]]),
            ],
            axis=1,
        ),
        method="highs",
    )
    support = least.x > _ZERO if found.x is None else found.x[n : 2 * n] > 1e-3
    return [table > 0 for table in programme.tables(support)]


def _restricted(tree: CliqueTree, allowed: list[np.ndarray]) -> CliqueTree:
    cliques = tuple(
        type(clique)(clique.scope, clique.parent, np.where(able, clique.cost, np.inf))
        for clique, able in zip(tree.cliques, allowed, strict=True)
    )
    return CliqueTree(cliques)


def _logs(allowed: list[np.ndarray], fields: list[np.ndarray]) -> list[np.ndarray]:
    return [
        np.where(able, field.reshape(-1, *[1] * (able.ndim - 1)), -np.inf)
        for able, field in zip(allowed, fields, strict=True)
    ]


def _upward(tree: CliqueTree, logs: list[np.ndarray]) -> list[np.ndarray]:
    """Tables with all that was summed out before multiplied in (logarithms)."""
    tables = [table.copy() for table in logs]
    for number, clique in enumerate(tree.cliques):
        if clique.parent >= 0:
            message = scipy.special.logsumexp(tables[number], axis=0)
            tables[clique.parent] += _aligned(tree, number, message)
    return tables


def _sum_up(tree: CliqueTree, logs: list[np.ndarray]) -> tuple[float, np.ndarray]:
    """Logarithm of the sum over all combinations, and the shares of all values."""
    tables = _upward(tree, logs)
    total = float(scipy.special.logsumexp(tables[-1]))
    beliefs: list[np.ndarray] = [np.zeros(0)] * len(tables)
    for number in range(len(tables) - 1, -1, -1):
        table, clique = tables[number], tree.cliques[number]
        if clique.parent < 0:
            beliefs[number] = np.exp(table - total)
            continue
        axes = tree.separator_axes(number)
        other = tuple(a for a in range(beliefs[clique.parent].ndim) if a not in axes)
        share = beliefs[clique.parent].sum(axis=other)
        share = share.transpose(np.argsort(np.argsort(axes)))
        beliefs[number] = (
            scipy.special.softmax(np.where(np.isneginf(table.max(axis=0)), 0.0, table), axis=0)
            * share
        )
    return total, np.concatenate([b.reshape(b.shape[0], -1).sum(axis=1) for b in beliefs])


def _aligned(tree: CliqueTree, number: int, message: np.ndarray) -> np.ndarray:
    """Give a message the axes of the parent's table."""
    axes = tree.separator_axes(number)
    shape = [1] * len(tree.cliques[tree.cliques[number].parent].scope)
    for axis, size in zip(axes, message.shape, strict=True):
        shape[axis] = size
    return message.transpose(np.argsort(axes)).reshape(shape)


def _pieces(tree: CliqueTree, tables: list[np.ndarray]) -> list[tuple[float, dict[int, int]]]:
    """Few whole combinations, with weights, whose sums are the tables."""
    pieces: list[tuple[float, dict[int, int]]] = [(float(tables[-1].sum()), {})]
    for number in range(len(tables) - 1, -1, -1):
        scope = tree.cliques[number].scope
        left = tables[number].copy()
        cut: list[tuple[float, dict[int, int]]] = []
        for weight, values in pieces:
            column = left.reshape(len(left), -1)[:, _place(values, scope[1:], left.shape[1:])]
            for value in range(len(column)):
                share = min(weight, float(column[value]))
                if share > _ZERO:
                    cut.append((share, {**values, scope[0]: value}))
                    column[value] -= share
                    weight -= share
            if weight > _ZERO and cut:
                cut[-1] = (cut[-1][0] + weight, cut[-1][1])  # rounding
        pieces = cut
    return pieces


def _place(values: dict[int, int], scope: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """Flat index of some values in a table over a scope."""
    place = 0
    for group, size in zip(scope, shape, strict=True):
        place = place * size + values[group]
    return place
