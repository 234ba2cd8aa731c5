r"""Bulk solvent as a flat mask, and its structure factors.

Solvent is what lies farther than a probe from every atom, grown back by the shrink radius,
so that crevices that no probe reaches stay empty while surfaces are not pushed outward:

.. math::
   \text{solvent} = \{x : \exists\, y,\ |x-y| \le r_{shrink},\
   |y - x_j| \ge r_j + r_{probe}\ \text{for all atoms } j\}

(Jiang & Brünger, 1994, https://doi.org/10.1006/jmbi.1994.1633.) The density of the mask is
one electron per Å³; the fit scales it (:mod:`unstill.validation.amplitude_fit`).
"""

from __future__ import annotations

import gemmi
import numpy as np
import scipy.fft

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.shapes import Complex, Coord, Float, HklIndex

STEP_FACTOR = 4.0
"""Grid steps to one d_min."""


def solvent_mask(
    crystal: Crystal,
    coord: Coord,
    element: np.ndarray,
    shape: tuple[int, int, int],
    *,
    probe_radius: float = 1.11,
    shrink_radius: float = 0.9,
    hydrogens: bool = False,
) -> Float[np.ndarray, "nu nv nw"]:
    """Return 1 where the cell is filled by bulk solvent and 0 elsewhere.

    gemmi grows the mask, with the van der Waals radii of cctbx. All atoms count alike,
    whatever their occupancy: the sites of an alternate conformer keep solvent out.

    Parameters
    ----------
    crystal
        Cell and space group; the mates of the atoms are masked too.
    coord
        ``(n_atoms, 3)`` Å, of the asymmetric unit.
    element
        ``(n_atoms,)`` symbols.
    shape
        ``(nu, nv, nw)`` grid over the whole cell (:func:`solvent_grid`).
    probe_radius, shrink_radius
        Å.
    hydrogens
        Whether hydrogens keep solvent out.

    Raises
    ------
    InputError
        If the shapes differ, a radius is negative, or the grid does not suit the space group.

    Examples
    --------
    >>> cube = Crystal((20.0, 20.0, 20.0, 90.0, 90.0, 90.0))
    >>> mask = solvent_mask(cube, np.array([[10.0, 10.0, 10.0]]), np.array(["C"]), (40, 40, 40))
    >>> float(mask[20, 20, 20]), float(mask[0, 0, 0])
    (0.0, 1.0)
    """
    _check(crystal, coord, element, shape, min(probe_radius, shrink_radius))
    grid = gemmi.FloatGrid(*shape)
    grid.set_unit_cell(crystal.cell)
    grid.spacegroup = crystal.group
    masker = gemmi.SolventMasker(gemmi.AtomicRadiiSet.Cctbx)
    masker.rprobe, masker.rshrink = probe_radius, shrink_radius
    masker.ignore_hydrogen = not hydrogens
    masker.put_mask_on_float_grid(grid, _model(coord, element))
    return np.array(grid.array, dtype=float)


def solvent_structure_factors(
    crystal: Crystal, mask: Float[np.ndarray, "nu nv nw"], hkl: HklIndex
) -> Complex[np.ndarray, " points"]:
    r"""F_mask(H) = (V/N) Σ_x m(x) exp(2πi H·x): of one electron per Å³ of solvent.

    Parameters
    ----------
    crystal
        Cell.
    mask
        ``(nu, nv, nw)`` share of solvent at the grid points; a mean over members may lie
        between 0 and 1.
    hkl
        ``(n, 3)`` Miller indices.

    Raises
    ------
    InputError
        If the grid has less than two points to the period of an index.
    """
    size = np.array(mask.shape)
    if len(hkl) and (2 * np.abs(hkl).max(axis=0) >= size).any():
        raise InputError(
            "the grid of the solvent is too coarse",
            found=f"{tuple(mask.shape)} points for indices up to {np.abs(hkl).max(axis=0)}",
            fix="take the grid of solvent_grid for the resolution of the data",
        )
    modes = scipy.fft.rfftn(mask, workers=1)
    # A real mask: what is missing of the half spectrum is the conjugate of what is there.
    mirrored = hkl[:, 2] < 0
    h, k, l = (np.where(mirrored[:, None], -hkl, hkl) % size).T
    # The FFT has the sign e^{−2πi}.
    found = modes[h, k, l]
    f: np.ndarray = np.where(mirrored, found, found.conj()) * (crystal.volume / mask.size)
    return f


def solvent_grid(crystal: Crystal, d_min: float) -> tuple[int, int, int]:
    """Smallest fast grid with steps of at most d_min/4 that the space group maps to itself.

    Raises
    ------
    InputError
        If the resolution is no length.
    """
    if not (np.isfinite(d_min) and d_min > 0):
        raise InputError("the resolution is no length", found=d_min, fix="give d_min in angstroms")
    grid = gemmi.FloatGrid()
    grid.set_unit_cell(crystal.cell)
    grid.spacegroup = crystal.group
    grid.set_size_from_spacing(d_min / STEP_FACTOR, gemmi.GridSizeRounding.Up)
    return grid.nu, grid.nv, grid.nw


def _model(coord: np.ndarray, element: np.ndarray) -> gemmi.Model:
    residue = gemmi.Residue()
    residue.name = "ANY"
    kinds = {symbol: gemmi.Element(str(symbol)) for symbol in np.unique(element)}
    for place, symbol in zip(np.asarray(coord, dtype=float).tolist(), element, strict=True):
        atom = gemmi.Atom()
        atom.element = kinds[symbol]
        atom.pos = gemmi.Position(*place)
        atom.occ = 1.0
        residue.add_atom(atom)
    chain = gemmi.Chain("A")
    chain.add_residue(residue)
    model = gemmi.Model(1)
    model.add_chain(chain)
    return model


def _check(
    crystal: Crystal,
    coord: np.ndarray,
    element: np.ndarray,
    shape: tuple[int, int, int],
    least_radius: float,
) -> None:
    if coord.shape != (len(element), 3) or not np.isfinite(coord).all():
        raise InputError(
            "coordinates do not fit the elements, or are not finite",
            found=f"shape {coord.shape} for {len(element)} elements",
            fix="give finite coordinates of shape (n_atoms, 3)",
        )
    if not least_radius >= 0:
        raise InputError(
            "a radius of the solvent mask is negative", found=least_radius, fix="give 0 or more"
        )
    for operation in crystal.group.operations():
        # Each axis of the grid must land on grid points, shifted or turned.
        turned = np.array(operation.rot) * np.array(shape)[:, None] / np.array(shape)[None, :]
        shift = np.array(operation.tran) * np.array(shape)
        if (turned % gemmi.Op.DEN).any() or (shift % gemmi.Op.DEN).any():
            raise InputError(
                "the grid does not suit the space group",
                found=f"{tuple(shape)} points in {crystal.space_group}",
                fix="take the grid of solvent_grid",
            )
