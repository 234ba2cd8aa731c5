"""Lines, planes and clouds: drawn as given, readable, never empty."""

from __future__ import annotations

import re

import numpy as np
import pytest

from unstill.reduction.survey.frame_statistics import FrameStatistics
from unstill.report.clouds import Cloud, cloud_plot
from unstill.report.heat import HeatPanel, heat_maps
from unstill.report.lines import Line, LinePanel, line_panels
from unstill.workflows.reduce_report.damage import relative_b


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


def frames_with_b(b_end: float) -> tuple[FrameStatistics, np.ndarray]:
    n, edges = 40, np.linspace(0.05, 0.6, 12)
    s_squared = ((edges[1:] + edges[:-1]) / 2) ** 2
    b = np.linspace(0, b_end, n)
    gain = 1 + 0.3 * np.sin(np.arange(n))
    rate = gain[:, None] * np.exp(-b[:, None] * s_squared / 2) * np.linspace(9, 1, 11)
    pixels = np.full(rate.shape, 1000)
    zero = np.zeros(n, int)
    statistics = FrameStatistics(
        np.arange(n), np.arange(n) * 0.5, *(zero,) * 4, zero, pixels.sum(1), rate.sum(1) * 1000,
        pixels, rate * 1000,
    )  # fmt: skip
    return statistics, edges


@pytest.mark.parametrize("b_end", [0.0, 3.0, -1.0])
def test_the_growth_of_b_is_found_whatever_the_beam_does(b_end: float) -> None:
    found = relative_b(*frames_with_b(b_end))
    assert found is not None
    phi, b = found
    assert len(phi) == 40
    np.testing.assert_allclose(b, np.linspace(0, b_end, 40), atol=1e-9)


def test_too_few_photons_tell_no_b() -> None:
    statistics, edges = frames_with_b(1.0)
    from dataclasses import replace

    poor = replace(statistics, shell_photons=statistics.shell_photons / 1e6)
    assert relative_b(poor, edges) is None
