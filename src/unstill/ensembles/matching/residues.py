"""Residues of a model in one conformer, with the names by which their atoms are compared."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np

from unstill.ensembles.ensemble import Ensemble

_OTHER_NAMES = {"O1P": "OP1", "O2P": "OP2", "O3P": "OP3", "OT1": "O", "OT2": "OXT", "OT": "OXT"}
_KINDS = {"MSE": "MET", "DOD": "HOH", "WAT": "HOH"}
_HISTIDINES = ("HID", "HIE", "HIP", "HSD", "HSE", "HSP")


@dataclass(frozen=True)
class ModelResidue:
    """A residue in its fullest conformer.

    Parameters
    ----------
    chain_id, res_id, ins_code, res_name
        As in the model.
    kind
        What it is where names differ: MET for MSE.
    letter
        Of its kind in a sequence, lower case for nucleotides; empty for what is no polymer.
    atoms
        Name for comparison → row of the model.
    """

    chain_id: str
    res_id: int
    ins_code: str
    res_name: str
    kind: str
    letter: str
    atoms: dict[str, int]

    @property
    def number(self) -> str:
        """Number with insertion code."""
        return f"{self.res_id}{self.ins_code}"


def residues_of_model(model: Ensemble) -> list[ModelResidue]:
    """Residues in the order of the model; of alternate locations the fullest letter of each."""
    at = model.atoms
    chain, number, ins = at.chain_id.tolist(), at.res_id.tolist(), at.ins_code.tolist()
    name, atom = at.res_name.tolist(), at.atom_name.tolist()
    has_letters = "altloc_id" in at.get_annotation_categories()
    letters = at.altloc_id.tolist() if has_letters else [""] * model.n_atoms
    occupancy = np.broadcast_to(model.occupancy, (1, model.n_atoms)).ravel().tolist()
    rows: dict[tuple[str, int, str], list[int]] = {}
    for row in range(model.n_atoms):
        rows.setdefault((chain[row], number[row], ins[row]), []).append(row)
    found = []
    for (chain_id, res_id, ins_code), own in rows.items():
        fullest = _fullest(own, letters, occupancy)
        # Letters by their occupancy; what the fullest one lacks is taken from the next.
        order = sorted(own, key=lambda row: (_rank(letters[row], fullest), row))
        res_name = name[order[0]]
        kind = _kind(res_name)
        atoms: dict[str, int] = {}
        for row in order:
            if name[row] == res_name:
                atoms.setdefault(_compared(atom[row], res_name, at.element[row]), row)
        found.append(
            ModelResidue(chain_id, res_id, ins_code, res_name, kind, _letter(kind), atoms)
        )
    return found


def atom_pairs(first: ModelResidue, second: ModelResidue) -> list[tuple[int, int]]:
    """Rows of the atoms that two residues share, in the order of the first."""
    return [(row, second.atoms[name]) for name, row in first.atoms.items() if name in second.atoms]


def _fullest(own: list[int], letters: list[str], occupancy: list[float]) -> list[str]:
    total: dict[str, float] = {}
    for row in own:
        total[letters[row]] = total.get(letters[row], 0.0) + occupancy[row]
    return sorted((one for one in total if one), key=lambda one: (-round(total[one], 6), one))


def _rank(letter: str, fullest: list[str]) -> int:
    return 0 if not letter else 1 + fullest.index(letter)


def _kind(res_name: str) -> str:
    name = res_name.strip().upper()
    if name in _HISTIDINES:
        return "HIS"
    return _KINDS.get(name, name)


def _letter(kind: str) -> str:
    found = gemmi.find_tabulated_residue(kind)
    if not (found.is_amino_acid() or found.is_nucleic_acid()):
        return ""
    letter = found.one_letter_code.strip().upper() or "X"
    return letter.lower() if found.is_nucleic_acid() else letter


def _compared(atom_name: str, res_name: str, element: str) -> str:
    name = atom_name.strip().upper().replace("*", "'")
    if res_name == "MSE" and name == "SE":
        return "SD"
    if str(element).upper() == "D" and name.startswith("D"):
        name = f"H{name[1:]}"
    return _OTHER_NAMES.get(name, name)
