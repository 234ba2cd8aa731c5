"""Which atom of a predictor is which of a model, and a name for each that has no partner."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import biotite.structure as bst
import numpy as np

from unstill.chemistry.residues import is_water
from unstill.errors import InputError
from unstill.guidance.predictors.contents import Contents, Residue
from unstill.shapes import Int

_OTHER_NAMES = {"O1P": "OP1", "O2P": "OP2", "O3P": "OP3", "OT1": "O", "OT2": "OXT", "OT": "OXT"}
_SELENIUM = {"SE": "SD"}


@dataclass(frozen=True, eq=False)
class AtomMap:
    """Partners, and those who have none.

    Parameters
    ----------
    model, predictor
        ``(n_pairs,)`` rows of the atoms of both that are the same, in the model's order.
    unknown
        Rows of the model that the predictor does not know.
    hidden
        Rows of the predictor that the model lacks.
    notes
        Unknown and hidden atoms by name, a line for each residue or kind of atom.
    """

    model: Int[np.ndarray, " n_pairs"]
    predictor: Int[np.ndarray, " n_pairs"]
    unknown: Int[np.ndarray, " n_unknown"]
    hidden: Int[np.ndarray, " n_hidden"]
    notes: tuple[str, ...]


def map_atoms(atoms: bst.AtomArray, contents: Contents, predicted: bst.AtomArray) -> AtomMap:
    """Find the partners.

    A residue's place in its chain decides, then the name of the atom. Selenium of
    selenomethionine is the sulphur of the methionine that is predicted in its stead; old names of
    phosphate and terminal oxygens are understood.

    Parameters
    ----------
    atoms
        The model.
    contents
        What was read from it.
    predicted
        Atoms of the predictor, for the molecules of ``contents``.

    Raises
    ------
    InputError
        If no atom has a partner.
    """
    rows: dict[tuple[str, int, str], int] = {}
    for row, (chain, number, name) in enumerate(
        zip(predicted.chain_id, predicted.res_id, predicted.atom_name, strict=True)
    ):
        rows[(str(chain), int(number), str(name))] = row
    # Predictors number the one residue of a ligand as they like.
    only = {
        chain: int(predicted.res_id[predicted.chain_id == chain].min())
        for chain in set(predicted.chain_id.tolist()) - set(contents.polymers)
    }
    pairs: list[tuple[int, int]] = []
    for residue in contents.residues:
        if residue.chain is None:
            continue
        position = only.get(residue.chain, residue.position)
        for row in range(residue.rows.start, residue.rows.stop):
            name = _name(str(atoms.atom_name[row]), str(atoms.res_name[row]))
            partner = rows.get((residue.chain, position, name))
            if partner is not None and _same_element(atoms, row, predicted, partner):
                pairs.append((row, partner))
    if not pairs:
        raise InputError(
            "the predictor has no atom of this model",
            found=f"{len(atoms)} and {len(predicted)} atoms without a pair",
            fix="check the names of atoms and residues",
        )
    model, predictor = np.array(pairs, dtype=np.int64).T
    unknown = np.setdiff1d(np.arange(len(atoms)), model)
    hidden = np.setdiff1d(np.arange(len(predicted)), predictor)
    notes = (
        *_unknown_notes(atoms, contents, predicted, unknown),
        *_hidden_notes(atoms, contents, predicted, hidden),
    )
    return AtomMap(model, predictor, unknown, hidden, notes)


def _name(atom_name: str, res_name: str) -> str:
    name = atom_name.strip().replace("*", "'")
    if res_name == "MSE":
        name = _SELENIUM.get(name, name)
    return _OTHER_NAMES.get(name, name)


def _same_element(a: bst.AtomArray, i: int, b: bst.AtomArray, j: int) -> bool:
    mine, theirs = str(a.element[i]).upper(), str(b.element[j]).upper()
    return mine == theirs or (mine, theirs) == ("SE", "S")


def _unknown_notes(
    atoms: bst.AtomArray, contents: Contents, predicted: bst.AtomArray, unknown: np.ndarray
) -> list[str]:
    notes, left = [], set(unknown.tolist())
    hydrogens = {row for row in left if str(atoms.element[row]).upper() in ("H", "D")}
    waters = {row for row in left - hydrogens if is_water(str(atoms.res_name[row]))}
    if waters:
        notes.append(f"{len(waters)} atoms of water are not predicted")
    if hydrogens:
        notes.append(f"{len(hydrogens)} hydrogens are not predicted")
    seen = {
        (str(c), int(n)): str(name)
        for c, n, name in zip(
            predicted.chain_id, predicted.res_id, predicted.res_name, strict=True
        )
    }
    for residue in contents.residues:
        rows = [
            row
            for row in range(residue.rows.start, residue.rows.stop)
            if row in left and row not in hydrogens | waters
        ]
        if not rows:
            continue
        names = ", ".join(str(atoms.atom_name[row]) for row in rows)
        stead = seen.get((residue.chain or "", residue.position))
        own = str(atoms.res_name[rows[0]])
        if residue.chain is None:
            why = "which the dictionary of components does not know"
        elif stead and stead != own:
            why = f"which is predicted as {stead}"
        else:
            why = "which the predictor builds without them"
        notes.append(f"{_label(atoms, residue)}, {why}: {names} not predicted")
    return notes


def _hidden_notes(
    atoms: bst.AtomArray, contents: Contents, predicted: bst.AtomArray, hidden: np.ndarray
) -> list[str]:
    there = {(r.chain, r.position): r for r in contents.residues if r.chain is not None}
    ligand = {r.chain: r for r in contents.residues if r.chain not in contents.polymers}
    missing: dict[str, list[str]] = defaultdict(list)
    whole: dict[str, list[int]] = defaultdict(list)
    for row in hidden:
        chain, number = str(predicted.chain_id[row]), int(predicted.res_id[row])
        residue = there.get((chain, number)) or ligand.get(chain)
        if residue is None:
            whole[contents.polymers[chain]].append(number)
        else:
            missing[_label(atoms, residue)].append(str(predicted.atom_name[row]))
    notes = [
        f"chain {chain}, places {_ranges(numbers)} of its sequence: predicted, not in the model"
        for chain, numbers in whole.items()
    ]
    ends = [label for label, names in missing.items() if names == ["OXT"]]
    if ends:
        notes.append(f"OXT of {', '.join(ends)}: predicted, not in the model")
    notes += [
        f"{label}: {', '.join(names)} predicted, not in the model"
        for label, names in missing.items()
        if label not in ends
    ]
    return notes


def _label(atoms: bst.AtomArray, residue: Residue) -> str:
    row = residue.rows.start
    number = f"{atoms.res_id[row]}{str(atoms.ins_code[row]).strip()}"
    return f"{atoms.chain_id[row]} {number} {atoms.res_name[row]}"


def _ranges(numbers: list[int]) -> str:
    kept = sorted(set(numbers))
    starts = [n for n in kept if n - 1 not in kept]
    ends = [n for n in kept if n + 1 not in kept]
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))
