r"""Side-chain torsions, their rotamer names, and how far they are from staggered.

A torsion between two tetrahedral carbons (or carbon and the sulfur of methionine) is staggered
at −60°, 60° and 180°, called m, p and t (Lovell et al., 2000,
https://doi.org/10.1002/1097-0134(20000815)40:3<389::AID-PROT50>3.0.CO;2-2). Torsions to flat
groups (of Asp, Asn, Phe, …, and the last of Glu, Gln and Arg) have no such places and are
measured but not named. Frequencies of rotamers are not judged here: that needs a library.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.ensembles import Ensemble
from unstill.shapes import Bool, Float, Int
from unstill.validation.residue_conformers import residue_conformers
from unstill.validation.torsions import torsions

ECLIPSED = 30.0
"""Degrees from the nearest staggered place; the eclipsed one is at 60."""
_STAGGERED = {"m": -60.0, "p": 60.0, "t": 180.0}
# fmt: off
_ENDS = {
    "ARG": ("CG", "CD", "NE", "CZ"), "ASN": ("CG", "OD1"), "ASP": ("CG", "OD1"), "CYS": ("SG",),
    "GLN": ("CG", "CD", "OE1"), "GLU": ("CG", "CD", "OE1"), "HIS": ("CG", "ND1"),
    "ILE": ("CG1", "CD1"), "LEU": ("CG", "CD1"), "LYS": ("CG", "CD", "CE", "NZ"),
    "MET": ("CG", "SD", "CE"), "MSE": ("CG", "SE", "CE"), "PHE": ("CG", "CD1"), "SER": ("OG",),
    "THR": ("OG1",), "TRP": ("CG", "CD1"), "TYR": ("CG", "CD1"), "VAL": ("CG1",),
}
# fmt: on
"""Last atom of χ1, χ2, …: each angle is of four consecutive atoms of N, CA, CB and these."""
_TETRAHEDRAL = {"ARG": 3, "GLN": 2, "GLU": 2, "ILE": 2, "LEU": 2, "LYS": 4, "MET": 3, "MSE": 3}
"""Number of angles between tetrahedral atoms; of the others it is one. Proline has a ring."""


@dataclass(frozen=True, eq=False)
class SideChains:
    """χ angles of every residue conformer.

    Parameters
    ----------
    atom
        ``(n,)`` CA of each.
    res_name, altloc
        ``(n,)`` names and alternate locations.
    chi
        ``(n_members, n, 4)`` degrees, NaN where a residue has no such angle or atom.
    staggered
        ``(n, 4)`` which of them are between tetrahedral atoms.
    """

    atom: Int[np.ndarray, " n"]
    res_name: tuple[str, ...]
    altloc: tuple[str, ...]
    chi: Float[np.ndarray, "n_members n 4"]
    staggered: Bool[np.ndarray, "n 4"]

    @property
    def deviation(self) -> Float[np.ndarray, "n_members n 4"]:
        """Degrees from the nearest staggered place, 0 to 60; NaN where there is none."""
        deviation = np.abs((self.chi + 180.0) % 120.0 - 60.0)
        # −60°, 60° and 180° are 0 modulo 120 after adding 180.
        return np.where(self.staggered, 60.0 - deviation, np.nan)

    @property
    def eclipsed(self) -> Bool[np.ndarray, "n_members n"]:
        """``(n_members, n)``: some staggered torsion is more than 30° off."""
        return np.asarray((np.nan_to_num(self.deviation) > ECLIPSED).any(axis=2))

    def names(self, member: int = 0) -> tuple[str, ...]:
        """Rotamer of each residue as letters, ``mt`` for χ1 −60° and χ2 180°; ``?`` if unknown."""
        letters = np.array(list(_STAGGERED))
        places = np.array(list(_STAGGERED.values()))
        apart = np.abs((self.chi[member][..., None] - places + 180.0) % 360.0 - 180.0)
        known = np.isfinite(self.chi[member])
        found = np.where(known, letters[np.where(known[..., None], apart, 0).argmin(axis=-1)], "?")
        return tuple("".join(row[mine]) for row, mine in zip(found, self.staggered, strict=True))


def side_chain_torsions(ensemble: Ensemble) -> SideChains:
    """Measure χ angles of amino acids with a side chain, each alternate location on its own.

    Parameters
    ----------
    ensemble
        Members.
    """
    rows, quads, names, altlocs = [], [], [], []
    for residue in residue_conformers(ensemble):
        ends = _ENDS.get(residue.name)
        place = {str(ensemble.atoms.atom_name[atom]): int(atom) for atom in residue.atom}
        if ends is None or "CA" not in place:
            continue
        chain = [place.get(name, -1) for name in ("N", "CA", "CB", *ends)]
        chain += [-1] * (7 - len(chain))
        rows.append(place["CA"])
        quads.append([chain[angle : angle + 4] for angle in range(4)])
        names.append(residue.name)
        altlocs.append(residue.label)
    atoms = np.array(quads, dtype=int).reshape(-1, 4)
    known = (atoms >= 0).all(axis=1)
    chi = np.full((ensemble.n_members, len(atoms)), np.nan)
    chi[:, known] = torsions(ensemble.coord, atoms[known])
    number = np.array([_TETRAHEDRAL.get(name, 1) for name in names], dtype=int)
    return SideChains(
        np.array(rows, dtype=int),
        tuple(names),
        tuple(altlocs),
        chi.reshape(ensemble.n_members, -1, 4),
        np.arange(4) < number[:, None],
    )
