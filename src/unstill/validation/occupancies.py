"""V5: occupancies are shares, children fit into their parents, alternatives into one copy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unstill.ensembles.multiconformer import Multiconformer
from unstill.ensembles.multiconformer.constraints import ROUNDING
from unstill.validation.finding import Finding, Severity
from unstill.validation.row_names import row_names, several, state_ids

EXACT = 0.005
"""Occupancies this close are one: written with two decimals."""

_SLACK = 1e-6
"""Sums of binary fractions are not exact."""


def check_occupancies(model: Multiconformer) -> Iterator[Finding]:
    """Find occupancies that are no share of copies, and sums above what there is.

    The sum over the alternatives of a position may exceed the occupancy of
    what they share by ``ROUNDING`` (several numbers of two decimals): a
    warning; above, an error. Sums below are atoms that some copies lack: notes.
    """
    yield from _shares(model)
    yield from _children(model)
    yield from _positions(model)


def too_much(excess: float) -> Severity | None:
    """Judge how far a sum of occupancies is above what it may be; ``None``: not at all."""
    if excess <= EXACT + _SLACK:
        return None
    return "warning" if excess <= ROUNDING + _SLACK else "error"


def _shares(model: Multiconformer) -> Iterator[Finding]:
    occupancy = model.occupancy
    for which, what in (
        (occupancy < 0, "below 0"),
        (occupancy > 1 + _SLACK, "above 1"),
    ):
        rows = np.flatnonzero(which)
        if not len(rows):
            continue
        worst = rows[np.argmax(np.abs(occupancy[rows] - 0.5))]
        rounding = 0 < float(occupancy[worst]) - 1 <= ROUNDING
        yield Finding(
            "V5",
            "warning" if rounding else "error",
            f"{several(len(rows), 'atom')} with an occupancy {what} "
            f"({occupancy[worst]:.3g} at worst)",
            atoms=row_names(model, rows.tolist()),
            value=float(occupancy[worst]),
            remedy="occupancies are shares of all copies, between 0 and 1",
            kind="occupancy-range",
            count=len(rows),
        )
    stated = model.tree.occupancy
    wrong = np.flatnonzero((stated < 0) | (stated > 1 + _SLACK) | ~np.isfinite(stated))
    for state in wrong.tolist():
        yield Finding(
            "V5",
            "error",
            f"the state {model.states[state].id} has an occupancy of {stated[state]:.3g}",
            states=state_ids(model, [state]),
            value=float(stated[state]),
            remedy="occupancies are shares of all copies, between 0 and 1",
            kind="state-range",
        )
    root = float(stated[model.tree.root])
    if abs(root - 1) > _SLACK and model.tree.root not in wrong:
        yield Finding(
            "V5",
            "error",
            f"the root has an occupancy of {root:.3g}, and every copy is in it",
            states=state_ids(model, [model.tree.root]),
            value=root,
            remedy="give the root an occupancy of 1; what some copies lack is a state below it",
            kind="root-occupancy",
        )


def _children(model: Multiconformer) -> Iterator[Finding]:
    population = model.populations
    for state, parent in enumerate(model.tree.parent.tolist()):
        if parent < 0 or parent == model.tree.root:
            continue
        excess = float(population[state] - population[parent])
        severity = too_much(excess)
        if severity:
            yield Finding(
                "V5",
                severity,
                f"{model.states[state].id} has an occupancy of {population[state]:.3f}, more than "
                f"{model.states[parent].id}, of which it is part ({population[parent]:.3f})",
                states=state_ids(model, [state, parent]),
                value=excess,
                remedy="lower the child or raise the parent",
                kind="child-above-parent",
            )


def _positions(model: Multiconformer) -> Iterator[Finding]:
    """Judge every position under the ancestor that it exceeds most, a set of states at a time."""
    excess, ancestor = _worst_excess(model)
    position = model.position[model.site]
    order = np.argsort(position, kind="stable")
    starts = np.searchsorted(position[order], np.arange(len(excess) + 1))
    groups: dict[tuple[int, tuple[int, ...], Severity], list[int]] = {}
    lacking: dict[tuple[int, ...], list[int]] = {}
    for number, over in enumerate(excess.tolist()):
        rows = order[starts[number] : starts[number + 1]]
        severity = too_much(over)
        # The range of a single row is judged by itself.
        if severity and len(rows) > 1:
            key = (int(ancestor[number]), tuple(sorted(set(model.state[rows].tolist()))), severity)
            groups.setdefault(key, []).append(number)
        elif over < -EXACT - _SLACK and len(rows):
            lacking.setdefault(tuple(sorted(set(model.state[rows].tolist()))), []).append(number)
    for (above, states, severity), numbers in groups.items():
        yield _sum_above(model, above, states, severity, excess, numbers, (order, starts))
    yield from _partial(model, lacking, excess, (order, starts))


def _worst_excess(model: Multiconformer) -> tuple[np.ndarray, np.ndarray]:
    """By position, how far its rows exceed an ancestor's occupancy, and which ancestor.

    Negative where they leave room under each of them; then it is the room of
    the narrowest.
    """
    tree = model.tree
    whole = np.array(model.populations, dtype=float)
    whole[tree.root] = 1.0
    position = model.position[model.site]
    n, n_states = int(position.max(initial=-1)) + 1, len(tree)
    above = [[a for a in tree.line(s) if a != s or a == tree.root] for s in range(n_states)]
    row = np.repeat(np.arange(model.n_rows), [len(above[s]) for s in model.state.tolist()])
    over = np.array([a for s in model.state.tolist() for a in above[s]], dtype=np.int64)
    key, inverse = np.unique(position[row] * n_states + over, return_inverse=True)
    total = np.bincount(inverse, weights=model.occupancy[row], minlength=len(key))
    at, state = key // n_states, key % n_states
    excess = total - whole[state]
    order = np.lexsort((excess, at))
    last = order[np.flatnonzero(np.diff(at[order], append=n))]
    found, which = np.zeros(n), np.full(n, tree.root)
    found[at[last]], which[at[last]] = excess[last], state[last]
    return found, which


def _sum_above(
    model: Multiconformer,
    above: int,
    states: tuple[int, ...],
    severity: Severity,
    excess: np.ndarray,
    numbers: list[int],
    rows_of: tuple[np.ndarray, np.ndarray],
) -> Finding:
    order, starts = rows_of
    worst = max(numbers, key=lambda number: excess[number])
    whole = 1.0 if above == model.tree.root else float(model.populations[above])
    total = whole + float(excess[worst])
    ids = [model.states[s].id for s in states]
    named = ", ".join(ids[:4]) + (f" and {len(ids) - 4} more" if len(ids) > 4 else "")
    share = "1" if above == model.tree.root else f"the {whole:.3f} of {model.states[above].id}"
    return Finding(
        "V5",
        severity,
        f"occupancies of {several(len(numbers), 'position')} in {named} sum to "
        f"{total:.3f} at worst, more than {share}" + ", as rounding may" * (severity == "warning"),
        states=tuple(ids[:12]),
        atoms=row_names(model, (int(order[starts[number]]) for number in numbers)),
        value=total,
        remedy="scale the occupancies of these states down to their sum"
        if severity == "error"
        else "round the occupancies so that they add up",
        kind="sum-above",
        count=len(numbers),
    )


def _partial(
    model: Multiconformer,
    lacking: dict[tuple[int, ...], list[int]],
    excess: np.ndarray,
    rows_of: tuple[np.ndarray, np.ndarray],
) -> Iterator[Finding]:
    """Tell of groups that are not complete: by rounding, or as some copies lack the atoms."""
    order, starts = rows_of
    for rounding in (True, False):
        chosen = [
            number
            for numbers in lacking.values()
            for number in numbers
            if (excess[number] >= -ROUNDING - _SLACK) == rounding
        ]
        if not chosen:
            continue
        states = {s for key, numbers in lacking.items() if set(numbers) & set(chosen) for s in key}
        worst = min(chosen, key=lambda number: excess[number])
        yield Finding(
            "V5",
            "note",
            f"occupancies of {several(len(chosen), 'position')} "
            + (
                "miss the whole by no more than rounding does"
                if rounding
                else "sum to less than the whole: a share of copies lacks these atoms, "
                f"{-excess[worst]:.2f} at most"
            ),
            states=state_ids(model, sorted(states)[:12]),
            atoms=row_names(model, (int(order[starts[number]]) for number in chosen)),
            value=float(excess[worst]),
            remedy="round the occupancies so that they add up"
            if rounding
            else "nothing, if these atoms are partial; otherwise raise the occupancies",
            kind="sum-rounded-below" if rounding else "partial",
            count=len(chosen),
        )
