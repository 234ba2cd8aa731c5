"""Elements joined into states, as far as occupancies and atoms allow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unstill.ensembles.hierarchy.consistency import ROUNDING
from unstill.ensembles.hierarchy.elements import Element
from unstill.ensembles.multiconformer import Multiconformer


class Joined:
    """Disjoint sets of elements, each of one occupancy and with each atom once.

    Parameters
    ----------
    model
        The model.
    elements
        Its elements; each is a set of its own at first.
    """

    def __init__(self, model: Multiconformer, elements: Sequence[Element]) -> None:
        self.elements = tuple(elements)
        self._set = list(range(len(elements)))
        self._low = [element.low for element in elements]
        self._high = [element.high for element in elements]
        self._told = [element.told for element in elements]
        position = model.position[model.site]
        self._held = [set(position[element.rows].tolist()) for element in elements]

    def of(self, element: int) -> int:
        """Set of an element, named by its first element."""
        while self._set[element] != element:
            self._set[element] = self._set[self._set[element]]
            element = self._set[element]
        return element

    def fits(self, a: int, b: int) -> bool:
        """Whether the sets of two elements may be one state, or are one already."""
        a, b = self.of(a), self.of(b)
        if a == b:
            return True
        spread = max(self._high[a], self._high[b]) - min(self._low[a], self._low[b])
        return (
            self.elements[a].base == self.elements[b].base
            and (spread <= ROUNDING + 1e-9 or not (self._told[a] or self._told[b]))
            and self._held[a].isdisjoint(self._held[b])
        )

    def join(self, a: int, b: int) -> bool:
        """Make the sets of two elements one, if they fit; whether they are one now."""
        if not self.fits(a, b):
            return False
        first, second = sorted((self.of(a), self.of(b)))
        if first != second:
            self._set[second] = first
            self._low[first] = min(self._low[first], self._low[second])
            self._high[first] = max(self._high[first], self._high[second])
            self._told[first] |= self._told[second]
            self._held[first] |= self._held[second]
        return True

    def sets(self) -> dict[int, list[int]]:
        """Elements of each set, in order."""
        found: dict[int, list[int]] = {}
        for element in range(len(self.elements)):
            found.setdefault(self.of(element), []).append(element)
        return found

    def occupancy(self, element: int) -> float:
        """Middle of the occupancies in the set of an element."""
        number = self.of(element)
        return float(np.mean([self._low[number], self._high[number]]))
