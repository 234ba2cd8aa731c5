"""Numbers that do not fit into memory, in a file that nobody sees."""

from __future__ import annotations

import mmap
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from unstill.errors import OutputError


class Scratch:
    """A file without a name, mapped into memory; it is gone when this object is.

    Parameters
    ----------
    n_bytes
        Its size.
    folder
        Where it stands; by default the system's folder for temporary files.

    Raises
    ------
    OutputError
        If there is no room for it.
    """

    def __init__(self, n_bytes: int, folder: Path | None = None) -> None:
        try:
            # Unnamed: whatever ends the program, nothing is left behind.
            with tempfile.TemporaryFile(dir=folder, prefix=".unstill-") as file:
                _reserve(file.fileno(), n_bytes)
                self._map = mmap.mmap(file.fileno(), n_bytes)
        except OSError as error:
            raise OutputError(
                "the scratch file for the members cannot be made",
                found=f"{n_bytes / 2**30:.2g} GB in {folder or tempfile.gettempdir()}: "
                f"{error.strerror}",
                fix="free some space, write the output to another disk, or give blocks of frames",
            ) from error

    def array(self, dtype: str) -> np.ndarray:
        """Return the whole file as a flat array that can be written."""
        return np.frombuffer(self._map, dtype=dtype)

    def release(self) -> None:
        """Let the system have the pages back; what was written stays in the file."""
        with suppress(AttributeError, OSError):
            self._map.madvise(mmap.MADV_DONTNEED)


def _reserve(descriptor: int, n_bytes: int) -> None:
    """Take the room now: a full disk under a mapped file kills the process later."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, n_bytes)
    else:
        os.truncate(descriptor, n_bytes)
