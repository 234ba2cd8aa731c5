"""Which columns of an MTZ file are meant: amplitudes, a density, or a residual density."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import gemmi
import numpy as np

from unstill.crystal import Crystal
from unstill.errors import FormatError, InputError
from unstill.io.cell_check import check_same_cell
from unstill.io.mtz_file import crystal_of, whole_mtz
from unstill.io.reading import parsing
from unstill.maps.density_map import DensityMap
from unstill.scattering.synthesis import Synthesis

Kind = Literal["amplitudes", "density", "residual density"]

_AMPLITUDES = ("F", "FP", "FOBS", "F-obs", "Fobs", "F-obs-filtered", "FMEAN")
_DENSITIES = (("FWT", "PHWT"), ("2FOFCWT", "PH2FOFCWT"), ("2FOFCWT_no_fill", "PH2FOFCWT_no_fill"))
_RESIDUALS = (("DELFWT", "PHDELWT"), ("FOFCWT", "PHFOFCWT"))


@dataclass(frozen=True)
class MtzChoice:
    """What is read of a file, and the sentence that says so."""

    kind: Kind
    columns: tuple[str, str]
    sentence: str


def choose_columns(mtz: gemmi.Mtz, columns: tuple[str, str] | None = None) -> MtzChoice:
    """Choose columns: measured amplitudes first, then a 2mFo−DFc density, then a residual.

    Parameters
    ----------
    mtz
        The file.
    columns
        Labels that override: an amplitude with its sigma, or an amplitude with its phase.

    Raises
    ------
    InputError
        If the file does not have the columns that were given.
    FormatError
        If it has none that are known; intensities alone are refused too, since the root of
        a weak intensity is biased.
    """
    types = {column.label: column.type for column in mtz.columns}
    listing = ", ".join(f"{label} ({kind})" for label, kind in types.items())
    if columns is not None:
        if len(columns) != 2 or any(label not in types for label in columns):
            raise InputError(
                "the file does not have these columns",
                found=f"{', '.join(columns)} among {listing}",
                fix="name two of the columns it has",
            )
        return _told(columns, _kind_of(columns, types), "as asked")
    for label in _AMPLITUDES:
        if types.get(label) == "F" and types.get(f"SIG{label}") == "Q":
            return _told((label, f"SIG{label}"), "amplitudes", "measured amplitudes")
    pairs: tuple[tuple[tuple[tuple[str, str], ...], Kind], ...] = (
        (_DENSITIES, "density"),
        (_RESIDUALS, "residual density"),
    )
    for known, kind in pairs:
        for pair in known:
            if types.get(pair[0]) == "F" and types.get(pair[1]) == "P":
                return _told(pair, kind, "map coefficients")
    if "J" in types.values():
        raise FormatError(
            "the file holds intensities, not amplitudes",
            found=f"columns {listing}",
            fix="convert them by French and Wilson's method (ctruncate, phenix): the root of a "
            "weak intensity is biased, that of a negative one does not exist",
        )
    raise FormatError(
        "the file holds neither amplitudes with sigma nor map coefficients",
        found=f"columns {listing}",
        fix="name two columns, such as F,SIGF or FWT,PHWT",
    )


def read_density_coefficients(
    path: Path, columns: tuple[str, str] | None = None, *, crystal: Crystal | None = None
) -> DensityMap:
    """Synthesise the density of map coefficients, F000 unknown and so zero.

    Parameters
    ----------
    path
        The file.
    columns
        Amplitude and phase; FWT and PHWT or their aliases by default, measured amplitudes
        beside them notwithstanding.
    crystal
        That of the model, which the file must have.

    Raises
    ------
    FormatError
        If the file is damaged or the columns hold no number.
    InputError
        If it has no such columns, or is of another crystal.
    """
    path = Path(path)
    with parsing(path, "an MTZ file"):
        mtz = whole_mtz(path)
        own = crystal_of(mtz)
        hkl = mtz.make_miller_array().astype(np.int64)
    if crystal is not None:
        _check_crystal(path, own, crystal)
    labels = set(mtz.column_labels())
    if columns is None:
        known = (pair for pair in _DENSITIES if labels.issuperset(pair))
        columns = next(known, None)
    choice = choose_columns(mtz, columns)
    if choice.kind == "amplitudes":
        raise InputError(
            f"{path.name} has no map coefficients",
            found=choice.sentence,
            fix="name an amplitude and its phase, such as FWT,PHWT",
        )
    size, phase = (np.array(mtz.column_with_label(one), dtype=float) for one in choice.columns)
    good = np.isfinite(size) & np.isfinite(phase) & hkl.any(axis=1)
    if not (good.any() and size[good].any()):
        raise FormatError(
            f"{path.name} holds no map coefficients",
            found=f"no numbers in {', '.join(choice.columns)}",
            fix="name other columns",
        )
    f = size[good] * np.exp(1j * np.radians(phase[good]))
    d_min = float(own.d(hkl[good]).min()) * (1 - 1e-9)
    synthesis = Synthesis(own, d_min)
    values = synthesis.density(_expanded(synthesis, hkl[good], f))
    told = {"columns": choice.sentence, "d_min": d_min}
    return DensityMap(own, values, told)


def _expanded(synthesis: Synthesis, hkl: np.ndarray, f: np.ndarray) -> np.ndarray:
    """F of the half sphere by the operations: F(hR) = exp(−2πi h·t) F(h)."""
    most = np.abs(synthesis.index).max(axis=0)
    table = np.full(2 * most + 1, -1)
    table[tuple((synthesis.index + most).T)] = np.arange(synthesis.n_points)
    found = np.zeros(synthesis.n_points, dtype=complex)
    for operation in synthesis.crystal.group.operations():
        turned = hkl @ (np.array(operation.rot) // gemmi.Op.DEN)
        moved = f * np.exp(-2j * np.pi * (hkl @ (np.array(operation.tran) / gemmi.Op.DEN)))
        place = table[tuple((turned + most).T)]
        direct = place >= 0
        found[place[direct]] = moved[direct]
        mate = table[tuple((most - turned).T)]
        other = mate >= 0
        found[mate[other]] = moved[other].conj()
    return found


def _kind_of(columns: tuple[str, str], types: dict[str, str]) -> Kind:
    pair = types[columns[0]] + types[columns[1]]
    if pair == "FQ":
        return "amplitudes"
    if pair == "FP":
        return "residual density" if columns in _RESIDUALS else "density"
    raise InputError(
        "these columns are neither amplitudes with sigma nor map coefficients",
        found=f"{', '.join(columns)} of types {pair[0]} and {pair[1]}",
        fix="name columns of types F and Q, or F and P",
    )


def _told(columns: tuple[str, str], kind: Kind, why: str) -> MtzChoice:
    return MtzChoice(kind, columns, f"{columns[0]} and {columns[1]} are read as {kind} ({why})")


def _check_crystal(path: Path, own: Crystal, crystal: Crystal) -> None:
    check_same_cell(path, own, crystal)
    if own.space_group != crystal.space_group:
        raise InputError(
            f"{path.name} is of another space group than the model",
            found=f"{own.space_group} and {crystal.space_group}",
            fix="reindex the data, or place the model in their space group",
        )
