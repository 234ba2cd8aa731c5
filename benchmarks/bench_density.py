"""Density of an ensemble and its gradient, on this machine's processors, beside gemmi's density.

Run by ``make bench``. With ``UNSTILL_DATA`` the atoms are those of 6B8X, else as many at random in
the same cell.
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import gemmi
import numpy as np

from unstill.crystal import Crystal
from unstill.io.structure_files import read_structure
from unstill.parallel import cpu_count
from unstill.scattering.grid_scattering import GridScattering
from unstill.scattering.synthesis import Synthesis

D_MIN, MEMBERS, REPEATS = 1.74, 8, 5


def atoms() -> tuple[Crystal, np.ndarray, np.ndarray, np.ndarray, str]:
    crystal = Crystal((89.52, 89.52, 106.25, 90.0, 90.0, 120.0), "P 31 2 1")
    folder = os.environ.get("UNSTILL_DATA")
    if folder:
        model = read_structure(Path(folder) / "altloc" / "6b8x.pdb")
        return crystal, model.element, model.coord[0].astype(float), model.b_factor, "6B8X"
    rng = np.random.default_rng(0)
    coord = rng.normal(0, 15, (3200, 3)) + 30
    return crystal, rng.choice(["C", "N", "O"], 3200), coord, rng.uniform(15, 60, 3200), "random"


def gemmi_density(
    crystal: Crystal, element: np.ndarray, coord: np.ndarray, b: np.ndarray
) -> float:
    model = gemmi.Model(1)
    chain = gemmi.Chain("A")
    residue = gemmi.Residue()
    residue.seqid = gemmi.SeqId("1")
    for symbol, place, b_iso in zip(element, coord, b, strict=True):
        atom = gemmi.Atom()
        atom.element = gemmi.Element(str(symbol))
        atom.pos, atom.b_iso = gemmi.Position(*place), float(b_iso)
        residue.add_atom(atom)
    chain.add_residue(residue)
    model.add_chain(chain)
    calculator = gemmi.DensityCalculatorX()
    calculator.d_min, calculator.rate = D_MIN, 3
    calculator.grid.spacegroup = crystal.group
    calculator.grid.set_unit_cell(crystal.cell)
    best = np.inf
    for _ in range(REPEATS):
        start = time.perf_counter()
        calculator.set_refmac_compatible_blur(model)
        calculator.put_model_density_on_grid(model)
        gemmi.transform_map_to_f_phi(calculator.grid, half_l=True)
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    crystal, element, coord, b, name = atoms()
    synthesis = Synthesis(crystal, D_MIN)
    grid = GridScattering(synthesis, element)
    rng = np.random.default_rng(1)
    members = coord + rng.normal(0, 0.3, (MEMBERS, *coord.shape))
    amount = np.full((MEMBERS, len(b)), 1 / MEMBERS)
    b_factor = np.broadcast_to(b, amount.shape)
    best = np.inf
    for _ in range(REPEATS):
        start = time.perf_counter()
        f = synthesis.of_cell(grid.structure_factors(members, amount, b_factor))
        density = synthesis.density(f)
        cotangent = synthesis.of_cell_adjoint(synthesis.density_adjoint(density))
        grid.adjoint(members, amount, b_factor, cotangent)
        best = min(best, time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name}: {len(b)} atoms, {MEMBERS} members, d_min {D_MIN} Å, grid {synthesis.shape}")
    print(f"density + gradient: {best / MEMBERS:.3f} s a member on {cpu_count()} processors")
    print(f"peak memory: {peak:.2f} GB")
    print("gemmi, density + FFT of one member, no gradient: ", end="")
    print(f"{gemmi_density(crystal, element, coord, b):.3f} s")


if __name__ == "__main__":
    main()
