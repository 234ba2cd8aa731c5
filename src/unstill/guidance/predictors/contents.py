"""What a model holds, said in the words of a predictor: chains with sequences, and ligands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import biotite.sequence as bs
import biotite.sequence.align as bsa
import biotite.structure as bst
import biotite.structure.info as bsi
import numpy as np

from unstill.chemistry.residues import is_amino_acid, is_nucleotide, is_water
from unstill.errors import InputError
from unstill.guidance.predictors.protocol import POLYMERS, Molecule

_SHORTEST_POLYMER = 2
_NAMELESS = frozenset({"UNK", "UNL", "UNX", "DUM"})


@dataclass(frozen=True)
class Residue:
    """A residue of the model and its place in what is predicted.

    Parameters
    ----------
    rows
        Its atoms in the model.
    chain, position
        Chain of the predictor, and residue in it, from 1; no chain if it is not predicted.
    """

    rows: slice
    chain: str | None
    position: int = 1


@dataclass(frozen=True)
class Contents:
    """What to predict, and which residue of the model is which of it.

    Parameters
    ----------
    molecules
        For a predictor; its chains have names of their own, since predictors differ in the
        names that they take.
    residues
        Every residue of the model, in its order.
    polymers
        Chain of the predictor → chain of the model, of polymers.
    """

    molecules: tuple[Molecule, ...]
    residues: tuple[Residue, ...]
    polymers: Mapping[str, str]


def read_contents(
    atoms: bst.AtomArray,
    *,
    sequences: Mapping[str, str] | None = None,
    alignments: Mapping[str, Path] | None = None,
) -> Contents:
    """Read what a model holds.

    Residues that can link make polymers, by chain; a modified one stands in the sequence as what
    it was made of. Other residues are ligands by their names in the dictionary of components.
    Waters, and what the dictionary does not know, are not predicted.

    Parameters
    ----------
    atoms
        One conformer of a model.
    sequences
        Chain of the model → its whole sequence (one-letter), residues that the model lacks
        included. By default that of the residues that are there.
    alignments
        Chain of the model → alignment (A3M).

    Raises
    ------
    InputError
        If an atom is there twice, a sequence does not hold the residues of its chain, or nothing
        can be predicted.
    """
    _check_one_conformer(atoms)
    starts = bst.get_residue_starts(atoms, add_exclusive_stop=True)
    rows = [slice(int(a), int(b)) for a, b in pairwise(starts)]
    kinds = [_kind(atoms[one]) for one in rows]
    names = _chain_names()
    molecules: dict[tuple[str, str, Path | None], list[str]] = {}
    places: dict[int, tuple[str, int]] = {}
    polymers: dict[str, str] = {}
    wanted = {**(sequences or {}), **(alignments or {})}
    for chain in dict.fromkeys(atoms.chain_id.tolist()):
        here = [n for n, one in enumerate(rows) if atoms.chain_id[one.start] == chain]
        for kind in POLYMERS:
            linked = [n for n in here if kinds[n] == kind]
            if len(linked) < _SHORTEST_POLYMER:
                continue
            letters = "".join(_letter(str(atoms.res_name[rows[n].start]), kind) for n in linked)
            whole = (sequences or {}).get(chain, letters).upper()
            numbers = [int(atoms.res_id[rows[n].start]) for n in linked]
            positions = _positions(letters, numbers, whole, chain)
            name = next(names)
            polymers[name] = chain
            wanted.pop(chain, None)
            places |= {n: (name, p) for n, p in zip(linked, positions, strict=True)}
            molecules.setdefault((kind, whole, (alignments or {}).get(chain)), []).append(name)
    if wanted:
        raise InputError(
            "a sequence or an alignment is for a chain that the model does not have",
            found=", ".join(wanted),
            fix="its polymers are: " + ", ".join(sorted(set(polymers.values()))),
        )
    for n, one in enumerate(rows):
        component = str(atoms.res_name[one.start]).strip().upper()
        if n not in places and kinds[n] != "water" and _is_component(component):
            places[n] = (next(names), 1)
            molecules.setdefault(("ccd", component, None), []).append(places[n][0])
    if not molecules:
        raise InputError(
            "there is nothing in this model that can be predicted",
            found=f"{len(rows)} residues",
            fix="give a model with a protein, a nucleic acid or a known ligand",
        )
    return Contents(
        tuple(Molecule(k, s, tuple(c), msa) for (k, s, msa), c in molecules.items()),
        tuple(Residue(one, *places.get(n, (None,))) for n, one in enumerate(rows)),
        polymers,
    )


def _check_one_conformer(atoms: bst.AtomArray) -> None:
    columns = (atoms.chain_id, atoms.res_id, atoms.ins_code, atoms.res_name, atoms.atom_name)
    seen: set[tuple[object, ...]] = set()
    for row in zip(*(column.tolist() for column in columns), strict=True):
        if row in seen:
            raise InputError(
                "an atom is in the model twice",
                found=" ".join(str(part) for part in row if part != ""),
                fix="keep one alternate conformer of every residue",
            )
        seen.add(row)


def _kind(residue: bst.AtomArray) -> str:
    name, atoms = str(residue.res_name[0]), set(residue.atom_name.tolist())
    if is_water(name):
        return "water"
    if "CA" in atoms and is_amino_acid(name):
        return "protein"
    if ("C1'" in atoms or "C1*" in atoms) and is_nucleotide(name):
        return "rna" if atoms & {"O2'", "O2*"} else "dna"
    return "other"


def _letter(name: str, kind: str) -> str:
    if kind != "protein":
        name = name.strip().upper()
    letter = bsi.one_letter_code(name.strip().upper())
    # The last letter of a kind stands for what has no other.
    known = POLYMERS[kind]
    return letter if letter is not None and letter in known else known[-1]


def _positions(letters: str, numbers: list[int], whole: str, chain: str) -> list[int]:
    """Places (from 1) in the whole sequence of residues in a row."""
    if letters == whole:
        return list(range(1, len(whole) + 1))
    # Numbers that count along the sequence say it all, gaps included.
    for first in dict.fromkeys([1, *range(numbers[0] - len(whole) + 1, numbers[0] + 1)]):
        places = [number - first for number in numbers]
        if all(0 <= p < len(whole) for p in places) and all(
            a == whole[p] for a, p in zip(letters, places, strict=True)
        ):
            return [p + 1 for p in places]
    if not set(whole) <= set("ABCDEFGHIKLMNPQRSTVWXYZ*U"):
        raise InputError(
            f"the sequence of chain {chain} has letters that stand for no residue",
            found=whole[:60],
            fix="give one-letter codes",
        )
    matrix = bsa.SubstitutionMatrix(
        bs.ProteinSequence.alphabet,
        bs.ProteinSequence.alphabet,
        np.where(np.eye(len(bs.ProteinSequence.alphabet), dtype=bool), 2, -8).astype(np.int32),
    )
    best = bsa.align_optimal(
        bs.ProteinSequence(letters.replace("U", "T")),
        bs.ProteinSequence(whole.replace("U", "T")),
        matrix,
        gap_penalty=(-3, -1),
        terminal_penalty=False,
        max_number=1,
    )[0]
    pairs = {int(a): int(b) for a, b in best.trace if a >= 0 and b >= 0}
    if len(pairs) < len(letters) or any(letters[a] != whole[b] for a, b in pairs.items()):
        raise InputError(
            f"the sequence of chain {chain} does not hold the residues of the model",
            found=f"{len(letters)} residues, of which {len(pairs)} align",
            fix="give the sequence that was crystallised, in one-letter codes",
        )
    return [pairs[n] + 1 for n in range(len(letters))]


@cache
def _is_component(name: str) -> bool:
    if name in _NAMELESS:
        return False
    try:
        return bool(bsi.residue(name, allow_missing_coord=True).array_length())
    except KeyError:
        return False


def _chain_names() -> Iterator[str]:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    yield from letters
    for first in letters:
        yield from (first + second for second in letters)
    raise InputError(
        "there are more chains and ligands than predictors take",
        found="more than 702",
        fix="leave some of them out",
    )
