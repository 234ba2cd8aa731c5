r"""Torsion angles of backbones and side chains, in every member and alternate location.

IUPAC–IUB (1970), https://doi.org/10.1021/bi00820a001: 0° where the first and the fourth atom
eclipse each other, positive where the fourth is turned clockwise, seen along the middle bond.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.chemistry.residues import is_amino_acid
from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.shapes import Coords, Float, Int
from unstill.validation.residue_conformers import ResidueConformer, residue_conformers

_PEPTIDE = 2.0
"""Å from C to N of the next residue, at most."""


@dataclass(frozen=True, eq=False)
class BackboneTorsions:
    """φ, ψ and ω of residues that have a neighbour on both sides.

    Parameters
    ----------
    atom
        ``(n,)`` CA of each residue conformer.
    res_name, next_name
        Names of the residue and of the one after it.
    altloc
        Alternate location, ``""`` for none.
    phi, psi
        ``(n_members, n)`` degrees, −180 to 180.
    omega
        ``(n_members, n)`` degrees, of the peptide bond before the residue.
    """

    atom: Int[np.ndarray, " n"]
    res_name: tuple[str, ...]
    next_name: tuple[str, ...]
    altloc: tuple[str, ...]
    phi: Float[np.ndarray, "n_members n"]
    psi: Float[np.ndarray, "n_members n"]
    omega: Float[np.ndarray, "n_members n"]


def torsions(coord: Coords, atoms: Int[np.ndarray, "n 4"]) -> Float[np.ndarray, "n_members n"]:
    """Torsion angles (degrees, −180 to 180).

    Parameters
    ----------
    coord
        ``(n_members, n_atoms, 3)`` Å.
    atoms
        ``(n, 4)`` atoms of each angle.

    Raises
    ------
    InputError
        If an atom does not exist.
    """
    if atoms.size and not (atoms.min() >= 0 and atoms.max() < coord.shape[1]):
        raise InputError(
            "a torsion names an atom that does not exist",
            found=f"atoms {atoms.min()} to {atoms.max()} of {coord.shape[1]}",
            fix="count atoms from 0, in the order of the coordinates",
        )
    places = coord[:, atoms.reshape(-1, 4)].astype(float)
    first, middle, last = np.moveaxis(np.diff(places, axis=2), 2, 0)
    before, after = np.cross(first, middle), np.cross(middle, last)
    sine = np.linalg.norm(middle, axis=-1) * np.sum(first * after, axis=-1)
    angle: np.ndarray = np.degrees(np.arctan2(sine, np.sum(before * after, axis=-1)))
    return angle


def backbone_torsions(ensemble: Ensemble) -> BackboneTorsions:
    """Measure φ, ψ and ω of amino acids, each alternate location on its own.

    Neighbours are residues whose C and N are within 2 Å in the first member, of the same
    alternate location where they have one, else of their first.

    Parameters
    ----------
    ensemble
        Members.
    """
    chain = [_Backbone.of(ensemble, residue) for residue in residue_conformers(ensemble)]
    known = [backbone for backbone in chain if backbone is not None]
    rows: list[tuple[_Backbone, _Backbone, _Backbone]] = []
    if known:
        coord = ensemble.coord[0].astype(float)
        carbonyl = coord[[backbone.c for backbone in known]]
        amide = coord[[backbone.n for backbone in known]]
        for place, own in enumerate(known):
            before = own.neighbour(known, np.linalg.norm(carbonyl - amide[place], axis=1))
            after = own.neighbour(known, np.linalg.norm(amide - carbonyl[place], axis=1))
            if before is not None and after is not None:
                rows.append((before, own, after))
    phi = np.array([[b.c, o.n, o.ca, o.c] for b, o, _ in rows], dtype=int).reshape(-1, 4)
    psi = np.array([[o.n, o.ca, o.c, a.n] for _, o, a in rows], dtype=int).reshape(-1, 4)
    omega = np.array([[b.ca, b.c, o.n, o.ca] for b, o, _ in rows], dtype=int).reshape(-1, 4)
    return BackboneTorsions(
        np.array([own.ca for _, own, _ in rows], dtype=int),
        tuple(own.name for _, own, _ in rows),
        tuple(after.name for _, _, after in rows),
        tuple(own.label for _, own, _ in rows),
        torsions(ensemble.coord, phi),
        torsions(ensemble.coord, psi),
        torsions(ensemble.coord, omega),
    )


@dataclass(frozen=True)
class _Backbone:
    """N, CA and C of one residue in one alternate location."""

    name: str
    label: str
    n: int
    ca: int
    c: int

    @classmethod
    def of(cls, ensemble: Ensemble, residue: ResidueConformer) -> _Backbone | None:
        place = {str(ensemble.atoms.atom_name[atom]): int(atom) for atom in residue.atom}
        if not is_amino_acid(residue.name) or not {"N", "CA", "C"} <= place.keys():
            return None
        return cls(residue.name, residue.label, place["N"], place["CA"], place["C"])

    def neighbour(self, known: list[_Backbone], apart: np.ndarray) -> _Backbone | None:
        near = [known[place] for place in np.flatnonzero(apart < _PEPTIDE).tolist()]
        near = [other for other in near if other.ca != self.ca]
        same = [other for other in near if other.label in ("", self.label)]
        if same:
            return same[0]
        # A residue without alternates goes on in the first one of its neighbour.
        return near[0] if near and self.label == "" else None
