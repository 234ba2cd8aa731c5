r"""Two half maps of one reconstruction: how well they agree, shell by shell.

.. math:: FSC(s) = \frac{\Re \sum F_1 \bar F_2}{\sqrt{\sum |F_1|^2 \sum |F_2|^2}}

FSC is what half of the data determines of the other half; √FSC is the expected
correlation of one half with the truth. Source: Rosenthal & Henderson (2003), https://doi.org/10.1016/j.jmb.2003.07.013.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.crystal.same_lattice import same_lattice
from unstill.errors import InputError
from unstill.maps.density_map import DensityMap
from unstill.scattering.synthesis import Synthesis
from unstill.shapes import Float

_SHELLS, _FEWEST = 40, 30
_GOLD = 0.143


@dataclass(frozen=True, eq=False)
class HalfMapAgreement:
    """Fourier shell correlation of two half maps.

    Parameters
    ----------
    s
        ``(n_shells,)`` mean of 1/d (Å⁻¹).
    fsc
        ``(n_shells,)``.
    weight
        ``(n_terms,)`` √FSC at the terms of the synthesis, 0 where halves disagree: the
        expected correlation of one half with the truth.
    d_gold
        Resolution (Å) at which FSC falls below 0.143; ``None`` if it does not.
    """

    s: Float[np.ndarray, " n_shells"]
    fsc: Float[np.ndarray, " n_shells"]
    weight: Float[np.ndarray, " n_terms"]
    d_gold: float | None


def compare_half_maps(
    first: DensityMap, second: DensityMap, synthesis: Synthesis
) -> HalfMapAgreement:
    """Correlate two half maps in shells of resolution.

    Parameters
    ----------
    first, second
        On one grid, or on grids that both reach the resolution.
    synthesis
        Terms to compare.

    Raises
    ------
    InputError
        If the maps have different cells, or are the same map.
    """
    if not same_lattice(first.crystal, second.crystal):
        raise InputError(
            "the half maps have different cells",
            found=f"{first.crystal.unit_cell} and {second.crystal.unit_cell}",
            fix="give both halves of one reconstruction",
        )
    f1, f2 = (
        Synthesis(one.crystal, synthesis.d_min, one.shape).structure_factors(
            np.where(one.known, one.values, 0.0)
        )
        for one in (first, second)
    )
    if np.array_equal(f1, f2):
        raise InputError(
            "both half maps are the same",
            found="no difference in any term",
            fix="give the two independent halves",
        )
    s = np.sqrt(synthesis.crystal.s_squared(synthesis.index))
    chosen = np.flatnonzero(s > 0)
    order = chosen[np.argsort(s[chosen], kind="stable")]
    shells = np.array_split(order, max(1, min(_SHELLS, len(order) // _FEWEST)))
    fsc = np.array([_correlation(f1[shell], f2[shell]) for shell in shells])
    middle = np.array([s[shell].mean() for shell in shells])
    trusted = np.sqrt(np.clip(fsc, 0.0, 1.0))
    below = np.flatnonzero(fsc < _GOLD)
    # What lies beyond the first shell of noise is noise too, whatever its sign.
    if len(below):
        trusted[below[0] :] = 0.0
    weight = np.interp(s, middle, trusted)
    return HalfMapAgreement(
        middle, fsc, weight, float(1 / middle[below[0]]) if len(below) else None
    )


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    size = float(np.sqrt((np.abs(a) ** 2).sum() * (np.abs(b) ** 2).sum()))
    return float((a * b.conj()).real.sum()) / size if size > 0 else 0.0
