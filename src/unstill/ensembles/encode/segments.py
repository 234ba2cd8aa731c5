"""How the members fall into states at every residue of a chain, chosen for the whole chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import squareform

from unstill.ensembles.encode.nested_clusters import (
    NestedClusters,
    Places,
    clusters_of,
    nested_clusters,
)
from unstill.shapes import Float, Int

_LONGEST_WINDOW = 64
_MOST_CANDIDATES = 40
_BALL = 1.2


@dataclass(frozen=True, eq=False)
class ChainResidue:
    """What the choice of states needs to know of one residue.

    Parameters
    ----------
    backbone, side_chain
        Places of the two parts; no side chain has no components.
    end, start
        ``(n_members, 3)`` the atom bonded to the next residue, and to the one before; not a
        number where a member has none.
    """

    backbone: Places
    side_chain: Places
    start: Float[np.ndarray, "n_members 3"]
    end: Float[np.ndarray, "n_members 3"]


@dataclass(frozen=True)
class SegmentCosts:
    """What the choice of states weighs against the number of atoms.

    Parameters
    ----------
    eps
        Largest RMSD of a residue from its state, in Å.
    junction
        Atoms that one strained pair of neighbouring states is worth.
    strain
        Misfit across a bond that counts in full, in Å; half of it counts a quarter.
    """

    eps: float
    junction: float = 3.0
    strain: float = 0.5


def choose_partitions(
    residues: Sequence[ChainResidue],
    weights: Float[np.ndarray, " n_members"],
    costs: SegmentCosts,
    stiffness: Float[np.ndarray, " n_junctions"] | None = None,
) -> list[Int[np.ndarray, " n_members"]]:
    """Choose the states of every residue of a bonded chain so that the whole is cheapest.

    Members are clustered over windows of 1, 2, 4, … residues. Each way to cut such a
    clustering into clusters within ``eps`` at one residue, or at several neighbours, is a
    candidate. Viterbi's algorithm finds the sequence of candidates that costs least: atoms
    of all states, and at every bond between residues the misfit of the pairs of states
    that occur together. Where neighbours have the same clusters they form a segment.

    Parameters
    ----------
    residues
        In the order of the chain.
    weights
        Of the members, positive.
    costs
        Bound and prices.
    stiffness
        Factor on the price of each junction; ones by default.

    Returns
    -------
    list of labels
        For each residue ``(n_members,)`` number of the state of every member, from 0.
    """
    pools = _candidates(residues, weights, costs)
    if stiffness is None:
        stiffness = np.ones(len(residues) - 1)
    total = pools[0].atoms
    back: list[np.ndarray] = []
    for number in range(1, len(residues)):
        step = (
            costs.junction
            * stiffness[number - 1]
            * _misfit(
                residues[number - 1],
                pools[number - 1],
                residues[number],
                pools[number],
                weights,
                costs,
            )
        )
        sums = total[:, None] + step
        best = sums.argmin(axis=0)
        back.append(best)
        total = sums[best, np.arange(len(best))] + pools[number].atoms
    at = int(total.argmin())
    chosen = [at]
    for best in back[::-1]:
        at = int(best[at])
        chosen.append(at)
    return [pool.partitions[i] for pool, i in zip(pools, chosen[::-1], strict=True)]


@dataclass(frozen=True, eq=False)
class _Pool:
    """Candidates at one residue: their clusters, and the atoms that each needs."""

    partitions: list[np.ndarray]
    held: np.ndarray
    part_of: np.ndarray
    atoms: np.ndarray


def _candidates(
    residues: Sequence[ChainResidue], weights: np.ndarray, costs: SegmentCosts
) -> list[_Pool]:
    found: list[dict[bytes, np.ndarray]] = [{} for _ in residues]
    squared = {
        start: squareform(residue.backbone.squared_distances(), checks=False)
        for start, residue in enumerate(residues)
    }
    length = 1
    while True:
        for start, distances in squared.items():
            tree = nested_clusters(distances, len(weights))
            window = range(start, min(start + length, len(residues)))
            _cut(tree, residues, window, weights, costs.eps, found)
        if length >= min(len(residues), _LONGEST_WINDOW):
            break
        squared = _joined(squared, length)
        length *= 2
    return [
        _priced(residue, list(pool.values()), weights, costs)
        for residue, pool in zip(residues, found, strict=True)
    ]


def _joined(squared: dict[int, np.ndarray], length: int) -> dict[int, np.ndarray]:
    """Return sums over windows twice as long; the next ones begin half a window apart."""
    return {
        start: value + squared[start + length] if start + length in squared else value
        for start, value in squared.items()
        if start % length == 0
    }


def _cut(
    tree: NestedClusters,
    residues: Sequence[ChainResidue],
    window: range,
    weights: np.ndarray,
    eps: float,
    found: list[dict[bytes, np.ndarray]],
) -> None:
    """Add the partitions that a clustering gives for single residues and for blocks of them."""
    reach = np.array([residues[number].backbone.reach(tree.held, weights) for number in window])
    size = 1
    while True:
        starts = range(0, len(window), size)
        of_block = np.maximum.reduceat(reach, list(starts), axis=0)
        for start, nodes in zip(starts, tree.largest(of_block <= eps), strict=True):
            labels = tree.labels(nodes)
            key = labels.tobytes()
            for number in window[start : start + size]:
                found[number].setdefault(key, labels)
        if size >= len(window):
            return
        size *= 2


def _priced(
    residue: ChainResidue, partitions: list[np.ndarray], weights: np.ndarray, costs: SegmentCosts
) -> _Pool:
    held, part_of = clusters_of(partitions)
    lead = held.argmax(axis=1)
    backbone = residue.backbone.n_present[lead]
    atoms = part_of @ (backbone + _side_chain_atoms(residue.side_chain, held, costs.eps))
    kept = np.argsort(atoms, kind="stable")[:_MOST_CANDIDATES]
    chosen = [partitions[i] for i in kept]
    held, part_of = clusters_of(chosen)
    return _Pool(chosen, held, part_of, atoms[kept])


def _side_chain_atoms(side_chain: Places, held: np.ndarray, eps: float) -> np.ndarray:
    """Estimate the side-chain atoms of clusters by a greedy cover with balls about members."""
    if side_chain.coord.shape[1] == 0:
        return np.zeros(len(held))
    # A mean reaches further than a member does; the factor makes up for it.
    near = (side_chain.squared_distances() <= (_BALL * eps) ** 2).astype(np.float32)
    left = held.astype(np.float32)
    n_atoms = np.zeros(len(held))
    open_ = np.arange(len(held))
    while len(open_):
        gain = (left[open_] @ near) * held[open_]
        pick = gain.argmax(axis=1)
        n_atoms[open_] += side_chain.n_present[pick]
        left[open_] *= 1 - near[pick]
        open_ = open_[left[open_].any(axis=1)]
    return n_atoms


def _misfit(
    here: ChainResidue,
    pool: _Pool,
    following: ChainResidue,
    next_pool: _Pool,
    weights: np.ndarray,
    costs: SegmentCosts,
) -> np.ndarray:
    """``(n_here, n_next)`` strain across a bond, summed over pairs of states that co-occur.

    The strain of a pair is how far the step from one mean place to the other is from the
    mean step of the members in both, over ``costs.strain``, squared, at most 1.
    """
    both = np.isfinite(here.end).all(axis=1) & np.isfinite(following.start).all(axis=1)
    end, start = (
        np.where(both[:, None], here.end, 0.0),
        np.where(both[:, None], following.start, 0),
    )
    w = np.where(both, weights, 0.0)
    a, b = pool.held * w, next_pool.held * w
    joint = a @ next_pool.held.T
    share_a, share_b = np.maximum(a.sum(axis=1), 1e-300), np.maximum(b.sum(axis=1), 1e-300)
    mean_a, mean_b = a @ end / share_a[:, None], b @ start / share_b[:, None]
    squared = np.zeros(joint.shape)
    for axis in range(3):
        step = (a * (start - end)[:, axis]) @ next_pool.held.T / np.maximum(joint, 1e-300)
        squared += (mean_b[None, :, axis] - mean_a[:, None, axis] - step) ** 2
    strain = np.where(joint > 0, np.minimum(squared / costs.strain**2, 1.0), 0.0)
    return np.asarray(pool.part_of @ strain @ next_pool.part_of.T)
