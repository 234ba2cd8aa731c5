"""What verbs check about the files that they will write, before the work begins."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Path] = ()) -> None:
    """Fail now where writing would fail, or destroy what is read, after the work.

    Parameters
    ----------
    outputs
        All files that will be written.
    inputs
        Files that must not be among them.

    Raises
    ------
    InputError
        If two outputs are one file, or an output is an input.
    OutputError
        If an output cannot be written.
    """
    from unstill.io.atomic import check_writable

    files = list(outputs)
    check_distinct(files, inputs)
    for path in files:
        check_writable(path)


def check_distinct(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Refuse outputs that are one file, or that would replace what is read.

    Raises
    ------
    InputError
        If they are, or would.
    """
    from unstill.errors import InputError

    files = list(outputs)
    places = [path.resolve() for path in files]
    if len(set(places)) < len(places):
        raise InputError(
            "two outputs have the same path",
            found=", ".join(map(str, files)),
            fix="give each its own name",
        )
    taken = {path.resolve() for path in inputs}
    for path, place in zip(files, places, strict=True):
        if place in taken:
            raise InputError(
                "an output would replace an input", found=path, fix="give the output another name"
            )


def check_map_format(path: Path) -> None:
    """Refuse a suffix that names no map format.

    Raises
    ------
    InputError
        If it does not.
    """
    from unstill.errors import InputError
    from unstill.io.map_files import WRITERS

    if path.suffix.lower() not in WRITERS:
        raise InputError(
            "no map format has this suffix",
            found=repr(path.suffix),
            fix=f"use one of: {', '.join(WRITERS)}",
        )
