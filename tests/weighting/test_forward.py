"""Weighted intensities and their gradient, against block sums, direct formulae and differences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from two_states import CRYSTAL, DIVISIONS, frame_sums

from unstill.diffuse import diffuse_intensity
from unstill.errors import InputError
from unstill.maps import BlockSums
from unstill.maps.members import BlockMembers, Member
from unstill.weighting.backends import weighting_backend
from unstill.weighting.forward import pull_back, weighted_intensity
from unstill.weighting.orbits import find_orbits
from unstill.weighting.prepare import map_of_orbits
from unstill.weighting.table import MemberTable, gather

SHORT = {"d_min": 3.5}


@pytest.fixture(scope="module")
def sums() -> BlockSums:
    return frame_sums(12, per_block=2, **SHORT)


@pytest.fixture(scope="module")
def table(sums: BlockSums) -> MemberTable:
    return table_of(sums)


def table_of(sums: BlockSums, **options: Any) -> MemberTable:
    orbits = find_orbits(sums.crystal, sums.divisions, sums.index)
    return gather(BlockMembers(sums), orbits, **({"dtype": "float64"} | options))


def weights_of(n: int, seed: int = 0) -> np.ndarray:
    w = np.random.default_rng(seed).random((3, n)) + 0.01
    return w / w.sum(axis=1, keepdims=True)


def direct(sums: BlockSums, orbits: Any, w: np.ndarray) -> np.ndarray:
    """The formula on paper, point by point, orbit by orbit."""
    f = sums.s1[:, 0] / sums.weight[:, None]
    a = sums.s2[:, 0] / sums.weight[:, None]
    x = (w @ a - np.abs(w @ f) ** 2)[orbits.points]
    edges = np.concatenate([[0], np.cumsum(orbits.size)])
    means = [x[i:j].mean() for i, j in pairwise(edges)]
    return np.array(means) / sums.n_cells


def test_intensity_is_that_of_the_formula_on_paper(sums: BlockSums, table: MemberTable) -> None:
    w = weights_of(sums.n_blocks)
    x, _ = weighted_intensity(table, w)
    for row, one in zip(x, w, strict=True):
        np.testing.assert_allclose(row, direct(sums, table.orbits, one), rtol=1e-9, atol=1e-9)


def test_equal_weights_give_the_map_of_all_frames(sums: BlockSums, table: MemberTable) -> None:
    x, _ = weighted_intensity(table, table.prior[None])
    ours = map_of_orbits(table.orbits, x[0])
    theirs = diffuse_intensity(sums, unbiased=False, with_sigma=False)
    index = ours.grid.index()[ours.measured]
    np.testing.assert_allclose(
        ours.intensity[ours.measured],
        theirs.intensity.ravel()[theirs.grid.position(index)],
        rtol=1e-8,
    )


def test_blocks_are_exact_when_their_frames_share_a_weight() -> None:
    frames, blocks = frame_sums(12, **SHORT), frame_sums(12, per_block=2, **SHORT)
    by_block = weights_of(blocks.n_blocks)[0]
    x_blocks, _ = weighted_intensity(table_of(blocks), by_block[None])
    x_frames, _ = weighted_intensity(table_of(frames), np.repeat(by_block / 2, 2)[None])
    np.testing.assert_allclose(x_blocks, x_frames, rtol=1e-9)


@given(st.complex_numbers(max_magnitude=1e4), st.integers(0, 20))
def test_a_constant_added_to_every_member_changes_nothing(shift: complex, seed: int) -> None:
    rng = np.random.default_rng(seed)
    index = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 2, 3], [2, 1, 0], [3, 0, 2]])
    f = rng.normal(size=(4, 6)) + 1j * rng.normal(size=(4, 6))
    orbits = find_orbits(CRYSTAL, DIVISIONS, index)
    w = weights_of(4, seed)
    x = [
        weighted_intensity(gather(Given(index, one), orbits, dtype="float64"), w)[0]
        for one in (f, f + shift)
    ]
    np.testing.assert_allclose(x[0], x[1], rtol=1e-6, atol=1e-7)


def test_gradient_is_that_of_differences(table: MemberTable) -> None:
    w = weights_of(table.n_members)
    g = np.random.default_rng(3).normal(size=(3, table.orbits.n_orbits))
    _, means = weighted_intensity(table, w)
    found = pull_back(table, means, g)
    step = 1e-4
    for member in range(table.n_members):
        shift = np.zeros(table.n_members)
        shift[member] = step
        above, below = (weighted_intensity(table, w + sign * shift)[0] for sign in (1, -1))
        expected = np.sum(g * (above - below), axis=1) / (2 * step)
        np.testing.assert_allclose(found[:, member], expected, rtol=1e-6)


def test_threads_and_scratch_file_change_no_bit(sums: BlockSums, tmp_path: Path) -> None:
    in_memory, on_disk = table_of(sums), table_of(sums, memory=0, folder=tmp_path)
    assert on_disk.scratch is not None
    assert list(tmp_path.iterdir()) == []
    w, g = weights_of(sums.n_blocks), np.ones((3, in_memory.orbits.n_orbits))
    results = []
    for table, workers in ((in_memory, 1), (in_memory, 3), (on_disk, 2)):
        x, means = weighted_intensity(table, w, workers=workers)
        results.append((x, pull_back(table, means, g, workers=workers)))
    for x, by_w in results[1:]:
        assert np.array_equal(x, results[0][0])
        assert np.array_equal(by_w, results[0][1])


def test_single_precision_loses_nothing_below_the_bragg_peaks(sums: BlockSums) -> None:
    # 1e5 times the fluctuation at every point: squares would leave no digit in single precision.
    f = sums.s1[:, 0] / 2
    bright = replace(sums, s1=sums.s1 + 2e5, s2=sums.s2 + 2 * (2 * (f * 1e5).real + 1e10)[:, None])
    w = weights_of(sums.n_blocks)
    exact, _ = weighted_intensity(table_of(sums), w)
    single, _ = weighted_intensity(table_of(bright, dtype="float32"), w)
    assert np.abs(single / exact - 1).max() < 1e-3


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_other_backends_give_the_same_numbers(name: str, table: MemberTable) -> None:
    pytest.importorskip(name)
    backend = weighting_backend(name)
    w = weights_of(table.n_members)
    g = np.random.default_rng(3).normal(size=(3, table.orbits.n_orbits))
    x, means = weighted_intensity(table, w)
    with backend.scope():
        moved = table.on(backend)
        x_there, means_there = weighted_intensity(moved, w)
        by_w = backend.to_host(pull_back(moved, means_there, backend.array(g)))
        x_there = backend.to_host(x_there)
    np.testing.assert_allclose(x_there, x, rtol=1e-10)
    np.testing.assert_allclose(by_w, pull_back(table, means, g), rtol=1e-9)


def test_orbits_of_one_size_stand_together_and_hold_every_point_once(table: MemberTable) -> None:
    orbits = table.orbits
    assert np.all(np.diff(orbits.size) >= 0)
    assert len(np.unique(orbits.points)) == len(orbits.points) == orbits.size.sum()
    assert set(np.unique(orbits.size)) <= {1, 2, 4}
    assert np.all(np.diff([slab.orbits.start for slab in table.slabs]) > 0)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (np.ones((1, 2), complex), "at least two members"),
        (np.array([[1, 1], [1, np.nan]], complex), r"member 1 \(counting from 0\)"),
    ],
)
def test_members_that_cannot_be_used_are_refused(f: np.ndarray, message: str) -> None:
    index = np.array([[1, 0, 0], [0, 1, 0]])
    with pytest.raises(InputError, match=message):
        gather(Given(index, f), find_orbits(CRYSTAL, DIVISIONS, index))


def test_a_source_that_ends_early_gives_what_it_gave() -> None:
    index = np.array([[1, 0, 0], [0, 1, 0]])
    f = np.random.default_rng(0).normal(size=(3, 2)) + 0j
    orbits = find_orbits(CRYSTAL, DIVISIONS, index)
    short, whole = gather(Given(index, f, announced=7), orbits), gather(Given(index, f), orbits)
    assert short.n_members == 3
    x = [weighted_intensity(table, np.full((1, 3), 1 / 3))[0] for table in (short, whole)]
    assert np.array_equal(x[0], x[1])


@dataclass
class Given:
    """Members from an array of F."""

    index: np.ndarray
    f: np.ndarray
    announced: int | None = None
    crystal = CRYSTAL
    divisions = DIVISIONS

    @property
    def n_members(self) -> int:
        return self.announced or len(self.f)

    def members(self) -> Iterator[Member]:
        for f in self.f:
            yield Member(f, np.abs(f) ** 2)

    def describe(self) -> dict[str, Any]:
        return {}
