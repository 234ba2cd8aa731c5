"""A tree of states for a model that has only altlocs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from unstill.ensembles.hierarchy.alternatives import join_by_clashes
from unstill.ensembles.hierarchy.clash_rules import clash_rules
from unstill.ensembles.hierarchy.coexistence import implied_rules
from unstill.ensembles.hierarchy.consistency import ROUNDING
from unstill.ensembles.hierarchy.elements import elements_of, is_base
from unstill.ensembles.hierarchy.joining import Joined
from unstill.ensembles.hierarchy.junctions import join_neighbours
from unstill.ensembles.hierarchy.names import free_ids, name_of_rows
from unstill.ensembles.hierarchy.nesting import nested_sets
from unstill.ensembles.hierarchy.touching import join_touching
from unstill.ensembles.multiconformer import Multiconformer, State
from unstill.ensembles.multiconformer.tree import StateKind, shortened
from unstill.errors import UnstillWarning


def infer_hierarchy(model: Multiconformer, *, rules: bool = False) -> Multiconformer:
    """Join the altlocs of residues into states of the molecule.

    Altlocs of neighbours are one state where their bond is whole, their labels
    agree (or the geometry says that others do) and their occupancies are the
    same within rounding (0.005). Ligands and waters join what they touch under the same
    label and occupancy. Alternatives that would clash in all but one way are joined
    that way. Partial groups without altloc are states of their own. A side
    chain with more states than its backbone hangs on the state of the backbone
    to which it is bonded.

    Parameters
    ----------
    model
        As ``states_from_labels`` or ``read_multiconformer`` give it.
    rules
        Write what is implied as rules of the kind NOT: states that hold the same atom, and
        states that clash where their occupancies allow them to avoid each other.

    Returns
    -------
    Multiconformer
        ``stated``; rows, their order and their occupancies are those of ``model``. States are
        ``A, B, …`` in the order of their first atom, named after chain, residues and altloc. A
        model that is ``stated`` already keeps its tree, with a warning.

    Notes
    -----
    What the altlocs cannot tell is left open: states far from each other stay independent even
    if they have the same label. Occupancies that differ from atom to atom of a residue and add
    up to more than 1.02 tell nothing apart: there bonds and labels decide, and each state
    takes the median, with a warning.
    """
    if model.stated:
        warnings.warn(
            UnstillWarning("the model states its hierarchy; the tree was kept as it is"),
            stacklevel=2,
        )
        found = model
    elif model.members is not None:
        # Models without altlocs: each is a state, and how they occur together is known.
        found = model.replace(stated=True)
    else:
        found = _inferred(model)
    if rules:
        found = found.replace(rules=(*found.rules, *implied_rules(found)))
        found = found.replace(rules=(*found.rules, *clash_rules(found)))
    return found


def _inferred(model: Multiconformer) -> Multiconformer:
    joined = Joined(model, elements_of(model))
    join_neighbours(model, joined)
    join_touching(model, joined)
    join_by_clashes(model, joined)
    nested = nested_sets(model, joined)
    sets = joined.sets()
    bases = [state for state in model.states if is_base(state.id)]
    place = {model.tree.find(state.id): number for number, state in enumerate(bases)}
    ids = dict(zip(sets, free_ids(bases, len(sets)), strict=True))
    states = list(bases)
    state = np.array([place.get(int(number), -1) for number in model.state])
    kind = _kinds(model, joined, sets)
    names: set[str] = set()
    spread = []
    for number, parts in sets.items():
        rows = np.concatenate([joined.elements[part].rows for part in parts])
        state[rows] = len(states)
        above = ids[nested[number]] if number in nested else None
        base = model.states[joined.elements[number].base].id
        prefix = "" if base == model.states[model.tree.root].id else f"{base}/"
        name = _unique(prefix + name_of_rows(model, rows), names)
        if np.ptp(model.occupancy[rows]) > ROUNDING + 1e-9:
            spread.append(ids[number])
        states.append(
            State(
                ids[number],
                above or base,
                name,
                kind[number],
                _details(joined, parts),
                float(np.median(model.occupancy[rows])),
                evidence="inferred from altlocs, occupancies and geometry",
            )
        )
    if spread:
        warnings.warn(
            UnstillWarning(
                "occupancies differ inside states where those of a residue add up to more than "
                f"1.02; {len(spread)} states took the median: {shortened(spread)}"
            ),
            stacklevel=3,
        )
    return model.replace(states=tuple(states), state=state, stated=True)


def _kinds(
    model: Multiconformer, joined: Joined, sets: dict[int, list[int]]
) -> dict[int, StateKind]:
    """Compositional: other residues at the same place, or atoms that are nowhere else."""
    position, residue = model.position[model.site], model.residue[model.site]
    places = np.bincount(position, minlength=1)
    pairs = np.unique(np.stack([residue, _codes(model.sites.res_name[model.site])]), axis=1)
    mixed = np.bincount(pairs[0], minlength=int(residue.max(initial=0)) + 1) > 1
    found: dict[int, StateKind] = {}
    for number, parts in sets.items():
        rows = np.concatenate([joined.elements[part].rows for part in parts])
        alone = np.mean(places[position[rows]] == 1) > 0.5
        other = alone or mixed[residue[rows]].any()
        found[number] = "compositional" if other else "conformational"
    return found


def _codes(names: np.ndarray) -> np.ndarray:
    return np.unique(names, return_inverse=True)[1].reshape(-1)


def _unique(name: str, taken: set[str]) -> str:
    found, times = name, 1
    while found in taken:
        times += 1
        found = f"{name}.{times}"
    taken.add(found)
    return found


def _details(joined: Joined, parts: Sequence[int]) -> str:
    labels = sorted({joined.elements[part].label for part in parts} - {""})
    n = len({joined.elements[part].residue for part in parts})
    residues = "1 residue" if n == 1 else f"{n} residues"
    if not labels:
        return f"{residues} present in part of the copies"
    return f"altloc {' '.join(labels)} of {residues}"
