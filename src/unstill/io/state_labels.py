"""The state of each frame as text: one label a line, or a table with frame numbers."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from unstill.errors import FormatError
from unstill.io.reading import REMEDY, parsing, unpacked

_STATES = ("state", "states", "label", "labels", "cluster", "macrostate")
_FRAMES = ("frame", "frames", "member", "index")
_FIX = "give one label a line, or columns named in the first line: frame,state"


def read_state_labels(path: Path) -> np.ndarray:
    r"""Read the states of frames, or of members.

    Parameters
    ----------
    path
        One label a line, in the order of time; or columns divided by commas,
        semicolons or tabs with a header, of which ``state`` (or ``label``,
        ``cluster``) is read. Where there is a column ``frame`` (or ``member``)
        the lines may stand in any order; it counts from 0 and leaves nothing
        out. Blank lines and lines that begin with ``#`` are skipped. May be gzipped.

    Returns
    -------
    ndarray
        ``(n_frames,)`` labels as text.

    Raises
    ------
    FormatError
        If there is no label, a line does not fit the header, frames are
        missing or stand twice, or the last line is cut.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "states.csv"
    ...     _ = path.write_text("frame,state\n1,shut\n0,open\n")
    ...     read_state_labels(path).tolist()
    ['open', 'shut']
    """
    path = Path(path)
    with parsing(path, "a list of states", fix=_FIX):
        text = unpacked(path).decode("utf-8-sig")
        rows, numbers = _rows(text)
        if not rows:
            raise FormatError(f"{path.name} holds no states", found="no line", fix=_FIX)
        header = [word.lower() for word in rows[0]]
        if len(header) == 1:
            skip = int(header[0] in _STATES)
            rows, numbers, state, frame = rows[skip:], numbers[skip:], 0, None
        else:
            state, frame = _columns(path, rows[0], header)
            rows, numbers = rows[1:], numbers[1:]
        _check_rows(path, rows, numbers, len(header), state)
        words = [row[state] for row in rows]
        # The one cut that can be seen: half a label is a state of its own.
        if not text.endswith("\n") and words.count(words[-1]) == 1 < len(words):
            raise FormatError(
                f"{path.name} may be cut short",
                found=f"a last line without its end, and no other frame in state {words[-1]!r}",
                fix="copy the file again, or end the last line",
            )
        labels = np.array(words)
        return labels if frame is None else labels[_order(path, [row[frame] for row in rows])]


def _rows(text: str) -> tuple[list[list[str]], list[int]]:
    """Words of the lines that count, and the numbers of these lines."""
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1)]
    used = [(n, line) for n, line in lines if line.strip() and line.lstrip()[0] != "#"]
    first = used[0][1] if used else ""
    delimiter = next((letter for letter in ",;\t" if letter in first), ",")
    rows = csv.reader([line for _, line in used], delimiter=delimiter, strict=True)
    return [[word.strip() for word in row] for row in rows], [number for number, _ in used]


def _columns(path: Path, names: list[str], header: list[str]) -> tuple[int, int | None]:
    state = next((header.index(name) for name in _STATES if name in header), None)
    if state is None:
        raise FormatError(
            f"{path.name} does not say which column holds the states",
            found=f"first line {', '.join(names)}",
            fix=_FIX,
        )
    return state, next((header.index(name) for name in _FRAMES if name in header), None)


def _check_rows(
    path: Path, rows: list[list[str]], numbers: list[int], width: int, state: int
) -> None:
    if not rows:
        raise FormatError(
            f"{path.name} holds no states", found="a header and no line below it", fix=_FIX
        )
    for number, row in zip(numbers, rows, strict=True):
        if len(row) != width or not row[state]:
            raise FormatError(
                f"{path.name} cannot be read as a list of states",
                found=f"line {number}: {len(row)} columns instead of {width}"
                if len(row) != width
                else f"line {number}: an empty label",
                fix=REMEDY,
            )


def _order(path: Path, words: list[str]) -> np.ndarray:
    """Order of the lines by frame."""
    frames = np.array([int(word) for word in words])
    n = len(frames)
    times = np.bincount(frames[(frames >= 0) & (frames < n)], minlength=n)
    missing = np.flatnonzero(times == 0)
    if len(missing):
        twice = np.flatnonzero(times > 1)
        also = f", frame {twice[0]} stands {times[twice[0]]} times" if len(twice) else ""
        raise FormatError(
            f"{path.name} does not name the state of every frame once",
            found=f"{n} lines with frames {frames.min()} to {frames.max()}; "
            f"frame {missing[0]} is missing{also}",
            fix="count frames from 0 and give each one line, or leave the column out",
        )
    order: np.ndarray = np.argsort(frames)
    return order
