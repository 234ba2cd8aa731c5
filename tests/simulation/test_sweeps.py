"""Background sweeps, stills, doses and the oracle of voxel averages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from simulated import CRYSTAL, make_frames

from unstill.crystal.symmetry import map_to_asu
from unstill.errors import InputError
from unstill.experiment.pixels import scattering_vectors
from unstill.simulation.dose import median_counts, with_median_counts
from unstill.simulation.faults import Faults
from unstill.simulation.frames import response_at
from unstill.simulation.places import places_at
from unstill.simulation.recipe import Recipe
from unstill.simulation.stills import make_stills, simulate_stills
from unstill.simulation.sweeps import WrongBackground, background_experiment, background_frames
from unstill.simulation.voxel_truth import voxel_truth


def test_the_background_is_what_is_left_without_a_crystal():
    frames = make_frames(background=2.0, n_frames=8, effects=True)
    alone = background_frames(frames, n_frames=8)
    assert alone.experiment.lattice is None
    no_crystal = replace(frames, flux=0.0, effects=type(frames.effects)())
    for i in (0, 7):
        np.testing.assert_allclose(alone.expected(i)[0], no_crystal.expected(i)[0])
    assert not np.array_equal(alone.read(0)[0], frames.read(0)[0])
    coarse = background_experiment(frames.experiment)
    assert (coarse.n_frames, coarse.scan.phi_step) == (2, 1.0)
    assert coarse.phi(2.0) == frames.experiment.phi(8.0)


def test_a_wrong_background_differs_as_told():
    frames = make_frames(background=2.0, n_frames=4)
    right = background_frames(frames, n_frames=4)
    wrong = background_frames(
        frames, n_frames=4, wrong=WrongBackground(exposure=2.0, transmission=0.25, distance=30.0)
    )
    assert wrong.header(0).exposure_time == pytest.approx(0.2)
    assert wrong.header(0).transmission == 0.25
    assert wrong.header(0).distance == pytest.approx(230.0)
    here = replace(wrong, experiment=wrong.experiment.replace(detector=right.experiment.detector))
    np.testing.assert_allclose(here.expected(1)[0], 0.5 * right.expected(1)[0])


def test_stills_are_random_and_written_with_the_error_that_was_asked():
    pairs = make_stills(CRYSTAL, 300, detector="tiny", orientation_error=0.05, seed=2)
    angles = []
    for true, written in pairs:
        assert true.is_still
        turn = written.lattice.u_matrix @ true.lattice.u_matrix.T
        angles.append(np.degrees(np.linalg.norm(turn - turn.T) / np.sqrt(8)))
    assert np.sqrt(np.mean(np.square(angles))) == pytest.approx(0.05, rel=0.1)
    directions = np.array([true.lattice.u_matrix[:, 0] for true, _ in pairs])
    assert np.linalg.norm(directions.mean(axis=0)) < 0.15
    stills = simulate_stills(pairs[:3], make_frames(bragg=True), scale_spread=0.2)
    assert len({still.frames.flux for still in stills}) == 3
    assert stills[0].frames.n_frames == 1
    again = simulate_stills(pairs[:3], make_frames(bragg=True), scale_spread=0.2)
    np.testing.assert_array_equal(stills[2].frames.read(0)[0], again[2].frames.read(0)[0])
    exact = make_stills(CRYSTAL, 2, detector="tiny", seed=2)
    np.testing.assert_array_equal(exact[0][0].lattice.a_matrix, pairs[0][0].lattice.a_matrix)
    assert exact[0][0] is exact[0][1]


def test_the_dose_gives_the_median_observation_that_was_asked():
    """Counted here by a plain sum over all pixels of one block."""
    frames = with_median_counts(make_frames(n_frames=8), 25.0, (2, 2, 2))
    assert median_counts(frames, (2, 2, 2)) == pytest.approx(25.0)
    experiment = frames.experiment
    x, y = np.meshgrid(np.arange(128) + 0.5, np.arange(128) + 0.5)
    s = scattering_vectors(experiment.beam, experiment.detector.panels[0], x, y).reshape(-1, 3)
    index = [np.rint(2 * s @ experiment.hkl_matrix(i + 0.5).T).astype(int) for i in range(2, 6)]
    counts = [frames.expected(i)[0].ravel() for i in range(2, 6)]
    _, place = np.unique(np.concatenate(index), axis=0, return_inverse=True)
    summed = np.bincount(place.ravel(), np.concatenate(counts))
    # The edge of the detector cuts voxels, which the dose leaves out.
    assert np.median(summed) == pytest.approx(25.0, rel=0.1)
    with pytest.raises(InputError, match="no truth"):
        median_counts(background_frames(make_frames(background=1.0)), (2, 2, 2))


def test_voxel_truth_is_the_exposure_weighted_mean():
    frames = make_frames(effects=True, bragg=True, faults=Faults(ice=1e6))
    found = voxel_truth(frames, (2, 2, 2), symmetry=False)
    assert found.n_pixels.sum() == 4 * 128 * 128
    experiment = frames.experiment
    x, y = np.meshgrid(np.arange(128) + 0.5, np.arange(128) + 0.5)
    s = scattering_vectors(experiment.beam, experiment.detector.panels[0], x, y)
    response = response_at(experiment, 0, x, y)
    voxel = found.index[np.argmax(found.n_pixels)]
    total, exposure = 0.0, 0.0
    for i in range(4):
        hkl = s @ experiment.hkl_matrix(i + 0.5).T
        inside = np.all(np.rint(hkl * 2) == voxel, axis=-1)
        exposure += 0.1 * response[inside].sum()
        total += 0.1 * np.sum(response[inside] * frames.truth.at(hkl[inside]))
    assert found.at(voxel[None])[0] == pytest.approx(frames.flux * total / exposure, rel=1e-12)
    assert np.isnan(found.at(np.array([[500, 0, 0]]))[0])


def test_symmetrised_voxels_hold_their_mates_and_masked_pixels_are_out():
    frames = make_frames(n_frames=2)
    apart = voxel_truth(frames, (2, 2, 2), symmetry=False)
    joined = voxel_truth(frames, (2, 2, 2))
    home = map_to_asu(CRYSTAL, apart.index, (2, 2, 2))
    np.testing.assert_array_equal(np.unique(home, axis=0), joined.index)
    total = np.array(
        [apart.exposure[np.all(home == voxel, axis=1)].sum() for voxel in joined.index[:20]]
    )
    np.testing.assert_allclose(joined.exposure[:20], total)
    half = np.zeros((128, 128), dtype=bool)
    half[:64] = True
    assert voxel_truth(frames, (2, 2, 2), masks=(half,)).n_pixels.sum() == 2 * 64 * 128
    outside = voxel_truth(frames, (8, 8, 8), symmetry=False, peak_radius=0.3, which=[1])
    hkl = outside.index / 8
    assert np.linalg.norm(hkl - np.rint(hkl), axis=1).min() > 0.3 - np.sqrt(3) / 16
    assert 0 < outside.n_pixels.sum() < 128 * 128


def test_effects_are_known_exactly_at_centroids():
    """At points of their own angle each, as observations have them."""
    frames = make_frames(effects=True, background=1.0)
    rng = np.random.default_rng(8)
    x, y, phi = rng.uniform(0, 128, 9), rng.uniform(0, 128, 9), rng.uniform(0, 360, 9)
    many = places_at(frames.experiment, 0, x, y)
    effects = frames.effects
    for effect in (
        effects.scale, effects.absorption, effects.offset, effects.response, frames.background,
    ):  # fmt: skip
        one_by_one = [
            float(
                np.squeeze(effect(places_at(frames.experiment, 0, x[i : i + 1], y[i : i + 1]), p))
            )
            for i, p in enumerate(phi)
        ]
        np.testing.assert_allclose(effect(many, phi), one_by_one, rtol=1e-12)
    turn = np.arange(0.0, 360.0, 1.0)
    b = effects.scale(many, turn)
    assert b.min() > 0.75
    assert b.max() < 1.25
    assert np.ptp(b) > 0.2


def test_recipe_makes_what_it_says():
    truth = make_frames().truth
    recipe = Recipe(
        detector="tiny", n_frames=8, phi_step=0.25, median_counts=40.0, divisions=(2, 2, 2),
        background=0.5, effects=True, outliers=0.01, seed=3,
    )  # fmt: skip
    frames = recipe.frames(truth)
    assert median_counts(frames, (2, 2, 2)) == pytest.approx(40.0)
    alone = background_frames(frames, n_frames=8).expected(0)[0]
    crystal = replace(frames, background=None, effects=type(frames.effects)(), faults=Faults())
    assert alone.mean() / crystal.expected(0)[0].mean() == pytest.approx(0.5, rel=0.05)
    assert frames.faults.outliers.frames_per_block == 4
    assert frames.faults.outliers.sigmas == 20.0
    assert Recipe(detector="tiny").frames(truth).background is None
    split = Recipe(detector="modular", split_panels=True, count_cutoff=50, tilt=(1.0, 2.0))
    detector = split.experiment(truth).detector
    assert [panel.trusted_range for panel in detector.panels] == [(0.0, 50.0)] * 6
    assert abs(detector.panels[0].normal[2]) == pytest.approx(
        np.cos(np.radians(np.hypot(1, 2))), abs=1e-6
    )
