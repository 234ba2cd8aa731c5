"""Small chains with weighted members, for the tests of encoding."""

from __future__ import annotations

import biotite.structure
import numpy as np

from unstill.ensembles import Ensemble

_RESIDUE = {
    "N": (0.0, 0.0, 0.0),
    "CA": (1.458, 0.0, 0.0),
    "C": (2.009, 1.42, 0.0),
    "O": (1.251, 2.39, 0.0),
    "CB": (1.988, -0.773, -1.199),
    "CG": (3.48, -0.9, -1.25),
    "CD1": (4.2, 0.25, -1.4),
    "CD2": (4.15, -2.1, -1.15),
}
_STEP = np.array([3.33, 1.42, 0.0])
"""From one residue to the next: C and N are 1.32 Å apart."""


def chain(n_residues: int, *, res_name: str = "LEU") -> biotite.structure.AtomArray:
    """A stretched chain of residues with side chains."""
    names = list(_RESIDUE)
    atoms = biotite.structure.AtomArray(n_residues * len(names))
    atoms.chain_id[:] = "A"
    atoms.res_id = np.repeat(np.arange(n_residues) + 1, len(names))
    atoms.res_name[:] = res_name
    atoms.atom_name = np.tile(names, n_residues)
    atoms.element = np.array([name[0] for name in atoms.atom_name])
    at = np.array(list(_RESIDUE.values()))
    atoms.coord = np.concatenate([at + k * _STEP for k in range(n_residues)]).astype(np.float32)
    return atoms


def moving_chain(
    seed: int,
    n_residues: int = 4,
    n_members: int = 6,
    *,
    jump: float = 2.0,
    noise: float = 0.15,
    weighted: bool = True,
) -> Ensemble:
    """Members with hinges: from some residue on, the chain is moved; side chains swing too."""
    rng = np.random.default_rng(seed)
    atoms = chain(n_residues)
    coord = np.repeat(np.asarray(atoms.coord, dtype=float)[None], n_members, axis=0)
    side = np.isin(atoms.atom_name, ["CG", "CD1", "CD2"])
    for member in coord:
        first = int(rng.integers(1, n_residues + 1))
        member[atoms.res_id >= first] += rng.choice([0.0, jump]) * np.array([0, 0.3, 1.0])
        for number in range(1, n_residues + 1):
            own = side & (atoms.res_id == number)
            member[own] += rng.choice([0.0, jump]) * np.array([0.0, 0.7, -0.7])
    coord += rng.normal(scale=noise, size=coord.shape)
    weights = rng.uniform(0.2, 1, n_members) if weighted else np.ones(n_members)
    return Ensemble(
        atoms, coord, weights=weights / weights.sum(), b_factor=np.full(len(atoms), 9.0)
    )


def residue_rmsd(back: Ensemble, given: Ensemble) -> np.ndarray:
    """``(n_members, n_residues)`` RMSD by plain sums, equivalent atoms as they are named."""
    place = {
        (str(a.chain_id), int(a.res_id), str(a.ins_code), str(a.atom_name)): number
        for number, a in enumerate(back.atoms)
    }
    order = [
        place[str(a.chain_id), int(a.res_id), str(a.ins_code), str(a.atom_name)]
        for a in given.atoms
    ]
    squared = ((back.coord[:, order] - given.coord) ** 2).sum(axis=2)
    residues = np.unique(given.atoms.res_id)
    return np.sqrt(
        np.array([squared[:, given.atoms.res_id == one].mean(axis=1) for one in residues]).T
    )
