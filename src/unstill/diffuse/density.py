"""Density of an ensemble at a resolution."""

from __future__ import annotations

from collections.abc import Callable

import gemmi
import numpy as np

from unstill.crystal import Crystal
from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.maps.density_map import DensityMap
from unstill.scattering import Scatterers, make_engine
from unstill.scattering.synthesis import Synthesis, grid_shape
from unstill.shapes import Complex

_TOLERANCE = 1e-5


def density_of(
    ensemble: Ensemble,
    d_min: float,
    *,
    shape: tuple[int, int, int] | None = None,
    electron: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> DensityMap:
    r"""Weighted mean density of all members: Fourier synthesis of F to d ≥ d_min, with F(000).

    Symmetry mates are in it; bulk solvent is not.

    Parameters
    ----------
    ensemble
        With a crystal.
    d_min
        Resolution (Å).
    shape
        Grid of the cell; steps of at most d_min/3 by default.
    electron
        Scattering of electrons (Å per Å³) instead of X-rays (electrons per Å³).
    progress
        Called with (members done, all members).

    Raises
    ------
    InputError
        If the ensemble has no crystal, an element is unknown, or the grid is too coarse.
    """
    crystal = crystal_of(ensemble)
    shape = grid_shape(crystal, d_min) if shape is None else shape
    synthesis = Synthesis(crystal, d_min, shape)
    f = ensemble_structure_factors(ensemble, synthesis, electron=electron, progress=progress)
    return DensityMap(crystal, synthesis.density(f))


def ensemble_structure_factors(
    ensemble: Ensemble,
    synthesis: Synthesis,
    *,
    electron: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Complex[np.ndarray, " points"]:
    """⟨F⟩ of the whole cell at the terms of a synthesis (1e-5 of its root mean square)."""
    total = np.zeros(synthesis.n_points, dtype=complex)
    engine, of = None, None
    for number in range(ensemble.n_members):
        member = ensemble.member(number)
        scatterers = Scatterers(
            element=ensemble.element,
            occupancy=member.occupancy.reshape(-1),
            b_factor=member.b_factor.reshape(-1),
            u_aniso=None if member.u_aniso is None else member.u_aniso.reshape(-1, 6),
        )
        if engine is None or of is None or not _same(scatterers, of):
            engine, of = (
                make_engine(
                    synthesis.crystal_p1,
                    synthesis.index,
                    scatterers,
                    table="electron" if electron else "xray",
                    tolerance=_TOLERANCE,
                ),
                scatterers,
            )
        frac = synthesis.crystal.fractional(member.coord[0].astype(float))
        total += ensemble.weights[number] * engine.structure_factors(frac)
        if progress is not None:
            progress(number + 1, ensemble.n_members)
    return synthesis.of_cell(total)


def electrons_of(ensemble: Ensemble) -> float:
    """Σ Z × occupancy of the atoms, mean over members by weight."""
    kinds, kind = np.unique(ensemble.element, return_inverse=True)
    numbers = np.array([gemmi.Element("H" if k == "D" else str(k)).atomic_number for k in kinds])
    occupancy = np.broadcast_to(ensemble.occupancy, (ensemble.n_members, ensemble.n_atoms))
    return float(ensemble.weights @ (occupancy @ numbers[kind].astype(float)))


def add_noise(density: DensityMap, d_min: float, relative: float, seed: int) -> DensityMap:
    """Add Gaussian noise of the map's resolution and symmetry.

    Parameters
    ----------
    density
        Without noise.
    d_min
        Resolution (Å) of the noise.
    relative
        Standard deviation of the noise in those of the density over the cell.
    seed
        Of the random numbers.

    Raises
    ------
    InputError
        If ``relative`` is negative or no number.
    """
    if not (np.isfinite(relative) and relative >= 0):
        raise InputError(
            "the noise is negative or no number", found=relative, fix="give 0 or more, as 0.05"
        )
    synthesis = Synthesis(density.crystal, d_min, density.shape)
    white = np.random.default_rng(seed).standard_normal(density.shape)
    noise = synthesis.density(synthesis.of_cell(synthesis.structure_factors(white)))
    noise *= relative * density.values.std() / noise.std()
    return DensityMap(density.crystal, density.values + noise, density.provenance)


def crystal_of(ensemble: Ensemble) -> Crystal:
    """Return the crystal of an ensemble.

    Raises
    ------
    InputError
        If it has none.
    """
    if ensemble.crystal is None:
        raise InputError(
            "the model has no unit cell, so its density has no grid",
            found="no CRYST1 or _cell",
            fix="add the cell and space group to the file (a P 1 box for a molecule alone)",
        )
    return ensemble.crystal


def _same(one: Scatterers, other: Scatterers) -> bool:
    return (
        np.array_equal(one.occupancy, other.occupancy)
        and np.array_equal(one.b_factor, other.b_factor)
        and (
            (one.u_aniso is None and other.u_aniso is None)
            or (
                one.u_aniso is not None
                and other.u_aniso is not None
                and np.array_equal(one.u_aniso, other.u_aniso, equal_nan=True)
            )
        )
    )
