"""V8, the Fréchet rule: populations of clashing states that leave no way out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unstill.ensembles.contacts import find_clashes
from unstill.ensembles.contacts.clashes import Clashes
from unstill.ensembles.multiconformer import Multiconformer
from unstill.validation.finding import Finding
from unstill.validation.row_names import row_names, several, state_ids

FORCED = 0.05
"""Population above which a forced clash is an error.

Refined occupancies are uncertain by about 0.02 each, so the excess of two of
them over 1 is by about 0.03; a forced clash of up to 0.05 may be nothing else.
Above, the model states populations that no set of copies has.
"""

_EXCESS = 0.01
"""Occupancies are written with two decimals; a smaller excess is no finding."""


def check_clashes(model: Multiconformer) -> Iterator[Finding]:
    r"""Find states that clash, and are together in some copies whatever these are.

    Of two sets of copies with shares :math:`a` and :math:`b`, at least
    :math:`\max(0, a + b - 1)` are in both (Fréchet's lower bound). Mates
    through the symmetry of the crystal are told of separately and never an
    error: near special positions occupancies follow conventions that differ.
    """
    clashes = find_clashes(model, symmetry=model.crystal is not None)
    yield from _forced(model, clashes.within_copy, mates=False)
    yield from _forced(model, clashes.between_mates, mates=True)


def _forced(model: Multiconformer, clashes: Clashes, *, mates: bool) -> Iterator[Finding]:
    excess = model.occupancy[clashes.row_a] + model.occupancy[clashes.row_b] - 1
    # An atom beside its own mate is on a special position, whatever its occupancy.
    chosen = (excess > _EXCESS + 1e-9) & (clashes.row_a != clashes.row_b)
    clashes, excess = clashes.take(chosen), excess[chosen]
    groups: dict[tuple[int, int], list[int]] = {}
    for number, pair in enumerate(
        zip(model.state[clashes.row_a].tolist(), model.state[clashes.row_b].tolist(), strict=True)
    ):
        groups.setdefault((min(pair), max(pair)), []).append(number)
    for states, numbers in groups.items():
        # Atoms that all copies have are one state, and clash in pairs of their own.
        alone = states == (model.tree.root, model.tree.root)
        for some in [[number] for number in numbers] if alone else [numbers]:
            yield _finding(model, clashes, excess, states, some, mates=mates)


def _finding(
    model: Multiconformer,
    clashes: Clashes,
    excess: np.ndarray,
    states: tuple[int, int],
    numbers: list[int],
    *,
    mates: bool,
) -> Finding:
    worst = max(numbers, key=lambda n: (float(excess[n]), float(clashes.overlap[n])))
    a, b = int(clashes.row_a[worst]), int(clashes.row_b[worst])
    share = float(excess[worst])
    mate = f" of the mate {clashes.symmetry[worst]}" if mates else ""
    more = "" if len(numbers) == 1 else f" (and {several(len(numbers) - 1, 'pair')} more)"
    return Finding(
        "V8",
        "error" if share > FORCED + 1e-9 and not mates else "warning",
        f"{model.row_label(a)} ({model.occupancy[a]:.2f}) and {model.row_label(b)}{mate} "
        f"({model.occupancy[b]:.2f}) are {clashes.distance[worst]:.2f} Å apart, and at least "
        f"{share:.2f} of all copies have both{more}",
        states=state_ids(model, dict.fromkeys(states)),
        atoms=row_names(model, (a, b)),
        value=share,
        remedy="lower one of the occupancies so that they sum to 1 at most, or move one atom",
        kind="forced-clash-with-mate" if mates else "forced-clash",
        count=len(numbers),
    )
