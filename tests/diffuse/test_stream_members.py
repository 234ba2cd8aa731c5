"""Frames as members: the bits of block sums, read once, and never all at once."""

from __future__ import annotations

import tracemalloc
import warnings

import numpy as np
import pytest
from moving_atoms import (
    CRYSTAL,
    DIVISIONS,
    ArrayFrames,
    FrameList,
    RandomFrames,
    direct_f,
    make_frames,
)

from unstill.diffuse import FrameMembers, stream_block_sums, stream_members
from unstill.diffuse.regroup import regroup
from unstill.ensembles import Ensemble
from unstill.errors import InputError, UnstillWarning
from unstill.maps.members import BlockMembers, MemberSource

D_MIN = 2.5


def members_of(frames: ArrayFrames | RandomFrames | Ensemble, **options: object) -> FrameMembers:
    arguments = {"chunk_size": 3} | options
    return stream_members(frames, DIVISIONS, D_MIN, **arguments)  # type: ignore[arg-type]


def blocks_of(
    frames: ArrayFrames | RandomFrames | Ensemble, selection: str = "all", **options: object
) -> BlockMembers:
    arguments = {"chunk_size": 3} | options
    sums = stream_block_sums(frames, DIVISIONS, D_MIN, **arguments)  # type: ignore[arg-type]
    return BlockMembers(sums, selection)


def assert_same_members(found: MemberSource, expected: MemberSource) -> None:
    pairs = list(zip(found.members(), expected.members(), strict=True))
    assert pairs
    for one, other in pairs:
        np.testing.assert_array_equal(one.f_mean, other.f_mean)
        np.testing.assert_array_equal(one.f_squared, other.f_squared)
        assert (one.weight, one.n_frames) == (other.weight, other.n_frames)
    np.testing.assert_array_equal(found.index, expected.index)
    assert (found.crystal, found.divisions) == (expected.crystal, expected.divisions)


@pytest.mark.parametrize("workers", [1, 2])
def test_members_are_the_blocks_of_block_sums_to_the_bit(workers: int) -> None:
    frames = make_frames(23)
    weights = np.random.default_rng(1).uniform(0.5, 2, 23)
    found = members_of(frames, n_members=5, weights=weights, workers=workers)
    assert found.n_members == 5
    assert_same_members(found, blocks_of(frames, n_blocks=5, weights=weights))


def test_every_frame_is_a_member_by_default_and_is_what_a_plain_sum_says() -> None:
    frames = make_frames(7)
    found = members_of(frames, remove_drift=False, engine_options={"tolerance": 1e-9})
    assert found.n_members == 7
    for member, f in zip(found.members(), direct_f(frames, found.index), strict=True):
        assert (member.weight, member.n_frames) == (1.0, 1)
        np.testing.assert_allclose(member.f_mean, f, rtol=1e-6, atol=1e-5)
        np.testing.assert_allclose(member.f_squared, np.abs(f) ** 2, rtol=1e-6, atol=1e-4)
    assert_same_members(members_of(frames), blocks_of(frames, n_blocks=7))


def test_a_selection_is_the_same_as_beside_the_whole() -> None:
    frames = make_frames(8)
    chosen = np.arange(24) % 3 == 0
    found = members_of(frames, n_members=4, selection=chosen, selection_name="protein")
    expected = blocks_of(frames, "protein", n_blocks=4, selections={"protein": chosen})
    assert_same_members(found, expected)
    assert found.describe()["selection"] == "protein"
    whole = next(members_of(frames, n_members=4).members())
    assert np.abs(whole.f_mean - next(found.members()).f_mean).max() > 1
    with pytest.raises(InputError, match="does not fit the atoms"):
        members_of(frames, selection=chosen[1:])


def test_members_of_no_weight_are_left_out_as_from_block_sums() -> None:
    frames = make_frames(12)
    weights = np.repeat([1.0, 0.0, 2.0, 0.0], 3)
    found = members_of(frames, n_members=4, weights=weights)
    assert found.n_members == 2
    assert [member.weight for member in found.members()] == [3.0, 6.0]
    assert_same_members(found, blocks_of(frames, n_blocks=4, weights=weights))


def test_an_ensemble_has_its_own_weights_and_keeps_its_place() -> None:
    still = make_frames(6)
    ensemble = Ensemble(still.atoms, still.coord, weights=np.arange(1.0, 7.0), crystal=CRYSTAL)
    found = members_of(ensemble)
    assert_same_members(found, blocks_of(ensemble, n_blocks=6))
    weight = [member.weight for member in found.members()]
    np.testing.assert_allclose(np.array(weight) / weight[0], np.arange(1.0, 7.0))


def test_frames_that_workers_make_themselves_give_the_same_bits() -> None:
    still = make_frames(1, sigma=0.0)
    made = RandomFrames(still.atoms, CRYSTAL, still.coord[0], 0.4, 10)
    sent = RandomFrames(still.atoms, CRYSTAL, still.coord[0], 0.4, 10, random_access=False)
    assert_same_members(members_of(made, n_members=4, workers=2), blocks_of(sent, n_blocks=4))


def test_a_pass_reads_every_frame_once_and_another_pass_gives_the_same() -> None:
    frames = make_frames(20)
    found = members_of(frames, chunk_size=8)
    frames.read.clear()
    first = list(found.members())
    assert frames.read == [(0, 8), (8, 16), (16, 20)]
    for one, other in zip(first, found.members(), strict=True):
        assert np.array_equal(one.f_mean, other.f_mean)


def test_members_come_while_later_frames_are_still_unread() -> None:
    frames = make_frames(20)
    steps: list[tuple[int, int]] = []
    found = members_of(
        frames, n_members=5, chunk_size=2, progress=lambda *step: steps.append(step)
    )
    frames.read.clear()
    members = found.members()
    next(members)
    assert frames.read == [(0, 2), (2, 4)]
    assert steps == [(0, 20), (2, 20), (4, 20)]
    members.close()
    assert frames.read == [(0, 2), (2, 4)]


def traced_peak(n_frames: int, n_members: int | None) -> int:
    found = stream_members(
        make_frames(n_frames, n_atoms=4), (1, 1, 1), 0.45, n_members=n_members, chunk_size=2
    )
    next(found.members())
    tracemalloc.start()
    try:
        count = sum(1 for _ in found.members())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == found.n_members
    assert len(found.index) > 20_000
    return peak


@pytest.mark.parametrize("by_frame", [True, False])
def test_memory_grows_neither_with_frames_nor_with_members(by_frame: bool) -> None:
    few = traced_peak(4, None if by_frame else 2)
    many = traced_peak(32, None if by_frame else 16)
    assert many < 1.1 * few


def test_more_members_than_the_memory_holds_sums_of_are_no_obstacle(monkeypatch) -> None:
    frames = make_frames(24)
    monkeypatch.setattr("unstill.diffuse.run.physical_memory", lambda: 400_000)
    with pytest.raises(InputError, match="memory"):
        blocks_of(frames, n_blocks=24)
    assert sum(1 for _ in members_of(frames).members()) == 24
    monkeypatch.setattr("unstill.diffuse.run.physical_memory", lambda: 100_000)
    with pytest.raises(InputError, match="memory"):
        members_of(frames)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("n_read", "counts"), [(13, [5, 5, 3]), (10, [5, 5]), (16, [5, 5, 5, 1])])
def test_a_trajectory_that_breaks_off_yields_what_was_read_and_warns(
    workers: int, n_read: int, counts: list[int]
) -> None:
    whole = make_frames(20)
    broken = ArrayFrames(whole.atoms, CRYSTAL, whole.coord[:n_read], announced=20)
    found = members_of(broken, n_members=4, workers=workers)
    with pytest.warns(UnstillWarning, match=rf"frame {n_read} .* of 20 .* the {n_read} frames"):
        members = list(found.members())
    assert [member.n_frames for member in members] == counts
    with pytest.warns(UnstillWarning, match="breaks off"):
        expected = blocks_of(broken, n_blocks=4)
    for one, other in zip(members, expected.members(), strict=True):
        assert np.array_equal(one.f_mean, other.f_mean)
        assert one.weight == other.weight


def test_a_trajectory_of_which_one_frame_is_left_is_refused() -> None:
    whole = make_frames(20)
    broken = ArrayFrames(whole.atoms, CRYSTAL, whole.coord[:1], announced=20)
    with pytest.warns(UnstillWarning), pytest.raises(InputError, match="found 1 frame"):
        list(members_of(broken).members())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(members_of(whole).members())) == 20


def test_what_makes_no_run_is_refused_before_the_first_member() -> None:
    with pytest.raises(InputError, match="at least one block"):
        members_of(make_frames(4), n_members=0)
    with pytest.raises(InputError, match="found 1 frame"):
        members_of(make_frames(1))
    assert members_of(make_frames(4), n_members=99).n_members == 4


@pytest.mark.parametrize("read", [1, 2, 3, 5, 20])
def test_frames_are_grouped_as_wanted_however_they_are_read(read: int) -> None:
    coord, box = np.arange(33.0).reshape(11, 1, 3), np.arange(99.0).reshape(11, 3, 3)
    parts = [
        FrameList(coord[first : first + read], box[first : first + read], first)
        for first in range(0, 11, read)
    ]
    for sizes, expected in (
        ([3, 1, 4, 3], [3, 1, 4, 3]),
        ([5, 5, 5, 5], [5, 5, 1]),
        ([4, 7, 2], [4, 7]),
        ([2, 2], [2, 2]),
    ):
        groups = list(regroup(parts, sizes))
        assert [len(group.coord) for group in groups] == expected
        n = sum(expected)
        assert np.array_equal(np.concatenate([group.coord for group in groups]), coord[:n])
        assert np.array_equal(np.concatenate([group.box for group in groups]), box[:n])


def test_a_box_that_comes_and_goes_within_a_group_is_zero_not_silent() -> None:
    coord, box = np.ones((2, 1, 3)), np.ones((2, 3, 3))
    parts = [FrameList(coord, None, 0), FrameList(coord, box, 2), FrameList(coord, None, 4)]
    first, second = regroup(parts, [4, 2])
    assert first.box is not None
    assert first.box[:, 0, 0].tolist() == [0, 0, 1, 1]
    assert second.box is None
