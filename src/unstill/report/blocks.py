"""What a page is made of: prose, key figures, tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol


class Block(Protocol):
    """Anything that can stand on a page."""

    def html(self) -> str:
        """HTML of the block."""
        ...


@dataclass(frozen=True)
class Prose:
    """A paragraph.

    Parameters
    ----------
    text
        Plain text; escaped.
    lead
        Set larger, for the answer at the top.
    """

    text: str
    lead: bool = False

    def html(self) -> str:
        """HTML of the block."""
        return f"<p{' class=lead' if self.lead else ''}>{_running(self.text)}</p>"


@dataclass(frozen=True)
class KeyFigure:
    """One number with what it means.

    Parameters
    ----------
    name, value, means
        What it is, the number as text, and what it says about the data.
    detail
        Unit or interval beside the number.
    """

    name: str
    value: str
    means: str
    detail: str = ""


@dataclass(frozen=True)
class KeyFigures:
    """A row of numbers."""

    figures: Sequence[KeyFigure]

    def html(self) -> str:
        """HTML of the block."""
        cells = "".join(
            f"<div><dt>{escape(f.name)}</dt>"
            f'<dd><span class="value">{escape(f.value)}<small>{escape(f.detail)}</small></span>'
            f'<div class="means">{_running(f.means)}</div></dd></div>'
            for f in self.figures
        )
        return f'<dl class="keys">{cells}</dl>'


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    title
        Heading.
    unit
        Set below the heading.
    style
        ``"text"``, ``"number"`` (right-aligned) or ``"note"`` (small prose).
    """

    title: str
    unit: str = ""
    style: str = "number"


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Parameters
    ----------
    cells
        One text a column; the first names the row.
    style
        ``""``, ``"chosen"`` (the row that counts), ``"control"`` (a null control), or
        ``"group"``: a heading, one text for all columns, over the rows that follow.
    """

    cells: Sequence[str]
    style: str = ""


@dataclass(frozen=True)
class Table:
    """A table; numbers right-aligned, units in the heading.

    Parameters
    ----------
    columns, rows
        The table.
    note
        What the numbers mean.
    wide
        Fill the width of the page.
    """

    columns: Sequence[Column]
    rows: Sequence[Row]
    note: str = ""
    wide: bool = False

    def html(self) -> str:
        """HTML of the block."""
        head = "".join(
            f'<th scope="col" class="{_CLASS[c.style]}">{escape(c.title)}'
            + (f'<span class="unit">{escape(c.unit)}</span>' if c.unit else "")
            + "</th>"
            for c in self.columns
        )
        body = "".join(f'<tr class="{row.style}">{self._cells(row)}</tr>' for row in self.rows)
        note = f'<p class="table-note">{_running(self.note)}</p>' if self.note else ""
        return (
            f'<div class="scroll"><table{" class=wide" if self.wide else ""}>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{note}"
        )

    def _cells(self, row: Row) -> str:
        if row.style == "group":
            (title,) = row.cells
            return f'<th class="text" colspan="{len(self.columns)}">{escape(title)}</th>'
        cells = []
        for place, (column, text) in enumerate(zip(self.columns, row.cells, strict=True)):
            tag, scope = ("th", ' scope="row"') if place == 0 else ("td", "")
            cells.append(f'<{tag}{scope} class="{_CLASS[column.style]}">{_muted(text)}</{tag}>')
        return "".join(cells)


@dataclass(frozen=True)
class FigureBlock:
    """A figure with its caption and one line on how to read it.

    Parameters
    ----------
    svg
        Inline SVG (see :func:`unstill.report.svg.inline_svg`).
    caption
        What is drawn.
    reading
        What a good one and a bad one look like, in one line.
    panels
        Several panels side by side: kept readable on a narrow screen by scrolling.
    narrow
        Do not stretch a single panel over the whole width.
    """

    svg: str
    caption: str
    reading: str
    panels: bool = False
    narrow: bool = False

    def html(self) -> str:
        """HTML of the block."""
        kind = " ".join(
            name
            for name, wanted in (("scroll panels", self.panels), ("narrow", self.narrow))
            if wanted
        )
        return (
            f'<figure><div class="{kind}">{self.svg}</div><figcaption>{_running(self.caption)}'
            f'<span class="reading"><i>How to read it.</i> {_running(self.reading)}</span>'
            "</figcaption></figure>"
        )


_CLASS = {"number": "num", "text": "text", "note": "note"}


def _running(text: str) -> str:
    """Text of a paragraph; a number is not parted from its percent sign."""
    return escape(text).replace(" %", "&nbsp;%")


def _muted(text: str) -> str:
    """Set what stands in square brackets (an interval) in a softer colour."""
    safe = escape(text)
    if "[" in safe and safe.endswith("]"):
        value, _, bounds = safe.partition("[")
        return f'{value}<span class="interval">[{bounds}</span>'
    return safe
