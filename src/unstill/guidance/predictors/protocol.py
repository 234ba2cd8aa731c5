"""The messages between unstill and a predictor, as types.

A frame (``wire``) carries a ``type`` and an ``id`` that the answer repeats:

========== ============================ ==========================================
type       asks with                    is answered with
========== ============================ ==========================================
hello      protocol, options            protocol, name, version, python, sigma_data, report
featurise  molecules, seed              atoms: chain, residue number, residue name,
                                        atom name, element
denoise    x, sigma, keep               clean
pullback   gradient                     gradient
pack       residues, free, coord,       names, coord, density
           context, numbers, samples,
           seed
report     –                            device, memory, device_memory
shutdown   –                            –
========== ============================ ==========================================

Any may be answered by ``error`` with ``kind`` (missing_weights, missing_package,
out_of_memory, bad_input, unsupported_version, internal) and ``message``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import biotite.structure
import numpy as np

from unstill.errors import InputError
from unstill.guidance.predictors.failures import PredictorProtocolError, other_version
from unstill.guidance.predictors.wire import PROTOCOL

POLYMERS = {"protein": "ACDEFGHIKLMNPQRSTVWYX", "rna": "ACGUN", "dna": "ACGTN"}
"""Kinds of polymer and their letters; the last one stands for an unknown residue."""

LIGANDS = ("ccd", "smiles")
"""Kinds of ligand: a name of the chemical component dictionary, or a SMILES."""


@dataclass(frozen=True)
class Molecule:
    """A molecule to predict, and the chains that are copies of it.

    Parameters
    ----------
    kind
        ``"protein"``, ``"rna"``, ``"dna"``, ``"ccd"`` or ``"smiles"``.
    sequence
        One-letter sequence of a polymer; component name or SMILES of a ligand.
    chains
        Names of the chains.
    msa
        Alignment (A3M) of a protein or RNA; without one it is predicted from its sequence alone.

    Raises
    ------
    InputError
        If the kind is unknown, or there is no sequence or no chain.

    Examples
    --------
    >>> Molecule("protein", "MKT", ("A", "B")).chains
    ('A', 'B')
    """

    kind: str
    sequence: str
    chains: tuple[str, ...]
    msa: Path | None = None

    def __post_init__(self) -> None:
        if self.kind not in (*POLYMERS, *LIGANDS):
            raise InputError(
                "a molecule is of an unknown kind",
                found=repr(self.kind),
                fix=f"give one of: {', '.join((*POLYMERS, *LIGANDS))}",
            )
        if not self.sequence or not self.chains or not all(self.chains):
            raise InputError(
                "a molecule needs a sequence and the names of its chains",
                found=f"{self.sequence[:40]!r}, chains {list(self.chains)}",
                fix="give, for example, Molecule('protein', 'MKTAYIAK', ('A',))",
            )
        letters = POLYMERS.get(self.kind, self.sequence)
        if strange := [letter for letter in self.sequence if letter not in letters]:
            raise InputError(
                f"a sequence of {self.kind} has letters that stand for no residue",
                found=f"{strange[0]!r} at position {self.sequence.index(strange[0]) + 1}",
                fix=f"use {letters}",
            )
        if self.msa is not None and not Path(self.msa).is_file():
            raise InputError(
                "the alignment is not there", found=self.msa, fix="give the path of an A3M file"
            )

    def as_message(self) -> dict[str, Any]:
        """Return what is sent to a predictor."""
        msa = None if self.msa is None else str(Path(self.msa).absolute())
        return {**asdict(self), "chains": list(self.chains), "msa": msa}


@dataclass(frozen=True)
class Report:
    """What a predictor uses.

    Parameters
    ----------
    device
        ``"cpu"``, ``"cuda:0"`` and the like.
    memory, device_memory
        Bytes held by its process, and on the device.
    """

    device: str
    memory: int
    device_memory: int


@dataclass(frozen=True)
class Hello:
    """Who answered.

    Parameters
    ----------
    name, version
        Of the predictor's package.
    python
        Version of the Python that it runs in.
    sigma_data
        Spread (Å) of the structures that the network was trained on; ``None`` where it is no
        denoiser.
    report
        What it uses now that its weights are loaded.
    """

    name: str
    version: str
    python: str
    sigma_data: float | None
    report: Report


def checked_molecules(molecules: Sequence[Molecule]) -> list[dict[str, Any]]:
    """Return what is sent of molecules, whose chains all have names of their own.

    Raises
    ------
    InputError
        If there is no molecule, or two chains share a name.
    """
    names = [chain for molecule in molecules for chain in molecule.chains]
    if not names or len(set(names)) < len(names):
        raise InputError(
            "chains need names of their own",
            found=", ".join(names) or "no molecule",
            fix="give every chain another name",
        )
    return [molecule.as_message() for molecule in molecules]


def read_report(answer: Mapping[str, Any]) -> Report:
    """Report of an answer.

    Raises
    ------
    PredictorProtocolError
        If it has none.
    """
    try:
        return Report(str(answer["device"]), int(answer["memory"]), int(answer["device_memory"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _senseless("the report", error) from error


def read_hello(name: str, answer: Mapping[str, Any]) -> Hello:
    """Return who answered, as the predictor of that name.

    Raises
    ------
    PredictorProtocolError
        If the answer does not say so, or is in another version.
    """
    if answer.get("protocol") != PROTOCOL:
        said = f"version {answer.get('protocol')}, spoken is {PROTOCOL}"
        raise other_version(name, said)
    try:
        found = Hello(
            str(answer["name"]),
            str(answer["version"]),
            str(answer["python"]),
            None if answer["sigma_data"] is None else float(answer["sigma_data"]),
            read_report(answer),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _senseless("the greeting", error) from error
    if found.sigma_data is not None and not 0 < found.sigma_data < np.inf:
        raise _senseless("the spread of the data", found.sigma_data)
    return found


def read_atoms(answer: Mapping[str, Any], ligands: Collection[str]) -> biotite.structure.AtomArray:
    """Atoms of an answer, in the predictor's order; their coordinates are not set.

    Parameters
    ----------
    answer
        Of a predictor.
    ligands
        Chains whose atoms are marked ``hetero``.

    Raises
    ------
    PredictorProtocolError
        If the answer lists no atoms, or the same atom twice.
    """
    try:
        rows = [
            (str(chain), int(number), str(residue), str(name), str(element).upper())
            for chain, number, residue, name, element in answer["atoms"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise _senseless("the list of atoms", error) from error
    if not rows or len({row[:4] for row in rows}) < len(rows):
        raise _senseless("the list of atoms", f"{len(rows)} atoms, some of one name")
    atoms = biotite.structure.AtomArray(len(rows))
    columns = list(zip(*rows, strict=True))
    names = ("chain_id", "res_id", "res_name", "atom_name", "element")
    for name, column in zip(names, columns, strict=True):
        atoms.set_annotation(name, np.array(column))
    atoms.hetero = np.isin(atoms.chain_id, list(ligands))
    return atoms


def _senseless(part: str, found: object) -> PredictorProtocolError:
    return PredictorProtocolError(
        f"a predictor answered, but {part} makes no sense",
        found=found if not isinstance(found, Exception) else f"{type(found).__name__}: {found}",
        fix="use the worker that came with this unstill",
    )
