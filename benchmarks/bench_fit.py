"""Fits of disorder models: wall time, intervals included, beside a scan of a grid of σ and γ.

Run by ``make bench``. The map has the size of the staphylococcal-nuclease
reference (62 × 62 × 80 voxels, P 41, 20 to 1.6 Å), the model its number of
atoms. Set ``UNSTILL_DATA`` to fit the real map too. The target is 10 s.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import biotite.structure
import numpy as np

from unstill.crystal import Crystal, HklGrid
from unstill.disorder.fit import fit
from unstill.disorder.liquid_like import LiquidLike
from unstill.disorder.model import DisorderModel, ModelGrid, intensity_map
from unstill.disorder.rigid_body import RigidBody
from unstill.disorder.rigid_translation import RigidTranslation
from unstill.disorder.transform import ModelAtoms
from unstill.ensembles import Ensemble
from unstill.io import read_map, read_structure
from unstill.maps import IntensityMap
from unstill.maps.correlation import correlate

CRYSTAL = Crystal((48.5, 48.5, 63.43, 90.0, 90.0, 90.0), "P 41")
GRID = HklGrid((-30, -30, -39), (62, 62, 80))
N_ATOMS = 1150


def main() -> None:
    atoms = ModelAtoms.of(globule())
    print("simulated, 62 × 62 × 80 voxels")
    fit_all(simulated(atoms), atoms)
    folder = os.environ.get("UNSTILL_DATA")
    path = Path(folder or ".") / "snase" / "snc_diffuse_reference.lat"
    if path.is_file():
        structure = read_structure(path.with_name("4wor.pdb"))
        observed = read_map(path, crystal=structure.crystal)
        print("staphylococcal nuclease, measured")
        fit_all(observed, ModelAtoms.of(structure))


def globule() -> Ensemble:
    """As many atoms as a protein of 140 residues, packed as densely."""
    rng = np.random.default_rng(0)
    atoms = biotite.structure.AtomArray(N_ATOMS)
    atoms.element = rng.choice(["C", "N", "O"], N_ATOMS, p=[0.63, 0.17, 0.20])
    coord = rng.normal(size=(N_ATOMS, 3))
    coord *= 17 * rng.random((N_ATOMS, 1)) ** (1 / 3) / np.linalg.norm(coord, axis=1)[:, None]
    b_factor = rng.gamma(8.0, 4.0, N_ATOMS)
    return Ensemble(atoms, coord[None] + 20, b_factor=b_factor, crystal=CRYSTAL)


def simulated(atoms: ModelAtoms) -> IntensityMap:
    model = LiquidLike(atoms)
    exact = intensity_map(model, model.theta(sigma=0.43, gamma=9.6), GRID, d_min=1.6)
    level = float(np.nanstd(exact.intensity))
    noise = np.random.default_rng(1).normal(size=GRID.shape)
    return exact.replace(intensity=exact.intensity + 0.5 * level * noise)


def fit_all(observed: IntensityMap, atoms: ModelAtoms) -> None:
    models: dict[str, DisorderModel] = {
        "liquid-like": LiquidLike(atoms),
        "liquid-like, confined": LiquidLike(atoms, confined=True),
        "translation": RigidTranslation(atoms),
        "rigid-body": RigidBody(atoms),
    }
    for name, model in models.items():
        start = time.perf_counter()
        found = fit(observed, model)
        seconds = time.perf_counter() - start
        numbers = ", ".join(f"{k} {v:.3f}" for k, v in list(found.parameters.items())[:2])
        print(f"  {name:24}{seconds:7.2f} s   CC aniso {found.cc_aniso:.3f}   {numbers}")
    start = time.perf_counter()
    best = scan(observed, LiquidLike(atoms))
    seconds = time.perf_counter() - start
    print(f"  scan of 36 (σ, γ)       {seconds:7.2f} s   CC aniso {best:.3f}   (no intervals)")


def scan(observed: IntensityMap, model: LiquidLike) -> float:
    """Try a grid of parameters and keep the best correlation, the usual alternative."""
    calculated = ModelGrid(model, observed.grid, d_min=1.6)
    return max(
        correlate(
            observed, calculated.map(model.theta(sigma=sigma, gamma=gamma)), d_min=1.6, d_max=20.0
        ).cc_aniso
        for gamma in (4.0, 6.0, 8.0, 10.0, 14.0, 20.0)
        for sigma in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    )


if __name__ == "__main__":
    main()
