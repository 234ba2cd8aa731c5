"""Columns of CIF tokens as they are written, in little memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import gemmi
import numpy as np

from unstill.errors import FormatError
from unstill.io.reading import REMEDY

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?(\(\d+\))?", re.ASCII)
# Bytes that a plain number is made of; 0 fills short tokens up.
_OF_NUMBERS = np.zeros(256, dtype=bool)
_OF_NUMBERS[[0, *b"0123456789+-.eE"]] = True
_LONGEST = 40
_MANY = 20_000


@dataclass(frozen=True, eq=False)
class TokenColumn:
    """One column of a loop: every token with its quotes, as the file has it.

    Parameters
    ----------
    words
        Distinct tokens (object array of ``str``) where ``codes`` is given; otherwise the
        tokens themselves, one a row, as UTF-8 bytes.
    codes
        ``(n_rows,)`` index of each row's token.
    """

    words: np.ndarray
    codes: np.ndarray | None

    def __len__(self) -> int:
        return len(self.words if self.codes is None else self.codes)

    def tokens(self, rows: np.ndarray | slice) -> list[str]:
        """Tokens of some rows."""
        if self.codes is not None:
            return list(self.words[self.codes[rows]].tolist())
        return [token.decode() for token in self.words[rows].tolist()]

    def coded(self) -> tuple[np.ndarray, list[str]]:
        """Return ``(n_rows,)`` codes and the tokens that they stand for."""
        if self.codes is not None:
            return self.codes, list(self.words.tolist())
        distinct, codes = np.unique(self.words, return_inverse=True)
        return codes.reshape(-1), [word.decode() for word in distinct.tolist()]

    def floats(self, name: str, default: float | None = None) -> np.ndarray:
        """Return ``(n_rows,)`` numbers; ``default`` where there is none.

        Raises
        ------
        FormatError
            If a token is no number, or is missing and there is no default.
        """
        if self.codes is None and _OF_NUMBERS[self.words.view(np.uint8)].all():
            try:
                return self.words.astype(float)
            except ValueError:
                pass  # Found below, with the number of the row.
        codes, words = self.coded()
        values = np.array([_number(word, default) for word in words], dtype=float)
        bad = np.isnan(values)
        if bad.any():
            row = int(np.flatnonzero(bad[codes])[0])
            raise FormatError(
                f"{name} is not a number",
                found=f"{words[codes[row]]} in line {row + 1} of the atoms",
                fix=REMEDY,
            )
        return np.asarray(values[codes])


@dataclass(frozen=True, eq=False)
class TokenTable:
    """A category of an mmCIF file, column by column.

    Parameters
    ----------
    tags
        Full names as the file has them, ``_atom_site.id``.
    columns
        One each.
    as_pairs
        Whether the file wrote one row as pairs rather than as a loop.
    """

    tags: tuple[str, ...]
    columns: tuple[TokenColumn, ...]
    as_pairs: bool = False

    def __len__(self) -> int:
        return len(self.columns[0])

    def column(self, item: str) -> TokenColumn | None:
        """Column by the name of its item, ``Cartn_x``, in any case; ``None`` if missing."""
        wanted = item.lower()
        for tag, column in zip(self.tags, self.columns, strict=True):
            if tag.partition(".")[2].lower() == wanted:
                return column
        return None


class ColumnBuilder:
    """Take tokens piece by piece; few distinct ones are numbered, many are kept as bytes."""

    def __init__(self) -> None:
        self._number: dict[str, int] = {}
        self._codes: list[np.ndarray] = []
        self._bytes: list[np.ndarray] | None = None

    def add(self, tokens: Sequence[str]) -> None:
        """Append tokens."""
        if self._bytes is not None:
            piece = _as_bytes(tokens)
            if piece is not None:
                self._bytes.append(piece)
                return
            self._number_bytes()
        number = self._number
        self._codes.append(
            np.fromiter(
                (number.setdefault(token, len(number)) for token in tokens),
                dtype=np.uint32,
                count=len(tokens),
            )
        )
        if len(number) > _MANY:
            self._unnumber()

    def finish(self) -> TokenColumn:
        """Return the column."""
        if self._bytes is not None:
            pieces, self._bytes = self._bytes, None
            return TokenColumn(np.concatenate(pieces), None)
        words = np.array(list(self._number), dtype=object)
        codes = np.concatenate([*self._codes, np.empty(0, dtype=np.uint32)])
        return TokenColumn(words, codes.astype(np.min_scalar_type(max(len(words), 1))))

    def _unnumber(self) -> None:
        words = _as_bytes(list(self._number))
        if words is not None:
            self._bytes = [words[codes] for codes in self._codes]
            self._number, self._codes = {}, []

    def _number_bytes(self) -> None:
        pieces = self._bytes or []
        self._bytes = None
        for piece in pieces:
            number = self._number
            tokens = (token.decode() for token in piece.tolist())
            self._codes.append(
                np.fromiter(
                    (number.setdefault(token, len(number)) for token in tokens),
                    dtype=np.uint32,
                    count=len(piece),
                )
            )


def column_of(tokens: Iterable[str]) -> TokenColumn:
    """Return the column of some tokens."""
    builder = ColumnBuilder()
    builder.add(list(tokens))
    return builder.finish()


def plain(token: str) -> str:
    """Value of a token: quotes removed, ``""`` for ``.`` and ``?``, quoted or not."""
    word = gemmi.cif.as_string(token) if token[:1] in "'\";" else token
    return "" if word in (".", "?") else word


def quoted(value: str) -> str:
    """Token of a value; ``.`` for an empty one."""
    # No text field can hold a line that begins with a semicolon.
    return str(gemmi.cif.quote(value.replace("\n;", "\n ;"))) if value else "."


def _as_bytes(tokens: Sequence[str]) -> np.ndarray | None:
    """Return tokens as an array of bytes; ``None`` if a long one would make all of them long."""
    piece = np.array([token.encode() for token in tokens])
    return piece if piece.dtype.itemsize <= _LONGEST else None


def _number(token: str, default: float | None) -> float:
    word = plain(token)
    if word == "" and default is not None:
        return default
    # "12.345(6)" carries its uncertainty in brackets.
    return float(word.partition("(")[0]) if _NUMBER.fullmatch(word) else np.nan
