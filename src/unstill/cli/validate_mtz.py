"""What an MTZ file offers to ``unstill validate``: amplitudes, density coefficients, or both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from unstill.maps.amplitudes import Amplitudes
    from unstill.maps.density_map import DensityMap

_COEFFICIENTS = (("FWT", "PHWT"), ("2FOFCWT", "PH2FOFCWT"))


def read_mtz_data(
    path: Path, resolution: float | None
) -> tuple[Amplitudes | None, DensityMap | None, float | None]:
    """Read measured amplitudes (F, SIGF) and the density of 2mFo − DFc, where the file has them.

    Parameters
    ----------
    path
        The file.
    resolution
        Cuts the data (Å); all of it by default.

    Raises
    ------
    FormatError
        If it has neither.
    InputError
        If nothing is left at the resolution.
    """
    import gemmi

    from unstill.errors import FormatError, InputError
    from unstill.io.amplitudes_mtz import read_amplitudes
    from unstill.io.reading import parsing

    with parsing(path, "an MTZ file"):
        labels = gemmi.read_mtz_file(str(path), with_data=False).column_labels()
    pair = next((pair for pair in _COEFFICIENTS if set(pair) <= set(labels)), None)
    amplitudes = None
    try:
        amplitudes = read_amplitudes(path)
    except FormatError:
        if pair is None:
            raise
    if amplitudes is not None and resolution is not None:
        kept = amplitudes.crystal.d(amplitudes.hkl) >= resolution
        if not kept.any():
            raise InputError(
                "no reflection is left at this resolution",
                found=f"d_min {amplitudes.crystal.d(amplitudes.hkl).min():.2f} Å in {path.name}, "
                f"--resolution {resolution:g}",
                fix="give a finer resolution, or leave it out",
            )
        amplitudes = _cut(amplitudes, kept)
    if pair is None:
        return amplitudes, None, None
    density, d_min = _density(path, pair, resolution)
    return amplitudes, density, d_min


def _cut(amplitudes: Amplitudes, kept: np.ndarray) -> Amplitudes:
    from dataclasses import replace

    return replace(
        amplitudes,
        hkl=amplitudes.hkl[kept],
        f_obs=amplitudes.f_obs[kept],
        sigma=amplitudes.sigma[kept],
        free=amplitudes.free[kept],
    )


def _density(
    path: Path, pair: tuple[str, str], resolution: float | None
) -> tuple[DensityMap, float]:
    import numpy as np

    from unstill.errors import InputError
    from unstill.io.mtz_phased import read_phased_mtz
    from unstill.maps.density_map import DensityMap
    from unstill.scattering.synthesis import Synthesis

    phased = read_phased_mtz(path, pair)
    s_squared = phased.crystal.s_squared(phased.index)
    finest = float(1 / np.sqrt(s_squared.max())) if s_squared.max() > 0 else np.inf
    # A hair finer, so that rounding leaves no reflection out.
    d_min = max(finest * (1 - 1e-6), resolution or 0.0)
    synthesis = Synthesis(phased.crystal, d_min)
    most = np.abs(synthesis.index).max(axis=0)
    table = np.full(2 * most + 1, -1)
    table[tuple((synthesis.index + most).T)] = np.arange(synthesis.n_points)
    f = np.zeros(synthesis.n_points, dtype=complex)
    for sign, value in ((1, phased.f), (-1, phased.f.conj())):
        inside = (np.abs(phased.index) <= most).all(axis=1)
        place = table[tuple((sign * phased.index[inside] + most).T)]
        f[place[place >= 0]] = value[inside][place >= 0]
    if not np.any(f):
        raise InputError(
            "the density of this file is zero at this resolution",
            found=f"{pair[0]}, {pair[1]} of {path.name}",
            fix="give a finer resolution, or leave it out",
        )
    return DensityMap(phased.crystal, synthesis.density(f)), d_min
