"""Columns of an atom list, as a structure file holds them, and the ensemble they make."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import biotite.structure
import gemmi
import numpy as np

from unstill.crystal import Crystal
from unstill.ensembles import Ensemble
from unstill.errors import FormatError, InputError, UnstillWarning

VIRTUAL_SITE = "VS"
"""Stands in the element column for a site that carries charge but no electrons."""

_WATER = {"SOL", "TIP3", "TIP4", "TIP5", "TP3", "TP4", "TP5", "T4P", "HO4", "OPC", "SPC", "SPCE"}
_VIRTUAL_NAMES = {"M", "MW", "MW1", "EP", "EPW", "EP1", "EP2", "LP1", "LP2", "LP", "OM", "VS"}
# Two letters that begin no name of a one-letter element in common use.
_CLEAR_TWO_LETTERS = {"CL", "BR", "ZN", "FE", "MG", "MN", "SE", "SI", "LI"}
_ION_NAMES = {"SOD": "NA", "CLA": "CL", "POT": "K", "CAL": "CA", "CES": "CS", "LIT": "LI"}
_ION_NAMES |= {"RUB": "RB", "BAR": "BA", "CAD": "CD", "IOD": "I", "ZN2": "ZN", "IB": "BR"}

_IDENTITY = ("chain_id", "res_id", "ins_code", "res_name", "atom_name", "altloc_id", "element")


@dataclass
class AtomTable:
    """One row an atom of every model, in the order of the file.

    ``u_aniso`` is U11, U22, U33, U12, U13, U23 (Å², Cartesian), NaN where
    there is none. ``extra`` holds further annotations.
    """

    model: np.ndarray
    atom_name: np.ndarray
    altloc_id: np.ndarray
    res_name: np.ndarray
    chain_id: np.ndarray
    res_id: np.ndarray
    ins_code: np.ndarray
    hetero: np.ndarray
    element: np.ndarray
    charge: np.ndarray
    coord: np.ndarray
    occupancy: np.ndarray
    b_factor: np.ndarray
    u_aniso: np.ndarray
    extra: Mapping[str, np.ndarray] = field(default_factory=dict)


def ensemble_from_table(
    table: AtomTable,
    path: Path,
    crystal: Crystal | None,
    weights: np.ndarray | None = None,
    *,
    keep_virtual: bool = False,
) -> Ensemble:
    """Fold the models of an atom list into the members of an ensemble.

    Virtual sites of water models do not scatter; they are left out with a
    warning unless ``keep_virtual``.

    Raises
    ------
    FormatError
        If there is no atom, or the models hold different atoms.
    InputError
        If an element is unknown, or a number is not finite.
    """
    rows = _rows_of_models(table, path)
    if not keep_virtual:
        rows = _without_virtual_sites(table, rows, path)
    first = rows[0]
    atoms = _annotated(table, first)
    element = np.char.upper(table.element[first])
    _check_elements(element, atoms, path)
    atoms.set_annotation("element", element)
    u_aniso = _shared(table.u_aniso[rows])
    return Ensemble(
        atoms,
        table.coord[rows],
        occupancy=_checked("occupancy", _shared(table.occupancy[rows]), atoms, path),
        b_factor=_checked("B factor", _shared(table.b_factor[rows]), atoms, path),
        u_aniso=None if np.isnan(u_aniso).all() else u_aniso,
        weights=np.ones(len(rows)) if weights is None else weights,
        crystal=crystal,
        provenance={"source": str(path)},
    )


def crystal_from(cell: Sequence[float], symbol: str) -> Crystal | None:
    """Crystal of a coordinate file; ``None`` for the unit cube of NMR and EM entries.

    The angles tell the two settings of rhombohedral groups apart, which the
    archive's symbols alone do not.

    Raises
    ------
    InputError
        If the space group is unknown or the cell impossible.
    """
    a, b, c, alpha, beta, gamma = cell
    if max(a, b, c) <= 1.0:
        return None
    group = gemmi.find_spacegroup_by_name(symbol, alpha, gamma)
    return Crystal((a, b, c, alpha, beta, gamma), symbol if group is None else group.xhm())


def known_element(symbol: str) -> bool:
    """Whether a symbol, in any case, names an element (D for deuterium counts)."""
    return int(gemmi.Element(symbol).atomic_number) > 0


def guess_element(atom_name: str, res_name: str, *, padded: bool = True) -> str:
    """Element of an atom from its name, for files without an element column.

    Parameters
    ----------
    atom_name
        With ``padded``, the four PDB columns: a leading blank says that the
        element has one letter.
    res_name
        Tells the Cα of a residue from a calcium ion.
    padded
        Whether the name keeps its place in PDB columns.

    Returns
    -------
    str
        Upper case; ``VS`` for the massless site of a water model, ``""`` if
        the name has no letters.
    """
    bare = atom_name.strip().upper()
    residue = res_name.strip().upper()
    letters = bare.lstrip("0123456789*'\"")
    if not letters:
        return ""
    information = gemmi.find_tabulated_residue(residue)
    is_water = information.is_water() or residue in _WATER
    if is_water and bare in _VIRTUAL_NAMES:
        return VIRTUAL_SITE
    two = letters[:2]
    if not (is_water or information.is_standard()) and len(two) == 2 and known_element(two):
        is_ion = bare.rstrip("0123456789+-") == residue.rstrip("0123456789+-")
        in_place = padded and not (atom_name.startswith(" ") or len(bare) == 4)
        if (is_ion or in_place or two in _CLEAR_TWO_LETTERS) and not bare[0].isdigit():
            return two
    by_force_field = _ION_NAMES.get(bare.rstrip("0123456789+-"))
    if by_force_field is not None and bare.rstrip("+-") == residue.rstrip("+-"):
        return by_force_field
    return letters[0]


def _rows_of_models(table: AtomTable, path: Path) -> np.ndarray:
    """``(n_members, n_atoms)`` row numbers."""
    if len(table.model) == 0:
        raise FormatError(
            f"{path.name} holds no atoms", found=path, fix="check that this is the right file"
        )
    _, start, label = np.unique(table.model, return_index=True, return_inverse=True)
    order = np.argsort(start)
    rows = [np.flatnonzero(label == model) for model in order]
    for number, other in enumerate(rows[1:], start=2):
        if len(other) != len(rows[0]):
            raise _different(path, number, f"{len(other)} atoms, model 1 has {len(rows[0])}")
        for name in _IDENTITY:
            column = getattr(table, name)
            differ = np.flatnonzero(column[other] != column[rows[0]])
            if differ.size:
                here, there = (column[which[differ[0]]] for which in (other, rows[0]))
                raise _different(
                    path, number, f"{name} {here!r} instead of {there!r} at atom {differ[0] + 1}"
                )
    return np.stack(rows)


def _without_virtual_sites(table: AtomTable, rows: np.ndarray, path: Path) -> np.ndarray:
    virtual = table.element[rows[0]] == VIRTUAL_SITE
    if virtual.any():
        warnings.warn(
            f"{int(virtual.sum())} virtual sites of {path.name} do not scatter and are left out",
            UnstillWarning,
            stacklevel=3,
        )
    return rows[:, ~virtual]


def _different(path: Path, number: int, what: str) -> FormatError:
    return FormatError(
        f"the models of {path.name} hold different atoms",
        found=f"model {number}: {what}",
        fix="split the file, so that each file holds models of the same atoms",
    )


def _annotated(table: AtomTable, rows: np.ndarray) -> biotite.structure.AtomArray:
    atoms = biotite.structure.AtomArray(len(rows))
    names = ("chain_id", "res_id", "ins_code", "res_name", "hetero", "atom_name", "altloc_id")
    for name in (*names, "charge"):
        atoms.set_annotation(name, getattr(table, name)[rows])
    for name, column in table.extra.items():
        atoms.set_annotation(name, column[rows])
    atoms.coord = table.coord[rows].astype(np.float32)
    return atoms


def _check_elements(element: np.ndarray, atoms: biotite.structure.AtomArray, path: Path) -> None:
    for symbol in np.unique(element):
        if symbol != VIRTUAL_SITE and not known_element(str(symbol)):
            first = int(np.flatnonzero(element == symbol)[0])
            raise InputError(
                f"unknown element in {path.name}",
                found=f"{str(symbol)!r} at {_label(atoms, first)}",
                fix="correct the element column, or remove the atom",
            )


def _checked(
    what: str, values: np.ndarray, atoms: biotite.structure.AtomArray, path: Path
) -> np.ndarray:
    bad = ~np.isfinite(values)
    if bad.any():
        first = int(np.flatnonzero(bad.reshape(-1, bad.shape[-1]).any(axis=0))[0])
        raise InputError(
            f"{what} is not a number in {path.name}",
            found=f"{values[..., first]} at {_label(atoms, first)}",
            fix="correct the column, or remove the atom",
        )
    return values


def _label(atoms: biotite.structure.AtomArray, atom: int) -> str:
    residue = f"{atoms.res_name[atom]} {atoms.res_id[atom]}"
    return f"{atoms.chain_id[atom]}/{residue}/{atoms.atom_name[atom]} (atom {atom + 1})"


def _shared(values: np.ndarray) -> np.ndarray:
    """Drop the axis of members where all of them agree."""
    same = np.array_equal(values, np.broadcast_to(values[:1], values.shape), equal_nan=True)
    return values[0] if same else values
