"""Models of waters in several places, small enough to try every set of copies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import biotite.structure
import numpy as np
from hypothesis import strategies as st

from unstill.chemistry.radii import vdw_radii
from unstill.ensembles.multiconformer import Multiconformer, Rule, State

STEP = 2.3
"""Å between places of a grid: neighbours clash, and are too far apart to be bonded."""


Places = list[tuple[int, str, tuple[float, float, float]]]
Drawn = tuple[Places, list[State], tuple[Rule, ...]]


def model_of(
    places: Places,
    states: list[State],
    rules: tuple[Rule, ...] = (),
) -> Multiconformer:
    """Waters: (number of the water, state, place on the grid) of every row."""
    numbers = sorted({number for number, _, _ in places})
    atoms = biotite.structure.AtomArray(len(numbers))
    atoms.chain_id[:], atoms.res_name[:], atoms.atom_name[:] = "W", "HOH", "O"
    atoms.element[:], atoms.hetero[:] = "O", True
    # Numbers far apart: neighbours in sequence are not looked at.
    atoms.res_id = 10 * np.array(numbers) + 1
    index = {state.id: number for number, state in enumerate(states)}
    state = np.array([index[name] for _, name, _ in places])
    return Multiconformer(
        atoms,
        np.array([numbers.index(number) for number, _, _ in places]),
        state,
        STEP * np.array([place for _, _, place in places], dtype=float),
        np.array([states[one].occupancy for one in state]),
        np.full(len(places), 20.0),
        np.array([name for _, name, _ in places]),
        tuple(states),
        rules=rules,
    )


@st.composite
def small_models(draw: st.DrawFn, n_members: int) -> Drawn:
    """One to three sets of alternatives, partial ones too, some nested, maybe a rule.

    Occupancies are whole numbers of copies, so that counts are exact. What is drawn are the
    arguments of ``model_of``.
    """
    grid = st.tuples(*[st.integers(0, 2)] * 3)
    states, places = [State("Base")], []
    for number in range(draw(st.integers(1, 3))):
        left = n_members
        for letter in "ab"[: draw(st.integers(1, 2))]:
            copies = draw(st.integers(0, left))
            left -= copies
            own = State(f"{letter}{number}", "Base", occupancy=copies / n_members)
            states.append(own)
            places.append((number, own.id, draw(grid)))
            if copies and draw(st.integers(0, 3)) == 0:
                below = draw(st.integers(0, copies))
                child = State(f"{own.id}c", own.id, occupancy=below / n_members)
                states.append(child)
                places.append((10 + len(states), child.id, draw(grid)))
    rules: tuple[Rule, ...] = ()
    pairs = [(a.id, b.id) for a, b in itertools.combinations(states[1:], 2) if a.id[1] != b.id[1]]
    if pairs and draw(st.booleans()):
        kind = draw(st.sampled_from(["NOT", "AND", "OR"]))
        a, b = draw(st.sampled_from(pairs))
        rules = (Rule(1, kind, a, (b,)),)
    return places, states, rules


def clashes_in(model: Multiconformer, in_state: np.ndarray) -> int:
    """Pairs of atoms of one copy that overlap by more than 0.6 Å, by plain loops."""
    radius = float(vdw_radii(np.array(["O"]))[0])
    rows = np.flatnonzero(in_state[model.state])
    found = 0
    for a, b in itertools.combinations(rows.tolist(), 2):
        if model.site[a] == model.site[b] or model.tree.related(*model.state[[a, b]].tolist()):
            continue
        distance = float(np.linalg.norm(model.coord[a] - model.coord[b]))
        found += 2 * radius - distance > 0.6
    return found


def macrostates_of(model: Multiconformer) -> list[np.ndarray]:
    """Every copy that tree, positions and rules allow, by trying all sets of states."""
    tree, found = model.tree, []
    for chosen in itertools.product((False, True), repeat=len(tree) - 1):
        held = np.array([True, *chosen])
        present = {state.id for state, there in zip(model.states, held, strict=True) if there}
        whole = all(held[parent] for parent in tree.parent[1:][held[1:]])
        sites = model.site[held[model.state]]
        if (
            whole
            and len(set(sites.tolist())) == len(sites)
            and all(rule.allows(present) for rule in model.rules)
        ):
            found.append(held)
    return found


def all_sets_of_copies(model: Multiconformer, n_members: int) -> Iterator[np.ndarray]:
    """Every multiset of allowed copies with exactly the stated populations."""
    allowed = macrostates_of(model)
    wanted = np.rint(n_members * model.tree.occupancy).astype(int)
    for chosen in itertools.combinations_with_replacement(range(len(allowed)), n_members):
        copies = np.array([allowed[k] for k in chosen])
        if (copies.sum(axis=0) == wanted).all():
            yield copies
