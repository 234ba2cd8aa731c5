"""Multiconformer models as PDB files; what their columns cannot say is told, never hidden.

Reference: wwPDB, *Atomic Coordinate Entry Format* 3.30,
https://www.wwpdb.org/documentation/file-format.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unstill.ensembles import Multiconformer
from unstill.errors import InputError, UnstillWarning
from unstill.io.atomic import atomic_path
from unstill.io.conformers.carried_pdb import CarriedPdb
from unstill.io.conformers.model_numbers import model_numbers, model_shares
from unstill.io.conformers.pdb_labels import LABELS, LabelledRows, labelled_rows
from unstill.io.pdb_columns import aligned_name, cryst1_line, hybrid36
from unstill.io.stated_provenance import REMARK, provenance_lines, remark_lines
from unstill.provenance import Provenance


def write_pdb_conformers(
    model: Multiconformer,
    path: Path,
    *,
    provenance: Provenance | Mapping[str, Any] | None = None,
) -> None:
    """Write a PDB file: one label for every alternative of a residue, 62 of them at most.

    Labels and records of the file that the model came from are kept. Atoms that several
    alternatives share, as a backbone does side chains, are repeated for each of them.
    Occupancies have two decimals; those of the alternatives of a residue keep their sum. What is
    lost (the tree and its rules, members and weights, alternatives beyond 62) is said in a
    warning and in REMARK 999.

    Raises
    ------
    InputError
        If a name or a number does not fit its columns.
    OutputError
        If the file cannot be written; nothing partial is left.
    """
    path = Path(path)
    _check_columns(model)
    place = model_numbers(model)
    lines = labelled_rows(model, model_shares(model), place)
    losses = _losses(model, lines)
    for loss in losses:
        warnings.warn(f"{path.name}: {loss}", UnstillWarning, stacklevel=3)
    carried = model.carried if isinstance(model.carried, CarriedPdb) else None
    with atomic_path(path) as temporary, temporary.open("w", encoding="latin-1") as stream:
        for line in _head(model, carried, losses, provenance):
            stream.write(f"{line}\n")
        serial: dict[str, str] = {}
        several = int(place.max(initial=1)) > 1
        for number in range(1, int(place.max(initial=1)) + 1):
            if several:
                stream.write(f"MODEL     {number:4d}\n")
            own = np.flatnonzero(place[lines.row] == number)
            stream.writelines(f"{line}\n" for line in _atoms(model, lines, own, carried, serial))
            if several:
                stream.write("ENDMDL\n")
        for line in _tail(carried, serial):
            stream.write(f"{line}\n")


def _losses(model: Multiconformer, lines: LabelledRows) -> list[str]:
    found = []
    if model.stated and len(model.states) > 1:
        found.append(
            f"the tree of {len(model.states)} states and {len(model.rules)} rules is not in this "
            "format; write .cif to keep it"
        )
    if model.members is not None:
        # Members that are the models of the file lose their weights only.
        lost = f"the {model.members.n_members} members and their weights are"
        if int(model_numbers(model).max(initial=1)) == model.members.n_members:
            lost = "" if np.ptp(model.members.weights) < 1e-9 else "weights of the models are"
        if lost:
            found.append(f"{lost} not in this format; write .cif to keep them")
    if lines.dropped:
        name, number, share = max(lines.dropped, key=lambda one: one[2])
        number_lost = sum(one[1] for one in lines.dropped)
        found.append(
            f"{number_lost} alternatives of {len(lines.dropped)} residues are left out, "
            f"for a residue can have {len(LABELS)}; the most of {name}: "
            f"{number} alternatives, population {share:.3f}"
        )
    if lines.copied:
        found.append(f"{lines.copied} atoms are repeated for alternatives that share them")
    return found


def _head(
    model: Multiconformer,
    carried: CarriedPdb | None,
    losses: list[str],
    provenance: Provenance | Mapping[str, Any] | None,
) -> Iterator[str]:
    cell = None if model.crystal is None else cryst1_line(model.crystal)
    late = ("ORIGX", "SCALE", "MTRIX")
    head = () if carried is None else carried.head
    yield from (line for line in head if not line.startswith((*late, REMARK)))
    if provenance is not None:
        yield from provenance_lines(provenance)
    for loss in losses:
        yield from remark_lines(loss)
    if cell is not None:
        yield cell
    yield from (line for line in head if line.startswith(late))


def _atoms(
    model: Multiconformer,
    lines: LabelledRows,
    own: np.ndarray,
    carried: CarriedPdb | None,
    serial: dict[str, str],
) -> Iterator[str]:
    sites = model.sites
    charges = sites.charge if "charge" in sites.get_annotation_categories() else None
    tensors = None if model.u_aniso is None else np.rint(model.u_aniso * 1e4)
    ends = frozenset() if carried is None else carried.chain_end
    number = 0
    previous = -1
    for line in own.tolist():
        row = int(lines.row[line])
        site = int(model.site[row])
        source = int(model.source_row[row]) if carried is not None else -1
        if previous >= 0 and _chain_ends(model, previous, site, ends):
            number += 1
            yield _ter(model, previous, number)
        number += 1
        if carried is not None and 0 <= source < len(carried.serial):
            serial.setdefault(str(carried.serial[source]), hybrid36(number, 5))
        symbol = str(sites.element[site]).upper()
        name = aligned_name(str(sites.atom_name[site]), symbol)
        ins_code = str(sites.ins_code[site]).strip()
        identity = (
            f"{hybrid36(number, 5)} {name}{lines.label[line] or ' '}{sites.res_name[site]:>3s}"
            f"{sites.chain_id[site]:>2s}{hybrid36(int(sites.res_id[site]), 4)}{ins_code:1.1s}"
        )
        charge = 0 if charges is None else int(charges[site])
        sign = f"{abs(charge)}{'-' if charge < 0 else '+'}" if charge else "  "
        # Adding 0.0 turns −0.0 into 0.0, which would print a stray sign.
        x, y, z = (model.coord[row] + 0.0).tolist()
        segment = "" if carried is None or source < 0 else str(carried.segment[source])
        yield (
            f"{'HETATM' if sites.hetero[site] else 'ATOM  '}{identity}   "
            f"{x:8.3f}{y:8.3f}{z:8.3f}{lines.occupancy[line] / 100:6.2f}"
            f"{model.b_factor[row]:6.2f}{'':6s}{segment:<4.4s}{symbol:>2s}{sign}"
        ).rstrip()
        if tensors is not None and not np.isnan(tensors[row]).any():
            values = "".join(f"{int(value):7d}" for value in tensors[row])
            yield f"ANISOU{identity} {values}  {segment:<4.4s}{symbol:>2s}{sign}".rstrip()
        previous = row
    if previous >= 0 and _chain_ends(model, previous, -1, ends):
        yield _ter(model, previous, number + 1)


def _chain_ends(model: Multiconformer, row: int, site: int, ends: frozenset[int]) -> bool:
    """Whether TER follows a row: where it did in the file, or where a polymer chain ends."""
    before = int(model.site[row])
    if site >= 0 and model.residue[before] == model.residue[site]:
        return False
    if ends:
        source = model.source_row[model.residue[model.site] == model.residue[before]]
        return any(one in ends for one in source.tolist())
    if bool(model.sites.hetero[before]):
        return False
    return site < 0 or bool(
        model.sites.hetero[site] or model.sites.chain_id[site] != model.sites.chain_id[before]
    )


def _ter(model: Multiconformer, row: int, number: int) -> str:
    sites, site = model.sites, int(model.site[row])
    ins_code = str(sites.ins_code[site]).strip()
    return (
        f"TER   {hybrid36(number, 5)}      {sites.res_name[site]:>3s}{sites.chain_id[site]:>2s}"
        f"{hybrid36(int(sites.res_id[site]), 4)}{ins_code:1.1s}"
    ).rstrip()


def _tail(carried: CarriedPdb | None, serial: dict[str, str]) -> Iterator[str]:
    if carried is not None:
        yield from carried.tail
        for bond in carried.bonds:
            known = [serial[word] for word in bond if word in serial]
            if bond and bond[0] in serial and len(known) > 1:
                yield "CONECT" + "".join(known)
    yield "END"


def _check_columns(model: Multiconformer) -> None:
    sites = model.sites
    fits = {
        "chain names longer than two letters": _longest(sites.chain_id) <= 2,
        "residue names longer than three letters": _longest(sites.res_name) <= 3,
        "atom names longer than four letters": _longest(sites.atom_name) <= 4,
        "coordinates beyond −999 or 9999 Å": bool(
            model.coord.min(initial=0) > -999.9995 and model.coord.max(initial=0) < 9999.9995
        ),
        "occupancies beyond 99": bool(np.abs(model.occupancy).max(initial=0) < 99),
        "B factors beyond −99 or 999": bool(
            model.b_factor.min(initial=0) > -99.995 and model.b_factor.max(initial=0) < 999.995
        ),
        "residue numbers beyond hybrid-36": bool(
            sites.res_id.min(initial=0) > -1000
            and sites.res_id.max(initial=0) < 10_000 + 52 * 36**3
        ),
        "displacements beyond 99 Å²": model.u_aniso is None
        or bool(np.nanmax(np.abs(model.u_aniso), initial=0) < 99),
        "too many atoms": model.n_rows < 100_000 + 52 * 36**4,
    }
    failed = [what for what, good in fits.items() if not good]
    if failed:
        raise InputError(
            "the model does not fit the columns of a PDB file",
            found="; ".join(failed),
            fix="write .cif instead",
        )


def _longest(names: np.ndarray) -> int:
    return int(np.char.str_len(names.astype(str)).max(initial=0))
