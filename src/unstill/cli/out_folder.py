"""A folder that a verb writes into: checked before the work, made after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def check_folder(folder: Path, names: Sequence[str]) -> None:
    """Refuse a folder that could not be made, or would not take the named files.

    Nothing is made yet, so that a run that fails leaves no empty folder.

    Raises
    ------
    OutputError
        If a file is in the way, or nothing may be written there.
    """
    from unstill.errors import OutputError
    from unstill.io.atomic import check_writable

    if folder.is_dir():
        for name in names:
            check_writable(folder / name)
        return
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise OutputError(
            "a file stands where the output folder should be",
            found=there,
            fix="give another folder with -o",
        )
    check_writable(there / names[0])


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it.

    Raises
    ------
    OutputError
        If the system refuses.
    """
    from unstill.errors import OutputError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            "the output folder cannot be made",
            found=f"{folder}: {error.strerror}",
            fix="give another folder with -o",
        ) from error


def nearest_folder(folder: Path) -> Path:
    """Return the folder, or the first above it that there is."""
    return next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
