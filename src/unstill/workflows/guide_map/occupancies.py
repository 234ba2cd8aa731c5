"""Populations of a collapsed ensemble, residue by residue, as the map has them.

Members have weights as wholes; a map tells the shares of a residue's places
better than eighths do. A state's share of its parent is that of its members in
its residues.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from unstill.ensembles.multiconformer import Multiconformer
from unstill.guidance.start import GuidedModel
from unstill.shapes import Float
from unstill.workflows.guide_map.judging import residues_of

if TYPE_CHECKING:
    from unstill.workflows.guide_map.guiding import GuideResult

_SEEN = 0.02
"""Share below which a place is not told of."""
APART = 0.3
"""Å within which places are one: as far as a collapsed model may be off."""
_LEAST = 0.01
"""Of an occupancy; what a file states exists."""


def with_local_occupancies(
    encoded: Multiconformer,
    model: GuidedModel,
    shares: Float[np.ndarray, "n_members n_residues"],
) -> Multiconformer:
    """Give the states of an encoded ensemble the shares that its members have locally.

    Parameters
    ----------
    encoded
        Of the members of the model, which are recorded in it. They are not recorded in the
        result: no whole copies with one weight each have these populations.
    model
        What was guided.
    shares
        From :func:`unstill.guidance.states.local_shares`.
    """
    assert encoded.members is not None
    n_members = len(encoded.members.weights)
    whole = encoded.members.in_state
    number = _residue_of_sites(encoded, model)
    given = np.array([state.occupancy for state in encoded.states[1:]], dtype=float)
    occupancy = np.concatenate([[1.0], given])
    parents = encoded.tree.parent
    for state in encoded.tree.downward.tolist():
        above = int(parents[state])
        if above < 0:
            continue
        own = np.unique(number[encoded.site[encoded.state == state]])
        own = own[own >= 0]
        inside, around = whole[:, state], whole[:, above]
        part = shares[inside][:, own].sum(axis=0)
        total = shares[around][:, own].sum(axis=0)
        known = total > 0
        fraction = float(inside.sum() / max(int(around.sum()), 1))
        if known.any():
            fraction = float((part[known] / total[known]).mean())
        lone = bool((inside == around).all())
        occupancy[state] = occupancy[above] * (1.0 if lone else fraction)
    occupancy = np.clip(occupancy, min(_LEAST, 1 / n_members), 1.0)
    before = np.concatenate([[1.0], given])
    rows = encoded.occupancy * (occupancy / np.where(before > 0, before, 1.0))[encoded.state]
    root = encoded.states[0]
    states = (
        root,
        *(
            replace(state, occupancy=float(round(occupancy[place], 4)))
            for place, state in enumerate(encoded.states[1:], start=1)
        ),
    )
    return encoded.replace(
        states=states, occupancy=np.round(np.minimum(rows, 1.0), 4), members=None
    )


@dataclass(frozen=True)
class LocalState:
    """A residue with several places.

    Parameters
    ----------
    atom
        Its first atom in the guided model.
    shares
        Of its places, the largest first.
    apart
        Largest RMSD (Å) between two of them.
    """

    atom: int
    shares: tuple[float, ...]
    apart: float


def states_of(result: GuideResult) -> list[LocalState]:
    """Residues to which the map gives several places, those farthest apart first."""
    residue = residues_of(result.model)
    found = []
    for number in range(int(residue.max()) + 1):
        own = np.flatnonzero(residue == number)
        share = result.shares[:, number]
        held = np.flatnonzero(share > _SEEN)
        x = result.state.coord[held][:, own]
        apart = np.sqrt(((x[:, None] - x[None]) ** 2).sum(axis=-1).mean(axis=-1)).max()
        if len(held) > 1 and apart > APART:
            shares = tuple(np.sort(share[held])[::-1].tolist())
            found.append(LocalState(int(own[0]), shares, float(apart)))
    return sorted(found, key=lambda one: -one.apart)


def _residue_of_sites(encoded: Multiconformer, model: GuidedModel) -> np.ndarray:
    """Return the guided residue of each site; −1 for waters, which have no shares."""
    atoms = model.atoms.atoms
    residue = residues_of(model)
    names = zip(atoms.chain_id, atoms.res_id, atoms.ins_code, residue, strict=True)
    known = {(str(c), int(r), str(i)): int(n) for c, r, i, n in names}
    sites = encoded.sites
    keys = zip(sites.chain_id, sites.res_id, sites.ins_code, strict=True)
    return np.array([known.get((str(c), int(r), str(i)), -1) for c, r, i in keys])
