"""The ceiling of CC: predicted from blocks, measured against the truth."""

from __future__ import annotations

import numpy as np
import pytest
from moving_atoms import ArrayFrames, RandomFrames, make_frames

from unstill.crystal import Crystal
from unstill.diffuse import cc_max, convergence, diffuse_intensity, stream_block_sums
from unstill.errors import InputError
from unstill.maps.block_sums import BlockSums
from unstill.maps.correlation import correlate
from unstill.maps.intensity_map import IntensityMap
from unstill.maps.thin_out import thin_out, thin_out_sums

CRYSTAL = Crystal((11.0, 13.0, 15.0, 90.0, 90.0, 90.0), "P 21 21 21")
DIVISIONS = (2, 1, 1)


class CollectiveFrames(RandomFrames):
    """All atoms of a layer move together: structured diffuse intensity."""

    def chunks(self, size: int, start: int = 0, stop: int | None = None):  # type: ignore[no-untyped-def]
        for frames in super().chunks(size, start, stop):
            coord = frames.coord.copy()
            layer = np.arange(coord.shape[1]) % 3
            for number in range(len(coord)):
                rng = np.random.default_rng([9, frames.first_frame + number])
                coord[number] += 0.5 * rng.normal(size=(3, 3))[layer]
            yield type(frames)(coord, frames.box, frames.first_frame)


def sums_of(n_frames: int, n_blocks: int = 8) -> BlockSums:
    still = make_frames(1, sigma=0.0)
    frames = CollectiveFrames(still.atoms, CRYSTAL, still.coord[0], 0.05, n_frames)
    return stream_block_sums(
        frames, DIVISIONS, 2.0, n_blocks=n_blocks, chunk_size=32, remove_drift=False
    )


@pytest.fixture(scope="module")
def truth() -> IntensityMap:
    still = make_frames(1, sigma=0.0)
    frames = CollectiveFrames(still.atoms, CRYSTAL, still.coord[0], 0.05, 6000)
    late = _Late(frames, 1000)
    return diffuse_intensity(
        stream_block_sums(late, DIVISIONS, 2.0, chunk_size=100, remove_drift=False)
    )


class _Late:
    """The frames of a source from some number on: independent of the first ones."""

    def __init__(self, source: RandomFrames, skipped: int) -> None:
        self.atoms, self.crystal = source.atoms, source.crystal
        self.n_frames = source.n_frames - skipped
        self.source, self.skipped = source, skipped

    def chunks(self, size: int, start: int = 0, stop: int | None = None):  # type: ignore[no-untyped-def]
        end = self.n_frames if stop is None else stop
        for frames in self.source.chunks(size, start + self.skipped, end + self.skipped):
            yield type(frames)(frames.coord, None, frames.first_frame - self.skipped)


@pytest.mark.parametrize("n_frames", [32, 96, 320])
def test_both_ceilings_predict_the_agreement_with_the_truth(
    n_frames: int, truth: IntensityMap
) -> None:
    sums = sums_of(n_frames)
    measured = correlate(diffuse_intensity(sums), truth).cc_aniso
    found = cc_max(sums)
    assert found.n_frames == n_frames
    assert found.split_half == pytest.approx(measured, abs=0.05)
    assert found.closed_form == pytest.approx(measured, abs=0.05)


def test_the_ceiling_rises_with_the_number_of_frames() -> None:
    ceilings = [cc_max(sums_of(n_frames)).closed_form for n_frames in (32, 96, 320)]
    assert ceilings == sorted(ceilings)
    assert ceilings[-1] > 0.97


def test_spearman_brown_links_the_halves_and_the_whole() -> None:
    found = cc_max(sums_of(64))
    r = found.cc_half
    assert found.split_half**2 == pytest.approx(2 * r / (1 + r))


def test_frames_that_repeat_each_other_count_once() -> None:
    sums = sums_of(64)
    still = make_frames(1, sigma=0.0)
    frames = CollectiveFrames(still.atoms, CRYSTAL, still.coord[0], 0.05, 64)
    coord = np.repeat(next(frames.chunks(64)).coord, 4, axis=0)
    repeated = stream_block_sums(
        ArrayFrames(still.atoms, CRYSTAL, coord),
        DIVISIONS,
        2.0,
        n_blocks=8,
        remove_drift=False,
    )
    ratio = cc_max(repeated).n_effective / cc_max(sums).n_effective
    assert ratio == pytest.approx(1.0, abs=0.2)


def test_resolution_limits_are_those_of_the_comparison() -> None:
    sums = sums_of(96)
    assert cc_max(sums, d_min=2.5, d_max=8.0).cc_half != cc_max(sums).cc_half


@pytest.mark.parametrize(("n_frames", "n_blocks"), [(8, 1), (3, 2)])
def test_too_few_blocks_are_refused(n_frames: int, n_blocks: int) -> None:
    with pytest.raises(InputError, match="two halves with at least two frames"):
        cc_max(sums_of(n_frames, n_blocks))


def test_agreement_with_the_truth_grows_along_the_blocks(truth: IntensityMap) -> None:
    sums = sums_of(320, n_blocks=16)
    points = convergence(sums, truth)
    assert [point.n_blocks for point in points] == [1, 2, 4, 8, 16]
    assert [point.n_frames for point in points] == [20, 40, 80, 160, 320]
    cc = [point.cc_aniso for point in points]
    assert cc[-1] > 0.95 > cc[0]
    assert np.isnan(points[0].cc_max)
    assert points[-1].cc_max == pytest.approx(cc[-1], abs=0.05)
    assert points[-1].cc_aniso == correlate(diffuse_intensity(sums), truth).cc_aniso


def test_a_coarser_target_is_compared_where_it_has_points(truth: IntensityMap) -> None:
    coarse = thin_out(truth, (1, 1, 1))
    sums = sums_of(320)
    points = convergence(sums, coarse, counts=[8])
    assert points[0].cc_aniso > 0.9
    # The noise at these points, not that of all the others as well.
    assert points[0].cc_max == cc_max(thin_out_sums(sums, (1, 1, 1))).split_half
    assert points[0].cc_max != cc_max(sums).split_half


@pytest.mark.parametrize("counts", [[0], [9], []])
def test_numbers_of_blocks_out_of_range_are_refused(
    counts: list[int], truth: IntensityMap
) -> None:
    with pytest.raises(InputError, match="out of range"):
        convergence(sums_of(16), truth, counts=counts)
