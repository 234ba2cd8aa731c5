"""Clashes that the populations of two states make unavoidable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.ensembles.contacts.clashes import Clashes
from unstill.ensembles.multiconformer import Multiconformer
from unstill.shapes import Bool

# Occupancies are written to two or three digits; sums of them are exact to this.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class UnavoidableClash:
    """Two parts of two residues that some copies must have both, though they clash.

    Parameters
    ----------
    row_a, row_b
        The two rows that overlap most among those that must meet most often.
    distance, overlap
        Of these, in Å.
    population
        Share of all copies that have both rows at least: occ(a) + occ(b) − 1.
    n
        Pairs of rows of the two parts that must clash.
    symmetry
        Operation that brings the second atom here; ``""`` for none.
    """

    row_a: int
    row_b: int
    distance: float
    overlap: float
    population: float
    n: int
    symmetry: str = ""


def unavoidable(
    model: Multiconformer, clashes: Clashes, *, excess: float = 0.01, everywhere: bool = False
) -> list[UnavoidableClash]:
    r"""Find the clashes that no choice of states in copies can avoid.

    Whatever the joint distribution, two rows are together in at least

    .. math:: p_{ab} \ge o_a + o_b - 1

    of all copies (Fréchet 1951). Row pairs are counted once for every two
    parts, a part being the rows of one residue in one state. Occupancies are
    taken as they are written: where those of a residue add up to less than one,
    the rest of the copies have nothing there, and nothing to clash.

    Parameters
    ----------
    model, clashes
        As :func:`find_clashes` returns them for the model.
    excess
        Populations up to this are passed over: rounding of the occupancies.
    everywhere
        Include clashes with atoms that have no altloc or that every copy has. The one or the
        other is left out by default, for nobody gave a choice of states there.

    Returns
    -------
    list
        The largest population first.
    """
    a, b = clashes.row_a, clashes.row_b
    occupancy = np.minimum(model.occupancy, 1.0)
    population = occupancy[a] + occupancy[b] - 1
    kept = population > excess + _ROUNDING
    if not everywhere:
        alternative = are_alternatives(model)
        kept &= alternative[a] & alternative[b]
    parts: dict[tuple[tuple[int, int], tuple[int, int], str], list[int]] = {}
    residue = model.residue[model.site]
    for number in np.flatnonzero(kept).tolist():
        ends = [(int(residue[row]), int(model.state[row])) for row in (a[number], b[number])]
        first, second = sorted(ends)
        parts.setdefault((first, second, str(clashes.symmetry[number])), []).append(number)
    found = [_worst(clashes, population, numbers) for numbers in parts.values()]
    return sorted(found, key=lambda c: (-c.population, c.row_a, c.row_b, c.symmetry))


def are_alternatives(model: Multiconformer) -> Bool[np.ndarray, " n_rows"]:
    """Which rows are one of several possibilities: with an altloc, and not in every copy."""
    labelled = np.asarray(model.altloc_id, dtype=str) != ""
    return np.asarray(labelled & (model.occupancy < 1 - _ROUNDING), dtype=bool)


def _worst(clashes: Clashes, population: np.ndarray, numbers: list[int]) -> UnavoidableClash:
    worst = max(numbers, key=lambda n: (round(float(population[n]), 6), clashes.overlap[n]))
    return UnavoidableClash(
        int(clashes.row_a[worst]),
        int(clashes.row_b[worst]),
        float(clashes.distance[worst]),
        float(clashes.overlap[worst]),
        float(population[worst]),
        len(numbers),
        str(clashes.symmetry[worst]),
    )
