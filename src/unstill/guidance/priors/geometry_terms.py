"""Terms of the geometry prior as arrays: distances, volumes, and the loose network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from scipy.spatial import cKDTree

from unstill.chemistry.restraints import GeometryRestraints
from unstill.shapes import Coord, Float, Int

_PLANAR_SIGMA = 0.05
"""Å, of distances across a bond that does not turn."""
_FLAT_SIGMA = 0.1
"""Å³, of the volume of flat groups: 0.02 Å out of a plane of bonded atoms 120° apart."""
_HAND_SIGMA = 0.15
"""Å³, of chiral volumes."""
_STIFF = 30.0
_SOFT = 1.0


@dataclass(frozen=True, eq=False)
class GeometryTerms:
    """Distances with their targets and bounds of force, and volumes of four atoms."""

    pairs: Int[np.ndarray, "pairs 2"]
    target: Float[np.ndarray, " pairs"]
    variance: Float[np.ndarray, " pairs"]
    most: Float[np.ndarray, " pairs"]
    fours: Int[np.ndarray, "fours 4"]
    volume: Float[np.ndarray, " fours"]
    volume_variance: Float[np.ndarray, " fours"]

    @classmethod
    def of(
        cls,
        restraints: GeometryRestraints,
        reference: Coord,
        network: Int[np.ndarray, "m 2"],
        stiffness: float,
        reach: float,
    ) -> GeometryTerms:
        """Gather the terms, the network first so that bonds have the last word in a sweep."""
        r = restraints
        apart = np.linalg.norm(reference[network[:, 0]] - reference[network[:, 1]], axis=1)
        sigma = [
            np.full(len(network), stiffness**-0.5),
            np.full(len(r.planar), _PLANAR_SIGMA),
            r.one_three_sigmas,
            r.length_sigmas,
        ]
        most = np.full(sum(map(len, sigma)), np.inf)
        most[: len(network)] = stiffness * reach
        zero = np.zeros(len(r.planes))
        return cls(
            np.concatenate([network, r.planar[:, [0, 3]], r.angles[:, [0, 2]], r.bonds]),
            np.concatenate([apart, r.planar_distances, r.one_three, r.lengths]),
            np.concatenate(sigma) ** 2,
            most,
            np.concatenate([r.planes, r.chirals]),
            np.concatenate([zero, r.volumes]),
            np.concatenate([zero + _FLAT_SIGMA**2, np.full(len(r.chirals), _HAND_SIGMA**2)]),
        )

    def energy(self, y: Coord) -> float:
        """U of these terms (kT); of springs, linear beyond their reach."""
        off = np.linalg.norm(y[self.pairs[:, 0]] - y[self.pairs[:, 1]], axis=1) - self.target
        force = np.minimum(np.abs(off) / self.variance, self.most)
        arms = y[self.fours[:, 1:]] - y[self.fours[:, :1]]
        bulge = np.linalg.det(arms) - self.volume
        pulled = (force * (np.abs(off) - 0.5 * force * self.variance)).sum()
        return float(pulled + 0.5 * (bulge**2 / self.volume_variance).sum())

    def laplacian(self, n_atoms: int) -> Any:
        """Graph Laplacian (per Å²): stiff where distances are held, soft in the network."""
        a, b = self.pairs.T
        weight = np.where(np.isfinite(self.most), _SOFT, _STIFF)
        joined = scipy.sparse.coo_array(
            (np.concatenate([weight, weight]), (np.append(a, b), np.append(b, a))),
            shape=(n_atoms, n_atoms),
        ).tocsr()
        degree = np.asarray(joined.sum(axis=1)).ravel()
        return (scipy.sparse.diags_array(degree) - joined).tocsc()


def anchor_network(
    restraints: GeometryRestraints, reference: Coord, cutoff: float
) -> Int[np.ndarray, "m 2"]:
    """Join branch points of the chain that are near.

    The middles of peptides' and esters' angles would do; what is used are chiral centres (the
    Cα, the sugar), the ends of links, and atoms that no bond holds (waters, ions).
    """
    r = restraints
    chosen = np.ones(len(reference), dtype=bool)
    chosen[r.bonds.ravel()] = False
    chosen[r.chirals[:, 0]] = True
    chosen[r.links.ravel()] = True
    atoms = np.flatnonzero(chosen)
    if len(atoms) < 2:
        return np.empty((0, 2), dtype=np.int64)
    pairs = atoms[cKDTree(reference[atoms]).query_pairs(cutoff, output_type="ndarray")]
    pairs = np.sort(pairs.reshape(-1, 2), axis=1)
    held = {*map(tuple, r.bonds.tolist()), *map(tuple, np.sort(r.angles[:, [0, 2]]).tolist())}
    held |= set(map(tuple, np.sort(r.planar[:, [0, 3]]).tolist()))
    free = np.array([tuple(p) not in held for p in pairs.tolist()], dtype=bool)
    pairs = pairs[free].astype(np.int64)
    return pairs[np.lexsort(pairs.T[::-1])]
