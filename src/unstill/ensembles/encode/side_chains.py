"""Side chains, nested in the states of the backbone."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import squareform

from unstill.ensembles.encode.nested_clusters import Places, in_order, nested_clusters
from unstill.shapes import Float, Int


def nest_side_chains(
    backbone: Places,
    side_chain: Places,
    labels: Int[np.ndarray, " n_members"],
    weights: Float[np.ndarray, " n_members"],
    eps: float,
) -> Int[np.ndarray, " n_members"]:
    """Split the members of each backbone state by their side chain, as little as the bound allows.

    The bound is on the whole residue, in the frame of the crystal: what the backbone leaves
    of it is what the side chain may use.

    Parameters
    ----------
    backbone, side_chain
        Places of the two parts of one residue.
    labels
        Backbone state of every member.
    weights
        Of the members, positive.
    eps
        Largest RMSD of a member from its state, over all atoms of the residue, in Å.

    Returns
    -------
    side_chain_labels
        ``(n_members,)`` from 0; members of one have the same backbone state.
    """
    found = np.zeros(len(labels), dtype=np.int64)
    if side_chain.coord.shape[1] == 0:
        return labels.copy()
    squared = side_chain.squared_distances()
    n_atoms = np.maximum(backbone.n_present + side_chain.n_present, 1)
    for state in range(int(labels.max()) + 1):
        mine = np.flatnonzero(labels == state)
        tree = nested_clusters(squareform(squared[np.ix_(mine, mine)], checks=False), len(mine))
        part = side_chain.take(mine)
        used = backbone.take(mine).from_mean(np.ones((1, len(mine)), dtype=bool), weights[mine])
        used = used * backbone.n_present[mine]
        total = (used + part.from_mean(tree.held, weights[mine]) * part.n_present) / n_atoms[mine]
        allowed = np.where(tree.held, total, 0.0).max(axis=1) <= eps**2
        # A member alone is as near as the backbone lets it.
        allowed[: len(mine)] = True
        found[mine] = tree.labels(tree.largest(allowed)) + state * len(labels)
    return in_order(found)
