"""Bonds C–N between residues: which break, and states split until none does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unstill.ensembles.encode.groups import ResidueGroup
from unstill.ensembles.encode.nested_clusters import in_order
from unstill.ensembles.encode.placing import Placement, ResidueStates
from unstill.ensembles.encode.restraints import OFF, PEPTIDE_BOND
from unstill.shapes import Bool, Float, Int


@dataclass(frozen=True, eq=False)
class Junctions:
    """Errors of the bonds C–N between residues, in every member.

    Parameters
    ----------
    residue
        ``(n_junctions,)`` number of the first residue of each.
    rebuilt, given
        ``(n_members, n_junctions)`` difference from 1.33 Å in the rebuilt and the given
        members; 0 where a member has no such bond.
    pair
        ``(n_members, n_junctions)`` number of the pair of rows, −1 where there is none.
    """

    residue: Int[np.ndarray, " n_junctions"]
    rebuilt: Float[np.ndarray, "n_members n_junctions"]
    given: Float[np.ndarray, "n_members n_junctions"]
    pair: Int[np.ndarray, "n_members n_junctions"]

    @property
    def broken(self) -> Bool[np.ndarray, "n_members n_junctions"]:
        """Off by more than 0.1 Å where the given member is not."""
        return (self.rebuilt > OFF) & (self.given <= OFF)


def measure_junctions(
    groups: Sequence[ResidueGroup],
    placement: Placement,
    rows: Float[np.ndarray, "n_rows 3"],
    coord: Float[np.ndarray, "n_members n_atoms 3"],
    names: np.ndarray,
) -> Junctions:
    """Measure the bonds C–N of all members, rebuilt and given."""
    numbers = [
        number
        for number, group in enumerate(groups)
        if group.link is not None and names[group.link[0]] == "C"
    ]
    links = np.array([groups[number].link for number in numbers], dtype=int).reshape(-1, 2)
    a, b = placement.row[:, links[:, 0]], placement.row[:, links[:, 1]]
    there = (a >= 0) & (b >= 0)
    rebuilt = np.linalg.norm(rows[a] - rows[b], axis=-1)
    given = np.linalg.norm(coord[:, links[:, 0]] - coord[:, links[:, 1]], axis=-1)
    return Junctions(
        np.array(numbers, dtype=int),
        np.where(there, np.abs(rebuilt - PEPTIDE_BOND), 0.0),
        np.where(there, np.abs(given - PEPTIDE_BOND), 0.0),
        np.where(there, a.astype(np.int64) * placement.n_rows + b, -1),
    )


def split_broken(
    states: Sequence[ResidueStates], junctions: Junctions, *, apart: bool
) -> list[ResidueStates]:
    """Give the members of a broken pair of states a state of their own at both residues.

    Parameters
    ----------
    states
        Of every residue.
    junctions
        Their bonds.
    apart
        Give each of these members a state alone, which has the bonds of the member itself.
    """
    own: dict[int, np.ndarray] = {}
    n_members = len(junctions.pair)
    for column in np.flatnonzero(junctions.broken.any(axis=0)).tolist():
        pair = junctions.pair[:, column]
        bad = np.isin(pair, pair[junctions.broken[:, column]])
        key = np.where(bad, (np.arange(n_members) if apart else pair) + 1, 0)
        first = int(junctions.residue[column])
        for number in (first, first + 1):
            held = own.get(number, np.zeros(n_members, dtype=np.int64))
            own[number] = in_order(in_order(held) * (n_members + 1) + in_order(key))
    return [_refined(mine, own.get(number)) for number, mine in enumerate(states)]


def _refined(states: ResidueStates, key: Int[np.ndarray, " n_members"] | None) -> ResidueStates:
    if key is None:
        return states
    size = len(key) + 1
    backbone = in_order(states.backbone * size + key)
    return ResidueStates(backbone, in_order(states.side_chain * size + key))
