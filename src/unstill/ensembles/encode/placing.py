"""From states of members at every residue to rows of atoms and a tree of states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unstill.ensembles.encode.groups import ResidueGroup
from unstill.shapes import Bool, Float, Int


@dataclass(frozen=True, eq=False)
class ResidueStates:
    """State of every member at one residue: of its backbone, and of its side chain.

    Members without any atom of the residue have states too; these get no rows.
    """

    backbone: Int[np.ndarray, " n_members"]
    side_chain: Int[np.ndarray, " n_members"]


@dataclass(frozen=True, eq=False)
class Placement:
    """Rows, the states they belong to, and where every member finds its atoms.

    Parameters
    ----------
    atom, state
        ``(n_rows,)`` atom of the ensemble and state of each row.
    row
        ``(n_members, n_atoms)`` row of each atom in each member, −1 where it is absent.
    held
        ``(n_states, n_members)`` members in each state; state 0 is the root.
    parent
        ``(n_states,)``; −1 for the root.
    residues
        First and last residue of each state.
    partial
        ``(n_states,)`` whether the state has atoms that some members lack altogether.
    """

    atom: Int[np.ndarray, " n_rows"]
    state: Int[np.ndarray, " n_rows"]
    row: Int[np.ndarray, "n_members n_atoms"]
    held: Bool[np.ndarray, "n_states n_members"]
    parent: Int[np.ndarray, " n_states"]
    residues: Int[np.ndarray, "n_states 2"]
    partial: Bool[np.ndarray, " n_states"]

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.atom)


def place_atoms(
    groups: Sequence[ResidueGroup],
    states: Sequence[ResidueStates],
    present: Bool[np.ndarray, "n_members n_atoms"],
) -> Placement:
    """Give every atom a row in every state that holds it.

    What all members share belongs to the root. Bonded neighbours whose states have the same
    members share the state; a side chain that moves with its backbone is in the same state,
    otherwise in a child of it.
    """
    maker = _Maker(*present.shape)
    for number, (group, mine) in enumerate(zip(groups, states, strict=True)):
        bonded = number > 0 and groups[number - 1].link is not None
        maker.add(number, group, mine, present, bonded=bonded)
    return maker.finish(present)


class _Maker:
    """Collects states and rows residue by residue."""

    def __init__(self, n_members: int, n_atoms: int) -> None:
        self.held = [np.ones(n_members, dtype=bool)]
        self.parent = [-1]
        self.residues = [[0, 0]]
        self.atom: list[np.ndarray] = []
        self.state: list[np.ndarray] = []
        self.n_rows = 0
        self.row = np.full((n_members, n_atoms), -1)
        self.open: dict[bytes, int] = {}

    def add(
        self,
        number: int,
        group: ResidueGroup,
        states: ResidueStates,
        present: np.ndarray,
        *,
        bonded: bool,
    ) -> None:
        """Add the rows of one residue, and the states that it begins."""
        before = self.open if bonded else {}
        self.open = {}
        for label in range(int(states.backbone.max()) + 1):
            held = states.backbone == label
            lead = int(held.argmax())
            key = held.tobytes()
            if not present[lead, group.atoms].any():
                continue
            state = before.get(key)
            if state is None:
                state = 0 if held.all() else self._state(held, 0, number)
            self.open[key] = state
            self.residues[state][1] = number
            self._rows(group.backbone[present[lead, group.backbone]], state, held)
            self._side_chains(number, group, states, present, held, state)

    def finish(self, present: np.ndarray) -> Placement:
        """Return what was collected, rows in the order of the atoms and their states."""
        atom, state = np.concatenate(self.atom), np.concatenate(self.state)
        order = np.lexsort((state, atom))
        place = np.empty(len(order) + 1, dtype=np.int64)
        place[order] = np.arange(len(order))
        place[-1] = -1
        partial = np.zeros(len(self.held), dtype=bool)
        always = np.asarray(present.all(axis=0))
        np.logical_or.at(partial, state, ~always[atom])
        return Placement(
            atom[order],
            state[order],
            place[self.row],
            np.array(self.held),
            np.array(self.parent),
            np.array(self.residues),
            partial,
        )

    def _side_chains(
        self,
        number: int,
        group: ResidueGroup,
        states: ResidueStates,
        present: np.ndarray,
        members: np.ndarray,
        state: int,
    ) -> None:
        if not len(group.side_chain):
            return
        for label in np.unique(states.side_chain[members]).tolist():
            held = members & (states.side_chain == label)
            atoms = group.side_chain[present[int(held.argmax()), group.side_chain]]
            if not len(atoms):
                continue
            same = int(held.sum()) == int(members.sum())
            child = state if same else self._state(held, state, number)
            self._rows(atoms, child, held)

    def _state(self, held: np.ndarray, parent: int, number: int) -> int:
        self.held.append(held)
        self.parent.append(parent)
        self.residues.append([number, number])
        return len(self.held) - 1

    def _rows(self, atoms: np.ndarray, state: int, held: np.ndarray) -> None:
        if not len(atoms):
            return
        self.atom.append(atoms)
        self.state.append(np.full(len(atoms), state))
        self.row[np.ix_(held, atoms)] = self.n_rows + np.arange(len(atoms))
        self.n_rows += len(atoms)


def per_row(
    placement: Placement,
    values: Float[np.ndarray, "n_members n_atoms ..."],
    weights: Float[np.ndarray, " n_members"],
) -> Float[np.ndarray, "n_rows ..."]:
    """Weighted mean of some value of atoms over the members that are in each row."""
    flat = values.reshape(*placement.row.shape, -1)
    total = np.zeros((placement.n_rows, flat.shape[2]))
    for member, weight in enumerate(weights.tolist()):
        rows = placement.row[member]
        there = rows >= 0
        total[rows[there]] += weight * flat[member, there]
    shape = (placement.n_rows, *values.shape[2:])
    return np.asarray((total / row_weights(placement, weights)[:, None]).reshape(shape))


def row_weights(
    placement: Placement, weights: Float[np.ndarray, " n_members"]
) -> Float[np.ndarray, " n_rows"]:
    """Return the summed weight of the members in each row."""
    return np.asarray((placement.held @ weights)[placement.state])
