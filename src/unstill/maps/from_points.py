"""A map from values at one half of reciprocal space."""

from __future__ import annotations

import numpy as np

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.hkl_grid import Triple
from unstill.errors import InputError
from unstill.maps.intensity_map import IntensityMap
from unstill.shapes import Float, Integer


def map_from_points(
    crystal: Crystal,
    divisions: Triple,
    index: Integer[np.ndarray, "points 3"],
    values: Float[np.ndarray, " n_values"],
    sigma: Float[np.ndarray, " n_sigma"] | None = None,
) -> IntensityMap:
    """Fill a box of fractional hkl from one half of it, by Friedel's law I(−h) = I(h).

    Parameters
    ----------
    crystal
        The unit cell and space group.
    divisions
        Grid points a reciprocal-lattice vector; hkl = index / divisions.
    index
        ``(n_points, 3)`` grid indices. Where both Friedel mates are given,
        each keeps its own value.
    values, sigma
        ``(n_points,)`` intensity and its standard uncertainty.

    Returns
    -------
    IntensityMap
        The smallest box centred on the origin that holds the points and their
        mates; voxels that no point reaches are masked.

    Raises
    ------
    InputError
        If the lengths disagree or there are no points.

    Examples
    --------
    >>> import numpy as np
    >>> crystal = Crystal((10.0, 10.0, 10.0, 90.0, 90.0, 90.0))
    >>> found = map_from_points(crystal, (2, 2, 2), np.array([[0, 0, 1]]), np.array([3.0]))
    >>> found.intensity.ravel().tolist(), found.grid.axes()[2].tolist()
    ([3.0, nan, 3.0], [-0.5, 0.0, 0.5])
    """
    for name, array in (("values", values), ("sigma", sigma)):
        if array is not None and len(array) != len(index):
            raise InputError(
                f"{name} and points do not have the same length",
                found=f"{len(array)} {name} for {len(index)} points",
                fix="give one value a point",
            )
    if len(index) == 0:
        raise InputError("a map needs points", found="none", fix="lower d_min")
    half = np.abs(index).max(axis=0)
    h, k, l = (int(value) for value in half)
    grid = HklGrid((-h, -k, -l), (2 * h + 1, 2 * k + 1, 2 * l + 1), divisions)
    wide = index.astype(np.int64)
    # Mates first: a value that was given for the mate itself then has the last word.
    places = np.concatenate([grid.position(-wide), grid.position(wide)])

    def filled(numbers: np.ndarray) -> np.ndarray:
        box = np.full(grid.size, np.nan)
        box[places] = np.concatenate([numbers, numbers])
        return box.reshape(grid.shape)

    return IntensityMap(
        crystal=crystal,
        grid=grid,
        intensity=filled(values),
        sigma=None if sigma is None else filled(sigma),
    )
