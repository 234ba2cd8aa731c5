"""Ids of states in letters: A, B and so on, then AA, AB."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, islice

from unstill.ensembles.multiconformer import State


def free_ids(states: Sequence[State], n: int) -> list[str]:
    """Return the first ``n`` ids, in bijective base 26, that no state has as id or name.

    Examples
    --------
    >>> free_ids([State("Base"), State("A", "Base")], 3)
    ['B', 'C', 'D']
    """
    taken = {state.id for state in states} | {state.name for state in states}
    return list(islice((name for name in _letters() if name not in taken), n))


def _letters() -> Iterator[str]:
    for number in count(1):
        name = ""
        while number:
            number, digit = divmod(number - 1, 26)
            name = chr(ord("A") + digit) + name
        yield name
