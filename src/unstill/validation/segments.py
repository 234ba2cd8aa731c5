"""Where a model holds two states, and how far they are apart: the segments of a benchmark.

Runs of neighbouring residues whose states differ are cut to the window of three
residues that differ most, or taken whole if they are shorter, as in the protocol
of Sampleworks (2026), https://doi.org/10.82153/jkxj-tw08.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.chemistry.residues import is_water
from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.shapes import Coord, Int
from unstill.validation.residue_conformers import altlocs_of, residue_numbers

WINDOW = 3
"""Residues of a segment, at most."""
_LEAST = 0.1
"""RMSD (Å) of the two states of a residue from which they differ."""


@dataclass(frozen=True, eq=False)
class TwoStateModel:
    """A model as two conformers of the same atoms.

    Parameters
    ----------
    atoms
        Heavy atoms that both states have, or share, as an ensemble of the two, weights 0.5.
    labels
        Alternate locations that the states were.
    left_out
        Alternate locations, with the number of their atoms that are in neither state: other
        letters, and atoms of the two that have no partner.
    """

    atoms: Ensemble
    labels: tuple[str, str]
    left_out: dict[str, int]

    @property
    def first(self) -> Coord:
        """``(n_atoms, 3)`` of the first state (Å)."""
        coord: np.ndarray = self.atoms.coord[0]
        return coord

    @property
    def second(self) -> Coord:
        """``(n_atoms, 3)`` of the second state (Å)."""
        coord: np.ndarray = self.atoms.coord[1]
        return coord


@dataclass(frozen=True, eq=False)
class Segment:
    """Residues in two states.

    Parameters
    ----------
    chain_id, first, last
        Chain, and the first and last residue as ``number`` + insertion code.
    atoms
        Places in the atoms of the model.
    apart
        RMSD of the two states over these atoms (Å).
    """

    chain_id: str
    first: str
    last: str
    atoms: Int[np.ndarray, " n"]
    apart: float


def two_state_model(model: Ensemble, labels: tuple[str, str] | None = None) -> TwoStateModel:
    """Take a model with alternate locations apart into two states.

    Water is left out, and so are hydrogens. Atoms that only one state has are
    left out too: the two states have the same atoms.

    Parameters
    ----------
    model
        A model with alternate locations.
    labels
        The two; by default those with the most atoms, in the order of the alphabet.

    Raises
    ------
    InputError
        If the model does not hold two alternate locations.
    """
    altloc = altlocs_of(model)
    kinds, kind = np.unique(np.asarray(model.atoms.res_name, dtype=str), return_inverse=True)
    water = np.array([is_water(str(name)) for name in kinds], dtype=bool)[kind]
    usable = ~water & ~np.isin(model.element, ["H", "D"])
    counted = {
        str(label): int((altloc[usable] == label).sum())
        for label in np.unique(altloc[usable])
        if label
    }
    if labels is None:
        most = sorted(counted, key=lambda label: (-counted[label], label))[:2]
        labels = (min(most), max(most)) if len(most) == 2 else None
    if labels is None or any(label not in counted for label in labels):
        raise InputError(
            "the model does not hold two states",
            found=f"alternate locations {sorted(counted) or 'none'}",
            fix="give a model with alternate locations, such as A and B",
        )
    residue = residue_numbers(model)
    names = np.asarray(model.atoms.atom_name, dtype=str)
    res = np.asarray(model.atoms.res_name, dtype=str)
    rows: list[tuple[int, int]] = []
    paired = 0
    of_second = {
        (int(residue[i]), names[i], res[i]): i
        for i in np.flatnonzero(usable & (altloc == labels[1]))
    }
    for i in np.flatnonzero(usable & np.isin(altloc, ["", labels[0]])):
        other = of_second.get((int(residue[i]), names[i], res[i]))
        if altloc[i] == "":
            rows.append((int(i), int(i)))
        elif other is not None:
            rows.append((int(i), int(other)))
            paired += 1
    pairs = np.array(rows)
    made = model.select(pairs[:, 0])
    atoms = made.atoms.copy()
    if "altloc_id" in atoms.get_annotation_categories():
        atoms.altloc_id[:] = ""
    coord = np.stack([model.coord[0][pairs[:, 0]], model.coord[0][pairs[:, 1]]])
    b = np.broadcast_to(model.b_factor, (1, model.n_atoms)).reshape(-1)
    both = Ensemble(
        atoms,
        coord,
        b_factor=(b[pairs[:, 0]] + b[pairs[:, 1]]) / 2,
        weights=np.array([0.5, 0.5]),
        crystal=model.crystal,
    )
    rest = {label: n - paired * (label in labels) for label, n in counted.items()}
    rest = {label: n for label, n in rest.items() if n}
    return TwoStateModel(both, labels, rest)


def find_segments(states: TwoStateModel, *, window: int = WINDOW) -> list[Segment]:
    """Find the segments whose two states differ, in the order of the model.

    Parameters
    ----------
    states
        From :func:`two_state_model`.
    window
        Residues of a segment, at most.
    """
    atoms = states.atoms
    residue = residue_numbers(atoms)
    square = ((states.first - states.second) ** 2).sum(axis=1)
    n = int(residue.max()) + 1
    total = np.bincount(residue, square, minlength=n)
    count = np.bincount(residue, minlength=n)
    differs = np.sqrt(total / count) > _LEAST
    at = np.array([np.flatnonzero(residue == number)[0] for number in range(n)])
    chain = np.asarray(atoms.atoms.chain_id, dtype=str)[at]
    number_of = np.asarray(atoms.atoms.res_id, dtype=int)[at]
    follows = np.zeros(n, dtype=bool)
    follows[1:] = (chain[1:] == chain[:-1]) & np.isin(np.diff(number_of), [0, 1])
    found = []
    start = 0
    while start < n:
        if not differs[start]:
            start += 1
            continue
        end = start
        while end + 1 < n and differs[end + 1] and follows[end + 1]:
            end += 1
        found.append(_cut(atoms, residue, total, count, start, end, window))
        start = end + 1
    return found


def _cut(
    atoms: Ensemble,
    residue: np.ndarray,
    total: np.ndarray,
    count: np.ndarray,
    start: int,
    end: int,
    window: int,
) -> Segment:
    """Cut a run to the window of largest RMSD."""
    size = min(window, end - start + 1)
    starts = range(start, end - size + 2)
    rmsd = [np.sqrt(total[s : s + size].sum() / count[s : s + size].sum()) for s in starts]
    first = starts[int(np.argmax(rmsd))]
    chosen = np.flatnonzero((residue >= first) & (residue < first + size))
    at = atoms.atoms
    names = [f"{at.res_id[i]}{str(at.ins_code[i]).strip()}" for i in (chosen[0], chosen[-1])]
    return Segment(str(at.chain_id[chosen[0]]), names[0], names[1], chosen, float(max(rmsd)))
