"""Restraints of a model from its names and, for links and cis peptides, its coordinates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from unstill.chemistry.radii import covalent_radii
from unstill.chemistry.restraints.component import IdealComponent, component
from unstill.chemistry.restraints.links import Found, link_residues
from unstill.chemistry.restraints.tables import GeometryRestraints
from unstill.errors import InputError
from unstill.shapes import Coord


def build_restraints(
    coord: Coord,
    atom_name: np.ndarray,
    res_name: np.ndarray,
    res_id: np.ndarray,
    ins_code: np.ndarray,
    chain_id: np.ndarray,
    element: np.ndarray,
    altloc: np.ndarray | None = None,
) -> GeometryRestraints:
    """Find what bonds, angles, planes and hands a model should have.

    Components take the ideal geometry of the Chemical Component Dictionary with
    the values of Engh and Huber where there are some; peptides are linked where C and N are
    closer than 2 Å, in the same chain, and keep cis or trans. Links of nucleotides
    take the angles of the ester within the component; other links (glycans, metals)
    keep the distance that they have.

    Parameters
    ----------
    coord
        ``(n_atoms, 3)`` Å.
    atom_name, res_name, res_id, ins_code, chain_id, element
        ``(n_atoms,)`` each; atoms of a residue stand together. Hydrogens may be there.
    altloc
        ``(n_atoms,)`` or None. One alternate location of each atom may be there, not two.

    Returns
    -------
    GeometryRestraints

    Raises
    ------
    InputError
        If an atom is there twice in a residue, shapes differ, or coordinates are not finite.
    """
    coord = np.asarray(coord, dtype=float)
    n = len(coord)
    columns = (atom_name, res_name, res_id, ins_code, chain_id, element)
    if coord.shape != (n, 3) or not np.isfinite(coord).all() or any(len(c) != n for c in columns):
        raise InputError(
            "restraints need finite coordinates and a name for every atom",
            found=f"coordinates of shape {coord.shape}, names of {[len(c) for c in columns]}",
            fix="give arrays of one length",
        )
    names = [str(a).strip() for a in atom_name]
    residues = _residues(res_name, res_id, ins_code, chain_id)
    tables = [{names[i]: i for i in range(a, b)} for a, b in residues]
    for (a, b), table in zip(residues, tables, strict=True):
        if len(table) != b - a:
            twice = next(m for i, m in enumerate(names[a:b]) if table[m] != a + i)
            where = "" if altloc is None else f", altlocs {sorted({str(v) for v in altloc[a:b]})}"
            raise InputError(
                "an atom is there twice in a residue",
                found=f"{twice} of {res_name[a]} {chain_id[a]} {res_id[a]}{where}",
                fix="keep one alternate location of every residue",
            )
    found = Found(coord)
    kinds: list[str] = [str(res_name[a]).strip() for a, _ in residues]
    unknown: list[str] = []
    for table, kind in zip(tables, kinds, strict=True):
        known = component(kind)
        if known is None:
            unknown.append(kind)
        else:
            _inside(found, known, table)
    link_residues(
        found,
        tables,
        kinds,
        [str(chain_id[a]) for a, _ in residues],
        np.repeat(np.arange(len(residues)), [b - a for a, b in residues]),
        np.asarray(element, dtype=str),
        covalent_radii(np.asarray(element, dtype=str)),
    )
    return found.finished(n, tuple(sorted(set(unknown))))


def _residues(
    res_name: np.ndarray, res_id: np.ndarray, ins_code: np.ndarray, chain_id: np.ndarray
) -> list[tuple[int, int]]:
    n = len(res_id)
    if n == 0:
        return []
    new = np.zeros(n, dtype=bool)
    new[0] = True
    for column in (res_name, res_id, ins_code, chain_id):
        values = np.asarray(column)
        new[1:] |= values[1:] != values[:-1]
    starts = np.flatnonzero(new).tolist()
    return list(zip(starts, [*starts[1:], n], strict=True))


def _inside(found: Found, known: IdealComponent, table: Mapping[str, int]) -> None:
    for pair, (value, esd) in known.bonds.items():
        if pair[0] in table and pair[1] in table:
            found.bond(table[pair[0]], table[pair[1]], value, esd)
    for row, (value, esd) in known.angles.items():
        if all(m in table for m in row):
            found.angle(table[row[0]], table[row[1]], table[row[2]], value, esd)
    for four, side in known.planar.items():
        if all(m in table for m in four):
            found.planar_row([table[m] for m in four], side)
    for centre in known.centres:
        if all(m in table for m in centre):
            found.plane([table[m] for m in centre])
    for four, volume in known.chirals.items():
        if all(m in table for m in four):
            found.chiral([table[m] for m in four], volume, free=four[0] in known.either)
