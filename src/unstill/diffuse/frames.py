"""From a frame in Å to fractional coordinates of the supercell: checks, box, drift."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import biotite.structure
import numpy as np

from unstill.crystal import Crystal
from unstill.errors import InputError

MAX_BOX_DRIFT = 0.005
"""Largest relative change of a box length, or of an angle in radians, that is accepted."""

FARTHEST = 1e6
"""Å from the origin; NetCDF fills frames that were never written with 9.97e36."""

_HYDROGEN = ("H", "D", "T")


@dataclass(frozen=True, eq=False)
class FramePlacement:
    """Turns the frames of a simulation into fractional coordinates of one supercell.

    Coordinates are taken as fractions of the box of the same frame (the NPT
    rule), so that a breathing box does not smear the lattice. A drift of the
    whole system multiplies F by a phase and turns Bragg into diffuse
    intensity; it is removed as the mean minimal-image displacement of the
    reference atoms from where the reference has them.

    Parameters
    ----------
    supercell
        P 1, the mean cell. Also the box of frames that carry none.
    n_atoms
        Atoms in each frame.
    max_box_drift
        Largest relative deviation of the box from the supercell; ``None``
        accepts any.
    reference_atoms, reference
        Indices of the atoms that define the drift, and their fractional
        coordinates ``(n, 3)``; ``None`` leaves the drift in.
    """

    supercell: Crystal
    n_atoms: int
    max_box_drift: float | None = MAX_BOX_DRIFT
    reference_atoms: np.ndarray | None = None
    reference: np.ndarray | None = None

    def place(self, coord: np.ndarray, box: np.ndarray | None, frame: int) -> np.ndarray:
        """Fractional coordinates of one frame, float64 ``(n_atoms, 3)``.

        Raises
        ------
        InputError
            If a coordinate is not finite or absurd, the number of atoms is wrong, or the
            box is impossible or too far from the supercell.
        """
        self._check(coord, frame)
        frac = fractional(coord, self._vectors(box, frame))
        if self.reference is None or self.reference_atoms is None:
            return frac
        frac -= drift(frac[self.reference_atoms], self.reference)
        return frac

    def aligned_to(self, frac: np.ndarray, atoms: np.ndarray) -> FramePlacement:
        """Return the same placement with the drift removed against ``frac[atoms]``."""
        return FramePlacement(
            self.supercell, self.n_atoms, self.max_box_drift, atoms, frac[atoms].copy()
        )

    @property
    def reference_digest(self) -> str:
        """Short name of the reference: block sums of equal references may be merged."""
        if self.reference is None or self.reference_atoms is None:
            return "none"
        digest = hashlib.sha256(self.reference_atoms.astype(np.int64).tobytes())
        digest.update(np.round(self.reference, 6).tobytes())
        return digest.hexdigest()[:16]

    def _check(self, coord: np.ndarray, frame: int) -> None:
        if coord.shape != (self.n_atoms, 3):
            raise InputError(
                "a frame does not fit the atoms of the model",
                found=f"{len(coord)} atoms in frame {frame}, {self.n_atoms} in the model",
                fix="give the topology that the trajectory was written with",
            )
        if not np.isfinite(np.sum(coord, dtype=np.float64)):
            bad = np.flatnonzero(~np.isfinite(coord).all(axis=1))
            raise InputError(
                "coordinates are not finite",
                found=f"frame {frame} (counting from 0), {len(bad)} atoms, the first at "
                f"position {bad[0]}",
                fix="leave out this part of the trajectory, or repair it",
            )

        if np.abs(coord).max(initial=0) > FARTHEST:
            bad = np.flatnonzero((np.abs(coord) > FARTHEST).any(axis=1))
            raise InputError(
                "coordinates are out of all bounds",
                found=f"frame {frame} (counting from 0), {len(bad)} atoms more than "
                f"{FARTHEST:g} Å from the origin, the first at position {bad[0]}",
                fix="leave out this part of the trajectory, or copy the file again",
            )

    def _vectors(self, box: np.ndarray | None, frame: int) -> np.ndarray:
        vectors = true_box(box)
        if vectors is None:
            return self.supercell.orthogonalization_matrix.T
        if not np.isfinite(vectors).all() or abs(np.linalg.det(vectors)) < 1e-3:
            raise InputError(
                "the box of a frame is impossible",
                found=f"frame {frame} (counting from 0): {vectors.round(3).tolist()}",
                fix="repair the trajectory, or remove its boxes",
            )
        deviation = box_deviation(vectors, self.supercell)
        if self.max_box_drift is not None and deviation > self.max_box_drift:
            raise InputError(
                f"the box of a frame is {deviation:.1%} away from the supercell, more than "
                f"{self.max_box_drift:.1%}",
                found=f"frame {frame} (counting from 0) has {_in_words(cell_of(vectors))}, the "
                f"supercell {_in_words(np.array(self.supercell.unit_cell))}",
                fix="give the mean cell with --unit-cell and the right --supercell, or accept it "
                "with --allow-box-drift",
            )
        return vectors


def true_box(box: np.ndarray | None) -> np.ndarray | None:
    """Return the box vectors, or ``None`` for no box and for the 1 Å cube that stands for none."""
    if box is None:
        return None
    vectors = np.asarray(box, dtype=np.float64)
    # The PDB's convention for structures without a crystal; converters pass it on.
    return None if np.allclose(vectors, np.eye(3), rtol=0, atol=1e-3) else vectors


def fractional(coord: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Fractional coordinates of Cartesian ones in the box with the given rows a, b, c (Å)."""
    inverse = np.linalg.inv(vectors)
    x, y, z = (coord[:, axis].astype(np.float64) for axis in range(3))
    # Written out, because a matrix product may round differently with another number of threads.
    return np.stack(
        [x * inverse[0, i] + y * inverse[1, i] + z * inverse[2, i] for i in range(3)], axis=1
    )


def drift(frac: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Mean minimal-image displacement ``(3,)`` from the reference, both fractional.

    The circular mean comes first: a common displacement of any length, half a
    box included, is then found, and the minimal images are taken around it.
    """
    displacement = frac - reference
    turns = np.exp(2j * np.pi * displacement).mean(axis=0)
    rough = np.angle(turns) / (2 * np.pi)
    rest = displacement - rough
    rest -= np.rint(rest)
    mean: np.ndarray = rough + rest.mean(axis=0)
    return mean


def reference_atoms(atoms: biotite.structure.AtomArray) -> np.ndarray:
    """Return the indices of the Cα atoms, or of all heavy atoms where there is none."""
    element = np.char.upper(np.asarray(atoms.element, dtype=str))
    # Calcium ions are called CA as well.
    chosen = (np.asarray(atoms.atom_name, dtype=str) == "CA") & (element == "C")
    if not chosen.any():
        chosen = ~np.isin(element, _HYDROGEN)
    found: np.ndarray = np.flatnonzero(chosen if chosen.any() else np.ones(len(element), bool))
    return found


def cell_of(vectors: np.ndarray) -> np.ndarray:
    """Return a, b, c (Å), α, β, γ (degrees) of box vectors, one a row."""
    lengths = np.linalg.norm(vectors, axis=1)
    unit = vectors / lengths[:, None]
    cosines = np.array([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]])
    return np.concatenate([lengths, np.degrees(np.arccos(np.clip(cosines, -1, 1)))])


def box_deviation(vectors: np.ndarray, supercell: Crystal) -> float:
    """Largest relative deviation of a length, or of an angle in radians."""
    found, expected = cell_of(vectors), np.array(supercell.unit_cell)
    lengths = np.abs(found[:3] / expected[:3] - 1)
    angles = np.radians(np.abs(found[3:] - expected[3:]))
    return float(max(lengths.max(), angles.max()))


def _in_words(cell: np.ndarray) -> str:
    return " ".join(f"{value:.2f}" for value in cell)
