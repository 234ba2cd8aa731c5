"""mmCIF and BinaryCIF coordinates.

Altlocs stay separate atoms with their own occupancies, anisotropic
displacements are kept, models become members, and the order of atoms is that
of the file. Author names (``auth_*``) are used where present, as in PDB
files; ``label_asym_id``, ``label_seq_id`` and ``entity_id`` are kept as
further annotations.

``_atom_site_anisotrop.U`` is taken in the Cartesian frame, as the archive
stores it (PDBx/mmCIF dictionary; https://mmcif.wwpdb.org); where a file gives
``B`` instead, U = B/8π².
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gemmi
import numpy as np

from unstill.crystal import Crystal
from unstill.ensembles import Ensemble
from unstill.errors import FormatError
from unstill.io.atom_table import AtomTable, crystal_from, ensemble_from_table, guess_element
from unstill.io.reading import REMEDY, parsing, unpacked
from unstill.units import EIGHT_PI_SQUARED

Category = dict[str, np.ndarray]
"""Columns as text, ``""`` where the value is unknown or inapplicable."""

_TENSOR = ("[1][1]", "[2][2]", "[3][3]", "[1][2]", "[1][3]", "[2][3]")
_MEMBERS = "unstill_member"


def read_mmcif(path: Path, *, keep_virtual: bool = False) -> Ensemble:
    """Read an mmCIF file (``.gz`` allowed).

    Raises
    ------
    FormatError
        If the file is damaged or holds no atoms, or its models differ.
    InputError
        If an element or the space group is unknown.
    """
    path = Path(path)
    with parsing(path, "an mmCIF file"):
        document = gemmi.cif.read_string(unpacked(path).decode("utf-8", "replace"))
        block = next((b for b in document if b.find_mmcif_category("_atom_site.")), None)
        if block is None:
            raise _no_atoms(path)

        def category(name: str) -> Category:
            raw = block.get_mmcif_category(f"_{name}.", raw=True)
            return {key: _plain(column) for key, column in raw.items()}

        return _ensemble(path, category, keep_virtual)


def read_bcif(path: Path, *, keep_virtual: bool = False) -> Ensemble:
    """Read a BinaryCIF file (``.gz`` allowed).

    Raises
    ------
    FormatError
        If the file is damaged or holds no atoms, or its models differ.
    InputError
        If an element or the space group is unknown.
    """
    import io

    from biotite.structure.io import pdbx

    path = Path(path)
    with parsing(path, "a BinaryCIF file"):
        block = pdbx.BinaryCIFFile.read(io.BytesIO(unpacked(path))).block

        def category(name: str) -> Category:
            if name not in block:
                return {}
            return {key: column.as_array(str, "") for key, column in block[name].items()}

        return _ensemble(path, category, keep_virtual)


def _plain(column: list[str]) -> np.ndarray:
    words = np.array(
        [gemmi.cif.as_string(word) if word[:1] in "'\";" else word for word in column]
    )
    return np.where((words == ".") | (words == "?"), "", words)


def _ensemble(path: Path, category: Callable[[str], Category], keep_virtual: bool) -> Ensemble:
    site = category("atom_site")
    if not site:
        raise _no_atoms(path)
    table = _table(site, path)
    _fill_aniso(table, site, category("atom_site_anisotrop"), path)
    members = category(_MEMBERS)
    weights, frames = members.get("weight"), members.get("frame")
    ensemble = ensemble_from_table(
        table,
        path,
        cif_crystal(category),
        None if weights is None else weights.astype(float),
        keep_virtual=keep_virtual,
    )
    if frames is None:
        return ensemble
    known = {"frames": frames.astype(int).tolist()}
    return ensemble.replace(provenance={**ensemble.provenance, **known})


def cif_crystal(category: Callable[[str], Category]) -> Crystal | None:
    """Return cell and space group; ``None`` if missing or a placeholder."""
    cell = category("cell")
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    if any(cell.get(name, np.array([""]))[0] == "" for name in names):
        return None
    for group, key in (
        ("symmetry", "space_group_name_H-M"),
        ("space_group", "name_H-M_alt"),
        ("symmetry", "Int_Tables_number"),
        ("space_group", "IT_number"),
    ):
        symbol = category(group).get(key, np.array([""]))[0]
        if symbol:
            return crystal_from([_number(cell[name][0]) for name in names], str(symbol))
    return None


def _table(site: Category, path: Path) -> AtomTable:
    def text(*names: str) -> np.ndarray:
        # The first name that the file has; single unknowns fall back to the next.
        found = np.full(n_atoms, "")
        for name in names:
            if name in site:
                found = np.where(found == "", site[name], found)
        return found

    if not all(f"Cartn_{axis}" in site for axis in "xyz"):
        raise FormatError(
            f"{path.name} has no coordinates",
            found=f"columns {', '.join(site)}",
            fix="give a file with _atom_site.Cartn_x, y and z",
        )
    n_atoms = len(site["Cartn_x"])
    name, res_name = (
        text("auth_atom_id", "label_atom_id"),
        text("auth_comp_id", "label_comp_id"),
    )
    element = np.char.upper(text("type_symbol"))
    if (element == "").any():
        guessed = [guess_element(*pair) for pair in zip(name, res_name, strict=True)]
        element = np.where(element == "", guessed, element)
    return AtomTable(
        model=text("pdbx_PDB_model_num"),
        atom_name=name,
        altloc_id=text("label_alt_id"),
        res_name=res_name,
        chain_id=text("auth_asym_id", "label_asym_id"),
        res_id=_integers(text("auth_seq_id", "label_seq_id")),
        ins_code=text("pdbx_PDB_ins_code"),
        hetero=text("group_PDB") == "HETATM",
        element=element,
        charge=_integers(text("pdbx_formal_charge")),
        coord=np.stack([_numbers(site[f"Cartn_{axis}"]) for axis in "xyz"], axis=-1),
        occupancy=_numbers(text("occupancy"), 1.0),
        b_factor=_b_factor(text, site),
        u_aniso=np.full((n_atoms, 6), np.nan),
        extra={
            ours: site[theirs]
            for ours, theirs in (
                ("label_asym_id", "label_asym_id"),
                ("label_seq_id", "label_seq_id"),
                ("entity_id", "label_entity_id"),
            )
            if theirs in site
        },
    )


def _b_factor(text: Callable[..., np.ndarray], site: Category) -> np.ndarray:
    if "B_iso_or_equiv" not in site and "U_iso_or_equiv" in site:
        return EIGHT_PI_SQUARED * _numbers(text("U_iso_or_equiv"), 0.0)
    return _numbers(text("B_iso_or_equiv"), 0.0)


def _fill_aniso(table: AtomTable, site: Category, aniso: Category, path: Path) -> None:
    """Match anisotropic displacements to their atoms by ``_atom_site.id``."""
    if not aniso:
        return
    kind, scale = ("U", 1.0) if "U[1][1]" in aniso else ("B", 1 / EIGHT_PI_SQUARED)
    row = {name: number for number, name in enumerate(site.get("id", np.array([])))}
    try:
        rows = [row[name] for name in aniso["id"]]
    except KeyError as error:
        raise FormatError(
            f"anisotropic displacements of {path.name} belong to no atom",
            found=f"id {error}",
            fix=REMEDY,
        ) from error
    tensor = np.stack([_numbers(aniso[f"{kind}{index}"], np.nan) for index in _TENSOR], axis=-1)
    table.u_aniso[rows] = scale * tensor


def _number(text: str) -> float:
    # "12.345(6)" carries its uncertainty in brackets.
    return float(str(text).partition("(")[0])


def _numbers(column: np.ndarray, default: float | None = None) -> np.ndarray:
    if default is not None:
        column = np.where(column == "", str(default), column)
    try:
        return column.astype(float)
    except ValueError:
        return np.array([_number(value) for value in column])


def _integers(column: np.ndarray) -> np.ndarray:
    return np.where(column == "", "0", column).astype(float).astype(int)


def _no_atoms(path: Path) -> FormatError:
    return FormatError(
        f"{path.name} holds no atoms", found=path, fix="check that this is a coordinate file"
    )
