"""Neighbours are paired such that the bonds of their chain hold."""

from __future__ import annotations

import biotite.structure
import numpy as np
import pytest

from unstill.ensembles.decode import decode
from unstill.ensembles.decode.junctions import broken_junctions
from unstill.ensembles.multiconformer import Multiconformer, State


def chain(
    places: list[tuple[int, str, str, str, float]], shares: dict[str, float]
) -> Multiconformer:
    """Rows along a line: (residue, its name, atom, state, Å)."""
    keys = list(dict.fromkeys((number, name, atom) for number, name, atom, _, _ in places))
    atoms = biotite.structure.AtomArray(len(keys))
    atoms.chain_id[:] = "A"
    atoms.res_id = np.array([key[0] for key in keys])
    atoms.res_name = np.array([key[1] for key in keys])
    atoms.atom_name = np.array([key[2] for key in keys])
    atoms.element = np.array([key[2][0] for key in keys])
    states = [State("Base"), *(State(name, "Base", occupancy=p) for name, p in shares.items())]
    index = {state.id: number for number, state in enumerate(states)}
    state = np.array([index[name] for _, _, _, name, _ in places])
    coord = np.zeros((len(places), 3))
    coord[:, 0] = [x for *_, x in places]
    return Multiconformer(
        atoms,
        np.array([keys.index(place[:3]) for place in places]),
        state,
        coord,
        np.array([states[one].occupancy for one in state]),
        np.full(len(places), 20.0),
        np.array([name if name != "Base" else "" for _, _, _, name, _ in places]),
        tuple(states),
    )


def test_states_whose_bond_holds_are_paired() -> None:
    """p1–q1 and p2–q2 are at 1.33 Å, p1–q2 and p2–q1 are not."""
    model = chain(
        [
            (1, "GLY", "C", "p1", 0.0),
            (1, "GLY", "C", "p2", 5.0),
            (2, "GLY", "N", "q1", 1.33),
            (2, "GLY", "N", "q2", 6.33),
        ],
        {"p1": 0.6, "p2": 0.4, "q1": 0.5, "q2": 0.5},
    )
    assert broken_junctions(model) == {(1, 4): 1, (2, 3): 1}
    decoded = decode(model, n_members=20)
    # 12 and 8 copies against 10 and 10: two bonds must break.
    assert decoded.report.junctions == 2
    assert decoded.report.proven
    assert decoded.members.in_state.sum(axis=0).tolist() == [20, 12, 8, 10, 10]
    loose = decode(model, n_members=20, keep_bonds=False).report
    assert loose.junctions_random == 0
    assert decoded.report.junctions_random > 2


def test_an_alternative_that_lies_where_another_residue_is_makes_no_bond() -> None:
    """C of residue 1 is, in its state p2, 1.33 Å from N of residue 90, and not bonded to it."""
    model = chain(
        [
            (1, "GLY", "C", "p1", 0.0),
            (1, "GLY", "C", "p2", 40.0),
            (2, "GLY", "N", "p1", 1.33),
            (2, "GLY", "N", "p2", 41.35),
            (89, "GLY", "C", "Base", 37.34),
            (90, "GLY", "N", "q1", 38.67),
            (90, "GLY", "N", "q2", 38.65),
        ],
        {"p1": 0.5, "p2": 0.5, "q1": 0.5, "q2": 0.5},
    )
    assert broken_junctions(model) == {(1, 2): 2}
    assert decode(model, n_members=10).report.junctions == 0


@pytest.mark.parametrize("second", ["GLY", "SER"])
def test_residues_that_stand_for_each_other_have_the_same_neighbour(second) -> None:
    model = chain(
        [
            (1, "ALA", "C", "p1", 0.0),
            (1, "ALA", "C", "p2", 5.0),
            (1, "ALA", "C", "p3", 5.05),
            (2, "GLY", "N", "q1", 1.33),
            (2, second, "N", "q2", 6.33),
        ],
        {"p1": 0.5, "p2": 0.25, "p3": 0.25, "q1": 0.5, "q2": 0.5},
    )
    assert broken_junctions(model) == {(1, 5): 1, (2, 4): 1, (3, 4): 1}
    assert decode(model, n_members=20).report.junctions == 0
