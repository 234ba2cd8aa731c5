"""What two candidates of neighbouring groups cost side by side: stretched links and clashes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.spatial

from unstill.chemistry.restraints import GeometryRestraints
from unstill.guidance.priors.geometry import ContactRadii, three_bonds_apart
from unstill.shapes import Bool, Coords, Int

_FREE, _CONTACT_SIGMA = 0.4, 0.15
"""Å that spheres may overlap, and the s.d. (Å) of what is beyond."""
_STRETCHED = 0.05
"""S.d. (Å) of distances across a link: members are relaxed afterwards."""
_REACH = 4.5
_MOST = 400.0


@dataclass(frozen=True, eq=False)
class PairCosts:
    """Costs of candidates side by side, in units of half a squared deviation.

    Parameters
    ----------
    candidates
        ``(n_candidates, n_atoms, 3)`` Å.
    group
        ``(n_atoms,)``.
    restraints
        Of the atoms: distances over one and two bonds hold links.
    radii
        Of the atoms, for clashes.
    """

    candidates: Coords
    group: Int[np.ndarray, " n_atoms"]
    restraints: GeometryRestraints
    radii: ContactRadii

    @cached_property
    def links(self) -> list[tuple[int, int]]:
        """Pairs (earlier, later) of groups that a bond joins, in their order."""
        pairs = np.sort(self.group[self.restraints.bonds.astype(int)], axis=1)
        found = np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)
        order = np.lexsort((found[:, 0], found[:, 1]))
        return [(int(a), int(b)) for a, b in found[order]]

    def neighbours(self, used: Bool[np.ndarray, "n_groups n_candidates"]) -> list[tuple[int, int]]:
        """Pairs of groups with several candidates in use, some of which come near."""
        used = used & (used.sum(axis=1) > 1)[:, None]
        own = used[self.group].T.ravel()
        owner = np.tile(self.group, len(self.candidates))[own]
        tree = scipy.spatial.cKDTree(self.candidates.reshape(-1, 3)[own])
        pairs = np.sort(owner[tree.query_pairs(_REACH, output_type="ndarray")], axis=1)
        found = np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0)
        return [(int(a), int(b)) for a, b in found]

    def __call__(self, first: int, second: int) -> np.ndarray:
        """``(n_candidates, n_candidates)`` cost of candidates of one group beside the other's."""
        own, other = self._atoms[first], self._atoms[second]
        a, b = self.candidates[:, own], self.candidates[:, other]
        apart = np.linalg.norm(a[:, None, :, None] - b[None, :, None, :], axis=-1)
        total = np.zeros(apart.shape[:2])
        i, j, length = self._held(first, second)
        total += (np.minimum((apart[:, :, i, j] - length) / _STRETCHED, 20.0) ** 2).sum(axis=-1)
        r = self.radii
        nearest = r.radius[own][:, None] + r.radius[other] - _FREE
        nearest = nearest - 0.2 * (r.acceptor[own][:, None] & r.acceptor[other])
        near = self._near(first, second)
        nearest[near[0], near[1]] = 0.0
        into = np.maximum(nearest - apart, 0.0) / _CONTACT_SIGMA
        total += (into**2).sum(axis=(2, 3))
        return 0.5 * np.minimum(total, _MOST)

    @cached_property
    def _atoms(self) -> list[np.ndarray]:
        order = np.argsort(self.group, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(self.group[order])) + 1)

    @cached_property
    def _distances(self) -> tuple[np.ndarray, np.ndarray]:
        r = self.restraints
        pairs = np.concatenate([r.bonds, r.angles[:, [0, 2]]]).astype(int)
        lengths = np.concatenate([r.lengths, r.one_three])
        crossing = self.group[pairs[:, 0]] != self.group[pairs[:, 1]]
        return pairs[crossing], lengths[crossing]

    @cached_property
    def _planar(self) -> np.ndarray:
        pairs = self.restraints.planar[:, [0, 3]].astype(int)
        crossing: np.ndarray = pairs[self.group[pairs[:, 0]] != self.group[pairs[:, 1]]]
        return crossing

    def _held(self, first: int, second: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pairs, lengths = self._distances
        parts = []
        for column in (0, 1):
            chosen = (self.group[pairs[:, column]] == first) & (
                self.group[pairs[:, 1 - column]] == second
            )
            parts.append((pairs[chosen, column], pairs[chosen, 1 - column], lengths[chosen]))
        i, j, length = (np.concatenate(part) for part in zip(*parts, strict=True))
        own, other = self._atoms[first], self._atoms[second]
        return np.searchsorted(own, i), np.searchsorted(other, j), length

    def _near(self, first: int, second: int) -> tuple[np.ndarray, np.ndarray]:
        """Pairs up to three bonds apart, which are no contacts."""
        pairs = np.concatenate([self._distances[0], self._planar, self._torsions])
        both = np.concatenate([pairs, pairs[:, ::-1]])
        chosen = both[(self.group[both[:, 0]] == first) & (self.group[both[:, 1]] == second)]
        own, other = self._atoms[first], self._atoms[second]
        return np.searchsorted(own, chosen[:, 0]), np.searchsorted(other, chosen[:, 1])

    @cached_property
    def _torsions(self) -> np.ndarray:
        pairs = three_bonds_apart(self.restraints)
        crossing: np.ndarray = pairs[self.group[pairs[:, 0]] != self.group[pairs[:, 1]]]
        return crossing
