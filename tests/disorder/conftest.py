"""Small crystals of chain-like molecules."""

from __future__ import annotations

from collections.abc import Callable

import biotite.structure
import numpy as np
import pytest

from unstill.crystal import Crystal
from unstill.ensembles import Ensemble

MakeMolecule = Callable[..., Ensemble]


@pytest.fixture(scope="session")
def make_molecule() -> MakeMolecule:
    return molecule


@pytest.fixture(scope="session")
def monoclinic(make_molecule: MakeMolecule) -> Ensemble:
    return make_molecule(Crystal((18.0, 15.0, 14.0, 90.0, 100.0, 90.0), "P 1 21 1"), n_atoms=40)


@pytest.fixture(scope="session")
def triclinic(make_molecule: MakeMolecule) -> Ensemble:
    return make_molecule(Crystal((14.0, 15.0, 13.0, 80.0, 95.0, 103.0), "P 1"), n_atoms=30)


def molecule(
    crystal: Crystal, *, n_atoms: int, seed: int = 1, b_factor: np.ndarray | None = None
) -> Ensemble:
    """A compact chain of carbon, nitrogen and oxygen with bonds of 1.5 Å."""
    rng = np.random.default_rng(seed)
    coord = np.zeros((n_atoms, 3))
    placed = 1
    while placed < n_atoms:
        step = rng.normal(size=3)
        new = coord[placed - 1] + 1.5 * step / np.linalg.norm(step)
        clear = np.linalg.norm(coord[:placed] - new, axis=1).min() > 1.4
        if clear and np.linalg.norm(new - coord[:placed].mean(axis=0)) < 5.5:
            coord[placed] = new
            placed += 1
    coord += crystal.cartesian(np.array([0.3, 0.3, 0.3])) - coord.mean(axis=0)
    atoms = biotite.structure.AtomArray(n_atoms)
    atoms.element = rng.choice(["C", "C", "C", "N", "O"], n_atoms)
    atoms.atom_name = np.array(["X"] * n_atoms)
    atoms.res_name = np.array(["LIG"] * n_atoms)
    atoms.chain_id = np.array(["A"] * n_atoms)
    b_factor = np.zeros(n_atoms) if b_factor is None else b_factor
    return Ensemble(atoms, coord[None], b_factor=b_factor, crystal=crystal)
