r"""Deviations from ideal geometry: bonds, angles, chirality, planes.

Root mean squares over restraints, for each member, as refinement programs print them; a
chiral centre is flipped where its signed volume

.. math:: V = (x_1 - x_0)\cdot\big[(x_2 - x_0)\times(x_3 - x_0)\big]

has another sign than it should have. A plane is the best one through its atoms.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unstill.errors import InputError
from unstill.shapes import Bool, Coords, Float, Int


def bond_deviations(
    coord: Coords, bonds: Int[np.ndarray, "m 2"], lengths: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "n_members m"]:
    """Lengths of bonds less what they should be (Å).

    Parameters
    ----------
    coord
        ``(n_members, n_atoms, 3)`` Å.
    bonds
        ``(m, 2)`` atoms.
    lengths
        ``(m,)`` targets (Å).

    Raises
    ------
    InputError
        If the shapes differ, or an atom does not exist.
    """
    _check(coord, bonds, lengths, 2)
    apart = coord[:, bonds[:, 0]] - coord[:, bonds[:, 1]]
    deviation: np.ndarray = np.linalg.norm(apart, axis=-1) - lengths
    return deviation


def angle_deviations(
    coord: Coords, angles: Int[np.ndarray, "m 3"], targets: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "n_members m"]:
    """Angles at the middle atom less what they should be (degrees).

    Parameters
    ----------
    coord
        ``(n_members, n_atoms, 3)`` Å.
    angles
        ``(m, 3)`` atoms, the vertex second.
    targets
        ``(m,)`` degrees.

    Raises
    ------
    InputError
        If the shapes differ, or an atom does not exist.
    """
    _check(coord, angles, targets, 3)
    first = coord[:, angles[:, 0]] - coord[:, angles[:, 1]]
    second = coord[:, angles[:, 2]] - coord[:, angles[:, 1]]
    # Well conditioned near 0° and 180°, where an arc cosine is not.
    sine = np.linalg.norm(np.cross(first, second), axis=-1)
    found = np.degrees(np.arctan2(sine, np.sum(first * second, axis=-1)))
    deviation: np.ndarray = found - targets
    return deviation


def chirality_flips(
    coord: Coords, chirals: Int[np.ndarray, "m 4"], volumes: Float[np.ndarray, " m"]
) -> Bool[np.ndarray, "n_members m"]:
    """Tell which centres have the other hand.

    Parameters
    ----------
    coord
        ``(n_members, n_atoms, 3)`` Å.
    chirals
        ``(m, 4)`` atoms, the centre first.
    volumes
        ``(m,)`` signed volumes that they should have (Å³); only the sign matters.

    Raises
    ------
    InputError
        If the shapes differ, an atom does not exist, or a volume is zero.
    """
    _check(coord, chirals, volumes, 4)
    if (volumes == 0).any():
        raise InputError(
            "a volume without a sign is no chirality",
            found=f"{int((volumes == 0).sum())} of {len(volumes)} are zero",
            fix="leave out centres that may have either hand",
        )
    return np.asarray(signed_volumes(coord, chirals) * volumes <= 0)


def signed_volumes(
    coord: Coords, chirals: Int[np.ndarray, "m 4"]
) -> Float[np.ndarray, "n_members m"]:
    """Signed volumes of centres (Å³): positive if 1, 2, 3 run anticlockwise seen from 0 outward.

    Parameters
    ----------
    coord
        ``(n_members, n_atoms, 3)`` Å.
    chirals
        ``(m, 4)`` atoms, the centre first.
    """
    arms = coord[:, chirals[:, 1:]] - coord[:, chirals[:, :1]]
    volume: np.ndarray = np.linalg.det(arms)
    return volume


def plane_deviations(
    coord: Coords, planes: Sequence[Int[np.ndarray, " k"]]
) -> Float[np.ndarray, "n_members n_planes"]:
    """Root mean square distance of the atoms of each plane from their best plane (Å).

    Parameters
    ----------
    coord
        ``(n_members, n_atoms, 3)`` Å.
    planes
        Atoms of each plane, four or more.

    Raises
    ------
    InputError
        If a plane has less than four atoms, or an atom does not exist.
    """
    found = np.empty((len(coord), len(planes)))
    sizes = np.array([len(plane) for plane in planes], dtype=int)
    if (sizes < 4).any():
        raise InputError(
            "three atoms are always in a plane",
            found=f"a plane of {sizes.min()} atoms",
            fix="give planes of four atoms or more",
        )
    for size in np.unique(sizes):
        chosen = np.flatnonzero(sizes == size)
        atoms = np.stack([planes[number] for number in chosen.tolist()])
        _check(coord, atoms, np.zeros(len(atoms)), int(size))
        places = coord[:, atoms]
        centred = places - places.mean(axis=2, keepdims=True)
        least = np.linalg.svd(centred, compute_uv=False)[..., -1]
        found[:, chosen] = least / np.sqrt(size)
    return found


def root_mean_square(
    deviations: Float[np.ndarray, "n_members m"],
) -> Float[np.ndarray, " n_members"]:
    """Root mean square over the restraints, for each member; NaN where there are none."""
    if deviations.shape[1] == 0:
        return np.full(len(deviations), np.nan)
    rms: np.ndarray = np.sqrt(np.mean(deviations**2, axis=1))
    return rms


def _check(coord: np.ndarray, atoms: np.ndarray, targets: np.ndarray, size: int) -> None:
    if atoms.shape != (len(targets), size):
        raise InputError(
            "restraints need their atoms and one target each",
            found=f"atoms of shape {atoms.shape} for {len(targets)} targets",
            fix=f"give atoms of shape (m, {size}) and m targets",
        )
    if atoms.size and not (atoms.min() >= 0 and atoms.max() < coord.shape[1]):
        raise InputError(
            "a restraint names an atom that does not exist",
            found=f"atoms {atoms.min()} to {atoms.max()} of {coord.shape[1]}",
            fix="count atoms from 0, in the order of the coordinates",
        )
