"""Nested clusters of members, and how far a cluster reaches from its mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import linkage

from unstill.shapes import Bool, Float, Int


@dataclass(frozen=True, eq=False)
class NestedClusters:
    """All clusters of a hierarchical clustering: single members first, all together last.

    Parameters
    ----------
    held
        ``(n_nodes, n_members)`` members of each cluster.
    above
        ``(n_nodes, n_nodes)``; ``above[a, b]`` is 1 where b contains a, and is not a.
    """

    held: Bool[np.ndarray, "n_nodes n_members"]
    above: Float[np.ndarray, "n_nodes n_nodes"]

    def largest(self, allowed: Bool[np.ndarray, "... n_nodes"]) -> Bool[np.ndarray, "... n_nodes"]:
        """Choose the allowed clusters that are in no larger allowed one."""
        covered = allowed.astype(np.float32) @ self.above.T > 0
        return np.asarray(allowed & ~covered)

    def labels(self, chosen: Bool[np.ndarray, " n_nodes"]) -> Int[np.ndarray, " n_members"]:
        """Return the chosen cluster of each member, numbered as they first appear."""
        place = self.held[chosen].argmax(axis=0)
        return in_order(place)


def nested_clusters(squared: Float[np.ndarray, " n_pairs"], n_members: int) -> NestedClusters:
    """Cluster members by Ward's method, from condensed squared distances."""
    n_nodes = 2 * n_members - 1
    held = np.zeros((n_nodes, n_members), dtype=bool)
    held[np.arange(n_members), np.arange(n_members)] = True
    above = np.zeros((n_nodes, n_nodes), dtype=np.float32)
    if n_members > 1:
        joined = linkage(np.sqrt(squared, dtype=float), "ward")[:, :2].astype(int)
        below = np.eye(n_nodes, dtype=bool)
        for node, (left, right) in enumerate(joined.tolist(), start=n_members):
            held[node] = held[left] | held[right]
            below[node] |= below[left] | below[right]
        np.fill_diagonal(below, val=False)
        above = below.T.astype(np.float32)
    return NestedClusters(held, above)


def in_order(labels: Int[np.ndarray, " n_members"]) -> Int[np.ndarray, " n_members"]:
    """Return labels numbered anew, from 0, as they first appear."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[inverse]


@dataclass(frozen=True, eq=False)
class Places:
    """Where some atoms are in every member.

    Parameters
    ----------
    coord
        ``(n_members, 3 n_atoms)``; 0 for absent atoms.
    n_present
        ``(n_members,)`` atoms that are there.
    pattern
        ``(n_members,)`` number of the set of atoms that is there; members of different sets
        share no state.
    """

    coord: Float[np.ndarray, "n_members n_components"]
    n_present: Int[np.ndarray, " n_members"]
    pattern: Int[np.ndarray, " n_members"]

    @classmethod
    def of(
        cls, coord: np.ndarray, present: np.ndarray, atoms: Int[np.ndarray, " n_atoms"]
    ) -> Places:
        """Take some atoms of ``(n_members, n_atoms_in_all, 3)`` coordinates."""
        there = present[:, atoms]
        taken = coord[:, atoms]
        pattern = np.zeros(len(coord), dtype=np.int64)
        if not there.all():
            taken = np.where(there[:, :, None], taken, 0.0)
            pattern = np.unique(there, axis=0, return_inverse=True)[1].reshape(-1)
        return cls(taken.reshape(len(coord), -1), there.sum(axis=1), pattern)

    def take(self, members: Int[np.ndarray, " n_taken"]) -> Places:
        """Return the places of some members."""
        return Places(self.coord[members], self.n_present[members], self.pattern[members])

    def squared_distances(self) -> Float[np.ndarray, "n_members n_members"]:
        """Mean squared distance over atoms between members, in Å²; huge between patterns."""
        centred = self.coord - self.coord.mean(axis=0)
        norm = (centred**2).sum(axis=1)
        squared = norm[:, None] + norm[None, :] - 2 * centred @ centred.T
        squared = np.maximum(squared, 0.0) / np.maximum(self.n_present, 1)[:, None]
        squared = np.maximum(squared, squared.T)
        np.fill_diagonal(squared, 0.0)
        return np.where(self.pattern[:, None] == self.pattern[None, :], squared, 1e8)

    def reach(
        self, held: Bool[np.ndarray, "n_clusters n_members"], weights: np.ndarray
    ) -> Float[np.ndarray, " n_clusters"]:
        """Largest RMSD of a member of each cluster from the cluster's mean, in Å."""
        squared = np.where(held, self.from_mean(held, weights), 0.0)
        return np.asarray(np.sqrt(squared.max(axis=1, initial=0.0)))

    def from_mean(
        self, held: Bool[np.ndarray, "n_clusters n_members"], weights: np.ndarray
    ) -> Float[np.ndarray, "n_clusters n_members"]:
        """Mean squared distance of every member from every cluster's mean, in Å²."""
        origin = self.coord.mean(axis=0)
        centred = self.coord - origin
        share = held * weights
        mean = (share @ centred) / share.sum(axis=1, keepdims=True)
        squared = (mean**2).sum(axis=1)[:, None] - 2 * mean @ centred.T
        squared += (centred**2).sum(axis=1)[None, :]
        found = np.maximum(squared, 0.0) / np.maximum(self.n_present, 1)
        if (self.pattern != self.pattern[0]).any():
            lead = self.pattern[held.argmax(axis=1)]
            mixed = (held & (self.pattern[None, :] != lead[:, None])).any(axis=1)
            found[mixed] = np.inf
        return np.asarray(found)


def clusters_of(partitions: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct clusters of several partitions, and which partition has which.

    Returns
    -------
    held
        ``(n_clusters, n_members)`` bool.
    part_of
        ``(n_partitions, n_clusters)`` 0 or 1, float32.
    """
    index: dict[bytes, int] = {}
    held: list[np.ndarray] = []
    entries: list[tuple[int, int]] = []
    for number, labels in enumerate(partitions):
        for cluster in labels[None, :] == np.arange(int(labels.max()) + 1)[:, None]:
            key = cluster.tobytes()
            if key not in index:
                index[key] = len(held)
                held.append(cluster)
            entries.append((number, index[key]))
    part_of = np.zeros((len(partitions), len(held)), dtype=np.float32)
    part_of[tuple(np.array(entries).T)] = 1
    return np.array(held), part_of
