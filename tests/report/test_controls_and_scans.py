"""Strips of controls, scans, steps, shares and ranges: what they say and where it stands."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.report.curves import Curve, resolution_curves
from unstill.report.log_axis import log_label, log_ticks
from unstill.report.ranges import Range, range_plot
from unstill.report.scan import ScanPanel, scan_plot
from unstill.report.shares import share_curve
from unstill.report.steps import Steps, step_plot
from unstill.report.strip import Judged, strip_plot


def words(svg: str) -> list[str]:
    assert not re.search(r"#0[1-7]0[2-8]0[3-9]", svg), "a sentinel colour is left"
    assert not re.search(r"\bnan\b", svg, re.IGNORECASE)
    return [text.strip() for text in re.findall(r">([^<>]+)<", svg) if text.strip()]


def strip(values: list[float], judged: Judged, reference: float = 0.05) -> list[str]:
    svg = strip_plot(
        values,
        judged,
        name="s",
        title="t",
        xlabel="gain",
        controls_label="controls",
        reference=(reference, "1/√n"),
    )
    return words(svg)


def test_strip_names_controls_judged_and_reference() -> None:
    told = strip([0.0, 0.01, -0.01], Judged("These data", 0.03, 0.02, 0.04))
    assert {"controls", "These data", "+1/√n", "−1/√n", "gain"} <= set(told)


@pytest.mark.parametrize("values", [[], [0.0] * 20, [float("nan"), 0.1], [0.002] * 200])
def test_strip_of_any_controls_can_be_drawn(values: list[float]) -> None:
    assert "These data" in strip(values, Judged("These data", 0.0))


def test_reference_far_outside_is_left_out() -> None:
    assert "+1/√n" not in strip([0.001], Judged("These data", 0.002), reference=0.5)


@given(st.floats(1e-6, 1e3), st.floats(1.5, 1e9))
def test_ticks_lie_inside_and_are_few(low: float, factor: float) -> None:
    ticks = log_ticks(low, low * factor)
    assert len(ticks) <= 6
    assert all(0.99 * low <= tick <= 1.01 * low * factor for tick in ticks)
    assert len({log_label(tick) for tick in ticks}) == len(ticks)


def test_infinity_stands_on_a_logarithmic_scan() -> None:
    x = np.array([np.inf, 10.0, 1.0, 0.1])
    panel = ScanPanel("Loss", x, np.array([4.0, 3, 2, 3]), "θ", "loss", np.ones(4), log=True)
    told = words(scan_plot([panel], 2, label="chosen", name="p", title="t"))
    assert {"∞", "1", "chosen", "Loss"} <= set(told)


def test_steps_that_vanish_stand_on_the_floor() -> None:
    steps = Steps(np.arange(4.0), np.array([1.0, 0.0, 2.0]))
    assert "≤ 0.01" in words(step_plot(steps, name="s", title="t", xlabel="x", ylabel="y"))
    whole = Steps(np.arange(3.0), np.ones(2), 0.9 * np.ones(2), 1.1 * np.ones(2))
    assert "≤ 0.01" not in words(step_plot(whole, name="s", title="t", xlabel="x", ylabel="y"))


def test_shares_and_ranges_are_labelled() -> None:
    shares = share_curve(
        np.array([0, 0.5, 1.0]),
        np.array([0, 0.8, 1.0]),
        name="s",
        title="t",
        xlabel="Members",
        ylabel="Weight",
        even="even",
        half="half: 3 of 10",
    )
    assert {"Members (%)", "even", "half: 3 of 10"} <= set(words(shares))
    rows = [Range("open", 0.5, 0.7, 0.6, 0.8), Range("shut", 0.5, 0.3)]
    assert {"open", "shut", "p"} <= set(words(range_plot(rows, name="r", title="t", xlabel="p")))


def test_differences_have_an_axis_of_their_own() -> None:
    x = np.linspace(0.01, 0.2, 5)
    curve = Curve("Gain", x, 0.01 * x, look="main")
    told = words(resolution_curves([curve], name="c", title="t", difference=True))
    assert "1.0" not in told
    assert "0.010" in told
