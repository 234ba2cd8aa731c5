"""Bragg intensities that a structure should have, for the absolute scale of its diffuse map."""

from __future__ import annotations

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.half_space import friedel_half
from unstill.ensembles import Ensemble
from unstill.ensembles.supercell import expand_to_cell
from unstill.reduction.absolute.absolute import S_MAX, Bragg
from unstill.scattering.engine import make_engine
from unstill.scattering.scatterers import Scatterers

K_SOLVENT = 0.75
"""Density of the solvent over that of the protein."""

B_SOLVENT = 200.0
"""Å²; how smoothly the solvent ends at the protein."""


def bragg_of_structure(
    ensemble: Ensemble,
    *,
    crystal: Crystal | None = None,
    s_max: float = S_MAX,
    k_solvent: float = K_SOLVENT,
    b_solvent: float = B_SOLVENT,
) -> Bragg:
    r"""Calculate |F|² of a structure in its solvent (e² a cell).

    .. math:: F = F_\mathrm{atoms} (1 - k\,e^{-B s^2/4})

    Babinet's principle: the solvent fills what the molecules leave.

    Parameters
    ----------
    ensemble
        Coordinates of the asymmetric unit with B factors or tensors; members
        are averaged with their weights.
    crystal
        If the structure has none, or the map's own cell is meant.
    s_max
        1/d (Å⁻¹) up to which to calculate.
    k_solvent, b_solvent
        Of the solvent; 0 for molecules in a vacuum.

    References
    ----------
    Moews, P. C. & Kretsinger, R. H. (1975). *J. Mol. Biol.* 91, 201–225,
    https://doi.org/10.1016/0022-2836(75)90160-6.
    """
    if crystal is not None:
        ensemble = ensemble.replace(crystal=crystal)
    cell = expand_to_cell(ensemble)
    assert cell.crystal is not None  # expand_to_cell refuses a structure without
    hkl = friedel_half(cell.crystal, 1 / s_max)
    hkl = hkl[np.any(hkl != 0, axis=1)]
    f = np.zeros(len(hkl), dtype=complex)
    for number, weight in enumerate(cell.weights):
        f += weight * _member(cell, cell.crystal, hkl, number)
    s_squared = cell.crystal.s_squared(hkl)
    f_squared = np.abs(f * (1 - k_solvent * np.exp(-b_solvent * s_squared / 4))) ** 2
    return Bragg(np.concatenate([hkl, -hkl]).astype(float), np.tile(f_squared, 2))


def _member(cell: Ensemble, crystal: Crystal, hkl: np.ndarray, number: int) -> np.ndarray:
    def own(values: np.ndarray, per_atom: int) -> np.ndarray:
        return values[number] if values.ndim > per_atom else values

    scatterers = Scatterers(
        cell.atoms.element,
        own(cell.occupancy, 1),
        own(cell.b_factor, 1),
        None if cell.u_aniso is None else own(cell.u_aniso, 2),
    )
    engine = make_engine(crystal, hkl, scatterers)
    f: np.ndarray = np.asarray(engine.structure_factors(crystal.fractional(cell.coord[number])))
    return f
