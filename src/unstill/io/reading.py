"""Turn whatever a parser raises on a damaged file into one clear error."""

from __future__ import annotations

import csv
import gzip
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unstill.errors import FormatError, UnstillError

# What parsers (csv, gemmi, h5py, biotite, mdtraj, numpy, struct) raise on bytes that make no
# sense.
PARSER_ERRORS = (
    ArithmeticError,
    AttributeError,
    AssertionError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    csv.Error,
    struct.error,
    zlib.error,
)

REMEDY = "the file may be damaged or cut short; copy it again or write it anew"


@contextmanager
def parsing(path: Path, kind: str, *, fix: str = REMEDY) -> Iterator[None]:
    """Raise ``FormatError`` for anything that a parser raises inside the block.

    Parameters
    ----------
    path
        The file that is read.
    kind
        What it should be, for example ``"an MTZ file"``.
    fix
        What the user can do about it.

    Raises
    ------
    FormatError
        In place of the parser's error. unstill's own errors, a missing file
        and a refused permission pass unchanged.
    """
    try:
        yield
    except (UnstillError, FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except PARSER_ERRORS as error:
        detail = " ".join(str(error).split())[:200] or type(error).__name__
        raise FormatError(
            f"{path.name} cannot be read as {kind}", found=f"{path}: {detail}", fix=fix
        ) from error


def head(path: Path, size: int = 4096) -> bytes:
    """Return the first bytes of a file.

    Raises
    ------
    FormatError
        If the file is empty.
    """
    with path.open("rb") as stream:
        start = stream.read(size)
    if not start:
        raise FormatError(f"{path.name} is empty", found=f"{path}: 0 bytes", fix=REMEDY)
    return start


def unpacked(path: Path) -> bytes:
    """Return the content of a file, unpacked if it is gzipped."""
    content = path.read_bytes()
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
