"""Chain bonds that break where two states meet in one copy."""

from __future__ import annotations

import numpy as np
import scipy.spatial

from unstill.ensembles.contacts.sequence import residues_apart
from unstill.ensembles.decode.factors import Pair
from unstill.ensembles.multiconformer import Multiconformer

LINKS = (("C", "N", 1.329), ("O3'", "P", 1.607))
"""Bonds between residues of a chain and their lengths in Å.

C–N: Engh & Huber (1991) Acta Cryst. A47, 392, doi:10.1107/S0108767391001071; O3'–P:
Parkinson et al. (1996) Acta Cryst. D52, 57, doi:10.1107/S0907444995011115.
"""

OFF = 0.1
"""A bond is broken where it is this much (Å) off its length."""

_BONDED = 0.25


def broken_junctions(model: Multiconformer) -> dict[Pair, int]:
    """Count chain bonds that are off by more than 0.1 Å, for pairs of states (a < b).

    Two atoms are bonded where some of their places are within 0.25 Å of the length, more
    than with any other atom: alternatives far apart may lie where other residues are. Pairs
    of their other places are what mixing states breaks.
    """
    position = model.position[model.site]
    found: dict[Pair, int] = {}
    for first, second, length in LINKS:
        one = np.flatnonzero(model.sites.atom_name == first)
        two = np.flatnonzero(model.sites.atom_name == second)
        for a, b in _bonded(model, one, two, length):
            rows_a, rows_b = np.flatnonzero(position == a), np.flatnonzero(position == b)
            apart = np.linalg.norm(
                model.coord[rows_a][:, None] - model.coord[rows_b][None], axis=2
            )
            for i, j in zip(*np.nonzero(np.abs(apart - length) > OFF), strict=True):
                states = sorted((int(model.state[rows_a[i]]), int(model.state[rows_b[j]])))
                if states[0] != states[1]:
                    pair = (states[0], states[1])
                    found[pair] = found.get(pair, 0) + 1
    return found


def _bonded(
    model: Multiconformer, one: np.ndarray, two: np.ndarray, length: float
) -> list[tuple[int, int]]:
    """Pairs of positions of two residues that are at the length in some places, and bonded."""
    rows_one = np.flatnonzero(np.isin(model.site, one))
    rows_two = np.flatnonzero(np.isin(model.site, two))
    if not len(rows_one) or not len(rows_two):
        return []
    near = scipy.spatial.cKDTree(model.coord[rows_one]).sparse_distance_matrix(
        scipy.spatial.cKDTree(model.coord[rows_two]), length + _BONDED, output_type="ndarray"
    )
    row_a, row_b = rows_one[near["i"]], rows_two[near["j"]]
    site_a, site_b = model.site[row_a], model.site[row_b]
    chain = model.sites.chain_id
    good = (near["v"] > length - _BONDED) & (model.residue[site_a] != model.residue[site_b])
    good &= chain[site_a] == chain[site_b]
    if not good.any():
        return []
    next_to = residues_apart(model, row_a[good], row_b[good]) == 1
    ends = model.position[np.stack([site_a[good], site_b[good]], axis=1)]
    pairs, which, times = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
    # Of two that are met as often, the next residue is the neighbour.
    score = times + 0.5 * (np.bincount(which.reshape(-1), next_to) > 0)
    best = np.zeros((2, int(model.position.max()) + 1))
    for side in (0, 1):
        np.maximum.at(best[side], pairs[:, side], score)
    mutual = (score == best[0, pairs[:, 0]]) & (score == best[1, pairs[:, 1]])
    return [(int(one), int(two)) for one, two in pairs[mutual]]
