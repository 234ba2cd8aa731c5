"""Read the data of guidance: a density map, or map coefficients of an MTZ file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.io.density_ccp4 import read_density_map
from unstill.io.mtz import mtz_crystal
from unstill.io.reading import parsing
from unstill.maps.density_map import DensityMap
from unstill.scattering.synthesis import grid_shape

COEFFICIENTS = (("FWT", "PHWT"), ("2FOFCWT", "PH2FOFCWT"))
"""Amplitude and phase columns of a density, most usual first."""
_LOOSE = 1.02


@dataclass(frozen=True, eq=False)
class Target:
    """A density with its resolution.

    Parameters
    ----------
    density, d_min
        Map, and Å.
    sentence
        What was chosen, for people; empty if nothing was.
    """

    density: DensityMap
    d_min: float
    sentence: str = ""


def read_target(
    path: Path,
    crystal: Crystal | None,
    *,
    resolution: float | None = None,
    columns: str | None = None,
) -> Target:
    """Read a density map (CCP4, MRC) or map coefficients (MTZ).

    Parameters
    ----------
    path
        The file.
    crystal
        Of the model.
    resolution
        Å; needed for maps, an upper limit for MTZ files.
    columns
        Amplitude and phase of an MTZ file, as ``"FWT,PHWT"``.

    Raises
    ------
    InputError
        If the resolution is missing, or the file holds no density.
    FormatError
        If the file is damaged.
    """
    if path.suffix.lower() == ".mtz":
        return _from_mtz(Path(path), resolution, columns)
    if columns is not None:
        raise InputError(
            "a map has no columns", found=f"--columns with {path.name}", fix="leave it out"
        )
    density = read_density_map(Path(path))
    if resolution is None:
        nyquist = 2 * max(density.voxel)
        raise InputError(
            f"the resolution of {path.name} is missing",
            found=f"a map, whose grid would allow {nyquist:.2f} Å",
            fix="give --resolution, as of the deposited data",
        )
    del crystal
    return Target(density, resolution)


def _from_mtz(path: Path, resolution: float | None, columns: str | None) -> Target:
    crystal = mtz_crystal(path)
    with parsing(path, "an MTZ file"):
        mtz = gemmi.read_mtz_file(str(path))
    labels = mtz.column_labels()
    amplitude, phase = _columns(path, labels, columns)
    f = np.array(mtz.column_with_label(amplitude), dtype=float)
    phi = np.array(mtz.column_with_label(phase), dtype=float)
    d = mtz.make_d_array()
    known = np.isfinite(f) & np.isfinite(phi)
    if not known.any():
        raise InputError(
            f"columns {amplitude} and {phase} of {path.name} are empty",
            found=f"{len(f)} reflections without a value",
            fix="choose other columns with --columns",
        )
    finest = float(d[known].min())
    d_min = finest if resolution is None else resolution
    if d_min < finest / _LOOSE:
        raise InputError(
            f"{path.name} does not reach that resolution",
            found=f"{finest:.2f} Å, asked for {d_min:g}",
            fix=f"give --resolution {finest:.2f} or more, or leave it out",
        )
    shape = grid_shape(Crystal(crystal.unit_cell, crystal.space_group), d_min)
    grid = mtz.transform_f_phi_to_map(amplitude, phase, exact_size=shape)
    values = np.array(grid, copy=True).astype(float)
    sentence = f"density from {amplitude} and {phase} of {path.name}, to {d_min:.2f} Å"
    if (amplitude, phase) in (("DELFWT", "PHDELWT"), ("FOFCWT", "PHFOFCWT")):
        sentence += " (a residual density: strength of what is missing, not of what is there)"
    return Target(
        DensityMap(Crystal(crystal.unit_cell, crystal.space_group), values), d_min, sentence
    )


def _columns(path: Path, labels: list[str], columns: str | None) -> tuple[str, str]:
    if columns is not None:
        parts = [part.strip() for part in columns.split(",")]
        if len(parts) != 2 or any(part not in labels for part in parts):
            raise InputError(
                f"{path.name} has no such columns",
                found=f"{columns!r}; there are {', '.join(labels)}",
                fix="give an amplitude and a phase, as --columns FWT,PHWT",
            )
        return parts[0], parts[1]
    for amplitude, phase in COEFFICIENTS:
        if amplitude in labels and phase in labels:
            return amplitude, phase
    raise InputError(
        f"{path.name} holds no density",
        found=f"columns {', '.join(labels)}",
        fix="give map coefficients such as FWT and PHWT, or name them with --columns",
    )
