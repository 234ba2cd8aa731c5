"""How many places the atoms of each residue have, and how far apart these are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unstill.chemistry.radii import are_hydrogens
from unstill.chemistry.residues import BACKBONE, is_amino_acid, is_nucleotide, is_water
from unstill.ensembles.multiconformer.model import Multiconformer
from unstill.shapes import Bool, Float, Int


@dataclass(frozen=True, eq=False)
class ResidueSpread:
    """Numbers for each residue of a model, in the order of its sites.

    Parameters
    ----------
    chain_id, res_id, ins_code, res_name
        ``(n_residues,)``; the name of the first place where residues stand for each other.
    kind
        ``(n_residues,)`` ``polymer``, ``ligand`` or ``water``.
    n_places
        ``(n_residues,)`` places of the atom that has most.
    spread
        ``(n_residues,)`` root mean square distance of the heavy atoms from their mean positions
        (Å), places weighted by occupancy.
    backbone_spread
        ``(n_residues,)`` the same over the main chain; NaN where there is none.
    row_start, rows
        Rows of the atom with most places of residue i: ``rows[row_start[i]:row_start[i+1]]``.
    """

    chain_id: np.ndarray
    res_id: Int[np.ndarray, " n_residues"]
    ins_code: np.ndarray
    res_name: np.ndarray
    kind: np.ndarray
    n_places: Int[np.ndarray, " n_residues"]
    spread: Float[np.ndarray, " n_residues"]
    backbone_spread: Float[np.ndarray, " n_residues"]
    row_start: Int[np.ndarray, " n_starts"]
    rows: Int[np.ndarray, " n_chosen"]

    def __len__(self) -> int:
        return len(self.res_id)

    @cached_property
    def several(self) -> Bool[np.ndarray, " n_residues"]:
        """``(n_residues,)`` whether an atom has more than one place."""
        return np.asarray(self.n_places > 1)

    def label(self, residue: int) -> str:
        """Residue number with its insertion code."""
        return f"{self.res_id[residue]}{str(self.ins_code[residue]).strip()}"


def residue_spread(model: Multiconformer) -> ResidueSpread:
    r"""Measure each residue of a model.

    The spread of a residue with heavy atoms a in places i of occupancy o is

    .. math:: \sqrt{\frac{1}{n_a} \sum_a \frac{\sum_i o_{ai} |x_{ai} - \bar x_a|^2}
       {\sum_i o_{ai}}}.

    Residues that stand for each other count as one, their atoms by name.
    """
    sites, n_residues = model.sites, int(model.residue.max(initial=-1)) + 1
    position = model.position[model.site]
    n_positions = int(model.position.max(initial=-1)) + 1
    residue_of = np.zeros(n_positions, dtype=np.int64)
    residue_of[model.position] = model.residue
    variance = _variances(model, position, n_positions)
    heavy = np.zeros(n_positions, dtype=bool)
    heavy[model.position] = ~are_hydrogens(np.asarray(sites.element, dtype=str))
    chain = np.zeros(n_positions, dtype=bool)
    chain[model.position] = np.isin(np.asarray(sites.atom_name, dtype=str), list(BACKBONE))
    first = np.full(n_residues, -1)
    first[model.residue[::-1]] = np.arange(model.n_sites)[::-1]
    names = np.asarray(sites.res_name, dtype=str)[first]
    kinds = {name: _kind(name) for name in np.unique(names).tolist()}
    times = np.bincount(position, minlength=n_positions)
    row_start, rows = _fullest(model, position, residue_of, times, n_residues)
    kind = np.array([kinds[name] for name in names.tolist()], dtype="U7")
    return ResidueSpread(
        np.asarray(sites.chain_id, dtype=str)[first],
        np.asarray(sites.res_id, dtype=np.int64)[first],
        np.asarray(sites.ins_code, dtype=str)[first],
        names,
        kind,
        np.diff(row_start),
        _root_mean(variance, residue_of, heavy & (times > 0), n_residues, empty=0.0),
        np.where(
            kind == "polymer",
            _root_mean(variance, residue_of, heavy & chain & (times > 0), n_residues, np.nan),
            np.nan,
        ),
        row_start,
        rows,
    )


def _variances(model: Multiconformer, position: np.ndarray, n: int) -> np.ndarray:
    """Mean square distance of the places of each position from their mean (Å²)."""
    weight = np.clip(model.occupancy, 0, None)
    total = np.bincount(position, weights=weight, minlength=n)
    # Places whose occupancies are all zero count alike.
    weight = np.where(total[position] > 0, weight, 1.0)
    total = np.bincount(position, weights=weight, minlength=n)
    total = np.where(total > 0, total, 1.0)
    found = np.zeros(n)
    for axis in range(3):
        x = model.coord[:, axis]
        mean = np.bincount(position, weights=weight * x, minlength=n) / total
        off = (x - mean[position]) ** 2
        found += np.bincount(position, weights=weight * off, minlength=n) / total
    return found


def _root_mean(
    variance: np.ndarray, residue_of: np.ndarray, chosen: np.ndarray, n: int, empty: float
) -> np.ndarray:
    count = np.bincount(residue_of[chosen], minlength=n)
    total = np.bincount(residue_of[chosen], weights=variance[chosen], minlength=n)
    mean = np.divide(total, count, out=np.full(n, np.nan), where=count > 0)
    return np.where(count > 0, np.sqrt(mean), empty)


def _fullest(
    model: Multiconformer,
    position: np.ndarray,
    residue_of: np.ndarray,
    times: np.ndarray,
    n_residues: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the position with most places of each residue, its first where several have."""
    order = np.lexsort((np.arange(len(times)), -times, residue_of))
    best = order[np.unique(residue_of[order], return_index=True)[1]]
    wanted = np.zeros(len(times), dtype=bool)
    wanted[best] = True
    rows = np.flatnonzero(wanted[position])
    residue = residue_of[position[rows]]
    rows = rows[np.argsort(residue, kind="stable")]
    starts = np.searchsorted(np.sort(residue), np.arange(n_residues + 1))
    return starts, rows


def _kind(name: str) -> str:
    if is_water(name):
        return "water"
    return "polymer" if is_amino_acid(name) or is_nucleotide(name) else "ligand"
