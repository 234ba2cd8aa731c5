"""Choose atoms by words: ``protein``, ``water``, ``chain A and resid 10-20 and not hydrogen``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import biotite.structure
import gemmi
import numpy as np

from unstill.ensembles.ensemble import Ensemble
from unstill.errors import InputError
from unstill.shapes import Bool

_WATER = {"HOH", "WAT", "H2O", "DOD", "SOL", "TIP", "TIP3", "TIP4", "TIP5", "TP3", "TP4", "SPC"}
_WATER |= {"SPCE", "T3P", "T4P", "OH2", "HO4", "OPC"}
# Force fields rename residues by protonation; they are protein all the same.
_PROTEIN = {"HID", "HIE", "HIP", "HSD", "HSE", "HSP", "CYX", "CYM", "ASH", "GLH", "LYN", "LSN"}
_PROTEIN |= {"ACE", "NME", "NMA", "NH2", "CYSH", "CYS2", "HISA", "HISB", "HISH", "HIS1", "HIS2"}
_PROTEIN |= {"ARGN", "ASPH", "GLUH", "LYSH", "QLN"}
_NUCLEIC = {"A", "C", "G", "U", "DA", "DC", "DG", "DT", "DU", "ADE", "CYT", "GUA", "THY", "URA"}
_BACKBONE = {"N", "CA", "C", "O", "OXT", "OT1", "OT2"}

# Names of force fields, and the halides, which gemmi does not call metals.
_OTHER_IONS = {"SOD", "CLA", "POT", "CAL", "CES", "NIO", "CIO", "IB"}
_OTHER_IONS |= {"F", "CL", "BR", "I", "IOD"}

_TOKEN = re.compile(r"\(|\)|[^\s()]+")
_RANGE = re.compile(r"(-?\d+)(?:(?:-|:|\.\.)(-?\d+))?$")


def select_atoms(ensemble: Ensemble, expression: str) -> Ensemble:
    """Return the ensemble of the atoms that an expression names.

    Parameters
    ----------
    ensemble
        Where to choose.
    expression
        See :func:`atom_mask`.

    Raises
    ------
    InputError
        If the expression cannot be understood, or names no atom.
    """
    return ensemble.select(atom_mask(ensemble.atoms, expression))


def atom_mask(atoms: biotite.structure.AtomArray, expression: str) -> Bool[np.ndarray, " n_atoms"]:
    """Which atoms an expression names.

    Parameters
    ----------
    atoms
        biotite annotations.
    expression
        Words ``all, protein, water, nucleic, solvent, ion, ligand, backbone, sidechain,
        hydrogen, heavy``; fields with one or several values
        ``chain A B``, ``resid 10-20 25``, ``resname ALA GLY``, ``name CA``,
        ``element C N``, ``altloc A``; joined by ``and``, ``or``, ``not`` and
        brackets. ``solvent`` is water and ions.

    Returns
    -------
    numpy.ndarray
        bool, one value an atom.

    Raises
    ------
    InputError
        If the expression cannot be understood, or names no atom.

    Examples
    --------
    >>> atoms = biotite.structure.AtomArray(3)
    >>> atoms.atom_name = np.array(["N", "CA", "O"])
    >>> atoms.res_name = np.array(["GLY", "GLY", "HOH"])
    >>> atom_mask(atoms, "protein and not name N").tolist()
    [False, True, False]
    """
    parser = _Parser(atoms, expression)
    mask = parser.either()
    if parser.word is not None:
        raise _unclear(expression, f"{parser.word!r} is out of place")
    if not mask.any():
        raise InputError(
            "the selection names no atom",
            found=repr(expression),
            fix=f"choose from residues {', '.join(_some(atoms.res_name))}, "
            f"chains {', '.join(_some(atoms.chain_id))}",
        )
    return mask


class _Parser:
    """Recursive descent: either → both → single."""

    def __init__(self, atoms: biotite.structure.AtomArray, expression: str) -> None:
        self._atoms = atoms
        self._expression = expression
        self._rest: Iterator[str] = iter(_TOKEN.findall(expression))
        self.word: str | None = next(self._rest, None)

    def either(self) -> np.ndarray:
        mask = self._both()
        while self._accept("or", "||"):
            mask = mask | self._both()
        return mask

    def _both(self) -> np.ndarray:
        mask = self._single()
        while self._accept("and", "&&"):
            mask = mask & self._single()
        return mask

    def _single(self) -> np.ndarray:
        if self._accept("not", "!"):
            inverse: np.ndarray = ~self._single()
            return inverse
        if self._accept("("):
            mask = self.either()
            if not self._accept(")"):
                raise _unclear(self._expression, "a bracket is not closed")
            return mask
        if self.word is None:
            raise _unclear(self._expression, "something is missing at the end")
        word = self._next().lower()
        if word in _WORDS:
            return _WORDS[word](self._atoms)
        if word in _FIELDS:
            return _FIELDS[word](self._atoms, self._values(word))
        raise _unclear(self._expression, f"{word!r} is not a word of the selection language")

    def _values(self, field: str) -> list[str]:
        values: list[str] = []
        while self.word is not None and self.word.lower() not in _STOP:
            values.append(self._next())
        if not values:
            raise _unclear(self._expression, f"{field!r} needs a value")
        return values

    def _next(self) -> str:
        word = self.word
        assert word is not None
        self.word = next(self._rest, None)
        return word

    def _accept(self, *words: str) -> bool:
        if self.word is not None and self.word.lower() in words:
            self._next()
            return True
        return False


_STOP = {"and", "or", "not", "(", ")", "&&", "||", "!"}


def _unclear(expression: str, why: str) -> InputError:
    return InputError(
        "the selection cannot be understood",
        found=f"{expression!r}: {why}",
        fix=f"use the words {', '.join(_WORDS)}, the fields {', '.join(_FIELDS)}, "
        "and, or, not and brackets",
    )


def _some(names: np.ndarray) -> list[str]:
    found = [str(name) or "(blank)" for name in np.unique(names)]
    return found if len(found) <= 12 else [*found[:12], "…"]


def _residues(
    test: Callable[[str], bool],
) -> Callable[[biotite.structure.AtomArray], np.ndarray]:
    def mask(atoms: biotite.structure.AtomArray) -> np.ndarray:
        names, inverse = np.unique(atoms.res_name, return_inverse=True)
        return np.array([test(str(name).upper()) for name in names], dtype=bool)[inverse]

    return mask


def _is_protein(name: str) -> bool:
    found = gemmi.find_tabulated_residue(name)
    terminal = len(name) == 4 and name[0] in "NC" and _is_protein(name[1:])
    return name in _PROTEIN or bool(found.is_amino_acid()) or terminal


def _is_water(name: str) -> bool:
    return name in _WATER


def _is_nucleic(name: str) -> bool:
    return name in _NUCLEIC or bool(gemmi.find_tabulated_residue(name).is_nucleic_acid())


def _is_ion(name: str) -> bool:
    bare = name.rstrip("0123456789+-")
    metal = 0 < len(bare) <= 2 and bool(gemmi.Element(bare).is_metal)
    return not _is_nucleic(name) and (metal or bare in _OTHER_IONS)


def _is_ligand(name: str) -> bool:
    return not (_is_protein(name) or _is_water(name) or _is_nucleic(name) or _is_ion(name))


def _hydrogen(atoms: biotite.structure.AtomArray) -> np.ndarray:
    return np.isin(np.char.upper(atoms.element.astype(str)), ["H", "D"])


def _backbone(atoms: biotite.structure.AtomArray) -> np.ndarray:
    return _residues(_is_protein)(atoms) & np.isin(atoms.atom_name, list(_BACKBONE))


_WORDS: dict[str, Callable[[biotite.structure.AtomArray], np.ndarray]] = {
    "all": lambda atoms: np.ones(atoms.array_length(), bool),
    "protein": _residues(_is_protein),
    "water": _residues(_is_water),
    "nucleic": _residues(_is_nucleic),
    "ion": _residues(_is_ion),
    "solvent": _residues(lambda name: _is_water(name) or _is_ion(name)),
    "ligand": _residues(_is_ligand),
    "backbone": _backbone,
    "sidechain": lambda atoms: _residues(_is_protein)(atoms) & ~_backbone(atoms),
    "hydrogen": _hydrogen,
    "heavy": lambda atoms: ~_hydrogen(atoms),
}


def _matching(
    annotation: str, *, upper: bool = False
) -> Callable[[biotite.structure.AtomArray, list[str]], np.ndarray]:
    def mask(atoms: biotite.structure.AtomArray, values: list[str]) -> np.ndarray:
        if annotation not in atoms.get_annotation_categories():
            return np.zeros(atoms.array_length(), bool)
        column = atoms.get_annotation(annotation).astype(str)
        wanted = [value.strip("'\"") for value in values]
        if upper:
            column, wanted = np.char.upper(column), [value.upper() for value in wanted]
        return np.isin(column, wanted)

    return mask


def _residue_numbers(atoms: biotite.structure.AtomArray, values: list[str]) -> np.ndarray:
    mask = np.zeros(atoms.array_length(), bool)
    for value in values:
        found = _RANGE.match(value)
        if found is None:
            raise InputError(
                "residue numbers cannot be understood",
                found=repr(value),
                fix="write resid 10 or resid 10-20",
            )
        first = int(found[1])
        last = first if found[2] is None else int(found[2])
        mask |= (atoms.res_id >= first) & (atoms.res_id <= last)
    return mask


_FIELDS: dict[str, Callable[[biotite.structure.AtomArray, list[str]], np.ndarray]] = {
    "chain": _matching("chain_id"),
    "resid": _residue_numbers,
    "resname": _matching("res_name", upper=True),
    "name": _matching("atom_name"),
    "element": _matching("element", upper=True),
    "altloc": _matching("altloc_id"),
}
