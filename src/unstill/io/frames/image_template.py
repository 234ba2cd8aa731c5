"""Names of images with a number in them: templates, patterns, and the gaps between."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unstill.errors import InputError

_HASHES = re.compile(r"#+")
_PRINTF = re.compile(r"%0?(\d*)d")
_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True)
class NumberedFiles:
    """Image files in the order of their numbers.

    Parameters
    ----------
    paths
        One a number; ``None`` where the file of a number within the run is missing.
    first_number
        Of the first file; ``None`` where the names hold no numbers to go by.
    """

    paths: tuple[Path | None, ...]
    first_number: int | None

    @property
    def present(self) -> tuple[Path, ...]:
        """Files that are there."""
        return tuple(path for path in self.paths if path is not None)

    @property
    def gaps(self) -> tuple[int, ...]:
        """Numbers without a file."""
        start = self.first_number or 0
        return tuple(start + i for i, path in enumerate(self.paths) if path is None)

    def part(self, image_range: tuple[int, int] | None) -> NumberedFiles:
        """Return the files of the numbers first to last, both included, as far as they are.

        With a gap in the middle the run keeps its place: it begins at the first number,
        whether that is there or not.
        """
        if image_range is None or self.first_number is None:
            return self
        first, last = image_range
        skipped = max(first - self.first_number, 0)
        kept = self.paths[skipped : max(last - self.first_number + 1, 0)]
        while kept and kept[0] is None:
            kept, skipped = kept[1:], skipped + 1
        while kept and kept[-1] is None:
            kept = kept[:-1]
        ahead = self.first_number + skipped - first
        if None not in kept:
            return NumberedFiles(kept, self.first_number + skipped)
        return NumberedFiles((None,) * ahead + kept, first)


def is_template(text: str) -> bool:
    """Whether a path has ``###`` or ``%04d`` for a number."""
    name = Path(text).name
    return bool(_HASHES.search(name) or _PRINTF.search(name))


def is_pattern(text: str) -> bool:
    """Whether a path is a pattern of the shell (``*``, ``?``, ``[…]``) and no file."""
    return glob.has_magic(text) and not Path(text).exists()


def find_template(template: str) -> NumberedFiles:
    """Find the files of a template.

    A number may have more digits than there is room for (``x_###`` with 1000
    images), and a file may be gzipped (``.gz`` after the name).

    Raises
    ------
    InputError
        If there is none, with the remedy.
    """
    path = Path(template)
    name = path.name
    place = _HASHES.search(name) or _PRINTF.search(name)
    assert place is not None
    width = len(place[0]) if place[0][0] == "#" else int(place[1] or 1)
    front, back = name[: place.start()], name[place.end() :]
    number = re.compile(rf"{re.escape(front)}(\d{{{width},}}){re.escape(back)}(?:\.gz)?")
    found: dict[int, Path] = {}
    for entry in sorted(_entries(path.parent), key=lambda entry: len(entry.name)):
        match = number.fullmatch(entry.name)
        if match and (match[1][0] != "0" or len(match[1]) == width):
            # The longer name, of the gzipped file, does not replace the shorter one.
            found.setdefault(int(match[1]), entry)
    if not found:
        raise InputError(
            "no image matches the template",
            found=template,
            fix="put the images there, or say where they are with --images GLOB",
        )
    first, last = min(found), max(found)
    return NumberedFiles(tuple(found.get(i) for i in range(first, last + 1)), first)


def find_pattern(pattern: str) -> NumberedFiles:
    """Find the files of a pattern of the shell, in the order of their numbers.

    Raises
    ------
    InputError
        If there is none.
    """
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207 - the folder may be a pattern too
    found = [Path(name) for name in names if Path(name).is_file()]
    if not found:
        raise InputError(
            "no image matches the pattern",
            found=pattern,
            fix="check the folder and put the pattern in quotes",
        )
    return number_files(found)


def sort_files(files: Sequence[Path]) -> list[Path]:
    """Put files in the order of the numbers in their names: ``x_2`` before ``x_10``."""
    return sorted(files, key=lambda path: _natural(str(path)))


def number_files(files: Sequence[Path]) -> NumberedFiles:
    """Sort files by the number in which their names differ, and leave room for gaps.

    Where names differ in more than a number, or most numbers are missing, there is
    an order and no run: no gaps then.
    """
    ordered = sort_files(files)
    parts = [_DIGITS.split(str(path)) for path in ordered]
    if len(files) < 2 or len({len(part) for part in parts}) > 1:
        return NumberedFiles(tuple(ordered), None)
    varying = [i for i in range(len(parts[0])) if len({part[i] for part in parts}) > 1]
    if len(varying) != 1 or varying[0] % 2 == 0:
        return NumberedFiles(tuple(ordered), None)
    numbers = {int(part[varying[0]]): path for part, path in zip(parts, ordered, strict=True)}
    first, last = min(numbers), max(numbers)
    if len(numbers) < len(ordered) or last - first + 1 > 2 * len(ordered):
        return NumberedFiles(tuple(ordered), None)
    return NumberedFiles(tuple(numbers.get(i) for i in range(first, last + 1)), first)


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key that puts ``x_2`` before ``x_10``."""
    return [
        (0, int(part), part) if part.isdigit() else (1, 0, part)
        for part in _DIGITS.split(text)
        if part
    ]


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(
            "the folder of the images cannot be read",
            found=f"{folder}: {error.strerror}",
            fix="ask for the right to read it, or copy the images",
        ) from error
