"""The absolute scale of a map: what all electrons of the cell scatter together is known."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from unstill.errors import InputError, UnstillWarning
from unstill.maps import IntensityMap
from unstill.reduction.absolute.cell_contents import CellContents
from unstill.shapes import Float, Num

S_MAX = 0.7
"""1/d (Å⁻¹) up to which scattering is added up."""

S_SHORT = 0.5
"""A map that ends before is brought to scale with a warning."""

_N_SHELLS = 200
_STEPS = 4000


@dataclass(frozen=True, eq=False)
class Bragg:
    """Squared structure factors of the same crystal, mates included.

    Parameters
    ----------
    hkl
        ``(n, 3)`` whole Miller indices: all of the sphere, but not 0, 0, 0.
    f_squared
        ``(n,)`` |F|².
    absolute
        In e² a cell (calculated, or brought to that scale); otherwise in the
        unit of the map.
    """

    hkl: Num[np.ndarray, "n 3"]
    f_squared: Float[np.ndarray, " n"]
    absolute: bool = True


@dataclass(frozen=True)
class AbsoluteScale:
    """How a map becomes absolute.

    Parameters
    ----------
    factor
        e² a unit cell for one unit of the map.
    s_max
        1/d (Å⁻¹) up to which was added up.
    expected
        What coherent, bond and Compton scattering of the cell add up to, less
        the forward peak (e²).
    diffuse, bragg
        What the map and the Bragg peaks add up to, in e².
    """

    factor: float
    s_max: float
    expected: float
    diffuse: float
    bragg: float

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers for JSON."""
        return {
            "factor": self.factor,
            "s_max": self.s_max,
            "expected": self.expected,
            "diffuse": self.diffuse,
            "bragg": self.bragg,
        }


def absolute_scale(
    diffuse: IntensityMap,
    contents: CellContents,
    *,
    bragg: Bragg | None = None,
    s_max: float = S_MAX,
    wavelength: float | None = None,
) -> AbsoluteScale:
    r"""Find the factor that brings a map to e² a unit cell.

    All that the electrons of a cell scatter, Bragg peaks and the forward
    direction included, adds up to what the atoms would scatter alone
    (Krogh-Moe, 1956), except for pairs so close that their interference has
    not averaged out at s_max:

    .. math:: N_e^2 + \sum_{h \ne 0} |F_h|^2 + V \int (f I)\, d^3s
              = V \int (I_\mathrm{coh} + I_\mathrm{bond} + I_\mathrm{inc})\, d^3s

    Parameters
    ----------
    diffuse
        The map, Compton scattering not subtracted, Bragg peaks masked.
    contents
        Atoms and bonds of the cell, solvent included.
    bragg
        Bragg intensities up to s_max. Without them what they scatter is counted
        as diffuse, and the factor comes out too large.
    s_max
        In Å⁻¹; the map may end before.
    wavelength
        Of the X-rays (Å), for the Compton scattering.

    Returns
    -------
    scale
        Factor and its parts.

    Raises
    ------
    InputError
        If the map has no intensity there, or more scatters than is in the cell.

    References
    ----------
    Krogh-Moe, J. (1956). *Acta Cryst.* 9, 951–953,
    https://doi.org/10.1107/S0365110X56002655.
    """
    end = _reach(diffuse, s_max)
    volume = diffuse.crystal.volume
    expected = volume * _expected_integral(contents, end, wavelength) - contents.electrons**2
    map_sum = volume * _map_integral(diffuse, end)
    bragg_sum = _bragg_sum(bragg, diffuse, end)
    is_absolute = bragg is not None and bragg.absolute
    left = expected - (bragg_sum if is_absolute else 0.0)
    whole = map_sum + (0.0 if is_absolute else bragg_sum)
    if not (left > 0 and whole > 0):
        raise InputError(
            "the map cannot be brought to the absolute scale",
            found=f"{left:.4g} e² are left for it, and it adds up to {whole:.4g}",
            fix="check the contents of the cell and the scale of the Bragg intensities",
        )
    factor = left / whole
    return AbsoluteScale(
        factor=factor,
        s_max=end,
        expected=expected,
        diffuse=factor * map_sum,
        bragg=bragg_sum * (1.0 if is_absolute else factor),
    )


def to_absolute(diffuse: IntensityMap, scale: AbsoluteScale) -> IntensityMap:
    """Bring a map, with its sigma, to e² a unit cell."""
    return diffuse.replace(
        intensity=scale.factor * diffuse.intensity,
        sigma=None if diffuse.sigma is None else scale.factor * diffuse.sigma,
        provenance={**diffuse.provenance, "absolute": scale.as_dict()},
    )


def _reach(diffuse: IntensityMap, s_max: float) -> float:
    if not (np.isfinite(s_max) and s_max > 0):
        raise InputError("s_max must be positive", found=s_max, fix="give it in Å⁻¹")
    if not diffuse.n_measured:
        raise InputError("the map has no usable voxel", found="all masked", fix="check the mask")
    end = min(s_max, 1 / diffuse.d_min)
    if end < S_SHORT:
        warnings.warn(
            f"the map ends at {1 / end:.2f} Å: its absolute scale is uncertain, for interference "
            f"has not averaged out before {1 / S_SHORT:.1f} Å",
            UnstillWarning,
            stacklevel=3,
        )
    return end


def _expected_integral(contents: CellContents, end: float, wavelength: float | None) -> float:
    """∫ 4π s² (I_coh + I_bond + I_inc) ds."""
    edges = np.linspace(0, end, _STEPS + 1)
    s = (edges[1:] + edges[:-1]) / 2
    total = (
        contents.coherent(s) + contents.bonds(s) + contents.incoherent(s, wavelength=wavelength)
    )
    return float(total @ _volumes(edges))


def _map_integral(diffuse: IntensityMap, end: float) -> float:
    """∫ I d³s from means of shells of equal width in s²; gaps are bridged."""
    usable = diffuse.measured
    s_squared = diffuse.s_squared()[usable]
    intensity = diffuse.intensity[usable]
    edges_squared = np.linspace(0, end**2, _N_SHELLS + 1)
    shell = np.floor(s_squared / edges_squared[1]).astype(np.int64)
    inside = shell < _N_SHELLS
    number = np.bincount(shell[inside], minlength=_N_SHELLS)
    total = np.bincount(shell[inside], weights=intensity[inside], minlength=_N_SHELLS)
    some = np.flatnonzero(number)
    if not len(some):
        raise InputError(
            "the map has no intensity below s_max", found=f"{end:g} Å⁻¹", fix="raise s_max"
        )
    mean = np.interp(np.arange(_N_SHELLS), some, total[some] / number[some])
    return float(mean @ _volumes(np.sqrt(edges_squared)))


def _bragg_sum(bragg: Bragg | None, diffuse: IntensityMap, end: float) -> float:
    if bragg is None:
        return 0.0
    s_squared = diffuse.crystal.s_squared(bragg.hkl)
    inside = (s_squared > 0) & (s_squared <= end**2)
    return float(bragg.f_squared[inside].sum())


def _volumes(edges: np.ndarray) -> np.ndarray:
    volumes: np.ndarray = 4 / 3 * np.pi * np.diff(edges**3)
    return volumes
