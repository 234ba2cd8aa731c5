"""Equivalent atoms named so that members agree."""

from __future__ import annotations

import numpy as np

from unstill.chemistry.residues import equivalent_atoms
from unstill.ensembles.encode.groups import ResidueGroup
from unstill.ensembles.ensemble import Ensemble
from unstill.shapes import Bool, Coords, Float

_SWEEPS = 10


def name_equivalents_alike(
    ensemble: Ensemble, groups: list[ResidueGroup], present: Bool[np.ndarray, "n_members n_atoms"]
) -> Coords:
    """Swap the names of equivalent atoms in members where that brings members together.

    The ring of Phe and Tyr, the oxygens of Asp and Glu and the nitrogens of Arg can be named
    in two ways that mean the same. The sum over pairs of members of the smaller RMSD is made
    as small as flipping one member at a time makes it; near pairs count more than far ones.

    Returns
    -------
    coord
        Coordinates of all members with swapped atoms in place; the first member is as it was.
    """
    coord = np.array(ensemble.coord, dtype=float)
    names = np.char.strip(np.asarray(ensemble.atoms.atom_name, dtype=str))
    for group in groups:
        where = {str(names[atom]): int(atom) for atom in group.atoms}
        for swaps in equivalent_atoms(str(ensemble.atoms.res_name[group.atoms[0]])):
            pairs = _pairs(swaps, where)
            if pairs is None or not present[:, pairs.ravel()].all():
                continue
            flipped = _flips(coord[:, pairs[:, 0]], coord[:, pairs[:, 1]])
            members = np.flatnonzero(flipped)[:, None]
            coord[members, pairs[None, :, 0]], coord[members, pairs[None, :, 1]] = (
                coord[members, pairs[None, :, 1]],
                coord[members, pairs[None, :, 0]],
            )
    return coord


def _pairs(swaps: tuple[tuple[str, str], ...], where: dict[str, int]) -> np.ndarray | None:
    """Index the atoms that change places; none where only one of two is there."""
    held = [(a in where, b in where) for a, b in swaps]
    if not any(a and b for a, b in held) or any(a != b for a, b in held):
        return None
    return np.array([(where[a], where[b]) for a, b in swaps if a in where])


def _flips(
    left: Float[np.ndarray, "n_members n_pairs 3"], right: Float[np.ndarray, "n_members n_pairs 3"]
) -> Bool[np.ndarray, " n_members"]:
    same = _squared(np.concatenate([left, right], axis=1), np.concatenate([left, right], axis=1))
    other = _squared(np.concatenate([left, right], axis=1), np.concatenate([right, left], axis=1))
    nearer = np.minimum(same, other)
    # What is far apart either way says little about the names.
    gain = (same - other) * np.exp(-nearer)
    np.fill_diagonal(gain, 0.0)
    sign = np.where(other[0] < same[0], -1.0, 1.0)
    for _ in range(_SWEEPS):
        before = sign.copy()
        for member in range(1, len(sign)):
            pull = float(gain[member] @ sign)
            # Ties keep the name that the member has.
            sign[member] = -1.0 if pull > 0 else 1.0
        if (sign == before).all():
            break
    return sign < 0


def _squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mean squared distance over atoms between every member of a and every one of b."""
    x, y = a.reshape(len(a), -1), b.reshape(len(b), -1)
    origin = x.mean(axis=0)
    x, y = x - origin, y - origin
    squared = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1)[None, :] - 2 * x @ y.T
    return np.asarray(np.maximum(squared, 0.0) / a.shape[1])
