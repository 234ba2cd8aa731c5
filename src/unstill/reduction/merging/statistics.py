"""How good a merged data set is, by resolution and over all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from unstill.errors import InputError
from unstill.maps.correlation import MIN_VOXELS, pearson
from unstill.reduction.merging.merged import Merged
from unstill.reduction.merging.unique_voxels import unique_by_shell
from unstill.reduction.merging.voxel_split import VoxelSplit, interval_of, split_voxels
from unstill.shapes import Float, Int

N_SHELLS = 20

Accessible = Callable[[np.ndarray], np.ndarray]
"""Tells of ``(m, 3)`` representatives which ones the experiment could reach."""


@dataclass(frozen=True)
class ShellStatistics:
    """Figures of one shell, or of all.

    Parameters
    ----------
    d_max, d_min
        Edges (Å).
    n_voxels, n_unique, completeness
        Unique voxels with an intensity; those that the shell has; their ratio.
    completeness_accessible
        Ratio to the unique voxels that the experiment could reach; ``None``
        where nobody told which.
    n_obs, n_rejected
        Rows merged and left out.
    redundancy
        Rows a voxel.
    multiplicity
        Mean number of times that the volume of a voxel was swept.
    intensity, i_over_sigma
        Means over the voxels.
    chi2
        Reduced χ² of rows about their voxels.
    cc_half, cc_half_error
        Pearson correlation of the anisotropic parts of two random halves, and
        its standard error (1 − CC²)/√(n − 2).
    cc_star
        √(2 CC/(1 + CC)), correlation of the map with the truth.
    cc_expected
        What CC the sigmas promise.
    cc_friedel
        Pearson correlation of the anisotropic parts of the Friedel halves.
    cc_half_off_bragg, cc_friedel_off_bragg
        The same without the voxels that are centred on a Bragg peak.
    n_half, n_friedel
        Voxels that both halves saw.
    """

    d_max: float
    d_min: float
    n_voxels: int
    n_unique: int
    completeness: float
    completeness_accessible: float | None
    n_obs: int
    n_rejected: int
    redundancy: float
    multiplicity: float
    intensity: float
    i_over_sigma: float
    chi2: float
    cc_half: float
    cc_half_error: float
    cc_star: float
    cc_expected: float
    cc_friedel: float
    cc_half_off_bragg: float
    cc_friedel_off_bragg: float
    n_half: int
    n_friedel: int


@dataclass(frozen=True)
class MergingStatistics:
    """Figures of all shells together and one by one, low resolution first.

    ``cc_half_interval`` is a 95 % interval of the overall CC1/2, from a
    bootstrap over blocks of reciprocal space; NaN where it was not asked for.
    """

    overall: ShellStatistics
    shells: tuple[ShellStatistics, ...]
    cc_half_interval: tuple[float, float]

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers for JSON; NaN becomes null when it is written."""
        return {
            "overall": asdict(self.overall) | {"cc_half_interval": list(self.cc_half_interval)},
            "shells": [asdict(shell) for shell in self.shells],
        }


def merging_statistics(
    merged: Merged,
    *,
    d_min: float | None = None,
    d_max: float | None = None,
    n_shells: int = N_SHELLS,
    accessible: Accessible | None = None,
    interval: bool = True,
) -> MergingStatistics:
    r"""Correlations of halves, completeness and strength of a merged data set.

    Correlations are of the anisotropic parts: each half less its own isotropic
    curve (:mod:`unstill.maps.isotropic`) on their common voxels. The CC that
    the sigmas promise is

    .. math:: CC = T / \sqrt{(T + \langle\sigma_1^2\rangle)(T + \langle\sigma_2^2\rangle)},
              \qquad T = \langle I^2\rangle - \langle\sigma^2\rangle

    with the anisotropic intensity I and σ of the whole and σ₁, σ₂ of the
    halves. Where halves are equal that is (⟨I²⟩ − ⟨σ²⟩)/(⟨I²⟩ + ⟨σ²⟩).

    Parameters
    ----------
    merged
        The data.
    d_min, d_max
        Resolution limits (Å); those of the data by default.
    n_shells
        Shells of equal width in 1/d.
    accessible
        Tells of ``(m, 3)`` representative grid indices which ones the
        experiment could reach.
    interval
        Also bootstrap the overall CC1/2.

    Raises
    ------
    InputError
        If no voxel lies between the limits.

    References
    ----------
    Karplus, P. A. & Diederichs, K. (2012). *Science* 336, 1030–1033.
    https://doi.org/10.1126/science.1218231
    """
    limits = _limits(merged, d_min, d_max)
    edges = np.linspace(1 / limits[0], 1 / limits[1], n_shells + 1)
    columns = _Columns.of(merged, edges, accessible)
    unique, reachable = unique_by_shell(
        merged.crystal, merged.divisions, merged.operations, edges, accessible=accessible
    )
    halves = [_halves(merged, pair, edges) for pair in ((0, 1), (2, 3))]
    random, friedel = halves
    promised = _promised(merged, edges)
    shells = []
    for number in (None, *range(n_shells)):
        inside = slice(None) if number is None else number
        shells.append(
            _figures(
                columns,
                number,
                (edges[0], edges[-1]) if number is None else (edges[number], edges[number + 1]),
                int(unique[inside].sum()),
                None if reachable is None else int(reachable[inside].sum()),
                [half.figure(number) for half in (random, friedel)],
                promised.get(number, float("nan")),
            )
        )
    bounds = (float("nan"), float("nan"))
    if interval and random.split is not None:
        bounds = interval_of(merged, random.split)
    return MergingStatistics(shells[0], tuple(shells[1:]), bounds)


@dataclass(frozen=True, eq=False)
class _Columns:
    """Columns of the voxels between the limits, and the shell of each."""

    shell: Int[np.ndarray, " v"]
    merged: Merged
    reached: np.ndarray | None

    @classmethod
    def of(cls, merged: Merged, edges: np.ndarray, accessible: Accessible | None) -> _Columns:
        reached = None if accessible is None else np.asarray(accessible(merged.index), bool)
        return cls(_shell_of(merged.s(), edges), merged, reached)


@dataclass(frozen=True, eq=False)
class _HalfCorrelation:
    """CC of two halves by shell and over all (key None): all voxels, and off Bragg."""

    every: dict[int | None, tuple[float, int]]
    off_bragg: dict[int | None, tuple[float, int]]
    split: VoxelSplit | None

    def figure(self, number: int | None) -> tuple[float, float, int]:
        nothing = (float("nan"), 0)
        cc, n = self.every.get(number, nothing)
        return cc, self.off_bragg.get(number, nothing)[0], n


def _figures(
    columns: _Columns,
    number: int | None,
    s_edges: tuple[float, float],
    n_unique: int,
    n_reachable: int | None,
    halves: list[tuple[float, float, int]],
    promised: float,
) -> ShellStatistics:
    merged, shell = columns.merged, columns.shell
    chosen = (shell >= 0) if number is None else (shell == number)
    seen = chosen & np.isfinite(merged.intensity)
    n_voxels, n_obs = int(np.count_nonzero(seen)), int(merged.n_obs[chosen].sum())
    several = chosen & (merged.n_obs >= 2)
    freedom = int((merged.n_obs[several] - 1).sum())
    (cc_half, cc_half_off, n_half), (cc_friedel, cc_friedel_off, n_friedel) = halves
    return ShellStatistics(
        d_max=_spacing(s_edges[0]),
        d_min=_spacing(s_edges[1]),
        n_voxels=n_voxels,
        n_unique=n_unique,
        completeness=_ratio(n_voxels, n_unique),
        completeness_accessible=None
        if n_reachable is None or columns.reached is None
        else _ratio(int(np.count_nonzero(seen & columns.reached)), n_reachable),
        n_obs=n_obs,
        n_rejected=int(merged.n_rejected[chosen].sum()),
        redundancy=_ratio(n_obs, n_voxels),
        multiplicity=_mean(merged.multiplicity[seen]),
        intensity=_mean(merged.intensity[seen]),
        i_over_sigma=_mean(merged.intensity[seen] / merged.sigma[seen]),
        chi2=_ratio(float(merged.deviations[several].sum()), freedom),
        cc_half=cc_half,
        cc_half_error=correlation_error(cc_half, n_half),
        cc_star=cc_star(cc_half),
        cc_expected=promised,
        cc_friedel=cc_friedel,
        cc_half_off_bragg=cc_half_off,
        cc_friedel_off_bragg=cc_friedel_off,
        n_half=n_half,
        n_friedel=n_friedel,
    )


def cc_star(cc_half: float) -> float:
    """Correlation of a map with the truth, √(2 CC/(1 + CC)); NaN where CC1/2 is negative.

    Examples
    --------
    >>> round(cc_star(0.5), 3)
    0.816
    """
    return float(np.sqrt(2 * cc_half / (1 + cc_half))) if cc_half >= 0 else float("nan")


def correlation_error(cc: float, n: int) -> float:
    """Return the standard error of a correlation of n independent pairs, (1 − CC²)/√(n − 2)."""
    return float((1 - cc**2) / np.sqrt(n - 2)) if n > 2 else float("nan")


def _halves(merged: Merged, pair: tuple[int, int], edges: np.ndarray) -> _HalfCorrelation:
    columns = (merged.half_intensity[pair[0]], merged.half_intensity[pair[1]])
    known = _known(merged, pair)
    d_limits = _finite({"d_min": 1 / edges[-1], "d_max": _spacing(edges[0])})
    every, off_bragg, split = {}, {}, None
    try:
        split = split_voxels(merged, columns, known, **d_limits)
        every = _by_shell(split, edges)
        if merged.divisions != (1, 1, 1):
            bragg = np.all(merged.index % np.array(merged.divisions) == 0, axis=1)
            off = split_voxels(merged, columns, known & ~bragg, **d_limits)
            off_bragg = _by_shell(off, edges)
    except InputError:
        # Too few voxels that both halves saw: there is no correlation to tell.
        pass
    return _HalfCorrelation(every, off_bragg, split)


def _known(merged: Merged, pair: tuple[int, int]) -> np.ndarray:
    """Voxels of which both halves know the uncertainty."""
    known: np.ndarray = np.isfinite(merged.half_sigma[pair[0]])
    known &= np.isfinite(merged.half_sigma[pair[1]])
    return known


def _by_shell(split: VoxelSplit, edges: np.ndarray) -> dict[int | None, tuple[float, int]]:
    a, b = split.parts
    shell = _shell_of(split.s, edges)
    found: dict[int | None, tuple[float, int]] = {None: (pearson(a, b), len(a))}
    for number in range(len(edges) - 1):
        inside = shell == number
        found[number] = pearson(a[inside], b[inside]), int(np.count_nonzero(inside))
    return found


def _promised(merged: Merged, edges: np.ndarray) -> dict[int | None, float]:
    """CC1/2 that sigmas promise, by shell and over all, on voxels that both halves saw."""
    usable = _known(merged, (0, 1)) & np.isfinite(merged.sigma)
    usable &= np.all(np.isfinite(merged.half_intensity[:2]), axis=0)
    try:
        split = split_voxels(merged, (merged.intensity,), usable, d_min=1 / edges[-1])
    except InputError:
        return {}
    used = split.voxels
    squares = [
        split.parts[0] ** 2,
        *(column[used] ** 2 for column in (merged.sigma, *merged.half_sigma[:2])),
    ]
    shell = _shell_of(split.s, edges)
    found: dict[int | None, float] = {None: _promise(*(_mean(square) for square in squares))}
    for number in range(len(edges) - 1):
        inside = shell == number
        if np.count_nonzero(inside) >= MIN_VOXELS:
            found[number] = _promise(*(_mean(square[inside]) for square in squares))
    return found


def _promise(total: float, noise: float, noise_one: float, noise_other: float) -> float:
    true = max(total - noise, 0.0)
    size = np.sqrt((true + noise_one) * (true + noise_other))
    return float(true / size) if size > 0 else float("nan")


def _limits(merged: Merged, d_min: float | None, d_max: float | None) -> tuple[float, float]:
    s = merged.s()
    least = s[s > 0].min() if np.any(s > 0) else 0.0
    low = least if d_max is None else 1 / d_max
    high = (s.max() if s.size else 0.0) if d_min is None else 1 / d_min
    if not (low < high and np.any((s >= low) & (s <= high))):
        raise InputError(
            "no voxel lies between the limits of resolution",
            found=f"d_min {d_min}, d_max {d_max} Å for {len(s)} voxels",
            fix="widen the limits",
        )
    return 1 / low, 1 / high


def _shell_of(s: Float[np.ndarray, " v"], edges: np.ndarray) -> Int[np.ndarray, " v"]:
    """Shell of each length, −1 outside; both ends belong to the range."""
    width = edges[1] - edges[0]
    number = np.floor((s - edges[0]) / width).astype(np.int64)
    slack = 1e-9 * edges[-1]
    number = np.clip(number, 0, len(edges) - 2)
    inside = (s >= edges[0] - slack) & (s <= edges[-1] + slack)
    shell: np.ndarray = np.where(inside, number, -1)
    return shell


def _finite(limits: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in limits.items() if np.isfinite(value)}


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _spacing(s: float) -> float:
    return float(1 / s) if s > 0 else float("inf")
