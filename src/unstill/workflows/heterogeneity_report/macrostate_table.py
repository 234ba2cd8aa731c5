"""Which combinations of states are allowed, and how frequent they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from unstill.ensembles.multiconformer import Multiconformer
from unstill.ensembles.multiconformer.populations import MacrostatePopulations
from unstill.report.blocks import Block, Column, Prose, Row, Table
from unstill.report.numbers import interval, number
from unstill.workflows.heterogeneity_report.alternatives import spans_of

_MOST_TIED, _MOST_COMBINATIONS = 16, 8
_MOST_SIMPLE, _MOST_STATES = 40, 6

_KNOWN = {
    "members": "counted in the members",
    "occupancies": "fixed by the occupancies",
    "entropy": "the most random with these occupancies; in brackets, what they allow",
    "unknown": "not known: too many to look at",
}

_POWERS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def macrostate_blocks(
    model: Multiconformer, components: Sequence[MacrostatePopulations]
) -> list[Block]:
    """Say how many combinations there are; list those of tied states, then plain alternatives."""
    if not components:
        return [Prose("There is one combination: the model has no alternatives.")]
    tied = [part for part in components if not _is_simple(model, part)]
    simple = [part for part in components if _is_simple(model, part)]
    blocks: list[Block] = [Prose(_counted(model, components))]
    if tied:
        blocks.append(_tied_table(model, tied))
    if simple:
        blocks.append(_simple_table(model, simple, alone=not tied))
    return blocks


def _is_simple(model: Multiconformer, part: MacrostatePopulations) -> bool:
    """Plain alternatives: one state or none at a time, with known populations."""
    if part.known in ("unknown", "entropy"):
        return False
    return all(len(combination(model, part, place)) <= 1 for place in range(len(part.present)))


def _tied_table(model: Multiconformer, tied: Sequence[MacrostatePopulations]) -> Table:
    # What is tied to most else tells most.
    order = sorted(range(len(tied)), key=lambda i: (-len(tied[i].states), i))
    shown = sorted(order[:_MOST_TIED])
    rows = [row for place in shown for row in _component_rows(model, tied[place])]
    columns = [
        Column("Combination", style="text"),
        Column("Population", "share of copies"),
        Column("Known by", style="note"),
    ]
    note = (
        "A combination names the deepest states; their ancestors are implied. Combinations of "
        "different components multiply."
    )
    if len(shown) < len(tied):
        note += (
            f" The {len(shown)} components with most states are listed of {len(tied)}; all are "
            "in macrostates.csv."
        )
    return Table(columns, rows, note, wide=True)


def _simple_table(
    model: Multiconformer, simple: Sequence[MacrostatePopulations], *, alone: bool
) -> Table:
    rows = []
    for part in simple[:_MOST_SIMPLE]:
        words = []
        for place in range(min(len(part.present), _MOST_STATES)):
            names = combination(model, part, place)
            share = number(float(part.population[place]), 3)
            words.append(f"{_cut(names[0], 24) if names else 'none'} {share}")
        left = len(part.present) - len(words)
        words += [f"{left} more"] if left else []
        rows.append(Row([spans_of(model, part.states, 40), " · ".join(words)]))
    note = "One state at a time, with its share of copies" + (
        ": " + _KNOWN[simple[0].known] + "." if len({p.known for p in simple}) == 1 else "."
    )
    if len(simple) > len(rows):
        note += (
            f" {len(rows)} of {len(simple)} sets of alternatives are listed, all in "
            "macrostates.csv."
        )
    head = "Alternatives" if alone else "Plain alternatives besides"
    return Table([Column(head, style="text"), Column("Population", style="text")], rows, note)


def allowed(components: Sequence[MacrostatePopulations]) -> str:
    """How many combinations of all components there are, in words for people."""
    whole = all(component.all_found for component in components)
    logarithm = sum(math.log10(max(len(component.present), 1)) for component in components)
    if any(len(component.present) == 0 for component in components):
        return "no"
    if logarithm < 6:
        found = str(math.prod(len(component.present) for component in components))
    else:
        found = ("about " if whole else "") + "10" + f"{logarithm:.0f}".translate(_POWERS)
    return found if whole else f"more than {found}"


def combination(model: Multiconformer, part: MacrostatePopulations, place: int) -> tuple[str, ...]:
    """Ids of the deepest states of a combination."""
    held = [state for state, there in zip(part.states, part.present[place], strict=True) if there]
    parents = {int(model.tree.parent[state]) for state in held}
    return tuple(model.states[state].id for state in held if state not in parents)


def _counted(model: Multiconformer, components: Sequence[MacrostatePopulations]) -> str:
    n = len(components)
    independent = (
        f"The states fall into {n} components that do not bear on each other"
        if n > 1
        else "All states bear on each other"
    )
    if model.members is not None:
        return (
            f"{independent}. What follows was counted in the {model.members.n_members} members "
            "that the model records; it is exact, and what components have to do with each "
            "other is in the members as well."
        )
    return (
        f"{independent}: {allowed(components)} combinations are allowed by tree, rules and "
        "positions. Occupancies say how frequent each state is, not which go together; where "
        "they leave it open, the table gives the most random answer and its bounds."
    )


def _component_rows(model: Multiconformer, part: MacrostatePopulations) -> list[Row]:
    n, states = len(part.present), len(part.states)
    many = f"{'' if part.all_found else 'more than '}{n} combination{'' if n == 1 else 's'}"
    where = spans_of(model, part.states, 48)
    title = f"{where}: {states} state{'' if states == 1 else 's'}, {many}"
    if part.misfit > 0.005:
        title += f"; occupancies are off by {part.misfit:.3f} at least"
    rows = [Row([title], "group")]
    if part.known == "unknown":
        return [*rows, Row(["–", "–", _KNOWN["unknown"]], "control")]
    if part.known == "members" and n > 2 and n == _members(model):
        low, high = float(part.population.min()), float(part.population.max())
        shares = number(low, 3) + ("" if high - low < 5e-4 else f"–{number(high, 3)}")
        row = Row(["each member has one of its own", shares, _KNOWN["members"]], "control")
        return [*rows, row]
    for place in range(min(n, _MOST_COMBINATIONS)):
        names = combination(model, part, place)
        text = " + ".join(names) if names else "none of them"
        share = number(float(part.population[place]), 3)
        low, high = float(part.low[place]), float(part.high[place])
        if high - low > 5e-4:
            share = f"{share} {interval(low, high, 2)}"
        rows.append(Row([_cut(text), share, _KNOWN[part.known] if place == 0 else ""]))
    if n > _MOST_COMBINATIONS:
        rest = float(np.nansum(part.population[_MOST_COMBINATIONS:]))
        rows.append(
            Row([f"{n - _MOST_COMBINATIONS} more", number(rest, 3), "together"], "control")
        )
    return rows


def _members(model: Multiconformer) -> int:
    return 0 if model.members is None else model.members.n_members


def _cut(text: str, most: int = 64) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
