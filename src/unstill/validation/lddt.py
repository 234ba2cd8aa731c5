r"""Local distance difference test: are the distances between atoms those of a reference.

.. math::
   \mathrm{lDDT} = \frac{1}{4}\sum_{t \in \{0.5, 1, 2, 4\}}
   \frac{\#\{(i,j): |d_{ij} - d^{ref}_{ij}| \le t\}}{\#\{(i,j)\}}

over pairs of atoms of different residues within 15 Å in the reference (Mariani et al., 2013,
https://doi.org/10.1093/bioinformatics/btt473). It needs no superposition. Atoms that
exchange names by symmetry (CD1 and CD2 of Phe) are taken as they are called.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from unstill.errors import InputError
from unstill.shapes import Bool, Coord, Coords, Float, Integer

CUTOFF = 15.0
"""Å in the reference."""
THRESHOLDS = (0.5, 1.0, 2.0, 4.0)
"""Å."""
_AT_ONCE = 1_000_000


@dataclass(frozen=True, eq=False)
class LocalDistances:
    """The scores of members against one reference.

    Parameters
    ----------
    score
        ``(n_members,)`` 0 to 1.
    atom_score
        ``(n_members, n_atoms)`` over the pairs of each atom; NaN for an atom without pairs.
    n_pairs
        Pairs that were compared.
    """

    score: Float[np.ndarray, " n_members"]
    atom_score: Float[np.ndarray, "n_members n_atoms"]
    n_pairs: int


def lddt(
    coord: Coords,
    reference: Coord,
    residue: Integer[np.ndarray, " n_atoms"],
    *,
    selected: Bool[np.ndarray, " n_atoms"] | None = None,
    cutoff: float = CUTOFF,
    thresholds: tuple[float, ...] = THRESHOLDS,
) -> LocalDistances:
    """Score members against a reference by their distances between atoms.

    Parameters
    ----------
    coord
        ``(n_members, n_atoms, 3)`` Å.
    reference
        ``(n_atoms, 3)`` Å, the same atoms in the same order.
    residue
        ``(n_atoms,)`` number of the residue; pairs within one do not count.
    selected
        ``(n_atoms,)``: only pairs with at least one of these atoms count. All by default.
    cutoff, thresholds
        Å.

    Raises
    ------
    InputError
        If shapes differ, or no pair is within the cutoff.

    Examples
    --------
    >>> line = np.array([[0.0, 0, 0], [3.0, 0, 0], [6.0, 0, 0]])
    >>> moved = line + np.array([[0.0, 0, 0], [0.0, 0, 0], [1.5, 0, 0]])
    >>> lddt(moved[None], line, np.arange(3)).score.round(3).tolist()
    [0.667]
    """
    coord, reference = np.asarray(coord, dtype=float), np.asarray(reference, dtype=float)
    n = len(reference)
    chosen = np.ones(n, dtype=bool) if selected is None else np.asarray(selected)
    if coord.shape[1:] != (n, 3) or residue.shape != (n,) or chosen.shape != (n,):
        raise InputError(
            "members, reference, residues and selection do not fit together",
            found=f"shapes {coord.shape}, {reference.shape}, {residue.shape}, {chosen.shape}",
            fix="give the same atoms in all of them",
        )
    first, second = cKDTree(reference).query_pairs(cutoff, output_type="ndarray").T
    counted = (residue[first] != residue[second]) & (chosen[first] | chosen[second])
    first, second = first[counted], second[counted]
    if len(first) == 0:
        raise InputError(
            "no pair of atoms of different residues is within the cutoff",
            found=f"{n} atoms, {int(chosen.sum())} selected, cutoff {cutoff:g} Å",
            fix="select atoms of more than one residue, or raise the cutoff",
        )
    wanted = np.linalg.norm(reference[first] - reference[second], axis=1)
    pairs = np.bincount(first, minlength=n) + np.bincount(second, minlength=n)
    score, atom_score = np.zeros(len(coord)), np.full((len(coord), n), np.nan)
    for member, places in enumerate(coord):
        kept = _kept(places, first, second, wanted, thresholds)
        score[member] = kept.mean()
        total = np.bincount(first, kept, n) + np.bincount(second, kept, n)
        atom_score[member, pairs > 0] = total[pairs > 0] / pairs[pairs > 0]
    return LocalDistances(score, atom_score, len(first))


def _kept(
    places: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    wanted: np.ndarray,
    thresholds: tuple[float, ...],
) -> np.ndarray:
    """Share of the thresholds that the change of each distance stays within."""
    kept = np.empty(len(first))
    for start in range(0, len(first), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        apart = places[first[part]] - places[second[part]]
        change = np.abs(np.sqrt(np.einsum("pi,pi->p", apart, apart)) - wanted[part])
        # Number of thresholds not below the change.
        kept[part] = len(thresholds) - np.searchsorted(np.sort(thresholds), change)
    return kept / len(thresholds)
