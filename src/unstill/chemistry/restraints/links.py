"""Bonds between residues: peptides, nucleotides, disulfides."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.spatial

from unstill.chemistry.bonds import StandardValue, disulfide_bond, peptide_link
from unstill.chemistry.residues import is_nucleotide
from unstill.chemistry.restraints.component import ANGLE_SIGMA, component

_NEAR = 2.5
"""Atoms of a link farther apart (Å) than this stand at a gap."""


@dataclass(frozen=True)
class Link:
    """A bond between two residues and what comes with it.

    Parameters
    ----------
    kind
        ``"peptide"``, ``"disulfide"`` or ``"nucleotide"``.
    atoms
        Atoms by name; ``+`` before a name says that it is of the second residue.
    values
        Length and angles.
    flat_centres, flat_torsions
        Atoms that lie in a plane.
    """

    kind: str
    atoms: dict[str, int]
    values: tuple[StandardValue, ...]
    flat_centres: tuple[tuple[str, ...], ...] = ()
    flat_torsions: tuple[tuple[str, ...], ...] = ()


def links(
    residues: list[tuple[str, dict[str, int]]],
    coord: np.ndarray,
    res_id: np.ndarray,
    chain_id: np.ndarray,
) -> list[Link]:
    """Find the links of a model.

    Parameters
    ----------
    residues
        Name and atoms of every residue, in the order of the file.
    coord, res_id, chain_id
        ``(n_atoms, 3)`` Å and ``(n_atoms,)``.
    """
    found = []
    for (name, atoms), (next_name, following) in pairwise(residues):
        if not atoms or not following:
            continue
        one, other = next(iter(atoms.values())), next(iter(following.values()))
        if chain_id[one] != chain_id[other]:
            continue
        joined = {**atoms, **{f"+{key}": value for key, value in following.items()}}
        if _bonded(joined, "C", "+N", coord):
            found.append(_peptide(name, next_name, joined))
        elif is_nucleotide(name) and _bonded(joined, "O3'", "+P", coord):
            found.append(_nucleotide(next_name, joined))
    return found + _disulfides(residues, coord)


def _bonded(atoms: dict[str, int], one: str, other: str, coord: np.ndarray) -> bool:
    if one not in atoms or other not in atoms:
        return False
    return bool(np.linalg.norm(coord[atoms[one]] - coord[atoms[other]]) < _NEAR)


def _peptide(name: str, next_name: str, atoms: dict[str, int]) -> Link:
    values = list(peptide_link(name, next_name))
    known = component(next_name)
    ring = known is not None and any(set(v.atoms) == {"N", "CD"} for v in known.bonds)
    if ring and not _has(values, ("C", "+N", "+CD")):
        # The three angles about a flat nitrogen add up to a full turn.
        inside = [v for v in known.angles if set(v.atoms) == {"CA", "N", "CD"}] if known else []
        outside = [v for v in values if v.atoms == ("C", "+N", "+CA")]
        if inside and outside:
            rest = 360 - inside[0].value - outside[0].value
            values.append(StandardValue(("C", "+N", "+CD"), rest, ANGLE_SIGMA))
    return Link(
        "peptide",
        atoms,
        tuple(values),
        (("C", "CA", "O", "+N"), *((("+N", "C", "+CA", "+CD"),) if ring else ())),
        tuple((i, "C", "+N", l) for i in ("CA", "O") for l in ("+CA", "+CD")[: 1 + ring]),
    )


def _has(values: list[StandardValue], atoms: tuple[str, ...]) -> bool:
    return any(v.atoms in (atoms, atoms[::-1]) for v in values)


def _nucleotide(next_name: str, atoms: dict[str, int]) -> Link:
    """O3'–P is the same bond as P–O5' of the next nucleotide, and so are its angles."""
    known = component(next_name)
    if known is None:
        return Link("nucleotide", atoms, ())
    values = []
    for value in known.bonds:
        if set(value.atoms) == {"P", "O5'"}:
            values.append(StandardValue(("O3'", "+P"), value.value, value.esd))
    for value in known.angles:
        if set(value.atoms) == {"C5'", "O5'", "P"}:
            values.append(StandardValue(("C3'", "O3'", "+P"), value.value, ANGLE_SIGMA))
        if "O5'" in value.atoms and value.atoms[1] == "P":
            other = next(a for a in (value.atoms[0], value.atoms[2]) if a != "O5'")
            if other != "OP3":
                values.append(StandardValue(("O3'", "+P", f"+{other}"), value.value, ANGLE_SIGMA))
    return Link("nucleotide", atoms, tuple(values))


def _disulfides(residues: list[tuple[str, dict[str, int]]], coord: np.ndarray) -> list[Link]:
    sulfurs = [place for place, (_, atoms) in enumerate(residues) if "SG" in atoms]
    if len(sulfurs) < 2:
        return []
    at = np.array([coord[residues[place][1]["SG"]] for place in sulfurs])
    found = []
    for a, b in sorted(scipy.spatial.cKDTree(at).query_pairs(_NEAR)):
        first, second = residues[sulfurs[a]], residues[sulfurs[b]]
        atoms = {**first[1], **{f"+{key}": value for key, value in second[1].items()}}
        bond = disulfide_bond()
        values = [StandardValue(("SG", "+SG"), bond.value, bond.esd)]
        model = component("GDS")
        if model is not None:
            # Oxidised glutathione in the dictionary has the angle that E&H leave out.
            angle = [v for v in model.angles if _is_disulfide(v.atoms)]
            if angle:
                mean = float(np.mean([v.value for v in angle]))
                values.append(StandardValue(("CB", "SG", "+SG"), mean, ANGLE_SIGMA))
                values.append(StandardValue(("SG", "+SG", "+CB"), mean, ANGLE_SIGMA))
        found.append(Link("disulfide", atoms, tuple(values)))
    return found


def _is_disulfide(atoms: tuple[str, ...]) -> bool:
    ends = {atoms[0][0], atoms[2][0]}
    return atoms[1].startswith("SG") and ends == {"C", "S"}
