"""Measured Bragg amplitudes from an MTZ file."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.symmetry import map_to_asu
from unstill.errors import FormatError
from unstill.io.mtz import mtz_crystal
from unstill.io.reading import parsing
from unstill.maps.amplitudes import Amplitudes

_AMPLITUDE = ("FP", "F", "FOBS", "F-obs", "F-obs-filtered", "FMEAN", "Fobs")
_FREE = ("FreeR_flag", "FREER", "FREE", "RFREE", "R-free-flags", "FreeRflag")


def read_amplitudes(path: Path, label: str | None = None) -> Amplitudes:
    """Read F, its sigma and the free flags.

    The amplitude is the column named FP, F, FOBS, …, else the first of type F
    that has a sigma (SIG + name). Reflections without a value, or with a σ that
    is not positive, are left out. Free are those with flag 0 where flags
    count from 0 to 5 or more (CCP4), and those with the rarer flag where there
    are only two (Phenix); all are work where there are no flags.

    Parameters
    ----------
    path
        The file.
    label
        Column of the amplitude, where another than the first known is meant; it has a sigma.

    Raises
    ------
    FormatError
        If the file is damaged or has no amplitudes with sigma.
    """
    path = Path(path)
    crystal = mtz_crystal(path)
    with parsing(path, "an MTZ file"):
        mtz = gemmi.read_mtz_file(str(path))
        label = _amplitude_label(path, mtz) if label is None else label
        f_obs = np.array(mtz.column_with_label(label), dtype=float)
        sigma = np.array(mtz.column_with_label(f"SIG{label}"), dtype=float)
        flags = _flags(mtz)
        hkl = mtz.make_miller_array().astype(np.int64)
    good = np.isfinite(f_obs) & np.isfinite(sigma) & (sigma > 0) & (hkl != 0).any(axis=1)
    if not good.any():
        raise FormatError(
            f"{path.name} holds no amplitude with a positive sigma",
            found=f"columns {label}, SIG{label}",
            fix="give measured amplitudes with their sigma",
        )
    free = np.zeros(len(hkl), dtype=bool) if flags is None else _free(flags[1])
    columns = (label, f"SIG{label}", *(() if flags is None else (flags[0],)))
    unique, first = np.unique(map_to_asu(crystal, hkl[good]), axis=0, return_index=True)
    return Amplitudes(
        Crystal(crystal.unit_cell, crystal.space_group),
        unique,
        f_obs[good][first],
        sigma[good][first],
        free[good][first],
        columns,
    )


def _amplitude_label(path: Path, mtz: gemmi.Mtz) -> str:
    present = [column.label for column in mtz.columns_with_type("F")]
    ordered = [name for name in _AMPLITUDE if name in present] + present
    for label in ordered:
        if f"SIG{label}" in mtz.column_labels():
            return label
    raise FormatError(
        f"{path.name} holds no amplitudes with sigma",
        found=f"columns {', '.join(mtz.column_labels())}",
        fix="give an MTZ file with an amplitude (type F) and its sigma, such as F and SIGF",
    )


def _flags(mtz: gemmi.Mtz) -> tuple[str, np.ndarray] | None:
    labels = mtz.column_labels()
    for name in _FREE:
        if name in labels:
            return name, np.array(mtz.column_with_label(name), dtype=float)
    return None


def _free(flags: np.ndarray) -> np.ndarray:
    values, counts = np.unique(flags[np.isfinite(flags)], return_counts=True)
    if len(values) < 2:
        return np.zeros(len(flags), dtype=bool)
    free: np.ndarray = flags == (0 if len(values) > 2 else values[np.argmin(counts)])
    return free
