"""Lines, planes and clouds: drawn as given, readable, never empty."""

from __future__ import annotations

import re

import numpy as np
import pytest

from unstill.report.clouds import Cloud, cloud_plot
from unstill.report.heat import HeatPanel, heat_maps
from unstill.report.lines import Line, LinePanel, line_panels


def texts(svg: str) -> str:
    return re.sub(r"<[^>]+>", " ", svg)


def test_lines_have_names_units_and_a_level() -> None:
    x = np.arange(10.0)
    svg = line_panels(
        [
            LinePanel("Rate", "frame", "photons", [Line("a", x, x), Line("b", x, x[::-1])]),
            LinePanel("Scale", "φ (°)", "b", [Line("", x, np.ones(10))], level=1.0),
        ],
        name="l",
        title="two panels",
    )
    for word in ("Rate", "frame", "photons", "Scale", "φ (°)", " a ", " b "):
        assert word in texts(svg)
    # A constant is no noise: its axis spans two per cent at least.
    assert "1.01" in texts(svg)


def test_many_lines_are_drawn_alike_and_a_floor_of_zeros_is_no_error() -> None:
    x = np.arange(5.0)
    lines = [Line(f"sweep {i}", x, np.zeros(5)) for i in range(30)]
    svg = line_panels([LinePanel("t", "x", "y", lines, floor=0.0)], name="m", title="many")
    assert "sweep 3" not in texts(svg)


def test_planes_share_one_scale_and_show_what_is_missing() -> None:
    values = np.linspace(0.9, 1.1, 12).reshape(3, 4)
    values[1, 1] = np.nan
    svg = heat_maps(
        [HeatPanel("φ = 0°", values, (0, 40, 0, 30)), HeatPanel("φ = 9°", values, (0, 40, 0, 30))],
        name="h", title="planes", xlabel="x (pixels)", ylabel="y (pixels)", unit="a", centre=1.0,
    )  # fmt: skip
    for word in ("φ = 0°", "φ = 9°", "x (pixels)", "y (pixels)"):
        assert word in texts(svg)
    assert svg.count("<image") >= 3
    nothing = heat_maps(
        [HeatPanel("", np.full((2, 2), np.nan), (0, 1, 0, 1))],
        name="n", title="none", xlabel="x", ylabel="y", unit="u",
    )  # fmt: skip
    assert "<svg" in nothing


@pytest.mark.parametrize("n", [0, 1, 10000])
def test_a_cloud_has_three_projections_and_an_ellipse_each(n: int) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 0.02, (n, 3))
    svg = cloud_plot(
        Cloud(points, np.zeros(3), np.eye(3) * 4e-4, 3.0),
        names=("h", "k", "l"), unit="r.l.u.", name="c", title="cloud",
    )  # fmt: skip
    assert texts(svg).count("r.l.u.") == 6
