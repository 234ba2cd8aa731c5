"""V8, the Fréchet rule: populations of clashing states that leave no way out."""

from __future__ import annotations

from collections.abc import Iterator

from unstill.ensembles.contacts import (
    UnavoidableClash,
    are_alternatives,
    find_clashes,
    unavoidable,
)
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
    error: near special positions occupancies follow conventions that differ. A clash with what
    every copy has is a matter of coordinates, not of populations: a warning.
    """
    # An ensemble of many members: no two of its rows can be forced together.
    if 2 * model.occupancy.max(initial=0.0) - 1 <= _EXCESS:
        return
    clashes = find_clashes(model, symmetry=model.crystal is not None)
    for some, mates in ((clashes.within_copy, False), (clashes.between_mates, True)):
        # An atom beside its own mate is on a special position, whatever its occupancy.
        some = some.take(some.row_a != some.row_b)
        everywhere = unavoidable(model, some, excess=_EXCESS, everywhere=True)
        partial = model.occupancy < 1 - 1e-6
        chosen = are_alternatives(model)
        always = []
        for clash in everywhere:
            if partial[clash.row_a] and partial[clash.row_b]:
                labelled = bool(chosen[clash.row_a] and chosen[clash.row_b])
                yield _forced(model, clash, mates=mates, labelled=labelled)
            else:
                always.append(clash)
        if always:
            yield from _always(model, always, mates=mates)


def _forced(
    model: Multiconformer, clash: UnavoidableClash, *, mates: bool, labelled: bool
) -> Finding:
    a, b, share = clash.row_a, clash.row_b, clash.population
    mate = f" of the mate {clash.symmetry}" if mates else ""
    more = "" if clash.n == 1 else f" (and {several(clash.n - 1, 'pair')} more)"
    return Finding(
        "V8",
        # Without an altloc nobody said that there is a choice: weak waters get low occupancies.
        "error" if share > FORCED + 1e-9 and labelled and not mates else "warning",
        f"{model.row_label(a)} ({model.occupancy[a]:.2f}) and {model.row_label(b)}{mate} "
        f"({model.occupancy[b]:.2f}) are {clash.distance:.2f} Å apart, and at least "
        f"{share:.2f} of all copies have both{more}",
        states=state_ids(model, dict.fromkeys((int(model.state[a]), int(model.state[b])))),
        atoms=row_names(model, (a, b)),
        value=share,
        remedy="lower one of the occupancies so that they sum to 1 at most, or move one atom",
        kind="forced-clash" + "-with-mate" * mates + "-without-altloc" * (not labelled),
    )


def _always(
    model: Multiconformer, clashes: list[UnavoidableClash], *, mates: bool
) -> Iterator[Finding]:
    """Report each clash of a state with what every copy has; those of the root in one finding."""
    root = model.tree.root
    plain = [c for c in clashes if model.state[c.row_a] == model.state[c.row_b] == root]
    for clash in clashes:
        if clash in plain:
            continue
        a, b = clash.row_a, clash.row_b
        mate = f" of the mate {clash.symmetry}" if mates else ""
        yield Finding(
            "V8",
            "warning",
            f"{model.row_label(a)} and {model.row_label(b)}{mate} are {clash.distance:.2f} Å "
            f"apart in every copy that has the rarer of them ({clash.population:.2f})",
            states=state_ids(model, dict.fromkeys((int(model.state[a]), int(model.state[b])))),
            atoms=row_names(model, (a, b)),
            value=clash.population,
            remedy="move one of the atoms, or make the one that all copies have partial",
            kind="clash-with-every-copy" + "-of-mate" * mates,
        )
    if plain:
        worst = max(plain, key=lambda clash: clash.overlap)
        yield Finding(
            "V8",
            "warning",
            f"{several(len(plain), 'pair')} of atoms that every copy has clash"
            + (" with symmetry mates" if mates else "")
            + f", the worst {worst.distance:.2f} Å apart",
            states=state_ids(model, [root]),
            atoms=row_names(model, (row for c in plain for row in (c.row_a, c.row_b))),
            value=worst.overlap,
            remedy="move one atom of each pair, or lower its occupancy",
            kind="clash-in-every-copy" + "-of-mate" * mates,
            count=len(plain),
        )
