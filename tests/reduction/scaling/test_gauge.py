"""What data cannot tell is fixed, and changes no expected count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import make

from unstill.reduction.scaling.basis import Knots, PanelKnots
from unstill.reduction.scaling.component import Component
from unstill.reduction.scaling.gauge import gauge_of, lowest_floor
from unstill.reduction.scaling.model import ScaleModel


def component(name, n_static, counts, rng):
    track = Knots.spanning(np.zeros(len(counts)), np.full(len(counts), 90.0), counts)
    line = Knots.spanning([0.05], [0.5], [n_static]) if name == "c" else None
    side = Knots.spanning([0.0], [1000.0], [n_static])
    plane = PanelKnots(side, side) if name in "ad" else None
    part = Component(
        name, np.zeros(0), plane=plane, line=line, track=None if name == "d" else track
    )
    return part.with_values(rng.normal(size=part.n_knots) * 0.1)


@given(
    st.sampled_from("abcd"),
    st.integers(2, 5),
    st.lists(st.integers(2, 6), min_size=1, max_size=3),
    st.integers(0, 99),
    st.booleans(),
)
def test_projection_meets_the_conditions_and_is_one(name, n_static, counts, seed, with_detector):
    rng = np.random.default_rng(seed)
    part = component(name, n_static, counts, rng)
    mass = rng.uniform(0, 5, part.n_knots)
    gauge = gauge_of(part, mass, with_detector=with_detector)
    once = gauge.project(part.values)
    assert np.allclose(gauge.project(once), once, atol=1e-12)
    other = rng.normal(size=part.n_knots)
    assert gauge.project(other) @ part.values == pytest.approx(other @ once)
    table, weight = once.reshape(part.shape), mass.reshape(part.shape)
    if name == "a":
        assert weight.sum(axis=1) @ table == pytest.approx(0, abs=1e-9)
        if with_detector:
            assert table @ weight.sum(axis=0) == pytest.approx(0, abs=1e-9)
    elif name == "c":
        assert table @ weight.sum(axis=0) == pytest.approx(0, abs=1e-9)
    else:
        assert mass @ once == pytest.approx(0, abs=1e-9)


@given(st.integers(4, 8), st.integers(1, 5), st.integers(0, 99), st.booleans())
def test_what_goes_all_around_a_ring_is_left_to_the_map(side, n_phi, seed, with_detector):
    rng = np.random.default_rng(seed)
    name = "d" if with_detector else "a"
    part = component(name, side, [n_phi + 1], rng)
    x, y = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side), indexing="ij")
    s = np.hypot(x, y).ravel() + 0.1
    gauge = gauge_of(part, np.ones(part.n_knots), with_detector=with_detector, s=s)
    edges = np.linspace(s.min(), s.max(), int(np.ceil(0.7 * side)))
    ring = np.interp(s, edges, rng.normal(size=len(edges)))
    along = np.ones(part.shape[1])
    assert np.allclose(gauge.project(np.outer(ring, along).ravel()), 0, atol=1e-9)
    # A ring that comes and goes with the angle is no matter of the map.
    if not with_detector:
        turning = np.outer(ring - ring.mean(), np.linspace(-1, 1, len(along))).ravel()
        assert np.allclose(gauge.project(turning), turning)
    once = gauge.project(part.values)
    assert np.allclose(gauge.project(once), once, atol=1e-12)


@given(st.floats(0.5, 2.0), st.integers(0, 20))
def test_expected_counts_do_not_depend_on_the_gauge(factor, seed):
    rng = np.random.default_rng(seed)
    rows = make(n_voxels=40, multiplicity=3, seed=seed).observations
    parts = {name: component(name, 3, [1] if name == "d" else [4, 4], rng) for name in "abcd"}
    model = ScaleModel(("1", "2"), **parts, floor=np.array([0.3, 0.1, 0.2]))
    intensity = rng.uniform(1, 3, len(rows))

    def expected(model, intensity):
        scale, offset = model.scale_and_offset(rows)
        return rows.exposure * (scale * intensity + offset) + rows.background

    before = expected(model, intensity)
    log = np.log(factor)
    brighter = ScaleModel(
        model.sweep_names,
        parts["b"].with_values(parts["b"].values + log),
        a=model.a, c=model.c, d=model.d, floor=model.floor / factor,
    )  # fmt: skip
    assert np.allclose(expected(brighter, intensity / factor), before)
    moved = ScaleModel(
        model.sweep_names, model.b, a=model.a, c=model.c, d=model.d,
        floor=model.floor + factor,
    )  # fmt: skip
    assert np.allclose(expected(moved, intensity - factor), before)


def test_the_floor_is_found_where_an_offset_is_significant():
    phi = np.linspace(0, 2 * np.pi, 40)
    offset = np.outer([1.0, 5.0], 1 - np.cos(phi))
    mean = offset.mean(axis=1, keepdims=True)
    scale = np.full(40, 2.0)
    floor = lowest_floor(offset - mean, scale, np.full(offset.shape, 1e-6))
    assert floor == pytest.approx(mean.ravel() / 2, rel=1e-4)


def test_noise_alone_does_not_lower_the_floor():
    rng = np.random.default_rng(3)
    floor = lowest_floor(rng.normal(size=(200, 60)), np.ones(60), np.ones((200, 60)))
    assert abs(floor.mean()) < 0.2  # the lowest of 60 deviates is 2.3 below 0


def test_models_survive_arrays(tmp_path):
    rng = np.random.default_rng(0)
    parts = {name: component(name, 3, [1] if name == "d" else [4, 4], rng) for name in "abcd"}
    model = ScaleModel(("first", "second"), **parts, floor=np.array([0.3, 0.1, 0.2]))
    np.savez(tmp_path / "scales.npz", **model.to_arrays())
    with np.load(tmp_path / "scales.npz") as stored:
        again = ScaleModel.from_arrays(stored)
    rows = make(n_voxels=40, multiplicity=3).observations
    for one, other in zip(model.scale_and_offset(rows), again.scale_and_offset(rows), strict=True):
        assert np.array_equal(one, other)
    assert again.sweep_names == model.sweep_names
    bare = ScaleModel(("first", "second"), parts["b"])
    assert ScaleModel.from_arrays(bare.to_arrays()).components[0].name == "b"
