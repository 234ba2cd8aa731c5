"""Springs between atoms that are not bonded: what keeps a fold, or a hydrogen where it rides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.spatial

from unstill.shapes import Coord, Float, Int

_REACH = 1.5


@dataclass(frozen=True, eq=False)
class Springs:
    """Distances that are held besides those of chemistry.

    Parameters
    ----------
    pairs, lengths, sigmas
        ``(m, 2)`` atoms; ``(m,)`` distances and their standard deviations (Å).
    reach
        Å beyond which a spring pulls no harder.
    """

    pairs: Int[np.ndarray, "m 2"]
    lengths: Float[np.ndarray, " m"]
    sigmas: Float[np.ndarray, " m"]
    reach: float = np.inf


def fold_springs(
    reference: Coord, anchors: Int[np.ndarray, " k"], *, cutoff: float = 10.0, sigma: float = 1.5
) -> Springs:
    """Springs that keep a fold: between anchors, one a residue, that are near in the reference.

    Parameters
    ----------
    reference
        ``(n_atoms, 3)`` Å.
    anchors
        ``(k,)`` atoms.
    cutoff
        Anchors nearer than this (Å) are joined.
    sigma
        Standard deviation of their distance (Å).

    Notes
    -----
    A spring that is off by more than 1.5 Å pulls no harder, so that a loop which has gone
    elsewhere is not dragged back.
    """
    at = np.asarray(reference, dtype=float)[anchors].reshape(-1, 3)
    pairs = np.zeros((0, 2), dtype=int)
    if len(at) > 1:
        pairs = scipy.spatial.cKDTree(at).query_pairs(cutoff, output_type="ndarray")
        pairs = pairs[np.lexsort(pairs.T[::-1])].reshape(-1, 2)
    lengths = np.linalg.norm(at[pairs[:, 0]] - at[pairs[:, 1]], axis=1)
    return Springs(np.asarray(anchors)[pairs], lengths, np.full(len(pairs), sigma), _REACH)
