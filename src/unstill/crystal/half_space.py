"""One half of reciprocal space: of every Friedel pair the positive one."""

from __future__ import annotations

import numpy as np

from unstill.crystal.crystal import Crystal
from unstill.crystal.hkl_grid import HklGrid, Triple
from unstill.errors import InputError
from unstill.shapes import Bool, HklIndex, Int


def friedel_half(
    crystal: Crystal,
    d_min: float,
    divisions: Triple = (1, 1, 1),
    *,
    d_max: float | None = None,
) -> Int[np.ndarray, "points 3"]:
    """Grid indices of one half of the sphere d ≥ d_min, the origin included.

    The other half follows from Friedel's law, F(−H) = F(H)* for real
    scatterers. Of each pair the lexicographically positive one is kept (first
    non-zero index positive), in lexicographic order: the order is part of the
    contract, because block sums of separate runs are added point by point.

    Parameters
    ----------
    crystal
        The unit cell; its space group plays no part.
    d_min
        Smallest spacing (Å), inclusive.
    divisions
        Grid points a reciprocal-lattice vector: unit cells along a, b, c of
        the supercell. hkl = index / divisions.
    d_max
        Largest spacing (Å), inclusive; the origin (infinite d) is then left out.

    Returns
    -------
    index
        ``(n_points, 3)`` int32 grid indices H.

    Raises
    ------
    InputError
        If a limit is not positive, or no point lies between the limits.

    Examples
    --------
    >>> cubic = Crystal((10.0, 10.0, 10.0, 90.0, 90.0, 90.0))
    >>> friedel_half(cubic, 10.0).tolist()
    [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]
    """
    full = HklGrid.covering(crystal, d_min, divisions)
    _, k_end, l_end = full.stop
    half = HklGrid((0, 1 - k_end, 1 - l_end), (full.stop[0], *full.shape[1:]), divisions)
    index = half.index().reshape(-1, 3)
    index = index[is_positive(index)]
    s_squared = crystal.s_squared(index / np.array(divisions))
    # The edge itself belongs to the sphere, whatever the last bit of its length.
    kept = s_squared <= (1 + 1e-9) / d_min**2
    if d_max is not None:
        kept &= s_squared >= (1 - 1e-9) / _checked_d_max(d_max, d_min) ** 2
    if not kept.any():
        raise InputError(
            "no point of reciprocal space lies between the limits",
            found=f"d_min {d_min:g} Å, d_max {d_max} Å, divisions {divisions}",
            fix="lower d_min or raise d_max",
        )
    selected: np.ndarray = index[kept].astype(np.int32)
    return selected


def is_positive(index: HklIndex) -> Bool[np.ndarray, "*points"]:
    """Whether the first non-zero of h, k, l is positive; true for the origin.

    Examples
    --------
    >>> is_positive(np.array([[0, 0, 0], [0, -1, 2], [1, -3, 0]])).tolist()
    [True, False, True]
    """
    h, k, l = np.moveaxis(np.asarray(index), -1, 0)
    positive: np.ndarray = (h > 0) | ((h == 0) & ((k > 0) | ((k == 0) & (l >= 0))))
    return positive


def _checked_d_max(d_max: float, d_min: float) -> float:
    if not (np.isfinite(d_max) and d_max > d_min):
        raise InputError(
            "d_max must be larger than d_min",
            found=f"d_max {d_max:g} Å with d_min {d_min:g} Å",
            fix="give both in angstroms, the larger as d_max",
        )
    return d_max
