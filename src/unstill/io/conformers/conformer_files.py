"""Read and write multiconformer models of any format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unstill.ensembles import Multiconformer
from unstill.errors import InputError
from unstill.io.conformers.mmcif import read_mmcif_conformers
from unstill.io.conformers.mmcif_writer import write_mmcif_conformers
from unstill.io.structure_files import structure_format
from unstill.provenance import Provenance


def read_multiconformer(path: Path) -> Multiconformer:
    """Read a model with every altloc, model and state; the format is recognised from the content.

    A file that states a hierarchy gives ``stated=True``; otherwise states are
    read off altlocs and models. What the file holds besides is kept in
    ``carried`` and written back by ``write_multiconformer``.

    Parameters
    ----------
    path
        mmCIF, BinaryCIF or PDB, plain or gzipped.

    Raises
    ------
    FormatError
        If the file is damaged, cut short or holds no atoms.
    InputError
        If an atom stands twice in one place, or the hierarchy makes no tree.
    """
    path = Path(path)
    kind = structure_format(path)
    if kind == "mmcif":
        return read_mmcif_conformers(path)
    if kind == "bcif":
        from unstill.io.conformers.binary_cif import read_bcif_conformers

        return read_bcif_conformers(path)
    from unstill.io.conformers.pdb import read_pdb_conformers

    return read_pdb_conformers(path)


def write_multiconformer(
    model: Multiconformer,
    path: Path,
    *,
    digits: int | None = 3,
    provenance: Provenance | Mapping[str, Any] | None = None,
) -> None:
    """Write a model as ``.cif`` (everything; ``.cif.gz`` too) or ``.pdb`` (what fits its columns).

    Parameters
    ----------
    model
        To be written.
    path
        Its suffix decides the format.
    digits
        Decimals of new coordinates; ``None`` for the shortest text that reads back as the
        same float64. PDB has its own columns.
    provenance
        How the model came to be.

    Raises
    ------
    InputError
        If the suffix names no format, or the model does not fit it.
    OutputError
        If the file cannot be written; nothing partial is left.
    """
    path = Path(path)
    if written_format(path) == "mmcif":
        write_mmcif_conformers(model, path, digits=digits, provenance=provenance)
        return
    from unstill.io.conformers.pdb_writer import write_pdb_conformers

    write_pdb_conformers(model, path, provenance=provenance)


def written_format(path: Path) -> str:
    """Return ``mmcif`` or ``pdb``, from the suffix of a file to be written.

    Raises
    ------
    InputError
        If the suffix names no format.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    gzipped = suffixes[-1:] == [".gz"] and len(suffixes) > 1
    suffix = suffixes[-2] if gzipped else path.suffix.lower()
    if suffix in (".cif", ".mmcif"):
        return "mmcif"
    if suffix in (".pdb", ".ent") and not gzipped:
        return "pdb"
    raise InputError(
        "no format of multiconformer models has this suffix",
        found=repr(path.suffix),
        fix="use .cif, .cif.gz or .pdb",
    )
