"""How far apart two rows are along a chain."""

from __future__ import annotations

import numpy as np

from unstill.chemistry.residues import is_water
from unstill.ensembles.multiconformer import Multiconformer
from unstill.shapes import Int

UNCONNECTED = np.iinfo(np.int64).max
"""Distance of residues that no chain connects."""


def residues_apart(
    model: Multiconformer, a: Int[np.ndarray, " n"], b: Int[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """Return how many residues apart two rows are in their chain.

    Residues with the same number and different insertion codes are one apart
    each. 0 means the same residue; waters are in no sequence, and so apart from
    all others, as different chains are.
    """
    place, chain = _places(model)
    residue_a, residue_b = model.residue[model.site[a]], model.residue[model.site[b]]
    same_chain = (chain[residue_a] == chain[residue_b]) & (chain[residue_a] >= 0)
    apart = np.where(same_chain, np.abs(place[residue_a] - place[residue_b]), UNCONNECTED)
    return np.where(residue_a == residue_b, 0, apart)


def _places(model: Multiconformer) -> tuple[np.ndarray, np.ndarray]:
    """Place along its chain, and number of the chain (−1: none), of every residue."""
    sites = model.sites
    first = np.unique(model.residue, return_index=True)[1]
    names = np.asarray(sites.res_name, dtype=str)[first]
    chain = np.unique(np.asarray(sites.chain_id, dtype=str)[first], return_inverse=True)[1]
    number = np.asarray(sites.res_id, dtype=np.int64)[first]
    # Residues are numbered as they appear, so that insertions keep their order.
    order = np.lexsort((np.arange(len(first)), number, chain))
    step = np.diff(number[order], prepend=0)
    repeated = (step == 0) & (np.diff(chain[order], prepend=-1) == 0)
    place = np.empty(len(first), dtype=np.int64)
    place[order] = number[order] + np.cumsum(repeated)
    waters = {name for name in np.unique(names).tolist() if is_water(name)}
    return place, np.where(np.isin(names, list(waters)), -1, chain.reshape(-1))
