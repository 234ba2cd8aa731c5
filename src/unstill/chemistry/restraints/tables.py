"""Restraints of a model: arrays of atoms, targets and standard deviations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.shapes import Float, Int


@dataclass(frozen=True, eq=False)
class GeometryRestraints:
    """Bonds, angles, planes and hands of all atoms; hashable by identity only.

    Parameters
    ----------
    n_atoms
        Atoms that the indices count.
    bonds, lengths, length_sigmas
        ``(m, 2)`` atoms, targets (Å) and their standard deviations.
    angles, angle_targets, angle_sigmas
        ``(m, 3)`` atoms, the vertex second; degrees.
    one_three, one_three_sigmas
        ``(m,)`` distances (Å) between the ends of ``angles``.
    planar, planar_distances
        ``(m, 4)`` atoms in a row about a bond that does not turn, and the distance (Å) of
        the ends; cis or trans is in the distance.
    planes
        ``(m, 4)`` atoms of one plane: sp² centres with three neighbours, and ``planar``.
    chirals, volumes
        ``(m, 4)`` atoms, the centre first, and signed volumes (Å³).
    links
        ``(m, 2)`` bonds between residues.
    unknown_residues
        Names that the Chemical Component Dictionary lacks; nothing holds them.
    """

    n_atoms: int
    bonds: Int[np.ndarray, "bonds 2"]
    lengths: Float[np.ndarray, " bonds"]
    length_sigmas: Float[np.ndarray, " bonds"]
    angles: Int[np.ndarray, "angles 3"]
    angle_targets: Float[np.ndarray, " angles"]
    angle_sigmas: Float[np.ndarray, " angles"]
    one_three: Float[np.ndarray, " angles"]
    one_three_sigmas: Float[np.ndarray, " angles"]
    planar: Int[np.ndarray, "planar 4"]
    planar_distances: Float[np.ndarray, " planar"]
    planes: Int[np.ndarray, "planes 4"]
    chirals: Int[np.ndarray, "chirals 4"]
    volumes: Float[np.ndarray, " chirals"]
    links: Int[np.ndarray, "links 2"]
    unknown_residues: tuple[str, ...]
