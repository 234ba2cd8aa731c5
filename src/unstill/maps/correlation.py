"""How well two maps agree: total, anisotropic, and shell by shell."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from unstill.maps.common_split import CommonSplit, split_on_common_mask
from unstill.maps.intensity_map import IntensityMap
from unstill.shapes import Num

MIN_VOXELS = 3
"""A correlation of fewer numbers says nothing and is NaN."""


@dataclass(frozen=True)
class ShellCorrelation:
    """Agreement in one resolution shell.

    ``d`` belongs to the mean |s| of its voxels, ``d_max`` and ``d_min`` (Å) are
    its edges, ``n`` its voxels, ``cc_aniso`` NaN where there are fewer than three.
    """

    d: float
    d_max: float
    d_min: float
    cc_aniso: float
    n: int


@dataclass(frozen=True)
class Correlation:
    """Agreement of two maps.

    Parameters
    ----------
    cc_total
        Pearson correlation of the intensities on the common mask. Dominated
        by the isotropic decay; nearly blind to a wrong indexing.
    cc_aniso
        Pearson correlation of the anisotropic parts; the figure to judge by.
    n_voxels
        Voxels on the common mask.
    shells
        Correlation of the anisotropic parts by shell, low resolution first.
    """

    cc_total: float
    cc_aniso: float
    n_voxels: int
    shells: tuple[ShellCorrelation, ...]


def correlate(
    a: IntensityMap,
    b: IntensityMap,
    *,
    d_min: float | None = None,
    d_max: float | None = None,
    n_shells: int = 20,
) -> Correlation:
    """Correlate two maps on their common voxels.

    Both maps are split into isotropic and anisotropic parts on the common
    mask; all correlations are unweighted.

    Parameters
    ----------
    a, b
        Maps of one lattice and equal divisions; their boxes may differ.
    d_min, d_max
        Resolution limits (Å).
    n_shells
        Shells of equal width in |s|.

    Raises
    ------
    InputError
        If the maps share no voxels or no lattice.
    """
    return correlate_split(split_on_common_mask(a, b, d_min=d_min, d_max=d_max), n_shells=n_shells)


def correlate_split(common: CommonSplit, *, n_shells: int = 20) -> Correlation:
    """Correlate two maps that are split already; see :func:`correlate`."""
    used = ~common.mask
    aniso_a, aniso_b = common.aniso_a(), common.aniso_b()
    return Correlation(
        cc_total=pearson(common.a.intensity[used], common.b.intensity[used]),
        cc_aniso=pearson(aniso_a, aniso_b),
        n_voxels=int(np.count_nonzero(used)),
        shells=_by_shell(common.s[common.usable], aniso_a, aniso_b, n_shells),
    )


def pearson(a: Num[np.ndarray, "*points"], b: Num[np.ndarray, "*points"]) -> float:
    """Pearson correlation; NaN for fewer than three numbers or a constant.

    Examples
    --------
    >>> round(pearson(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 7.0])), 3)
    0.993
    """
    if a.size < MIN_VOXELS:
        return float("nan")
    da = np.asarray(a, dtype=float) - np.mean(a, dtype=float)
    db = np.asarray(b, dtype=float) - np.mean(b, dtype=float)
    norm = float(np.sqrt(np.vdot(da, da) * np.vdot(db, db)))
    floor = np.finfo(float).eps * a.size * float(np.abs(a).max() * np.abs(b).max())
    return float(np.vdot(da, db)) / norm if norm > floor else float("nan")


def _by_shell(
    s: np.ndarray, a: np.ndarray, b: np.ndarray, n_shells: int
) -> tuple[ShellCorrelation, ...]:
    if not s.size:
        return ()
    edges = np.linspace(s.min(), s.max(), n_shells + 1)
    width = edges[1] - edges[0]
    number = np.minimum(((s - edges[0]) / width if width > 0 else 0 * s).astype(int), n_shells - 1)
    order = np.argsort(number, kind="stable")
    starts = np.searchsorted(number[order], np.arange(n_shells + 1))
    shells = []
    for shell, (begin, end) in enumerate(pairwise(starts)):
        members = order[begin:end]
        if not len(members):
            continue
        shells.append(
            ShellCorrelation(
                d=_spacing(float(s[members].mean())),
                d_max=_spacing(float(edges[shell])),
                d_min=_spacing(float(edges[shell + 1])),
                cc_aniso=pearson(a[members], b[members]),
                n=len(members),
            )
        )
    return tuple(shells)


def _spacing(s: float) -> float:
    return 1 / s if s > 0 else float("inf")
