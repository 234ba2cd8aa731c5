"""The frame of every report: one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from unstill.io.atomic import atomic_path
from unstill.report.blocks import Block
from unstill.report.provenance import provenance_html


@dataclass(frozen=True)
class Section:
    """A numbered part of a page.

    Parameters
    ----------
    title
        A few words; also the link in the list of contents.
    blocks
        Paragraphs, figures and tables in order.
    """

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """A report before it is written.

    Parameters
    ----------
    title
        What the page shows.
    kind
        ``"measured"``, ``"simulated"`` or another short tag set before the title.
    subject
        One line above the title: what was looked at.
    lead
        Blocks before the first section: the answer in a few sentences.
    sections
        The parts.
    warnings
        What the reader should know before believing a number.
    provenance
        :meth:`unstill.provenance.Provenance.as_dict` of the run.
    """

    title: str
    kind: str
    subject: str
    lead: Sequence[Block]
    sections: Sequence[Section]
    provenance: Mapping[str, Any]
    warnings: Sequence[str] = field(default=())


def render(page: Page) -> str:
    """HTML of a page: inline style, inline figures, no script, nothing from the network."""
    sections = [
        f'<section id="s{number}"><h2><span class="n">{number}</span>{escape(section.title)}</h2>'
        + "\n".join(block.html() for block in section.blocks)
        + "</section>"
        for number, section in enumerate(page.sections, start=1)
    ]
    last = len(page.sections) + 1
    contents = [section.title for section in page.sections] + ["Provenance"]
    links = "".join(
        f'<a href="#s{number}">{number}&ensp;{escape(title)}</a>'
        for number, title in enumerate(contents, start=1)
    )
    warnings = "".join(
        f'<p class="warning"><b>Warning.</b> {escape(text)}</p>' for text in page.warnings
    )
    style = files("unstill.report").joinpath("page.css").read_text(encoding="utf-8")
    tag = f'<span class="tag {escape(page.kind)}">{escape(page.kind)} data</span>'
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="unstill">
<title>{escape(page.title)}</title>
<style>
{style}</style>
</head>
<body>
<header>
<p class="eyebrow">{tag}{escape(page.subject)}</p>
<h1>{escape(page.title)}</h1>
{"".join(block.html() for block in page.lead)}
{warnings}
<nav aria-label="Contents">{links}</nav>
</header>
<main>
{chr(10).join(sections)}
<section id="s{last}"><h2><span class="n">{last}</span>Provenance</h2>
{provenance_html(page.provenance)}
</section>
</main>
<footer>Made by unstill. The page holds its own figures and loads nothing.</footer>
</body>
</html>
"""


def write_page(page: Page, path: Path) -> Path:
    """Write a page; whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(render(page), encoding="utf-8")
    return path
