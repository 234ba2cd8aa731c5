"""Read the data of guidance: a density map, map coefficients, or measured amplitudes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.io.amplitudes_mtz import read_amplitudes
from unstill.io.density_ccp4 import read_density_map
from unstill.io.mtz_columns import MtzChoice, choose_columns, read_density_coefficients
from unstill.io.mtz_file import whole_mtz
from unstill.io.reading import parsing
from unstill.maps.amplitudes import Amplitudes
from unstill.maps.density_map import DensityMap

_LOOSE = 1.02
"""Resolutions are given to two digits."""


@dataclass(frozen=True, eq=False)
class Target:
    """A density with its resolution.

    Parameters
    ----------
    density
        The map; ``None`` where amplitudes are measured.
    d_min
        Å.
    sentence
        What was chosen, for people; empty if nothing was.
    amplitudes
        Measured, with free flags; ``None`` for a map.
    """

    density: DensityMap | None
    d_min: float
    sentence: str = ""
    amplitudes: Amplitudes | None = None


def read_target(
    path: Path,
    crystal: Crystal | None,
    *,
    resolution: float | None = None,
    columns: str | None = None,
) -> Target:
    """Read a density map (CCP4, MRC), or amplitudes or map coefficients (MTZ).

    Parameters
    ----------
    path
        The file.
    crystal
        Of the model; an MTZ file must have the same.
    resolution
        Å; needed for maps, an upper limit for MTZ files.
    columns
        Of an MTZ file: amplitude and phase, as ``"FWT,PHWT"``, or amplitude and sigma, as
        ``"F,SIGF"``. Measured amplitudes by default, map coefficients where there are none.

    Raises
    ------
    InputError
        If the resolution is missing, or the file holds no density.
    FormatError
        If the file is damaged.
    """
    if path.suffix.lower() == ".mtz":
        return _from_mtz(Path(path), crystal, resolution, columns)
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
    return Target(density, resolution)


def lead_and_diffuse(paths: Sequence[Path]) -> tuple[Path, Path | None]:
    """Tell the data that lead (a density or amplitudes) from a diffuse map.

    Raises
    ------
    InputError
        If there is not exactly one that leads, or more than one diffuse map.
    """
    diffuse = [path for path in paths if path.suffix.lower() == ".nxs"]
    lead = [path for path in paths if path not in diffuse]
    if len(lead) == 1 and len(diffuse) <= 1:
        return lead[0], diffuse[0] if diffuse else None
    names = ", ".join(path.name for path in paths)
    raise InputError(
        "guidance goes by one density or one set of amplitudes, and a diffuse map beside it",
        found=f"{len(lead)} that could lead and {len(diffuse)} diffuse: {names}",
        fix="give a CCP4 or MRC map or an MTZ file, and at most one .nxs file",
    )


def _from_mtz(
    path: Path, crystal: Crystal | None, resolution: float | None, columns: str | None
) -> Target:
    asked = None if columns is None else tuple(part.strip() for part in columns.split(","))
    if asked is not None and len(asked) != 2:
        raise InputError(
            "map coefficients are two columns",
            found=repr(columns),
            fix="give an amplitude and a phase, as --columns FWT,PHWT, or with its sigma",
        )
    with parsing(path, "an MTZ file"):
        choice = choose_columns(whole_mtz(path), asked)
    if choice.kind == "amplitudes":
        return _from_amplitudes(path, resolution, choice)
    density = read_density_coefficients(path, asked, crystal=crystal)
    sentence, finest = density.provenance["columns"], float(density.provenance["d_min"])
    if "residual density" in sentence:
        raise InputError(
            "a residual density shows what is missing, not what is there",
            found=sentence,
            fix="give 2mFo-DFc coefficients, such as FWT,PHWT",
        )
    if resolution is not None and resolution < finest / _LOOSE:
        raise InputError(
            f"{path.name} does not reach that resolution",
            found=f"{finest:.2f} Å, asked for {resolution:g}",
            fix=f"give --resolution {finest:.2f} or more, or leave it out",
        )
    d_min = max(finest, resolution or 0.0)
    return Target(density, d_min, f"{sentence}, to {d_min:.2f} Å")


def _from_amplitudes(path: Path, resolution: float | None, choice: MtzChoice) -> Target:
    observed = read_amplitudes(path, choice.columns[0])
    d = observed.crystal.d(observed.hkl)
    finest = float(d.min())
    if resolution is not None and resolution < finest / _LOOSE:
        raise InputError(
            f"{path.name} does not reach that resolution",
            found=f"{finest:.2f} Å, asked for {resolution:g}",
            fix=f"give --resolution {finest:.2f} or more, or leave it out",
        )
    kept = d >= (resolution or 0.0) * (1 - 1e-9)
    if resolution is not None and not kept.all():
        observed = replace(
            observed,
            hkl=observed.hkl[kept],
            f_obs=observed.f_obs[kept],
            sigma=observed.sigma[kept],
            free=observed.free[kept],
        )
    d_min = max(finest, resolution or 0.0)
    n_free = int(observed.free.sum())
    told = f"{choice.sentence}, {len(observed.free)} to {d_min:.2f} Å, {n_free} of them free"
    return Target(None, d_min, told, observed)
