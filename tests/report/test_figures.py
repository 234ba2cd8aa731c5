"""Figures: where voxels land, what is hatched, what the axes say."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.crystal import Crystal, HklGrid
from unstill.errors import InputError
from unstill.maps import IntensityMap
from unstill.report.curves import Curve, convergence_curves, fisher_interval, resolution_curves
from unstill.report.slices import ColourScale, SlicePanel, draw_slices, holds_plane, scale_for
from unstill.report.slices import _Geometry as Geometry
from unstill.report.svg import standalone_svg

CELLS = {
    "orthorhombic": (30.0, 20.0, 25.0, 90.0, 90.0, 90.0),
    "hexagonal": (30.0, 30.0, 40.0, 90.0, 90.0, 120.0),
    "triclinic": (20.0, 24.0, 28.0, 75.0, 83.0, 101.0),
}


def example(
    cell: str = "orthorhombic", divisions: tuple[int, int, int] = (2, 2, 2)
) -> IntensityMap:
    crystal = Crystal(CELLS[cell], "P 1")
    grid = HklGrid.covering(crystal, 4.0, divisions)
    values = 100 + np.random.default_rng(0).standard_normal(grid.shape)
    outside = crystal.s_squared(grid.hkl()) > 1 / 16
    return IntensityMap(crystal, grid, np.where(outside, np.nan, values))


SCALE = ColourScale(0.0, 1.0, "I (e²)", signed=False)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("axis", "value"), [("h", 0.0), ("k", 1.5), ("l", -0.5)])
def test_distance_from_the_centre_of_a_slice_is_the_true_spacing(
    cell: str, axis: str, value: float
) -> None:
    data = example(cell)
    shape = Geometry(SlicePanel("t", data, axis, value, SCALE))  # type: ignore[arg-type]
    rng = np.random.default_rng(1)
    indices = rng.uniform(-3, 3, (20, 2))
    hkl = np.insert(indices, "hkl".index(axis), value, axis=1)
    in_plane = shape.place(indices)
    s_squared = (in_plane**2).sum(axis=1) + shape.height_above**2
    np.testing.assert_allclose(s_squared, data.crystal.s_squared(hkl), rtol=1e-10)


def test_hexagonal_axes_meet_at_sixty_degrees() -> None:
    shape = Geometry(SlicePanel("t", example("hexagonal"), "l", 0.0, SCALE))
    a, b = shape.base
    assert np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))) == pytest.approx(
        60
    )


def test_slice_draws_axes_rings_unit_and_hatching() -> None:
    data = example()
    panel = SlicePanel("Total", data, "l", 0.5, scale_for([data], "I (e²)", signed=False))
    svg = draw_slices([[panel]], name="f", title="Slice <1>")
    text = " ".join(re.findall(r">([^<>]+)<", svg))
    for expected in ("Total", "5 Å", "(r.l.u.)", "I (e²)", "h", "k"):
        assert expected in text
    assert "<pattern" in svg
    assert "data:image/png;base64," in svg
    assert 'aria-label="Slice &lt;1>"' in svg


def test_figures_take_their_colours_from_the_page() -> None:
    data = example()
    panel = SlicePanel("Total", data, "l", 0.0, scale_for([data], "I", signed=True))
    svg = draw_slices([[panel]], name="f", title="t")
    assert "currentColor" in svg
    assert not re.search(r"#0[1-7]0[2-8]0[3-9]", svg)
    assert "DejaVu" not in svg
    assert '<tspan font-style="italic">h</tspan> (r.l.u.)' in svg


def test_identifiers_of_two_figures_do_not_collide() -> None:
    x = np.linspace(0.01, 0.2, 5)
    first, second = (
        resolution_curves([Curve("a", x, x, x - 0.1, x + 0.1)], name=name, title="t")
        for name in ("one", "two")
    )
    assert not set(re.findall(r' id="([^"]+)"', first)) & set(re.findall(r' id="([^"]+)"', second))


def test_plane_that_is_not_on_the_grid_is_refused() -> None:
    data = example(divisions=(1, 1, 1))
    assert not holds_plane(data, "l", 0.5)
    with pytest.raises(InputError, match="does not hold that plane"):
        draw_slices([[SlicePanel("t", data, "l", 0.5, SCALE)]], name="f", title="t")


def test_signed_scale_is_symmetric_and_ignores_masked_voxels() -> None:
    data = example()
    values = data.intensity - 100
    spoiled = data.replace(intensity=values, mask=data.mask | (values > 1.0))
    scale = scale_for([spoiled], "x", signed=True)
    assert scale.low == -scale.high
    assert scale.high < 4.0


@pytest.mark.parametrize(
    ("top", "label"),
    [(5.0, "I (e²)"), (54_000.0, "I (10³ e²)"), (2e7, "I (10⁶ e²)"), (0.004, "I (10⁻³ e²)")],
)
def test_large_numbers_move_their_power_into_the_label(top: float, label: str) -> None:
    assert ColourScale(-top, top, "I (e²)", signed=True).label == label


def test_empty_map_still_has_a_scale() -> None:
    data = example()
    empty = data.replace(mask=np.ones(data.grid.shape, bool))
    assert scale_for([empty], "x", signed=False).high > 0


def test_resolution_axis_is_labelled_with_d() -> None:
    x = np.linspace(0.003, 0.25, 30)
    svg = resolution_curves([Curve("Model", x, 0.5 + 0 * x)], name="c", title="t")
    labels = re.findall(r">([\d.]+)</text>", svg)
    assert {"5", "3", "2"} <= set(labels)


def test_convergence_axis_shows_the_frame_counts() -> None:
    n = np.array([16, 32, 64, 128])
    svg = convergence_curves([Curve("Ensemble", n, n / 200)], name="c", title="t")
    assert {"16", "32", "64", "128"} <= set(re.findall(r">(\d+)</text>", svg))


@given(st.floats(-0.95, 0.95), st.integers(10, 5000))
def test_fisher_interval_holds_the_value_and_shrinks(cc: float, n: int) -> None:
    low, high = fisher_interval(np.array([cc, cc]), np.array([n, 4 * n]))
    assert (low < cc).all()
    assert (high > cc).all()
    assert high[1] - low[1] < high[0] - low[0]


def test_fisher_interval_covers_the_truth_in_ninety_five_of_a_hundred() -> None:
    rng = np.random.default_rng(3)
    a = rng.standard_normal((4000, 60))
    b = 0.6 * a + 0.8 * rng.standard_normal((4000, 60))
    cc = np.array([np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)])
    low, high = fisher_interval(cc, np.full(4000, 60))
    assert np.mean((low < 0.6) & (high > 0.6)) == pytest.approx(0.95, abs=0.015)


def test_too_few_pairs_say_nothing() -> None:
    low, high = fisher_interval(np.array([0.9]), np.array([3]))
    assert (low[0], high[0]) == (-1.0, 1.0)


def test_standalone_figure_is_well_formed_and_has_its_own_colours() -> None:
    data = example()
    panel = SlicePanel("Total", data, "l", 0.0, scale_for([data], "I", signed=False))
    svg = standalone_svg(draw_slices([[panel]], name="f", title="A & B"))
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    assert "var(--" not in svg
    assert "currentColor" not in svg
