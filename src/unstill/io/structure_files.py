"""Read and write structures of any format."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from unstill.ensembles import Ensemble
from unstill.errors import FormatError, InputError
from unstill.io.mmcif import read_bcif, read_mmcif
from unstill.io.pdb import read_pdb
from unstill.io.reading import REMEDY, head
from unstill.io.structure_writers import write_mmcif, write_pdb
from unstill.provenance import Provenance


def read_structure(path: Path) -> Ensemble:
    """Read a structure or a multi-model ensemble; the format is recognised from the content.

    Every alternate location is an atom of its own with its own occupancy, and
    ANISOU records are kept (Cartesian U, Å²). Models become members. Files
    without a crystal give ``crystal=None``.

    Parameters
    ----------
    path
        PDB, mmCIF or BinaryCIF, plain or gzipped.

    Raises
    ------
    FormatError
        If the file is damaged, holds no atoms, or its models hold different atoms.
    InputError
        If an element or the space group is unknown, or a coordinate is not finite.
    """
    path = Path(path)
    return _reader(path)(path)


def read_all_sites(path: Path) -> Ensemble:
    """Read a structure with its virtual sites (element ``VS``), as a trajectory counts them."""
    path = Path(path)
    return _reader(path)(path, keep_virtual=True)


def write_structure(
    ensemble: Ensemble,
    path: Path,
    *,
    provenance: Provenance | Mapping[str, Any] | None = None,
) -> None:
    """Write an ensemble as ``.cif`` (everything) or ``.pdb`` (what fits the columns).

    Parameters
    ----------
    ensemble
        What is written, one model a member.
    path
        Its suffix names the format.
    provenance
        How the ensemble came to be; goes to ``_unstill_provenance`` of mmCIF, of which PDB
        files keep the command (remark 999).

    Raises
    ------
    InputError
        If the suffix names no format, or the ensemble does not fit PDB columns.
    OutputError
        If the file cannot be written; nothing partial is left.
    """
    writers: dict[str, Callable[..., None]] = {
        ".cif": write_mmcif,
        ".mmcif": write_mmcif,
        ".pdb": write_pdb,
        ".ent": write_pdb,
    }
    path = Path(path)
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise InputError(
            "no structure format has this suffix",
            found=repr(path.suffix),
            fix=f"use one of: {', '.join(writers)}",
        )
    writer(ensemble, path, provenance)


def looks_like_structure(path: Path) -> bool:
    """Whether the name of a file is that of a coordinate file."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return bool({".pdb", ".ent", ".cif", ".mmcif", ".bcif"} & set(suffixes[-2:]))


def structure_format(path: Path) -> str:
    """``mmcif``, ``bcif`` or ``pdb``, from the content and the name of a file.

    Raises
    ------
    FormatError
        If it is none of them.
    """
    start = head(path)
    if start.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(path, "rb") as stream:
                start = stream.read(4096)
        except (OSError, EOFError, zlib.error) as error:
            raise FormatError(
                f"{path.name} cannot be unpacked", found=f"{path}: {error}", fix=REMEDY
            ) from error
    suffixes = {suffix.lower() for suffix in path.suffixes[-2:]}
    if ".bcif" in suffixes:
        return "bcif"
    if {".cif", ".mmcif"} & suffixes or start.lstrip().startswith(b"data_"):
        return "mmcif"
    if {".pdb", ".ent"} & suffixes or _has_pdb_records(start):
        return "pdb"
    raise FormatError(
        f"{path.name} is no structure that unstill can read",
        found=path,
        fix="give a PDB, mmCIF or BinaryCIF file",
    )


def _reader(path: Path) -> Callable[..., Ensemble]:
    readers: dict[str, Callable[..., Ensemble]] = {
        "mmcif": read_mmcif,
        "bcif": read_bcif,
        "pdb": read_pdb,
    }
    return readers[structure_format(path)]


def _has_pdb_records(start: bytes) -> bool:
    known = (b"HEADER", b"ATOM  ", b"HETATM", b"CRYST1", b"REMARK", b"MODEL ", b"TITLE ")
    return any(line.startswith(known) for line in start.splitlines())
