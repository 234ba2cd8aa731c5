"""The part of a component that is small enough for exact tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from unstill.ensembles.decode.cliques import are_small
from unstill.ensembles.decode.factors import Factor, TiedGroups
from unstill.ensembles.decode.groups import Groups

_TRIES = 40


def relaxed(groups: Groups, part: TiedGroups) -> TiedGroups | None:
    """Leave out costs, never exclusions, until the tables of the component are small enough.

    Costs that close no loop are kept first, the dearest before others.

    Returns
    -------
    TiedGroups or None
        The component itself where it is small; ``None`` where exclusions alone need larger tables.
    """

    def small(factors: Sequence[Factor]) -> bool:
        return are_small(groups, replace(part, factors=tuple(factors)))

    if small(part.factors):
        return part
    hard = [factor for factor in part.factors if factor.hard]
    if not small(hard):
        return None
    costs = _forest_first(part, hard)
    low, high = 0, len(costs)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if small([*hard, *costs[:middle]]) else (low, middle)
    kept = [*hard, *costs[:low]]
    for factor in costs[low : low + _TRIES]:
        if small([*kept, factor]):
            kept.append(factor)
    return replace(part, factors=tuple(kept))


def _forest_first(part: TiedGroups, hard: Sequence[Factor]) -> list[Factor]:
    """Costs, the dearest first, those that close a loop with earlier ones after all others."""
    home = {group: group for group in part.scope}

    def root(group: int) -> int:
        while home[group] != group:
            home[group] = home[home[group]]
            group = home[group]
        return group

    def join(factor: Factor) -> bool:
        ends = {root(group) for group in factor.scope}
        for end in ends:
            home[end] = min(ends)
        return len(ends) == len(factor.scope)

    for factor in hard:
        join(factor)
    soft = [factor for factor in part.factors if not factor.hard]
    soft.sort(key=lambda factor: -float(factor.cost.max()))
    forest: list[Factor] = []
    rest: list[Factor] = []
    for factor in soft:
        (forest if join(factor) else rest).append(factor)
    return [*forest, *rest]
