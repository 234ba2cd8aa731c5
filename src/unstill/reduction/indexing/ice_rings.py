"""Spots on rings of ice, where a crowd of them shows that there is ice."""

from __future__ import annotations

import numpy as np

RINGS = (3.897, 3.669, 3.441, 2.671, 2.249, 2.072, 1.948, 1.918, 1.883, 1.721, 1.523)
"""Spacings of hexagonal ice (Å), as in Moreau et al. (2021), doi:10.1107/S2059798321001170."""

_HALF_WIDTH = 0.0025
_CROWD = 3.0
_FEW = 20


def ice_spots(length: np.ndarray) -> tuple[np.ndarray, tuple[float, ...]]:
    """Find spots on the rings of ice that hold many more spots than their surroundings.

    Parameters
    ----------
    length
        ``(n,)`` 1/d of every spot (Å⁻¹).

    Returns
    -------
    on_ring, rings
        ``(n,)`` bool, and the spacings (Å) of the crowded rings.
    """
    on_ring = np.zeros(len(length), bool)
    crowded = []
    for d in RINGS:
        away = np.abs(length - 1 / d)
        here = away <= _HALF_WIDTH
        beside = (away > 2 * _HALF_WIDTH) & (away <= 5 * _HALF_WIDTH)
        # The surroundings are three times as wide.
        expected = max(beside.sum() / 3, 1.0)
        if here.sum() >= _FEW and here.sum() > _CROWD * expected:
            on_ring |= here
            crowded.append(d)
    return on_ring, tuple(crowded)
