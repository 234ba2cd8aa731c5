"""The frame of a report: self-contained, escaped, readable without colour."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from unstill.errors import OutputError
from unstill.report.blocks import (
    Column,
    FigureBlock,
    KeyFigure,
    KeyFigures,
    Prose,
    Row,
    Table,
)
from unstill.report.curves import Curve, resolution_curves
from unstill.report.numbers import number
from unstill.report.page import Page, Section, render, write_page

PROVENANCE = {
    "command": "unstill demo",
    "parameters": {"d_min": 2.0, "name": "<b>"},
    "inputs": [{"path": "a.nxs", "bytes": 1234567, "sha256": "ab" * 32}],
    "seed": 7,
    "versions": {"unstill": "0.1.0"},
}
VOID = {"meta", "br", "image", "path", "use", "rect", "circle", "line", "hr"}


def example() -> Page:
    x = np.linspace(0.01, 0.2, 9)
    curve = resolution_curves([Curve("Model", x, 1 - x)], name="c", title="A curve")
    table = Table(
        [Column("Model", style="text"), Column("σ", "Å"), Column("Note", style="note")],
        [Row(["a < b", "0.40 ± 0.01 [0.38, 0.42]", "why"], "chosen")],
        note="What it means.",
    )
    return Page(
        title="A & B",
        kind="simulated",
        subject="<subject>",
        lead=[Prose("The answer.", lead=True), KeyFigures([KeyFigure("CC", "0.9", "high")])],
        sections=[
            Section("First", [Prose("5 < 6"), FigureBlock(curve, "What.", "High is good.")]),
            Section("Second", [table]),
        ],
        provenance=PROVENANCE,
        warnings=["mind the gap"],
    )


class Balance(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.identifiers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.identifiers += [value for key, value in attrs if key == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.identifiers += [value for key, value in attrs if key == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def test_tags_are_balanced_and_identifiers_unique() -> None:
    parser = Balance()
    parser.feed(render(example()))
    assert parser.open == []
    assert len(parser.identifiers) == len(set(parser.identifiers))


def test_nothing_is_loaded_from_anywhere() -> None:
    html = render(example())
    links = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", html)
    assert links
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert "<script" not in html
    assert "@import" not in html


def test_text_is_escaped() -> None:
    html = render(example())
    assert "A &amp; B" in html
    assert "&lt;subject&gt;" in html
    assert "5 &lt; 6" in html
    assert "&lt;b&gt;" in html


def test_page_has_light_dark_and_print_styles() -> None:
    html = render(example())
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_provenance_shows_command_digest_seed_and_versions() -> None:
    html = render(example())
    for text in ("unstill demo", "ab" * 32, number(1234567, 0), "0.1.0", "mind the gap"):
        assert text in html


def test_numbers_are_right_aligned_and_intervals_muted() -> None:
    html = render(example())
    assert '<td class="num">0.40 ± 0.01 <span class="interval">[0.38, 0.42]</span></td>' in html


def test_contents_link_to_every_section() -> None:
    html = render(example())
    for section in (1, 2, 3):
        assert f'href="#s{section}"' in html
        assert f'id="s{section}"' in html


def test_the_same_page_is_the_same_bytes() -> None:
    assert render(example()) == render(example())


def test_page_into_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_page(example(), tmp_path / "missing" / "report.html")
    write_page(example(), tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
