"""A multiconformer model against all rules, V1 to V10."""

from __future__ import annotations

from collections.abc import Iterator

from unstill.ensembles.multiconformer import Multiconformer
from unstill.validation.altlocs import check_altlocs
from unstill.validation.bonds import check_bonds
from unstill.validation.exclusivity import check_exclusivity
from unstill.validation.finding import Finding, arranged
from unstill.validation.member_weights import check_members
from unstill.validation.occupancies import check_occupancies
from unstill.validation.one_occupancy import check_one_occupancy
from unstill.validation.rule_logic import check_rules
from unstill.validation.rule_populations import check_rule_populations
from unstill.validation.states import check_states
from unstill.validation.unavoidable import check_clashes


def check_hierarchy(
    model: Multiconformer, *, most: int | None = 10, inferred: bool = False
) -> tuple[Finding, ...]:
    """Check the states of a model: tree, rules, occupancies, bonds, clashes, members, labels.

    What V1 asks, one tree of unique ids, holds of every ``Multiconformer``
    and is checked by ``check_tables`` on files. A model whose tree is merely read
    off altlocs (``stated`` is false) should be given a tree first
    (``ensembles.hierarchy.infer_hierarchy``).

    Parameters
    ----------
    model
        Any.
    most
        Findings of one sort that are listed one by one; ``None``: all.
    inferred
        The tree was not stated but inferred from altlocs, occupancies of states with it.

    Returns
    -------
    tuple of Finding
        Worst first; empty if nothing is to be said.
    """
    return arranged(_all(model, inferred=inferred), most)


def _all(model: Multiconformer, *, inferred: bool) -> Iterator[Finding]:
    yield from check_states(model)
    yield from check_rules(model)
    yield from check_exclusivity(model)
    yield from check_occupancies(model)
    yield from check_rule_populations(model)
    yield from check_one_occupancy(model, inferred=inferred)
    yield from check_bonds(model)
    yield from check_clashes(model)
    yield from check_members(model)
    yield from check_altlocs(model)
