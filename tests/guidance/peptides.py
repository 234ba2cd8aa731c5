"""Residues and short peptides with ideal geometry, for tests of moves."""

from __future__ import annotations

import biotite.structure
import biotite.structure.info
import numpy as np

from unstill.crystal import Crystal
from unstill.diffuse.density import density_of
from unstill.ensembles import Ensemble
from unstill.maps.density_map import DensityMap

BOX = Crystal((22.0, 23.0, 24.0, 90.0, 95.0, 90.0), "P 1")


def residue(name: str, place: tuple[float, float, float] = (9.0, 10.0, 11.0)) -> Ensemble:
    """Heavy atoms of one residue of the Chemical Component Dictionary."""
    atoms = biotite.structure.info.residue(name)
    atoms = atoms[(atoms.element != "H") & (atoms.atom_name != "OXT")]
    atoms.res_id[:] = 1
    atoms.chain_id[:] = "A"
    coord = atoms.coord.astype(float)
    coord += np.array(place) - coord.mean(axis=0)
    n = len(coord)
    return Ensemble(atoms, coord[None], b_factor=np.full(n, 15.0), crystal=BOX)


def peptide(names: list[str], phi: float = -120.0, psi: float = 130.0) -> Ensemble:
    """A chain of residues with backbone torsions φ, ψ and ω 180°."""
    parts, coords = [], []
    previous: dict[str, np.ndarray] = {}
    for number, name in enumerate(names, start=1):
        atoms = biotite.structure.info.residue(name)
        atoms = atoms[(atoms.element != "H") & (atoms.atom_name != "OXT")]
        atoms.res_id[:] = number
        atoms.chain_id[:] = "A"
        own = dict(zip(atoms.atom_name.tolist(), atoms.coord.astype(float), strict=True))
        if previous:
            n = _next(previous["N"], previous["CA"], previous["C"], 1.33, 117.0, psi)
            ca = _next(previous["CA"], previous["C"], n, 1.46, 121.7, 180.0)
            c = _next(previous["C"], n, ca, 1.525, 111.0, phi)
        else:
            n, ca, c = (own[key] for key in ("N", "CA", "C"))
        turn, shift = _onto(np.array([own["N"], own["CA"], own["C"]]), np.array([n, ca, c]))
        placed = {key: turn @ xyz + shift for key, xyz in own.items()}
        previous = placed
        parts.append(atoms)
        coords.append(placed)
    for number, placed in enumerate(coords):
        if number + 1 < len(coords):
            after = coords[number + 1]["N"]
            c, ca = placed["C"], placed["CA"]
            out = (c - ca) / np.linalg.norm(c - ca) + (c - after) / np.linalg.norm(c - after)
            placed["O"] = c + 1.23 * out / np.linalg.norm(out)
    atoms = parts[0]
    for part in parts[1:]:
        atoms = atoms + part
    coord = np.concatenate([np.array(list(placed.values())) for placed in coords])
    n_atoms = len(coord)
    return Ensemble(atoms, coord[None], b_factor=np.full(n_atoms, 15.0))


def map_of(ensemble: Ensemble, coord: np.ndarray, weights: np.ndarray, d_min: float) -> DensityMap:
    """Density of places of an ensemble's atoms."""
    return density_of(ensemble.replace(coord=coord, weights=weights), d_min)


def _next(a, b, c, length, angle, torsion):  # type: ignore[no-untyped-def]
    """Place of an atom from three before it (Parsons et al., 2005)."""
    bc = (c - b) / np.linalg.norm(c - b)
    n = np.cross(b - a, bc)
    n /= np.linalg.norm(n)
    angle, torsion = np.radians(angle), np.radians(torsion)
    local = [-np.cos(angle), np.sin(angle) * np.cos(torsion), np.sin(angle) * np.sin(torsion)]
    return c + length * (np.array([bc, np.cross(n, bc), n]).T @ np.array(local))


def _onto(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and shift that superpose points by least squares."""
    a, b = source.mean(axis=0), target.mean(axis=0)
    u, _, vt = np.linalg.svd((source - a).T @ (target - b))
    flip = np.diag([1, 1, np.sign(np.linalg.det(vt.T @ u.T))])
    turn = vt.T @ flip @ u.T
    return turn, b - turn @ a
