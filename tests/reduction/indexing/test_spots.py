"""Spots on frames: what is found, where, and what is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.stats import poisson
from small_sweeps import DrawnFrames, HeldFrames, sweep

from unstill.experiment import INVALID, OVERLOADED, Detector
from unstill.reduction.indexing.find_spots import SpotOptions, find_spots, measure_noise
from unstill.reduction.indexing.ice_rings import ice_spots
from unstill.reduction.indexing.significance import is_significant, surprise
from unstill.reduction.indexing.spot_regions import StrongPixels, join_regions

FEW_FRAMES = sweep(n_frames=6)


def noise(mean: float, n_frames: int = 2, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.poisson(mean, (256, 256)).astype(np.int32) for _ in range(n_frames)]


@pytest.mark.parametrize("mean", [0.02, 0.5, 5.0, 200.0])
def test_counting_noise_alone_gives_almost_no_spots(mean: float) -> None:
    spots = find_spots(sweep(n_frames=2), HeldFrames(noise(mean)))
    assert len(spots) <= 2


def test_noise_that_a_ccd_smears_gives_almost_no_spots() -> None:
    images = [
        (20 + 4 * ndimage.gaussian_filter(image.astype(float), 0.7)).astype(np.int32)
        for image in noise(100.0)
    ]
    experiment = sweep(n_frames=2)
    (factor,) = measure_noise(experiment.detector, HeldFrames(images))
    assert 0.1 < np.median(factor) < 3
    assert len(find_spots(experiment, HeldFrames(images))) <= 3


def test_spots_are_found_where_they_were_drawn() -> None:
    frames = DrawnFrames(sweep(n_frames=12))
    spots = find_spots(frames.experiment, frames)
    drawn = frames.predicted()
    inside = (drawn.frame > 1) & (drawn.frame < 11)
    inside &= np.abs(drawn.fast - 128) < 124
    inside &= np.abs(drawn.slow - 128) < 124
    seen = cKDTree(np.stack([spots.fast, spots.slow, spots.frame], axis=1))
    at = np.stack([drawn.fast, drawn.slow, drawn.frame], axis=1)[inside]
    distance, nearest = seen.query(at)
    close = distance < 1.0
    assert close.mean() > 0.9
    off = seen.data[nearest[close]] - at[close]
    assert np.all(np.sqrt((off**2).mean(axis=0)) < [0.25, 0.25, 0.25])
    assert np.all(np.abs(off.mean(axis=0)) < 0.05)
    assert len(spots) < 1.15 * len(drawn)


def test_spots_do_not_depend_on_the_number_of_processes() -> None:
    frames = DrawnFrames(sweep(n_frames=40, n_pixels=128, pixel=1.0), size=128)
    alone = find_spots(frames.experiment, frames)
    shared = find_spots(frames.experiment, frames, workers=2)
    assert len(alone) > 50
    for name, values in vars(alone).items():
        np.testing.assert_array_equal(values, getattr(shared, name), err_msg=name)


def spot_on(frame_numbers: list[int], n_frames: int = 4) -> list[np.ndarray]:
    images = noise(1.0, n_frames)
    for number in frame_numbers:
        images[number][100:104, 60:64] += 50
    return images


def test_a_spot_on_three_frames_is_one_spot() -> None:
    spots = find_spots(sweep(n_frames=4), HeldFrames(spot_on([1, 2, 3])))
    assert len(spots) == 1
    assert (spots.first_frame[0], spots.last_frame[0]) == (1, 3)
    assert spots.fast[0] == pytest.approx(62.0, abs=0.1)
    assert spots.slow[0] == pytest.approx(102.0, abs=0.1)
    assert spots.frame[0] == pytest.approx(2.5, abs=0.05)


def test_frames_with_a_gap_between_them_do_not_share_spots() -> None:
    experiment = sweep(n_frames=4)
    assert experiment.scan is not None
    standing = experiment.replace(scan=replace(experiment.scan, phi_step=1.0, phi_width=0.0))
    assert len(find_spots(standing, HeldFrames(spot_on([1, 2, 3])))) == 3


def test_spots_under_a_mask_and_in_gaps_are_left_out() -> None:
    images = spot_on([1])
    for image in images:
        image[200:210] = INVALID
    panel = replace(sweep().detector.panels[0], masked=((50, 90, 70, 110),))
    masked = sweep(n_frames=4).replace(detector=Detector((panel,)))
    assert len(find_spots(masked, HeldFrames(images))) == 0
    assert len(find_spots(sweep(n_frames=4), HeldFrames(images))) == 1


def test_a_torn_off_tail_is_no_spot_of_its_own() -> None:
    images = spot_on([1])
    images[1][100:104, 66:67] += 12
    images[1][100:104, 90:91] += 12
    spots = find_spots(sweep(n_frames=4), HeldFrames(images))
    assert sorted(np.round(spots.fast)) == [62.0, 90.0]


def test_spots_that_gaps_edges_and_ends_cut_are_told() -> None:
    images = noise(1.0, 6)
    for corner in ((40, 40), (80, 40), (252, 120)):
        images[2][corner[0] : corner[0] + 4, corner[1] : corner[1] + 4] += 50
    images[0][150:154, 60:64] += 50
    images[5][180:184, 60:64] += 50
    for image in images:
        image[84:90] = INVALID
    spots = find_spots(sweep(n_frames=6), HeldFrames(images))
    order = np.argsort(spots.slow)
    assert np.round(spots.slow[order]).tolist() == [42, 82, 152, 182, 254]
    assert spots.cut[order].tolist() == [False, True, False, False, True]
    assert spots.at_end[order].tolist() == [False, False, True, True, False]
    assert spots.whole[order].tolist() == [True, False, False, False, False]
    # What a part leaves open is in the variance.
    assert spots.variance[order][[1, 4], 0].min() > 1 > spots.variance[order][0, 0]
    assert spots.variance[order][[2, 3], 2].min() >= 1 > spots.variance[order][0, 2]


def test_a_cluster_is_believed_where_noise_would_not_show_it_once() -> None:
    for excess, n_tried, believed in ((4.0, 1e8, False), (4.0, 1e2, True), (12.0, 1e8, True)):
        own, least = surprise(np.full(3, excess), np.ones(3), np.ones(3), 3.0)
        three = np.array([3.0])
        assert (
            is_significant(three, own.sum(keepdims=True), least.sum(keepdims=True), n_tried)[0]
            == believed
        )


def test_the_surprise_of_a_pixel_is_a_poisson_tail() -> None:
    own, least = surprise(np.array([6.5]), np.array([2.5]), np.array([1.0]), 3.0)
    assert np.exp(-own[0]) == pytest.approx(poisson.sf(8, 2.5))
    assert np.exp(-least[0]) == pytest.approx(poisson.sf(7, 2.5))


def test_overloaded_pixels_are_part_of_a_spot_and_are_told() -> None:
    images = spot_on([1])
    images[1][101:103, 61:63] = OVERLOADED
    panel = replace(sweep().detector.panels[0], trusted_range=(0.0, 1000.0))
    experiment = sweep(n_frames=4).replace(detector=Detector((panel,)))
    spots = find_spots(experiment, HeldFrames(images))
    assert len(spots) == 1
    assert spots.overloaded[0]
    assert spots.n_pixels[0] >= 16


def test_a_defect_that_stays_at_one_place_is_no_spot() -> None:
    experiment = sweep(n_frames=8)
    images = spot_on(list(range(8)), 8)
    assert len(find_spots(experiment, HeldFrames(images))) == 0


def test_resolution_limits_hold() -> None:
    frames = DrawnFrames(FEW_FRAMES)
    spots = find_spots(FEW_FRAMES, frames, options=SpotOptions(d_min=5.0, d_max=15.0))
    d = 1 / np.linalg.norm(spots.scattering_vectors(FEW_FRAMES), axis=1)
    assert len(spots) > 5
    assert d.min() >= 5.0
    assert d.max() <= 15.0


@given(st.integers(0, 10_000), st.floats(0.05, 0.7))
def test_regions_are_those_of_scipy(seed: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    strong = (rng.random((11, 13)) < density).astype(np.uint8)
    excess = rng.random(strong.shape).astype(np.float32)
    index = np.flatnonzero(strong)
    none = np.zeros(len(index))
    found = join_regions(StrongPixels(index, 13, excess.ravel()[index], none, none, none, none))
    labels, n = ndimage.label(strong, np.ones((3, 3)))
    assert len(found.sums) == n
    one = labels.ravel()[found.pixel]
    for region in range(n):
        assert len(np.unique(one[found.region == region])) == 1
    expected = ndimage.sum_labels(excess.astype(float), labels, np.arange(1, n + 1))
    np.testing.assert_allclose(np.sort(found.sums[:, 1]), np.sort(expected))


def test_a_crowded_ring_of_ice_is_recognised() -> None:
    rng = np.random.default_rng(1)
    length = rng.uniform(0.05, 0.5, 2000)
    on_ring, rings = ice_spots(length)
    assert rings == ()
    assert not on_ring.any()
    icy = np.concatenate([length, rng.normal(1 / 3.669, 0.0005, 200)])
    on_ring, rings = ice_spots(icy)
    assert rings == (3.669,)
    assert on_ring[-200:].all()
    assert on_ring[:-200].mean() < 0.05
