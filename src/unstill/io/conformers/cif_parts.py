"""Split an mmCIF file into its long loops of atoms and the document around them.

The long loops are read in pieces, so that a file of hundreds of megabytes
needs little more memory than its columns; ``gemmi.cif`` finds the tokens of
each piece. What stands around them stays one text with a marker in the place
of each loop.
"""

from __future__ import annotations

import gzip
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import gemmi

from unstill.errors import FormatError, UnstillWarning
from unstill.io.conformers.token_columns import ColumnBuilder, TokenTable, column_of
from unstill.io.reading import REMEDY

ATOMS, ANISO = "_atom_site", "_atom_site_anisotrop"
MARKER = "_unstill_place_of_a_loop.l"
"""Item that stands in the document where a loop was taken out, and its number."""

_LONGEST_TAG = 1024
_PIECE = 2 << 20
_START = re.compile(
    r"^;|^[ \t]*loop_[ \t\r\n]+(_atom_site|_atom_site_anisotrop)\.", re.MULTILINE | re.IGNORECASE
)
_TAG = re.compile(r"[ \t\r\n]*(_[^ \t\r\n]+)(?=[ \t\r\n])")
_END = re.compile(
    r"^;|^[ \t]*(?:_|data_|save_|(?:loop_|global_|stop_)(?:[ \t\r\n]|$))",
    re.MULTILINE | re.IGNORECASE,
)


@dataclass(frozen=True, eq=False)
class CifParts:
    """A file in parts.

    Parameters
    ----------
    document
        Everything but the long loops; ``marker(k)`` stands for ``loops[k]``.
    loops
        In the order of the file.
    encoding
        Of the bytes.
    """

    document: str
    loops: tuple[TokenTable, ...]
    encoding: str


class _Unusual(Exception):  # noqa: N818 - no error: the file is read in one piece instead
    """The loops cannot be told apart line by line."""


def read_cif_parts(path: Path) -> CifParts:
    """Split a file; ``.gz`` allowed.

    Raises
    ------
    FormatError
        If the file is cut short inside a loop, or holds bytes that no text holds.
    ValueError, RuntimeError
        From ``gemmi``, if the file is not CIF.
    """
    for encoding in ("utf-8", "latin-1"):
        try:
            return _Splitter(path, encoding).run()
        except UnicodeDecodeError:
            continue
        except _Unusual:
            return _in_one_piece(path)
    raise AssertionError  # latin-1 decodes anything


@dataclass
class _Splitter:
    path: Path
    encoding: str
    in_text: bool = False
    document: list[str] = field(default_factory=list)
    loops: list[TokenTable] = field(default_factory=list)

    def run(self) -> CifParts:
        pieces = _pieces(self.path, self.encoding)
        rest = ""
        while True:
            piece = rest or next(pieces, "")
            if not piece:
                break
            start = self._find_loop(piece)
            if start is None:
                self.document.append(piece)
                rest = ""
                continue
            self.document.append(piece[:start])
            rest = self._take_loop(piece[start:], pieces)
        return CifParts("".join(self.document), tuple(self.loops), self.encoding)

    def _find_loop(self, piece: str) -> int | None:
        """Where a long loop begins; keeps count of text fields on the way."""
        for found in _START.finditer(piece):
            if found.group() == ";":
                self.in_text = not self.in_text
            elif not self.in_text:
                return found.start()
        return None

    def _take_loop(self, text: str, pieces: Iterator[str]) -> str:
        """Read one loop, put its marker in place, and return the text after it."""
        while (header := _header(text)) is None:
            more = next(pieces, "")
            if not more:
                raise _Unusual
            text += more
        tags, stop = header
        builders = [ColumnBuilder() for _ in tags]
        left: list[str] = []
        text = text[stop:]
        while True:
            body, rest = self._body(text, pieces)
            tokens = left + _tokens(body)
            whole = len(tokens) // len(tags) * len(tags)
            for number, builder in enumerate(builders):
                builder.add(tokens[number : whole : len(tags)])
            left = tokens[whole:]
            text = rest or next(pieces, "")
            if rest or not text:
                break
        table = TokenTable(tags, tuple(builder.finish() for builder in builders))
        self._check_end(table, left, body, at_end=not text)
        self.document.append(f"loop_\n{marker(len(self.loops))}\n0\n")
        self.loops.append(table)
        return text

    def _body(self, text: str, pieces: Iterator[str]) -> tuple[str, str]:
        """Split a piece where the loop ends; a text field is never cut in two."""
        while True:
            inside = False
            for found in _END.finditer(text):
                if found.group() == ";":
                    inside = not inside
                elif not inside:
                    return text[: found.start()], text[found.start() :]
            more = next(pieces, "") if inside else ""
            if not more:
                return text, ""
            text += more

    def _check_end(self, table: TokenTable, left: list[str], body: str, *, at_end: bool) -> None:
        category = table.tags[0].partition(".")[0]
        if left:
            raise FormatError(
                f"{self.path.name} is cut short, or a value is missing",
                found=f"{len(left)} of {len(table.tags)} values in the last line of {category}, "
                f"after {len(table)} whole ones",
                fix=REMEDY,
            )
        if at_end and not body.endswith(("\n", "\r")):
            warnings.warn(
                f"{self.path.name} ends inside {category} without an end of line; if it was cut "
                "short, its last value may be wrong and lines may be missing",
                UnstillWarning,
                stacklevel=2,
            )


def _header(text: str) -> tuple[tuple[str, ...], int] | None:
    """Tags of a loop and where its values begin; ``None`` if the text ends before."""
    at = text.index("_", text.lower().index("loop_") + 5)
    tags = []
    while found := _TAG.match(text, at):
        tags.append(found[1])
        at = found.end()
    category = tags[0].partition(".")[0].lower() if tags else ""
    if text[at:].lstrip(" \t\r\n")[:1] in ("", "_"):
        return None
    if any(tag.partition(".")[0].lower() != category for tag in tags):
        raise _Unusual
    # What is no tag of CIF, or stands twice, is for gemmi to refuse.
    if len({tag.lower() for tag in tags}) < len(tags) or not all(map(_is_tag, tags)):
        raise _Unusual
    return tuple(tags), at


def _is_tag(tag: str) -> bool:
    return tag.isascii() and tag.isprintable() and len(tag) < _LONGEST_TAG


def _tokens(body: str) -> list[str]:
    """Tokens of a piece of a loop."""
    # The first value is ours: gemmi wants at least one.
    document = gemmi.cif.read_string(f"data_x\nloop_\n_x.v\n.\n{body}")
    items = list(document[0]) if len(document) == 1 else []
    if len(items) != 1 or items[0].loop is None or items[0].loop.width() != 1:
        raise _Unusual
    return list(items[0].loop.values)[1:]


def _pieces(path: Path, encoding: str) -> Iterator[str]:
    """Text in pieces of whole lines."""
    with path.open("rb") as plain:
        packed = plain.read(2) == b"\x1f\x8b"
    first = True
    with gzip.open(path, "rb") if packed else path.open("rb") as stream:
        while piece := stream.read(_PIECE) + stream.readline():
            if b"\0" in piece:
                raise FormatError(
                    f"{path.name} is not text",
                    found="a byte of zero",
                    fix="give an mmCIF file",
                )
            text = piece.decode(encoding)
            yield text.removeprefix("\ufeff") if first else text
            first = False


def _in_one_piece(path: Path) -> CifParts:
    """Take the loops out of a document that gemmi read as a whole."""
    try:
        encoding, text = "utf-8", "".join(_pieces(path, "utf-8"))
    except UnicodeDecodeError:
        encoding, text = "latin-1", "".join(_pieces(path, "latin-1"))
    return CifParts(text, (), encoding)


def marker(number: int) -> str:
    """Item that stands for a loop."""
    return f"{MARKER}{number}"


def has_marker(block: gemmi.cif.Block, number: int) -> bool:
    """Whether a loop stands in a block."""
    return len(block.find_values(marker(number))) > 0


def take_out(block: gemmi.cif.Block, category: str, number: int) -> TokenTable | None:
    """Take a category out of a block, and leave marker ``number`` in its place.

    For what was not read line by line: one row written as pairs, or a loop in an unusual
    layout. ``None`` if the block does not have the category.
    """
    found = block.find_mmcif_category(f"{category}.")
    if len(found) == 0:
        return None
    tags = tuple(found.tags)
    columns = tuple(column_of(found.column(place)) for place in range(len(tags)))
    as_pairs = found.loop is None
    place = block.get_index(tags[0])
    found.erase()
    block.set_pair(marker(number), "0")
    block.move_item(-1, place)
    return TokenTable(tags, columns, as_pairs)
