"""Names of atoms and states as findings give them."""

from __future__ import annotations

from collections.abc import Iterable

from unstill.ensembles.multiconformer import Multiconformer

MOST_NAMES = 6
"""Atoms that one finding names."""


def row_names(model: Multiconformer, rows: Iterable[int]) -> tuple[str, ...]:
    """Readable names of the first rows, and how many there are besides."""
    listed = [int(row) for row in rows]
    names = [model.row_label(row) for row in listed[:MOST_NAMES]]
    if len(listed) > MOST_NAMES:
        names.append(f"and {len(listed) - MOST_NAMES} more")
    return tuple(names)


def state_ids(model: Multiconformer, states: Iterable[int]) -> tuple[str, ...]:
    """Ids of states by their index."""
    return tuple(model.states[state].id for state in states)


def several(count: int, noun: str, plural: str = "") -> str:
    """Write a number with its noun: ``1 atom``, ``3 atoms``."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"
