r"""Real-space correlation between densities, near chosen atoms.

.. math::
   \mathrm{RSCC} = \mathrm{corr}_{x \in M}\big(\rho_{obs}(x) - \rho_{rest}(x),\ \rho(x)\big)

over the voxels M within a radius of the atoms or of any mate of them (Brändén & Jones, 1990,
https://doi.org/10.1038/343687a0). Without ρ_rest, density of neighbours is counted as if it
were the density of the atoms; subtracting it leaves what the atoms alone must explain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.supercell import symmetry_operations
from unstill.errors import InputError
from unstill.shapes import Bool, Coords, Float, Int

RADIUS = 2.0
"""Å around atoms."""
_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class RealSpaceAgreement:
    """Correlation over some voxels.

    Parameters
    ----------
    correlation
        Pearson's; NaN where fewer than three voxels are known or a density does not vary.
    n_voxels
        Voxels of the unit cell that were compared.
    """

    correlation: float
    n_voxels: int


def correlate_density(
    observed: Float[np.ndarray, "nu nv nw"],
    calculated: Float[np.ndarray, "nu nv nw"],
    crystal: Crystal,
    coord: Coords,
    *,
    rest: Float[np.ndarray, "nu nv nw"] | None = None,
    radius: float = RADIUS,
) -> RealSpaceAgreement:
    """Correlate two densities around atoms.

    Parameters
    ----------
    observed
        ``(nu, nv, nw)`` over the whole cell; NaN where nothing is known. Any scale.
    calculated
        ``(nu, nv, nw)`` density of the atoms in question: of a state, a segment, an ensemble.
    crystal
        Cell and space group of both.
    coord
        ``(n_members, n_atoms, 3)`` Å; voxels near any member count.
    rest
        Density of everything else, on the absolute scale of ``observed``, subtracted from it.
    radius
        Å around each atom.

    Raises
    ------
    InputError
        If the grids differ, or no atom is given.
    """
    _check_grids(observed, calculated, rest)
    near = voxels_near(crystal, (observed.shape[0], *observed.shape[1:]), coord, radius)
    left = observed[near] if rest is None else observed[near] - rest[near]
    return _correlation(left, calculated[near])


def correlate_segments(
    observed: Float[np.ndarray, "nu nv nw"],
    calculated: Float[np.ndarray, "nu nv nw"],
    crystal: Crystal,
    coord: Coords,
    segment: Int[np.ndarray, " n_atoms"],
    *,
    own: Callable[[int], np.ndarray] | None = None,
    radius: float = RADIUS,
) -> list[RealSpaceAgreement]:
    """Correlate two densities segment by segment, or state by state.

    Parameters
    ----------
    observed, calculated, crystal, coord, radius
        As of :func:`correlate_density`; ``calculated`` is the density of the whole model.
    segment
        ``(n_atoms,)`` number of the segment of each atom, 0 and up; −1 for none.
    own
        Gives the density of one segment alone. ``calculated`` less this is then subtracted
        from the map, and what is left is correlated with it.

    Returns
    -------
    list
        One a segment, in order of number; a number without atoms has a NaN.

    Raises
    ------
    InputError
        If the grids differ, or the segments are not those of the atoms.
    """
    if segment.shape != (coord.shape[-2],):
        raise InputError(
            "segments do not fit the atoms",
            found=f"{segment.shape} for {coord.shape[-2]} atoms",
            fix="give one number an atom",
        )
    found = []
    for number in range(int(segment.max(initial=-1)) + 1):
        chosen = segment == number
        if not chosen.any():
            found.append(RealSpaceAgreement(float("nan"), 0))
            continue
        alone = calculated if own is None else own(number)
        found.append(
            correlate_density(
                observed,
                alone,
                crystal,
                coord[..., chosen, :],
                rest=None if own is None else calculated - alone,
                radius=radius,
            )
        )
    return found


def voxels_near(
    crystal: Crystal, shape: tuple[int, ...], coord: Coords, radius: float = RADIUS
) -> Bool[np.ndarray, "nu nv nw"]:
    """Tell which voxels lie within a radius of an atom or of a mate of it.

    Parameters
    ----------
    crystal
        Cell and space group.
    shape
        ``(nu, nv, nw)`` grid over the whole cell.
    coord
        ``(..., n_atoms, 3)`` Å.
    radius
        Å.

    Raises
    ------
    InputError
        If there is no atom, a coordinate is not finite, or the radius is not positive.
    """
    coord = np.asarray(coord, dtype=float).reshape(-1, 3)
    if len(coord) == 0 or not np.isfinite(coord).all() or not 0 < radius < np.inf:
        raise InputError(
            "voxels are chosen by their distance to atoms",
            found=f"{len(coord)} atoms, radius {radius:g} Å",
            fix="give at least one atom with finite coordinates, and a positive radius",
        )
    size = np.array(shape)
    rotations, translations = symmetry_operations(crystal)
    frac = crystal.fractional(coord)
    places = (np.einsum("oij,nj->oni", rotations, frac) + translations[:, None]).reshape(-1, 3)
    steps = (places - np.floor(places)) * size
    # |a*_i| r: how far a ball reaches along the axis, in cells.
    reach = np.ceil(np.linalg.norm(crystal.fractionalization_matrix, axis=1) * radius * size)
    offsets = np.stack(
        np.meshgrid(*[np.arange(-n, n + 1) for n in reach.astype(int) + 1], indexing="ij"), -1
    ).reshape(-1, 3)
    to_cartesian = crystal.orthogonalization_matrix / size
    offsets = offsets[
        np.linalg.norm(offsets @ to_cartesian.T, axis=1)
        <= radius + np.linalg.norm(np.abs(to_cartesian).sum(axis=1)) / 2
    ]
    near = np.zeros(shape, dtype=bool)
    chunk = max(_AT_ONCE // len(offsets), 1)
    for first in range(0, len(steps), chunk):
        centre = np.rint(steps[first : first + chunk]).astype(int)
        point = centre[:, None] + offsets
        apart = (point - steps[first : first + chunk, None]) @ to_cartesian.T
        inside = point[np.einsum("abi,abi->ab", apart, apart) <= radius**2] % size
        near[tuple(inside.T)] = True
    return near


def _correlation(observed: np.ndarray, calculated: np.ndarray) -> RealSpaceAgreement:
    known = np.isfinite(observed) & np.isfinite(calculated)
    n = int(known.sum())
    if n < 3:
        return RealSpaceAgreement(float("nan"), n)
    values = np.stack([observed[known], calculated[known]])
    # What is left of equal numbers is rounding.
    if (np.ptp(values, axis=1) <= 8 * np.finfo(float).eps * np.abs(values).max(axis=1)).any():
        return RealSpaceAgreement(float("nan"), n)
    x, y = values - values.mean(axis=1, keepdims=True)
    power = float(np.sqrt((x @ x) * (y @ y)))
    return RealSpaceAgreement(float(np.clip(x @ y / power, -1, 1)), n)


def _check_grids(observed: np.ndarray, calculated: np.ndarray, rest: np.ndarray | None) -> None:
    shapes = [observed.shape, calculated.shape]
    if rest is not None:
        shapes.append(rest.shape)
    if len(set(shapes)) != 1 or observed.ndim != 3:
        raise InputError(
            "densities are compared on one grid of the cell",
            found=f"shapes {', '.join(map(str, shapes))}",
            fix="calculate them on the grid of the map",
        )
