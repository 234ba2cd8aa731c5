"""The null control of every agreement: the same data with its features scrambled."""

from __future__ import annotations

import numpy as np

from unstill.crystal.symmetry import map_to_asu
from unstill.maps.intensity_map import IntensityMap
from unstill.maps.isotropic import shell_radius
from unstill.shapes import Integer


def permute_within_shells(full: IntensityMap, *, seed: int = 0) -> IntensityMap:
    """Exchange Laue orbits at random within thin shells of resolution.

    The isotropic curve, the spread in every shell and the symmetry stay; where
    the features are is lost. A model that agrees with such a map agrees with
    nothing: its anisotropic CC must be zero within chance, while its total CC
    stays high. Orbits are exchanged whole, because single voxels would leave
    a noise that symmetry averages away.

    Parameters
    ----------
    full
        A map that obeys its Laue group; where mates differ, one of them
        stands for its orbit.
    seed
        Seed of the draw.

    Returns
    -------
    IntensityMap
        On the same grid and mask; sigma travels with its voxel.
    """
    used = np.flatnonzero(full.measured)
    wedge = map_to_asu(full.crystal, full.grid.index().reshape(-1, 3)[used], full.grid.divisions)
    _, first, orbit = np.unique(wedge, axis=0, return_index=True, return_inverse=True)
    shell = np.floor(shell_radius(full).ravel()[used][first] + 0.5).astype(np.int64)
    source = shuffled_within(shell, np.random.default_rng(seed))[orbit.ravel()]

    def moved(values: np.ndarray) -> np.ndarray:
        permuted = values.ravel().copy()
        permuted[used] = permuted[used[first[source]]]
        return permuted.reshape(values.shape)

    return full.replace(
        intensity=moved(full.intensity),
        sigma=None if full.sigma is None else moved(full.sigma),
        provenance={"null_control": "permuted within shells", "seed": seed},
    )


def shuffled_within(
    group: Integer[np.ndarray, " n"], rng: np.random.Generator
) -> Integer[np.ndarray, " n"]:
    """Positions, shuffled among those of one group.

    Examples
    --------
    >>> group = np.array([0, 1, 0, 1, 1])
    >>> source = shuffled_within(group, np.random.default_rng(0))
    >>> bool((group[source] == group).all()), sorted(source.tolist())
    (True, [0, 1, 2, 3, 4])
    """
    order = np.lexsort((rng.random(len(group)), group))
    place = np.argsort(group, kind="stable")
    source = np.empty(len(group), dtype=np.int64)
    source[place] = order
    return source
