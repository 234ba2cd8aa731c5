"""Refinement: predictions, derivatives, what is recovered, and what is not determined."""

from __future__ import annotations

import numpy as np
import pytest
from small_sweeps import CENTRED, TETRAGONAL, TRICLINIC, drifting, off, seen_spots, still, sweep

from unstill.crystal import Crystal
from unstill.experiment.predict import predict_spots
from unstill.reduction.indexing.crystal_motion import CrystalMotion
from unstill.reduction.indexing.geometry_model import (
    GEOMETRY,
    Free,
    moved,
    rotation_matrices,
    strains,
)
from unstill.reduction.indexing.prediction import crystal_frame, geometry_of, rotating
from unstill.reduction.indexing.refine import refine, residuals_of
from unstill.reduction.indexing.turning import crossing_rates


def motion_of(experiment) -> CrystalMotion:
    return CrystalMotion.of(experiment.lattice, experiment.n_frames)


def test_predictions_agree_with_those_of_the_experiment() -> None:
    truth = sweep()
    spots, hkl = seen_spots(truth, noise=0.0)
    exact = predict_spots(truth, hkl[:0])
    assert len(exact) == 0
    residuals = residuals_of(truth, motion_of(truth), spots, hkl)
    np.testing.assert_allclose(residuals[:, :2], 0, atol=1e-9)
    # Frames of seen spots carry noise of 0.2 frames, which is 0.1 degrees.
    assert residuals[:, 2].std() == pytest.approx(0.1, rel=0.1)


def test_a_drifting_lattice_is_followed_by_its_own_motion() -> None:
    truth = drifting(sweep(), angle=0.5, strain=0.0)
    spots, hkl = seen_spots(truth, noise=0.0)
    fixed = residuals_of(truth, motion_of(truth), spots, hkl)
    assert np.abs(fixed[:, :2]).max() > 0.2
    refined = refine(
        truth, motion_of(truth).with_knots(8), spots, hkl, free=Free(False, False, False)
    )
    assert np.sqrt((refined.residuals[:, :2] ** 2).mean()) < 0.03
    lattice = refined.motion.lattice()
    assert lattice.a_at_scan_points is not None
    assert truth.lattice is not None
    for position in (10.0, 60.0, 110.0):
        off_by = np.linalg.norm(
            lattice.a_at(position) @ np.linalg.inv(truth.lattice.a_at(position)) - np.eye(3)
        )
        assert off_by < np.radians(0.05)


def test_diffracted_beams_are_on_the_ewald_sphere() -> None:
    truth = sweep(TRICLINIC)
    geometry = geometry_of(truth)
    rng = np.random.default_rng(0)
    r = rng.uniform(-0.2, 0.2, (200, 3))
    phi = rng.uniform(-180, 180, 200)
    s1, angle, crosses = rotating(geometry, r, phi)
    length = np.linalg.norm(s1[crosses], axis=1)
    np.testing.assert_allclose(length, 1 / truth.beam.wavelength, rtol=1e-12)
    back = crystal_frame(geometry, s1 - truth.beam.s0, phi + angle)
    np.testing.assert_allclose(back, r, atol=1e-12)


def test_geometry_is_recovered_from_a_wrong_start() -> None:
    truth = sweep(n_frames=360)
    spots, hkl = seen_spots(truth, share=0.3)
    start = off(truth, distance=1.0, shift_fast=1.0, shift_slow=-0.8, twist=0.3, beam=0.2)
    refined = refine(start, motion_of(truth), spots, hkl)
    wanted = {"distance": -1.0, "shift_fast": -1.0, "shift_slow": 0.8, "twist": -0.3, "beam": -0.2}
    for name, value in wanted.items():
        assert abs(refined.values[name] - value) < 5 * refined.errors[name] + 0.02, name
    assert refined.undetermined == ()
    cell = refined.motion.lattice().crystal.unit_cell
    assert np.abs(np.array(cell) / TETRAGONAL.unit_cell - 1).max() < 1e-3
    rms = np.sqrt((refined.residuals**2).mean(axis=0))
    np.testing.assert_allclose(rms, [0.1, 0.1, 0.1], rtol=0.1)


def test_errors_are_those_of_repeated_measurements() -> None:
    truth = sweep(n_frames=90)
    found, told = [], []
    for seed in range(8):
        spots, hkl = seen_spots(truth, share=0.3, seed=seed)
        refined = refine(truth, motion_of(truth), spots, hkl, max_steps=4)
        found.append([refined.values["shift_slow"], refined.motion.lattice().crystal.unit_cell[0]])
        told.append([refined.errors["shift_slow"], refined.cell_errors[0]])
    scatter = np.std(found, axis=0, ddof=1)
    ratio = scatter / np.mean(told, axis=0)
    assert np.all((ratio > 0.4) & (ratio < 2.2))


def test_outliers_do_not_pull() -> None:
    truth = sweep()
    spots, hkl = seen_spots(truth)
    wrong = spots.select(np.arange(len(spots)))
    wrong.fast[::20] += 4.0
    clean = refine(truth, motion_of(truth), spots, hkl)
    pulled = refine(truth, motion_of(truth), wrong, hkl)
    assert abs(clean.values["shift_fast"] - pulled.values["shift_fast"]) < 0.04


def test_what_the_data_do_not_determine_is_named() -> None:
    truth = sweep(n_frames=2)
    spots, hkl = seen_spots(truth, share=1.0)
    refined = refine(truth, motion_of(truth), spots, hkl)
    assert set(refined.undetermined) & {name for name, _ in GEOMETRY}


def test_what_is_fixed_stays() -> None:
    truth = sweep()
    spots, hkl = seen_spots(truth)
    nothing = Free(detector=False, distance=False, beam=False, cell=False)
    refined = refine(truth, motion_of(truth), spots, hkl, free=nothing)
    assert refined.values == {}
    assert refined.experiment.detector.panels[0] == truth.detector.panels[0]
    assert refined.motion.lattice().crystal.unit_cell == TETRAGONAL.unit_cell
    only_distance = Free(detector=False, distance=True, beam=False, cell=False)
    refined = refine(off(truth, distance=1.0), motion_of(truth), spots, hkl, free=only_distance)
    assert refined.values["distance"] == pytest.approx(-1.0, abs=0.03)


def test_a_still_refines_its_orientation() -> None:
    truth = still()
    spots, hkl = seen_spots(truth, d_min=2.0, share=1.0)
    turned = motion_of(truth)
    wrong = CrystalMotion(
        rotation_matrices(np.array([[0.2, -0.15, 0.1]]))[0] @ turned.u_matrix,
        turned.crystal, turned.turns, turned.strain, 1,
    )  # fmt: skip
    nothing = Free(detector=False, distance=False, beam=False, cell=False)
    refined = refine(truth, wrong, spots, hkl, free=nothing)
    assert truth.lattice is not None
    change = refined.motion.lattice().a_matrix @ np.linalg.inv(truth.lattice.a_matrix)
    assert np.linalg.norm(change - np.eye(3)) < np.radians(0.15)


@pytest.mark.parametrize(
    ("group", "cell", "n"),
    [
        ("P 1", (30, 41, 53, 80, 95, 105), 6),
        ("P 1 21 1", (30, 41, 53, 90, 102, 90), 4),
        ("P 21 21 21", (30, 41, 53, 90, 90, 90), 3),
        ("P 41", (50, 50, 90, 90, 90, 90), 2),
        ("R 3 :H", (60, 60, 93, 90, 90, 120), 2),
        ("P 2 3", (60, 60, 60, 90, 90, 90), 1),
    ],
)
def test_strains_keep_the_symmetry_of_the_cell(
    group: str, cell: tuple[float, ...], n: int
) -> None:
    crystal = Crystal(cell, group)
    tensors = strains(crystal)
    assert len(tensors) == n
    for tensor in tensors:
        basis = (np.eye(3) + 0.01 * tensor) @ crystal.orthogonalization_matrix
        metric = basis.T @ basis
        for op in crystal.group.operations().sym_ops:
            rotation = np.array(op.rot) / 24
            np.testing.assert_allclose(
                rotation.T @ metric @ rotation, metric, rtol=1e-6, atol=1e-6
            )


def test_small_moves_of_the_geometry_move_predictions_smoothly() -> None:
    # Derivatives by steps are right where the residual is linear over the step.
    truth = sweep(CENTRED)
    spots, hkl = seen_spots(truth, share=0.1)
    # Beside the rotation axis spots graze the sphere, and their angles run away.
    clear = crossing_rates(truth, spots) > 0.1
    spots, hkl = spots.select(clear), hkl[clear]
    before = residuals_of(truth, motion_of(truth), spots, hkl)
    for name, _ in GEOMETRY:
        one, two = (
            residuals_of(moved(truth, (name,), np.array([step])), motion_of(truth), spots, hkl)
            - before
            for step in (1e-3, 2e-3)
        )
        np.testing.assert_allclose(two, 2 * one, atol=1e-5)
        assert np.abs(one).max() > 1e-6


def test_rotation_vectors_give_rotations() -> None:
    rng = np.random.default_rng(2)
    turns = np.concatenate([rng.normal(size=(5, 3)) * 60, np.zeros((1, 3)), [[0, 0, 90.0]]])
    matrices = rotation_matrices(turns)
    np.testing.assert_allclose(
        matrices @ matrices.transpose(0, 2, 1), np.broadcast_to(np.eye(3), (7, 3, 3)), atol=1e-12
    )
    np.testing.assert_allclose(matrices[-1], [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
