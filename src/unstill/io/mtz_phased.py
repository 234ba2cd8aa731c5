"""Amplitudes and phases of one MTZ file, in P 1 and one half of reciprocal space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.half_space import is_positive
from unstill.crystal.supercell import symmetry_operations
from unstill.errors import FormatError, InputError
from unstill.io.mtz_file import crystal_of, whole_mtz
from unstill.io.reading import REMEDY, head, parsing
from unstill.shapes import Complex, Int

Labels = tuple[str, str]
"""Amplitude (type F) and phase (type P)."""

_PAIRS: tuple[Labels, ...] = (
    ("FC", "PHIC"),
    ("F", "PHI"),
    ("FCALC", "PHICALC"),
    ("FCALC", "PHCALC"),
    ("F-calc", "PHIF-calc"),
    ("FC", "PHIFC"),
    ("F-model", "PHIF-model"),
    ("FMODEL", "PHIFMODEL"),
    ("FC_ALL", "PHIC_ALL"),
    ("FWT", "PHWT"),
)

_CONTRADICTION = 1e-4
"""Spread of ⟨|F|²⟩ between mates that is no rounding any more: 1 % of the amplitude."""


@dataclass(frozen=True, eq=False)
class PhasedMtz:
    """Structure factors of one MTZ file.

    Parameters
    ----------
    crystal
        Cell and space group of the file.
    columns
        Labels of amplitude and phase.
    index
        ``(n, 3)`` Miller indices in the file's cell, one of each Friedel pair
        (the lexicographically positive one), in lexicographic order.
    f
        ``(n,)`` F of that cell.
    """

    crystal: Crystal
    columns: Labels
    index: Int[np.ndarray, "points 3"]
    f: Complex[np.ndarray, " points"]


def read_phased_mtz(path: Path, columns: Labels | None = None) -> PhasedMtz:
    r"""Read amplitudes and phases, F = Σ f exp(+2πi h·x), and expand them to P 1.

    With the operations x' = R x + t of the file's space group,

    .. math:: F(h R) = e^{-2\pi i\, h \cdot t} F(h).

    Reflections without a number (MNF, NaN) count as missing. What comes more
    than once, mates on symmetry elements and Friedel mates, is averaged.

    Parameters
    ----------
    path
        The file.
    columns
        Labels of amplitude and phase; by default those that are usual, else
        the first of type F and of type P.

    Raises
    ------
    FormatError
        If the file is damaged, or has no amplitudes or no phases.
    InputError
        If it has no columns of the given labels, or the mates contradict one another.
    """
    path = Path(path)
    with parsing(path, "an MTZ file"):
        mtz = whole_mtz(path)
        labels = _labels(path, mtz, columns)
        crystal = crystal_of(mtz)
        amplitude, phase = (_values(mtz, label) for label in labels)
        index = mtz.make_miller_array().astype(np.int64)
    present = np.isfinite(amplitude) & np.isfinite(phase)
    if not present.any():
        raise FormatError(
            f"{path.name} holds no structure factors",
            found=f"no numbers in {labels[0]} and {labels[1]}",
            fix="write the calculated amplitudes and phases of this frame",
        )
    f = amplitude[present] * np.exp(1j * np.radians(phase[present]))
    return PhasedMtz(crystal, labels, *_unique(path, *_expanded(crystal, index[present], f)))


def read_phased_header(path: Path, columns: Labels | None = None) -> tuple[Crystal, Labels]:
    """Return the cell and the columns of a file whose reflections are not read.

    Raises
    ------
    FormatError, InputError
        As :func:`read_phased_mtz`.
    """
    path = Path(path)
    with parsing(path, "an MTZ file"):
        head(path, 4)  # gemmi does not tell a missing file from a damaged one
        mtz = gemmi.read_mtz_file(str(path), with_data=False)
        if not len(mtz.columns):
            raise FormatError(f"{path.name} is cut short", found="no columns", fix=REMEDY)
        return crystal_of(mtz), _labels(path, mtz, columns)


def _labels(path: Path, mtz: gemmi.Mtz, columns: Labels | None) -> Labels:
    amplitudes, phases = (
        [column.label for column in mtz.columns_with_type(kind)] for kind in "FP"
    )
    found = ", ".join(f"{column.label} ({column.type})" for column in mtz.columns)
    if columns is not None:
        if columns[0] not in amplitudes or columns[1] not in phases:
            raise InputError(
                f"{path.name} has no amplitudes {columns[0]} with phases {columns[1]}",
                found=f"columns {found}",
                fix="name a column of type F and one of type P that all files have",
            )
        return columns
    if not amplitudes or not phases:
        raise FormatError(
            f"{path.name} holds no {'phases' if amplitudes else 'amplitudes'}",
            found=f"columns {found}",
            fix="give an MTZ file with an amplitude (type F) and its phase (type P), "
            "such as FC and PHIC",
        )
    usual = (pair for pair in _PAIRS if pair[0] in amplitudes and pair[1] in phases)
    return next(usual, (amplitudes[0], phases[0]))


def _values(mtz: gemmi.Mtz, label: str) -> np.ndarray:
    values = np.array(mtz.column_with_label(label), dtype=float)
    values[values == mtz.valm] = np.nan
    return values


def _expanded(crystal: Crystal, index: np.ndarray, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return all mates in P 1."""
    rotations, translations = symmetry_operations(crystal)
    if len(rotations) == 1:
        return index, f
    mates = [index @ rotation.astype(np.int64) for rotation in rotations]
    shifted = [f * np.exp(-2j * np.pi * (index @ shift)) for shift in translations]
    return np.concatenate(mates), np.concatenate(shifted)


def _unique(path: Path, index: np.ndarray, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One of each Friedel pair, in order; what comes more than once is averaged."""
    positive = is_positive(index)
    index = np.where(positive[:, None], index, -index)
    f = np.where(positive, f, f.conj())
    order = np.lexsort(index.T[::-1])
    index, f = index[order], f[order]
    first = np.flatnonzero(np.append(True, np.any(index[1:] != index[:-1], axis=1)))
    count = np.diff(np.append(first, len(index)))
    power = np.abs(f) ** 2
    mean = np.add.reduceat(f, first) / count
    spread = np.add.reduceat(power, first) / count - np.abs(mean) ** 2
    index = index[first].astype(np.int32)
    repeated, elsewhere = count > 1, np.any(index != 0, axis=1)
    # Measured by all reflections: those that are absent hold nothing but rounding.
    scale = np.mean(np.abs(mean[elsewhere]) ** 2) if elsewhere.any() else 0.0
    if spread[repeated].sum() > _CONTRADICTION * repeated.sum() * scale:
        raise InputError(
            f"reflections of {path.name} that are the same by symmetry contradict one another",
            found=f"{int(repeated.sum())} of {len(index)} reflections come more than once, with "
            f"{np.sqrt(spread[repeated].mean() / scale):.1%} between them"
            if scale
            else f"{int(repeated.sum())} reflections",
            fix="check the space group in the file: it must be that of its structure factors, "
            "without anomalous scattering",
        )
    return index, mean
