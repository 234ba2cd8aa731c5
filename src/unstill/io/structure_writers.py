"""Write ensembles as mmCIF or PDB; altlocs, anisotropic displacements and members are kept."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from unstill.ensembles import Ensemble
from unstill.errors import InputError, UnstillWarning
from unstill.io.atomic import atomic_path
from unstill.io.pdb_columns import aligned_name, cryst1_line, hybrid36
from unstill.io.stated_provenance import CATEGORY, provenance_items, provenance_lines
from unstill.provenance import Provenance

_TENSOR = ("[1][1]", "[2][2]", "[3][3]", "[1][2]", "[1][3]", "[2][3]")


def write_mmcif(
    ensemble: Ensemble,
    path: Path,
    provenance: Provenance | Mapping[str, Any] | None = None,
) -> None:
    """Write mmCIF, one model a member (coordinates to 1e-4 Å).

    Unequal member weights go to ``_unstill_member.weight``, and the frames
    that the members were, where known, to ``_unstill_member.frame`` (counting
    from 0); ``read_structure`` reads both back. How the ensemble came to be, where given,
    goes to ``_unstill_provenance``.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    document = gemmi.cif.Document()
    block = document.add_new_block(_block_name(path))
    _write_crystal(block, ensemble)
    if provenance is not None:
        for item, token in provenance_items(provenance).items():
            block.set_pair(f"_{CATEGORY}.{item}", token)
    members = _member_columns(ensemble)
    if len(members) > 2 or np.ptp(ensemble.weights) > 0:
        loop = block.init_mmcif_loop("_unstill_member.", list(members))
        loop.set_all_values(list(members.values()))
    columns = _atom_columns(ensemble)
    loop = block.init_mmcif_loop("_atom_site.", list(columns))
    loop.set_all_values(list(columns.values()))
    if ensemble.u_aniso is not None:
        aniso = _aniso_columns(ensemble)
        loop = block.init_mmcif_loop("_atom_site_anisotrop.", list(aniso))
        loop.set_all_values(list(aniso.values()))
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(document.as_string())


def write_pdb(
    ensemble: Ensemble,
    path: Path,
    provenance: Provenance | Mapping[str, Any] | None = None,
) -> None:
    """Write PDB, one MODEL a member; serial and residue numbers overflow to hybrid-36.

    Of the provenance, where given, the command goes to remark 999.

    Raises
    ------
    InputError
        If a chain, a residue name, a coordinate or an occupancy does not fit its columns.
    OutputError
        If the file cannot be written.
    """
    _check_columns(ensemble)
    if np.ptp(ensemble.weights) > 0:
        warnings.warn(
            "a PDB file cannot hold the weights of the members; write .cif to keep them",
            UnstillWarning,
            stacklevel=2,
        )
    with atomic_path(Path(path)) as temporary, temporary.open("w") as stream:
        if provenance is not None:
            stream.writelines(f"{line}\n" for line in provenance_lines(provenance))
        stream.writelines(f"{line}\n" for line in _pdb_lines(ensemble))


def _block_name(path: Path) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in Path(path).stem) or "ensemble"


def _write_crystal(block: gemmi.cif.Block, ensemble: Ensemble) -> None:
    if ensemble.crystal is None:
        return
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    for name, value in zip(names, ensemble.crystal.unit_cell, strict=True):
        block.set_pair(f"_cell.{name}", repr(float(value)))
    symbol = gemmi.cif.quote(ensemble.crystal.space_group)
    block.set_pair("_symmetry.space_group_name_H-M", symbol)


def _member_columns(ensemble: Ensemble) -> dict[str, list[str]]:
    columns = {
        "id": [str(number + 1) for number in range(ensemble.n_members)],
        "weight": [repr(float(weight)) for weight in ensemble.weights],
    }
    if ensemble.frames is not None:
        columns["frame"] = [str(frame) for frame in ensemble.frames]
    return columns


def _per_member(values: np.ndarray, ensemble: Ensemble, tail: tuple[int, ...] = ()) -> np.ndarray:
    shape = (ensemble.n_members, ensemble.n_atoms, *tail)
    return np.broadcast_to(values, shape).reshape(-1, *tail)


def _atom_columns(ensemble: Ensemble) -> dict[str, list[str]]:
    atoms, n_members = ensemble.atoms, ensemble.n_members
    n_rows = n_members * ensemble.n_atoms

    def text(name: str, missing: str) -> list[str]:
        if name not in atoms.get_annotation_categories():
            return [missing] * n_rows
        values = [str(value) for value in atoms.get_annotation(name)]
        return [gemmi.cif.quote(value) if value else missing for value in values] * n_members

    def numbers(values: np.ndarray, digits: int) -> list[str]:
        return [f"{value:.{digits}f}" for value in values.tolist()]

    coord = ensemble.coord.reshape(-1, 3)
    chain = text("chain_id", ".")
    has = set(atoms.get_annotation_categories())
    models = np.repeat(np.arange(1, n_members + 1), ensemble.n_atoms)
    hetero = np.where(np.asarray(atoms.hetero, bool), "HETATM", "ATOM").tolist() * n_members
    return {
        "group_PDB": hetero,
        "id": [str(number) for number in range(1, n_rows + 1)],
        "type_symbol": ensemble.element.tolist() * n_members,
        "label_atom_id": text("atom_name", "."),
        "label_alt_id": text("altloc_id", "."),
        "label_comp_id": text("res_name", "."),
        "label_asym_id": text("label_asym_id", ".") if "label_asym_id" in has else chain,
        "label_entity_id": text("entity_id", "?"),
        "label_seq_id": text("label_seq_id", "."),
        "pdbx_PDB_ins_code": text("ins_code", "?"),
        "Cartn_x": numbers(coord[:, 0], 4),
        "Cartn_y": numbers(coord[:, 1], 4),
        "Cartn_z": numbers(coord[:, 2], 4),
        "occupancy": numbers(_per_member(ensemble.occupancy, ensemble), 5),
        "B_iso_or_equiv": numbers(_per_member(ensemble.b_factor, ensemble), 4),
        "pdbx_formal_charge": text("charge", "?"),
        "auth_seq_id": text("res_id", "."),
        "auth_comp_id": text("res_name", "."),
        "auth_asym_id": chain,
        "auth_atom_id": text("atom_name", "."),
        "pdbx_PDB_model_num": [str(number) for number in models],
    }


def _aniso_columns(ensemble: Ensemble) -> dict[str, list[str]]:
    assert ensemble.u_aniso is not None
    tensors = _per_member(ensemble.u_aniso, ensemble, (6,))
    rows = np.flatnonzero(~np.isnan(tensors).any(axis=-1))
    symbols = np.tile(ensemble.element, ensemble.n_members)[rows]
    columns = {"id": [str(row + 1) for row in rows], "type_symbol": symbols.tolist()}
    for number, index in enumerate(_TENSOR):
        columns[f"U{index}"] = [f"{value:.6f}" for value in tensors[rows, number].tolist()]
    return columns


def _check_columns(ensemble: Ensemble) -> None:
    atoms = ensemble.atoms
    occupancy, b_factor = ensemble.occupancy, ensemble.b_factor
    fits = {
        "chain names longer than two letters": _longest(atoms.chain_id) <= 2,
        "residue names longer than three letters": _longest(atoms.res_name) <= 3,
        "atom names longer than four letters": _longest(atoms.atom_name) <= 4,
        "coordinates beyond −999 or 9999 Å": bool(
            ensemble.coord.min() > -999.9995 and ensemble.coord.max() < 9999.9995
        ),
        "occupancies beyond 999": bool(np.abs(occupancy).max(initial=0) < 999),
        "B factors beyond 999": bool(np.abs(b_factor).max(initial=0) < 999.995),
        "residue numbers beyond hybrid-36": bool(
            atoms.res_id.min() > -1000 and atoms.res_id.max() < 10_000 + 52 * 36**3
        ),
        "too many atoms": ensemble.n_atoms < 100_000 + 52 * 36**4,
    }
    failed = [what for what, good in fits.items() if not good]
    if failed:
        raise InputError(
            "the ensemble does not fit the columns of a PDB file",
            found="; ".join(failed),
            fix="write .cif instead",
        )


def _longest(names: np.ndarray) -> int:
    return int(np.char.str_len(names.astype(str)).max(initial=0))


def _pdb_lines(ensemble: Ensemble) -> Iterator[str]:
    if ensemble.crystal is not None:
        yield cryst1_line(ensemble.crystal)
    front, back = _fixed_columns(ensemble)
    for number in range(ensemble.n_members):
        member = ensemble.member(number)
        if ensemble.n_members > 1:
            yield f"MODEL     {number + 1:4d}"
        yield from _member_lines(member, front, back)
        if ensemble.n_members > 1:
            yield "ENDMDL"
    yield "END"


def _member_lines(member: Ensemble, front: list[str], back: list[str]) -> Iterator[str]:
    # Adding 0.0 turns −0.0 into 0.0, which would print a stray sign.
    rows = zip(
        front,
        back,
        (member.coord[0] + 0.0).tolist(),
        member.occupancy.tolist(),
        member.b_factor.tolist(),
        strict=True,
    )
    tensors = None if member.u_aniso is None else np.rint(member.u_aniso * 1e4)
    for atom, (left, right, (x, y, z), occupancy, b_factor) in enumerate(rows):
        yield f"{left}{x:8.3f}{y:8.3f}{z:8.3f}{occupancy:6.2f}{b_factor:6.2f}{right}"
        if tensors is not None and not np.isnan(tensors[atom]).any():
            values = "".join(f"{int(value):7d}" for value in tensors[atom])
            yield f"ANISOU{left[6:27]} {values}{right[4:]}"


def _fixed_columns(ensemble: Ensemble) -> tuple[list[str], list[str]]:
    """Columns 1–30 and 67–80 of every atom, the same in all models."""
    atoms = ensemble.atoms
    has = set(atoms.get_annotation_categories())
    blank = [""] * ensemble.n_atoms
    altlocs = atoms.altloc_id.tolist() if "altloc_id" in has else blank
    charges = atoms.charge.tolist() if "charge" in has else [0] * ensemble.n_atoms
    front, back = [], []
    for i, symbol in enumerate(ensemble.element.tolist()):
        record = "HETATM" if atoms.hetero[i] else "ATOM  "
        name = aligned_name(str(atoms.atom_name[i]), symbol)
        number = hybrid36(int(atoms.res_id[i]), 4)
        front.append(
            f"{record}{hybrid36(i + 1, 5)} {name}{altlocs[i]:1.1s}{atoms.res_name[i]:>3s}"
            f"{atoms.chain_id[i]:>2s}{number}{atoms.ins_code[i]:1.1s}   "
        )
        charge = int(charges[i])
        sign = f"{abs(charge)}{'-' if charge < 0 else '+'}" if charge else "  "
        back.append(f"{'':10s}{symbol:>2s}{sign}")
    return front, back
