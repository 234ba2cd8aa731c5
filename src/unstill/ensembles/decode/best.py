"""The most probable combinations of states, exactly and without repeats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unstill.ensembles.decode.cliques import CliqueTree, are_small, clique_tree
from unstill.ensembles.decode.factors import LARGEST, Factor, components
from unstill.ensembles.decode.groups import Groups
from unstill.ensembles.decode.shuffle import total_cost
from unstill.errors import InputError
from unstill.shapes import Float, Int

_CONFLICT = 1e6


@dataclass(frozen=True, eq=False)
class Ranked:
    """Combinations of values, the cheapest first.

    Parameters
    ----------
    cost
        Ascending.
    groups
        What the rows of ``values`` speak of.
    values
        Value of each group in each combination.
    """

    cost: Float[np.ndarray, " n"]
    groups: tuple[int, ...]
    values: Int[np.ndarray, "n_groups n"]


def most_probable(
    groups: Groups, soft: Sequence[Factor], hard: Sequence[Factor], n_members: int
) -> Ranked:
    r"""Return the most probable allowed macrostates, exactly.

    The probability of a macrostate is the product over groups of
    :math:`p_s / p_{\text{parent}}`, as if groups were independent. Allowed are those that
    keep the rules and have no conflict, or, where none is free of conflicts, the
    fewest. Each component is searched by dynamic programming over its clique tree, with
    lists of the n best in place of single optima; the lists of the components are merged.

    Parameters
    ----------
    groups, soft, hard
        Groups, conflicts (whole costs) and exclusions.
    n_members
        Length of the list; shorter if there are no more.

    Returns
    -------
    Ranked
        ``cost`` is −ln of the probability; values are those of all groups in their order.

    Raises
    ------
    InputError
        If no copy can keep all rules, or conflicts tie too many groups to each other.
    """
    dear = [Factor(f.scope, f.cost * _CONFLICT) for f in soft]
    chances = _chances(groups)
    found = Ranked(np.zeros(1), (), np.zeros((0, 1), dtype=int))
    for part in components(groups, [*dear, *chances], hard):
        if not are_small(groups, part, 4 * LARGEST):
            raise InputError(
                "conflicts tie too many states to each other for an exact search",
                found=f"{len(part.scope)} groups of states",
                fix="use the marginal mode",
            )
        ranked = _search(clique_tree(groups, part), n_members)
        if ranked is None:
            raise InputError(
                "no copy can keep all rules at the stated occupancies",
                found=f"{len(part.scope)} groups tied to each other",
                fix="validate the hierarchy, and correct its rules or occupancies",
            )
        found = _merged(found, ranked, n_members)
    values = found.values[np.argsort(found.groups, kind="stable")]
    cost = np.array([total_cost(chances, values[:, [k]]) for k in range(values.shape[1])])
    order = np.argsort(cost, kind="stable")
    return Ranked(cost[order], tuple(sorted(found.groups)), values[:, order])


def _search(tree: CliqueTree, limit: int) -> Ranked | None:
    """Best combinations of a component, without those that have more conflicts than needed."""
    lists: list[list[Ranked | None]] = []
    for number, clique in enumerate(tree.cliques):
        separator = clique.cost.shape[1:]
        places = []
        for place in range(int(np.prod(separator))):
            at = np.unravel_index(place, separator) if separator else ()
            options = [
                _entry(tree, lists, number, (value, *map(int, at)), limit)
                for value in range(clique.cost.shape[0])
            ]
            places.append(_union([o for o in options if o is not None], limit))
        lists.append(places)
        for child in tree.children[number]:
            lists[child] = []  # used up
    best = lists[-1][0]
    if best is None:
        return None
    conflicts = np.rint(best.cost / _CONFLICT)
    kept = conflicts == conflicts[0]
    return Ranked(best.cost[kept], best.groups, best.values[:, kept])


def _entry(
    tree: CliqueTree,
    lists: list[list[Ranked | None]],
    number: int,
    index: tuple[int, ...],
    limit: int,
) -> Ranked | None:
    """Best combinations of all that is summed out up to a clique, at one entry of its table."""
    clique = tree.cliques[number]
    cost = float(clique.cost[index])
    if not np.isfinite(cost):
        return None
    found = Ranked(np.array([cost]), clique.scope[:1], np.array([[index[0]]]))
    for child in tree.children[number]:
        place = 0
        shape = tree.cliques[child].cost.shape[1:]
        for axis, size in zip(tree.separator_axes(child), shape, strict=True):
            place = place * size + index[axis]
        below = lists[child][place]
        if below is None:
            return None
        found = _merged(found, below, limit)
    return found


def _merged(one: Ranked, two: Ranked, limit: int) -> Ranked:
    """Best combinations of two independent lists: only i·j ≤ limit can be among them."""
    i, j = np.meshgrid(np.arange(len(one.cost)), np.arange(len(two.cost)), indexing="ij")
    able = (i + 1) * (j + 1) <= limit
    i, j = i[able], j[able]
    cost = one.cost[i] + two.cost[j]
    best = np.argsort(cost, kind="stable")[:limit]
    values = np.concatenate([one.values[:, i[best]], two.values[:, j[best]]])
    return Ranked(cost[best], one.groups + two.groups, values)


def _union(options: list[Ranked], limit: int) -> Ranked | None:
    """Best of several lists over the same groups that share no combination."""
    if not options:
        return None
    cost = np.concatenate([option.cost for option in options])
    values = np.concatenate([option.values for option in options], axis=1)
    best = np.argsort(cost, kind="stable")[:limit]
    return Ranked(cost[best], options[0].groups, values[:, best])


def _chances(groups: Groups) -> list[Factor]:
    """−ln of the share of each value among the copies that have the parent."""
    found = []
    for number, group in enumerate(groups.groups):
        share = np.append(groups.target[list(group.states)], group.absent)
        parent = groups.target[group.parent]
        with np.errstate(divide="ignore"):
            cost = -np.log(share / parent) if parent > 0 else np.full(len(share), np.inf)
        above = int(groups.above[number])
        if above < 0:
            found.append(Factor((number,), cost))
            continue
        # Without the parent the group has none of its states, at no cost.
        table = np.full((groups.groups[above].size, len(share)), np.inf)
        table[:, -1] = 0.0
        table[groups.value_of_state[group.parent]] = cost
        scope = (above, number)
        found.append(Factor(scope, table) if above < number else Factor(scope[::-1], table.T))
    return found
