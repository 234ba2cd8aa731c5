"""Random small structures and their points, shared by the tests of the engines."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from unstill.crystal import Crystal
from unstill.crystal.half_space import friedel_half
from unstill.scattering import Scatterers

CELLS = {
    "triclinic": (17.0, 14.0, 21.0, 77.0, 98.0, 112.0),
    "hexagonal": (18.0, 18.0, 12.0, 90.0, 90.0, 120.0),
    "monoclinic": (13.0, 22.0, 16.0, 90.0, 104.0, 90.0),
    "cubic": (16.0, 16.0, 16.0, 90.0, 90.0, 90.0),
}
ENGINES = ("nufft", "density", "direct")

cells = st.sampled_from(sorted(CELLS))
seeds = st.integers(0, 9999)


def crystal(cell: str = "triclinic") -> Crystal:
    return Crystal(CELLS[cell])


def points(cell: str = "triclinic", d_min: float = 2.5) -> np.ndarray:
    return friedel_half(crystal(cell), d_min)


def atoms(seed: int = 0, n_atoms: int = 60, displaced: str = "isotropic") -> Scatterers:
    """``displaced``: "rest", "isotropic", or "mixed" (two thirds with a tensor)."""
    rng = np.random.default_rng(seed)
    element = rng.choice(["C", "N", "O", "S", "H", "ZN"], n_atoms)
    occupancy = rng.uniform(0.2, 1.0, n_atoms)
    if displaced == "rest":
        return Scatterers(element, occupancy)
    b_factor = rng.uniform(3.0, 40.0, n_atoms)
    return Scatterers(
        element, occupancy, b_factor, tensors(rng, n_atoms) if displaced == "mixed" else None
    )


def tensors(rng: np.random.Generator, n_atoms: int) -> np.ndarray:
    root = rng.normal(size=(n_atoms, 3, 3)) * 0.25
    u = root @ root.transpose(0, 2, 1) + 0.05 * np.eye(3)
    six = np.stack(
        [u[:, 0, 0], u[:, 1, 1], u[:, 2, 2], u[:, 0, 1], u[:, 0, 2], u[:, 1, 2]], axis=1
    )
    six[::3] = np.nan
    return six


def places(seed: int = 0, n_atoms: int = 60) -> np.ndarray:
    return np.random.default_rng(seed + 1).uniform(-0.5, 1.5, (n_atoms, 3))


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    """Root mean square difference over root mean square of what was expected."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
