"""Write to a temporary name, fsync, rename: a file is whole or absent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unstill.errors import OutputError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place on success.

    Parameters
    ----------
    path
        Where the finished file shall stand. Its folder must exist.

    Yields
    ------
    Path
        A name in the same folder with the same suffix; write there.

    Raises
    ------
    OutputError
        If the folder is missing or not writable, or the disk is full. The
        temporary file is removed and an earlier file at ``path`` is untouched.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise OutputError(
            "the output folder does not exist",
            found=path.parent,
            fix="create it, or give another path",
        )
    if path.is_dir():
        raise OutputError("the output path is a folder", found=path, fix="give a file name")
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            "the result could not be written",
            found=f"{path}: {error}",
            fix="check the permissions and the free space, or give another path",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Fail now where :func:`atomic_path` would fail after a long computation.

    Raises
    ------
    OutputError
        If the folder is missing or takes no file, or the path is a folder.
    """
    path = Path(path)
    with suppress(_Tried), atomic_path(path) as temporary:
        temporary.write_bytes(b" ")
        raise _Tried


class _Tried(Exception):  # noqa: N818 - no error: leaves the context without a file
    """The trial was good."""


def _sync_folder(folder: Path) -> None:
    # The rename itself must survive a power cut, not only the content.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems refuse to sync a folder; the file itself is safe.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
