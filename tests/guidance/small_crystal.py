"""A crystal of a strand, one of its residues in two rotamers, with a ligand and a water."""

from __future__ import annotations

from pathlib import Path

import biotite.structure
import numpy as np
from biotite.structure import AtomArray, info
from peptides import peptide

from unstill.crystal import Crystal
from unstill.diffuse.density import density_of
from unstill.ensembles import Ensemble
from unstill.io.density_ccp4 import write_density_map
from unstill.io.structure_files import write_structure
from unstill.maps.density_map import DensityMap

CRYSTAL = Crystal((32.0, 26.0, 27.0, 90.0, 100.0, 90.0), "P 1 21 1")
D_MIN = 1.8


def residue(name: str, number: int, at: tuple[float, float, float], chain: str) -> AtomArray:
    atoms = info.residue(name)
    atoms = atoms[(atoms.element != "H") & (atoms.atom_name != "OXT")]
    atoms.coord += np.array(at) - atoms.coord.mean(axis=0)
    atoms.res_id[:] = number
    atoms.chain_id[:] = chain
    atoms.set_annotation("altloc_id", np.full(len(atoms), "", dtype="U2"))
    atoms.bonds = None
    return atoms


def turned(atoms: AtomArray, degrees: float) -> AtomArray:
    """The side chain of a residue turned about CA-CB."""
    turned_atoms = atoms.copy()
    names = atoms.atom_name.tolist()
    origin, end = atoms.coord[names.index("CA")], atoms.coord[names.index("CB")]
    axis = (end - origin) / np.linalg.norm(end - origin)
    angle = np.radians(degrees)
    for i, name in enumerate(names):
        if name in ("N", "CA", "C", "O", "CB"):
            continue
        v = atoms.coord[i] - origin
        turned_atoms.coord[i] = origin + (
            v * np.cos(angle) + np.cross(axis, v) * np.sin(angle)
            + axis * (axis @ v) * (1 - np.cos(angle))
        )  # fmt: skip
    return turned_atoms


def small_crystal() -> Ensemble:
    """A strand of chain Q, LEU 12A in two rotamers, with MSE, a glycerol and a water."""
    strand = peptide(["ALA", "GLY", "LEU", "ALA", "ALA", "MET", "GLY"])
    chain = strand.atoms.copy()
    chain.coord = strand.coord[0] + np.array([2.0, 9.0, 12.0]) - strand.coord[0].min(axis=0)
    chain.bonds = None
    chain.res_id[:] = np.array([10, 11, 12, 12, 14, 15, 16])[chain.res_id - 1]
    chain.ins_code[chain.res_name == "LEU"] = "A"
    chain.ins_code[strand.atoms.res_id == 4] = "B"
    chain.chain_id[:] = "Q"
    chain.hetero[:] = False
    chain.set_annotation("altloc_id", np.full(len(chain), "", dtype="U2"))
    leu = chain.res_name == "LEU"
    moving = leu & ~np.isin(chain.atom_name, ["N", "CA", "C", "O", "CB"])
    other = turned(chain[leu], 120.0)[moving[leu]]
    other.altloc_id[:] = "B"
    chain.altloc_id[moving] = "A"
    last = int(np.flatnonzero(leu)[-1]) + 1
    parts = [
        chain[:last],
        other,
        chain[last:],
        residue("GOL", 1, (16.0, 3.5, 6.0), "L"),
        residue("HOH", 201, (20.0, 4.0, 20.0), "W"),
    ]
    for hetero in parts[3:]:
        hetero.hetero[:] = True
    atoms = biotite.structure.concatenate(parts)
    occupancy = np.where(atoms.altloc_id == "", 1.0, 0.5)
    return Ensemble(
        atoms,
        atoms.coord[None].astype(float),
        occupancy=occupancy,
        b_factor=np.full(len(atoms), 18.0),
        crystal=CRYSTAL,
    )


def small_map(noise: float = 0.0) -> DensityMap:
    made = density_of(small_crystal(), D_MIN)
    if noise == 0:
        return made
    rng = np.random.default_rng(0)
    spread = noise * made.values.std()
    return DensityMap(made.crystal, made.values + spread * rng.standard_normal(made.values.shape))


def write_small(folder: Path) -> tuple[Path, Path]:
    """Write model and map."""
    model, density = folder / "small.cif", folder / "small.ccp4"
    write_structure(small_crystal(), model)
    write_density_map(small_map(), density)
    return model, density
