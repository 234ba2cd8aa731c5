"""Distances between rows that the members have: bonds and angles across states."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from unstill.chemistry.radii import covalent_radii
from unstill.ensembles.encode.groups import ResidueGroup
from unstill.ensembles.encode.placing import Placement
from unstill.ensembles.ensemble import Ensemble
from unstill.errors import InputError
from unstill.shapes import Bool, Float, Int

SIGMA_BOND, SIGMA_ANGLE = 0.02, 0.04
"""Å, of 1-2 and of 1-3 distances."""

_TOLERANCE = 0.4
_CUTOFF = 2.6
"""Å, between atoms that may be bonded; metals of larger radii are left as they are."""
_UNKNOWN_RADIUS = 0.77
_CHUNK = 4_000_000

PEPTIDE_BOND = 1.33
"""Å, C–N; Engh, R. A. & Huber, R. (1991). *Acta Cryst.* A47, 392. doi:10.1107/S0108767391001071"""

OFF = 0.1
"""Å; a bond C–N with a larger error is broken."""


@dataclass(frozen=True, eq=False)
class Restraints:
    """Pairs of rows that occur together in some member, and how far apart they should be.

    Parameters
    ----------
    a, b
        ``(n_restraints,)`` rows.
    length, sigma
        ``(n_restraints,)`` target and its width, in Å.
    """

    a: Int[np.ndarray, " n_restraints"]
    b: Int[np.ndarray, " n_restraints"]
    length: Float[np.ndarray, " n_restraints"]
    sigma: Float[np.ndarray, " n_restraints"]


def find_restraints(
    ensemble: Ensemble,
    groups: Sequence[ResidueGroup],
    placement: Placement,
    present: Bool[np.ndarray, "n_members n_atoms"],
    weights: Float[np.ndarray, " n_members"],
) -> Restraints:
    """Return 1-2 and 1-3 distances between all rows that meet in a member.

    Targets are weighted means over the members in both rows. The bond C–N between residues
    is taken from the members whose own is within 0.1 Å of 1.33 Å, and is 1.33 Å where there
    are none: what is broken in the ensemble is not copied to states.
    """
    bonds = bonded_atoms(ensemble, present)
    angles = _next_nearest(bonds, ensemble.n_atoms)
    pairs = np.concatenate([bonds, angles])
    sigma = np.repeat([SIGMA_BOND, SIGMA_ANGLE], [len(bonds), len(angles)])
    peptide = np.zeros(len(pairs), dtype=bool)
    peptide[: len(bonds)] = _is_peptide(ensemble, groups, bonds)
    size = max(1, _CHUNK // ensemble.n_members)
    found = [
        _of_rows(ensemble.coord, placement, weights, pairs[part], sigma[part], peptide[part])
        for part in (slice(at, at + size) for at in range(0, max(len(pairs), 1), size))
    ]
    return Restraints(*(np.concatenate(column) for column in zip(*found, strict=True)))


def bonded_atoms(
    ensemble: Ensemble, present: Bool[np.ndarray, "n_members n_atoms"]
) -> Int[np.ndarray, "n_bonds 2"]:
    """Return the pairs of atoms (a < b) that are bonded in most members, by their distance."""
    radius = _radii(ensemble.element)
    pairs = np.concatenate([_near(ensemble.coord[m], present[m]) for m in _examples(ensemble)])
    pairs = np.unique(pairs, axis=0)
    a, b = pairs.T
    both = present[:, a] & present[:, b]
    squared = ((ensemble.coord[:, a] - ensemble.coord[:, b]) ** 2).sum(axis=-1)
    near = squared <= (radius[a] + radius[b] + _TOLERANCE) ** 2
    return np.asarray(pairs[(near & both).sum(axis=0) * 2 > both.sum(axis=0)])


def _examples(ensemble: Ensemble) -> list[int]:
    """Members in which neighbours are looked for; what is bonded in most is bonded in one."""
    n = ensemble.n_members
    return sorted({0, n // 4, n // 2, (3 * n) // 4, n - 1})


def _near(coord: np.ndarray, present: np.ndarray) -> np.ndarray:
    there = np.flatnonzero(present)
    pairs = cKDTree(coord[there]).query_pairs(_CUTOFF, output_type="ndarray")
    return np.sort(there[pairs], axis=1).reshape(-1, 2)


def _radii(element: np.ndarray) -> Float[np.ndarray, " n_atoms"]:
    kinds, inverse = np.unique(element, return_inverse=True)
    radius = np.full(len(kinds), _UNKNOWN_RADIUS)
    for number, kind in enumerate(kinds):
        with contextlib.suppress(InputError):
            radius[number] = covalent_radii(np.array([kind]))[0]
    return radius[inverse]


def _next_nearest(bonds: np.ndarray, n_atoms: int) -> Int[np.ndarray, "n_angles 2"]:
    """Pairs of atoms with a common neighbour, not bonded themselves."""
    ones = np.ones(2 * len(bonds))
    row, column = np.concatenate([bonds, bonds[:, ::-1]]).T
    graph = csr_array((ones, (row, column)), shape=(n_atoms, n_atoms))
    second = (graph @ graph).tocoo()
    a, b = second.coords
    upper = a < b
    code = a[upper].astype(np.int64) * n_atoms + b[upper]
    direct = bonds[:, 0].astype(np.int64) * n_atoms + bonds[:, 1]
    code = np.setdiff1d(code, direct)
    return np.stack([code // n_atoms, code % n_atoms], axis=1)


def _is_peptide(
    ensemble: Ensemble, groups: Sequence[ResidueGroup], bonds: np.ndarray
) -> np.ndarray:
    names = np.char.strip(np.asarray(ensemble.atoms.atom_name, dtype=str))
    links = [g.link for g in groups if g.link is not None and names[g.link[0]] == "C"]
    ordered = {(min(link), max(link)) for link in links}
    return np.array([tuple(bond) in ordered for bond in bonds.tolist()], dtype=bool)


def _of_rows(
    coord: np.ndarray,
    placement: Placement,
    weights: np.ndarray,
    pairs: np.ndarray,
    sigma: np.ndarray,
    peptide: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Distinct pairs of rows of some pairs of atoms, and the mean distance of their members."""
    a, b = placement.row[:, pairs[:, 0]], placement.row[:, pairs[:, 1]]
    member, number = np.nonzero((a >= 0) & (b >= 0))
    step = coord[member, pairs[number, 0]] - coord[member, pairs[number, 1]]
    length = np.sqrt((step**2).sum(axis=1))
    code = a[member, number].astype(np.int64) * placement.n_rows + b[member, number]
    code, first, group = np.unique(code, return_index=True, return_inverse=True)
    of_peptide = peptide[number[first]]
    good = ~of_peptide[group] | (np.abs(length - PEPTIDE_BOND) <= OFF)
    share = weights[member] * good
    total = np.bincount(group, share, minlength=len(code))
    summed = np.bincount(group, share * length, minlength=len(code))
    mean = np.where(total > 0, summed / np.maximum(total, 1e-300), PEPTIDE_BOND)
    return code // placement.n_rows, code % placement.n_rows, mean, sigma[number[first]]
