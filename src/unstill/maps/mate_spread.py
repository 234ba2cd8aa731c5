"""The noise of a map that carries no sigma, from how well symmetry mates agree."""

from __future__ import annotations

import numpy as np

from unstill.crystal.symmetry import map_to_asu
from unstill.maps.copies import copy_numbers
from unstill.maps.intensity_map import IntensityMap
from unstill.shapes import Float, Mask

_FEWEST_PAIRS = 100
_AVERAGED = 1e-3


def sigma_from_mates(
    full: IntensityMap, *, usable: Mask | None = None, n_shells: int = 20
) -> Float[np.ndarray, "h k l"] | None:
    r"""Estimate sigma from the spread of the intensity among Laue mates.

    .. math:: \sigma^2(s) = \sum_o \sum_{h \in o} (I(h) - \bar I_o)^2 / \sum_o (n_o - 1)

    over the orbits o of a resolution shell with n_o ≥ 2 usable members. Mates
    would be equal without noise, and they share their \|s\|, so the isotropic
    part cancels. The spread holds what is systematic and breaks the symmetry
    too (absorption, background). Mates that are copies of each other
    (:mod:`unstill.maps.copies`) count once. What they have in common otherwise,
    because they were interpolated from the same pixels, say, is not seen, and the
    estimate is then a lower bound.

    Parameters
    ----------
    full
        A map whose mates have not been averaged.
    usable
        Voxels to use; by default the measured ones.
    n_shells
        Shells of equally many voxels.

    Returns
    -------
    sigma
        ``(h, k, l)``, one value a shell, in the unit of the intensity. ``None``
        if fewer than 100 mates can be compared, or if they are equal, as in a
        calculated or symmetrised map, which says nothing about its noise.
    """
    used = _one_of_each(full, full.measured if usable is None else usable & full.measured)
    if np.count_nonzero(used) < _FEWEST_PAIRS:
        return None
    intensity = full.intensity[used].astype(float)
    representative = map_to_asu(full.crystal, full.grid.index()[used], full.grid.divisions)
    _, label = np.unique(representative, axis=0, return_inverse=True)
    label = label.ravel()
    members = np.bincount(label)
    mean = np.bincount(label, weights=intensity) / members
    squares = (intensity - mean[label]) ** 2
    # Each member carries its share of the orbit's n − 1 degrees of freedom.
    freedom = (1 - 1 / members)[label]
    if freedom.sum() < _FEWEST_PAIRS:
        return None
    s_squared = full.s_squared()
    edges = np.quantile(s_squared[used], np.linspace(0, 1, n_shells + 1)[1:-1])
    shell = np.searchsorted(edges, s_squared[used])
    in_shell = np.bincount(shell, weights=freedom, minlength=n_shells)
    spread = np.bincount(shell, weights=squares, minlength=n_shells)
    variance = np.where(in_shell > 1, spread / np.maximum(in_shell, 1), np.nan)
    variance[np.isnan(variance)] = squares.sum() / freedom.sum()
    if np.sqrt(variance.mean()) < _AVERAGED * np.std(intensity):
        return None
    sigma: np.ndarray = np.sqrt(variance)[np.searchsorted(edges, s_squared)]
    return sigma


def _one_of_each(full: IntensityMap, used: Mask) -> Mask:
    """Keep one voxel of those that are copies of each other."""
    candidates = np.flatnonzero(used)
    _, first = np.unique(copy_numbers(full).ravel()[candidates], return_index=True)
    kept = np.zeros(used.size, dtype=bool)
    kept[candidates[first]] = True
    return kept.reshape(used.shape)
