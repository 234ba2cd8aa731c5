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
    from unstill.io.mtz_columns import read_density_coefficients

    density = read_density_coefficients(path, pair)
    return density, max(float(density.provenance["d_min"]), resolution or 0.0)
