"""States of a residue whose means no longer reach all members, split until they do."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import squareform

from unstill.ensembles.encode.nested_clusters import Places, in_order, nested_clusters
from unstill.ensembles.encode.placing import ResidueStates
from unstill.ensembles.encode.segments import ChainResidue
from unstill.ensembles.encode.side_chains import nest_side_chains
from unstill.shapes import Float, Int


def hold_within(
    residue: ChainResidue,
    states: ResidueStates,
    weights: Float[np.ndarray, " n_members"],
    eps: float,
) -> ResidueStates:
    """Return states whose means are within ``eps`` of all their members; the same if they are.

    A part of a state has a mean of its own, which may be further from some of its members than
    that of the whole was. Such backbones are clustered anew, and side chains nested in them.
    """
    if _furthest(residue, states, weights) <= eps**2:
        return states
    backbone = _split(residue.backbone, states.backbone, weights, eps)
    side_chain = nest_side_chains(residue.backbone, residue.side_chain, backbone, weights, eps)
    return ResidueStates(backbone, side_chain)


def _furthest(residue: ChainResidue, states: ResidueStates, weights: np.ndarray) -> float:
    """Largest mean squared distance of a member, over all atoms, from its states' means, in Å²."""
    parts = ((residue.backbone, states.backbone), (residue.side_chain, states.side_chain))
    total = sum(_from_own_mean(part, labels, weights) * part.n_present for part, labels in parts)
    n_atoms = residue.backbone.n_present + residue.side_chain.n_present
    return float((total / np.maximum(n_atoms, 1)).max())


def _from_own_mean(
    places: Places, labels: Int[np.ndarray, " n_members"], weights: np.ndarray
) -> Float[np.ndarray, " n_members"]:
    if places.coord.shape[1] == 0:
        return np.zeros(len(labels))
    held = labels[None, :] == np.unique(labels)[:, None]
    return np.asarray(np.where(held, places.from_mean(held, weights), 0.0).sum(axis=0))


def _split(
    places: Places, labels: Int[np.ndarray, " n_members"], weights: np.ndarray, eps: float
) -> Int[np.ndarray, " n_members"]:
    if places.coord.shape[1] == 0:
        return labels
    squared = places.squared_distances()
    found = np.zeros(len(labels), dtype=np.int64)
    for state in np.unique(labels).tolist():
        mine = np.flatnonzero(labels == state)
        own = squareform(squared[np.ix_(mine, mine)], checks=False)
        tree = nested_clusters(own, len(mine))
        allowed = places.take(mine).reach(tree.held, weights[mine]) <= eps
        allowed[: len(mine)] = True
        found[mine] = tree.labels(tree.largest(allowed)) + state * len(labels)
    return in_order(found)
