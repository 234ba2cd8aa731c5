"""matplotlib figures as inline SVG that follows the page: its font, its ink, dark mode."""

from __future__ import annotations

import io
import re
from importlib.resources import files
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK, SOFT, LINE, ACCENT, WASH, HATCH, PAPER = (
    "#010203",
    "#020304",
    "#030405",
    "#040506",
    "#050607",
    "#060708",
    "#070809",
)
"""Sentinel colours: drawn by matplotlib, replaced by the page's own in the SVG."""

_PAGE_COLOURS = {
    INK: "currentColor",
    SOFT: "var(--soft)",
    LINE: "var(--line)",
    ACCENT: "var(--accent)",
    WASH: "var(--accent-wash)",
    HATCH: "var(--hatch)",
    PAPER: "var(--paper)",
}

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "unstill",
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "text.color": INK,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "hatch.linewidth": 0.8,
    "hatch.color": HATCH,
    "axes.unicode_minus": True,
}
"""rcParams of every figure; used inside ``matplotlib.rc_context``, never globally."""


_ITALIC = ("⟪", "⟫")  # in every font, and in no label


def italic(symbol: str) -> str:
    """Mark a symbol in a label, such as the index h, to be set in italics.

    matplotlib's own mathematics would place every letter by the metrics of
    its font, which is not the font of the page.
    """
    return f"{_ITALIC[0]}{symbol}{_ITALIC[1]}"


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of that size (inches) that belongs to no global state."""
    figure = Figure(figsize=(width, height))
    FigureCanvasSVG(figure)
    return figure


def inline_svg(figure: Figure, name: str, *, title: str, dpi: int = 150) -> str:
    """SVG of a figure, ready to stand inside a page.

    Parameters
    ----------
    figure
        From :func:`new_figure`, drawn with the sentinel colours.
    name
        Unique on the page; it keeps the identifiers of several figures apart.
    title
        Text for people who cannot see it.
    dpi
        Resolution of rasterised parts.
    """
    stream = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(stream, format="svg", dpi=dpi, metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*" ([^>]*?)width="[^"]*"', r"<svg \1\2", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*" ([^>]*?)height="[^"]*"', r"<svg \1\2", svg, count=1)
    svg = _own_identifiers(svg, name)
    svg = re.sub(r"font-family: [^;\"]+", "font-family: var(--sans)", svg)
    svg = re.sub(r"font: (?:\w+ )*?([\d.]+px) [^;\"]+", r"font: \1 var(--sans)", svg)
    svg = svg.replace(_ITALIC[0], '<tspan font-style="italic">').replace(_ITALIC[1], "</tspan>")
    for drawn, page in _PAGE_COLOURS.items():
        svg = svg.replace(drawn, page)
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def standalone_svg(svg: str) -> str:
    """Return an inline figure as a file of its own, on the page's light paper.

    Examples
    --------
    >>> standalone_svg('<svg><path fill="currentColor"/></svg>')
    '<svg><rect width="100%" height="100%" fill="#fcfcfa"/><path fill="#1b1d21"/></svg>'
    """
    style = files("unstill.report").joinpath("page.css").read_text(encoding="utf-8")
    light = style.partition("@media")[0]
    colours = dict(re.findall(r"--([\w-]+): (#\w+);", light))
    opening, bracket, rest = svg.partition(">")
    paper = f'<rect width="100%" height="100%" fill="{colours["paper"]}"/>'
    svg = f"{opening}{bracket}{paper}{rest}".replace("currentColor", colours["ink"])
    svg = svg.replace("var(--sans)", "Helvetica, Arial, sans-serif")
    return re.sub(r"var\(--([\w-]+)\)", lambda match: colours[match[1]], svg)


def _own_identifiers(svg: str, name: str) -> str:
    used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg))
    wanted = {first or second for first, second in used}

    def identifier(match: re.Match[str]) -> str:
        return f' id="{name}-{match[1]}"' if match[1] in wanted else ""

    svg = re.sub(r' id="([^"]+)"', identifier, svg)
    svg = svg.replace("url(#", f"url(#{name}-")
    return re.sub(r'href="#', f'href="#{name}-', svg)
