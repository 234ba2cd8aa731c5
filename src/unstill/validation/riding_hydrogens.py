r"""Hydrogens where the heavy atoms say they are.

Every heavy atom with hydrogens carries them as in the ideal coordinates of the Chemical
Component Dictionary that biotite brings: the atom, its neighbours and, at the end of a chain,
their neighbours are superposed by least squares, and each hydrogen is put on the line found
at the distance of the centre of its electron cloud (Deposited lengths of MolProbity: Deis et
al., 2013, *Comput. Crystallogr. Newsl.* 4, 9–10): C–H 0.97, aromatic 0.93, N–H 0.86 Å. Methyl
and ammonium groups are staggered as in the dictionary. The amide hydrogen halves the angle
C–N–CA from outside.

Left out is what geometry does not say: hydrogens on O and S, on a ring nitrogen of histidine,
on a nitrogen at the start of a chain, on atoms bonded to another residue, and waters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import biotite.structure
import biotite.structure.info
import numpy as np

from unstill.chemistry.residues import is_amino_acid, is_water
from unstill.ensembles import Ensemble
from unstill.shapes import Float, Int
from unstill.validation.bonded_atoms import bonded_atoms
from unstill.validation.residue_conformers import (
    ResidueConformer,
    altlocs_of,
    residue_conformers,
    residue_numbers,
)

CARBON, AROMATIC, NITROGEN = 0.97, 0.93, 0.86
"""Distances of hydrogens from C, from aromatic C and from N (Å)."""
# fmt: off
AROMATIC_CARBONS = frozenset(
    (name, atom)
    for name, atoms in {
        "PHE": ("CG", "CD1", "CD2", "CE1", "CE2", "CZ"),
        "TYR": ("CG", "CD1", "CD2", "CE1", "CE2", "CZ"),
        "TRP": ("CG", "CD1", "CD2", "CE2", "CE3", "CZ2", "CZ3", "CH2"),
        "HIS": ("CG", "CD2", "CE1"),
    }.items()
    for atom in atoms
)
# fmt: on


@dataclass(frozen=True, eq=False)
class _Group:
    """Hydrogens on one heavy atom of a residue: what to superpose, and where they are."""

    parent: str
    support: tuple[str, ...]
    ideal: np.ndarray  # (1 + support, 3), the parent first, at the origin
    names: tuple[str, ...]
    places: np.ndarray  # (hydrogens, 3)


def add_riding_hydrogens(ensemble: Ensemble) -> Ensemble:
    """Return the ensemble with riding hydrogens in place of those it had.

    Hydrogens take the occupancy and the alternate location of their heavy atom, 1.2 times its
    B, and no tensor. They stand after all heavy atoms; a list of bonds is dropped. Atoms of
    residues that the dictionary does not know get none.

    Parameters
    ----------
    ensemble
        Heavy atoms, alternate locations included; which hydrogens there are is decided on the
        first member.
    """
    heavy = ensemble.select(~np.isin(ensemble.element, ["H", "D"]))
    names: list[str] = []
    parents: list[int] = []
    places: list[np.ndarray] = []
    altlocs: list[str] = []
    bonds, number = bonded_atoms(heavy), residue_numbers(heavy)
    links = bonds[number[bonds[:, 0]] != number[bonds[:, 1]]]
    linked = np.isin(np.arange(heavy.n_atoms), links)
    for residue in residue_conformers(heavy):
        for group, atoms in _groups_in(heavy, residue):
            if linked[atoms[0]]:
                continue
            alone = np.unique(residue.altloc[np.isin(residue.atom, atoms)])
            altloc = residue.label if "" not in alone or len(alone) > 1 else ""
            if altloc == "" and not residue.first:
                continue  # placed with the first conformer already
            names += list(group.names)
            parents += [int(atoms[0])] * len(group.names)
            altlocs += [altloc] * len(group.names)
            places.append(_placed(heavy.coord[:, atoms], group, heavy, atoms))
    amide_n, amide_place, amide_altloc = _amides(heavy, bonds)
    names += ["H"] * len(amide_n)
    parents += amide_n
    altlocs += amide_altloc
    places += amide_place
    if not names:
        return heavy
    return _joined(heavy, names, np.array(parents), altlocs, np.concatenate(places, axis=1))


def _groups_in(
    heavy: Ensemble, residue: ResidueConformer
) -> list[tuple[_Group, Int[np.ndarray, " atoms"]]]:
    place = {str(heavy.atoms.atom_name[atom]): int(atom) for atom in residue.atom}
    found = []
    for group in _ideal_groups(residue.name):
        wanted = (group.parent, *group.support)
        if all(name in place for name in wanted):
            found.append((group, np.array([place[name] for name in wanted])))
    return found


@lru_cache(maxsize=256)
def _ideal_groups(res_name: str) -> tuple[_Group, ...]:
    if is_water(res_name):
        return ()
    try:
        ideal = biotite.structure.info.residue(res_name)
    except KeyError:
        return ()
    bonds = ideal.bonds.as_array()[:, :2]
    hydrogen = ideal.element == "H"
    peptide = is_amino_acid(res_name)
    near = [
        np.concatenate([bonds[bonds[:, 0] == a, 1], bonds[bonds[:, 1] == a, 0]])
        for a in range(len(ideal))
    ]
    found = []
    for atom in np.flatnonzero(np.isin(ideal.element, ["C", "N"])).tolist():
        mine = near[atom][hydrogen[near[atom]]]
        name = str(ideal.atom_name[atom])
        unsaid = (peptide and name == "N") or (res_name == "HIS" and name in ("ND1", "NE2"))
        # Atoms that leave when residues are linked are not there to be superposed.
        support = [a for a in near[atom] if not hydrogen[a] and ideal.atom_name[a] != "OXT"]
        if len(support) == 1:
            support += [a for a in near[support[0]] if not hydrogen[a] and a != atom]
        if len(mine) == 0 or unsaid or len(support) < 2:
            continue
        coord = ideal.coord.astype(float) - ideal.coord[atom]
        found.append(
            _Group(
                name,
                tuple(str(ideal.atom_name[a]) for a in support),
                coord[[atom, *support]],
                tuple(str(ideal.atom_name[a]) for a in mine),
                coord[mine],
            )
        )
    return tuple(found)


def _placed(
    support: Float[np.ndarray, "n_members points 3"],
    group: _Group,
    heavy: Ensemble,
    atoms: np.ndarray,
) -> np.ndarray:
    """Hydrogens of one group in every member, by least squares (Kabsch)."""
    origin = support[:, :1].astype(float)
    target = support - origin
    covariance = np.einsum("pi,mpj->mij", group.ideal, target)
    u, _, vt = np.linalg.svd(covariance)
    hand = np.sign(np.linalg.det(u @ vt))
    vt[:, -1] *= hand[:, None]
    direction = group.places @ (u @ vt)
    name = (str(heavy.atoms.res_name[atoms[0]]), group.parent)
    if str(heavy.atoms.element[atoms[0]]).upper() == "N":
        length = NITROGEN
    else:
        length = AROMATIC if name in AROMATIC_CARBONS else CARBON
    direction *= length / np.linalg.norm(direction, axis=-1, keepdims=True)
    return np.asarray(origin + direction)


def _amides(
    heavy: Ensemble, bonds: Int[np.ndarray, "m 2"]
) -> tuple[list[int], list[np.ndarray], list[str]]:
    """N of peptides, between CA of its own residue and C of the one before."""
    number, altloc = residue_numbers(heavy), altlocs_of(heavy)
    names = np.asarray(heavy.atoms.atom_name, dtype=str)
    near: dict[int, list[int]] = {}
    for a, b in np.concatenate([bonds, bonds[:, ::-1]]).tolist():
        if names[a] == "N":
            near.setdefault(a, []).append(b)
    found: tuple[list[int], list[np.ndarray], list[str]] = ([], [], [])
    for n in sorted(near):
        own = [a for a in near[n] if number[a] == number[n]]
        before = [a for a in near[n] if number[a] != number[n] and names[a] == "C"]
        if {str(names[a]) for a in own} != {"CA"} or not before:
            continue
        # One amide a conformer of N; the first neighbour of several stands for all.
        at = heavy.coord[:, n].astype(float)
        arms = [heavy.coord[:, a].astype(float) - at for a in (min(own), min(before))]
        out = -sum(arm / np.linalg.norm(arm, axis=-1, keepdims=True) for arm in arms)
        out = NITROGEN * out / np.linalg.norm(out, axis=-1, keepdims=True)
        found[0].append(n)
        found[1].append((at + out)[:, None])
        found[2].append(str(altloc[n]))
    return found


def _joined(
    heavy: Ensemble,
    names: list[str],
    parents: np.ndarray,
    altlocs: list[str],
    places: np.ndarray,
) -> Ensemble:
    atoms = heavy.atoms.copy()
    atoms.bonds = None
    added = atoms[parents]
    added.atom_name = np.array(names)
    added.element = np.full(len(names), "H")
    if "altloc_id" in added.get_annotation_categories():
        added.altloc_id = np.array(altlocs)

    def per_atom(values: np.ndarray, factor: float) -> np.ndarray:
        return np.concatenate([values, factor * values[..., parents]], axis=-1)

    u_aniso = heavy.u_aniso
    if u_aniso is not None:
        none = np.full((*u_aniso.shape[:-2], len(names), 6), np.nan)
        u_aniso = np.concatenate([u_aniso, none], axis=-2)
    return heavy.replace(
        atoms=biotite.structure.concatenate([atoms, added]),
        coord=np.concatenate([heavy.coord, places.astype(heavy.coord.dtype)], axis=1),
        occupancy=per_atom(heavy.occupancy, 1.0),
        b_factor=per_atom(heavy.b_factor, 1.2),
        u_aniso=u_aniso,
    )
