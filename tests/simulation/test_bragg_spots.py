"""Bragg peaks: strength, shape, absences and where they fall on the detector."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from simulated import CRYSTAL, make_frames, peaks

from unstill.crystal import Crystal
from unstill.crystal.symmetry import laue_operations
from unstill.errors import InputError
from unstill.experiment.predict import predict_spots
from unstill.simulation.bragg import BraggPeaks, model_peaks, wilson_peaks
from unstill.simulation.detectors import make_experiment
from unstill.simulation.frames import SimulatedFrames


def test_strengths_are_symmetric_absent_where_the_group_says_and_wilsonian():
    found = peaks()
    rng = np.random.default_rng(2)
    hkl = rng.integers(-8, 9, (400, 3))
    for operation in laue_operations(CRYSTAL):
        np.testing.assert_array_equal(found.strength(hkl @ operation), found.strength(hkl))
    operations = CRYSTAL.group.operations()
    absent = np.array([operations.is_systematically_absent(list(map(int, h))) for h in hkl])
    assert np.all(found.strength(hkl[absent]) == 0)
    assert absent.any()
    assert np.all(found.strength(np.array([[0, 0, 1], [0, 0, 3], [0, 0, 0]])) == 0)
    s2 = CRYSTAL.s_squared(hkl)
    kept = ~absent & (s2 > 0) & (s2 < 1 / 1.6**2)
    normal = found.strength(hkl[kept]) / (0.6 * CRYSTAL.volume * np.exp(-15 * s2[kept] / 2))
    assert abs(normal.mean() - 1) < 0.2


def test_a_peak_integrates_to_f_squared_over_the_volume_of_the_cell():
    """∫ I d³s = |F|² V*, whatever the mosaic spread."""
    table = np.zeros((3, 3, 3))
    table[2, 1, 2] = 100.0
    for mosaicity in (0.0, 1.0):
        peak = BraggPeaks(CRYSTAL, (0, 0, 0), table, size=1e-3, mosaicity=mosaicity)
        node = CRYSTAL.s(np.array([2.0, 1.0, 2.0]))
        step = 4e-4
        axis = np.arange(-24, 25) * step
        s = node + np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
        total = peak.at(CRYSTAL.hkl_from_q(2 * np.pi * s)).sum() * step**3
        assert total == pytest.approx(100.0 / CRYSTAL.volume, rel=1e-3)


def test_the_kernel_is_the_formula_averaged_over_the_steps():
    found = peaks(0.2)
    rng = np.random.default_rng(3)
    hkl = rng.integers(-9, 10, (4000, 3)) + rng.normal(0, 0.04, (4000, 3))
    turns = [np.eye(3) + 1e-3 * k * rng.normal(size=(3, 3)) for k in range(5)]
    to_hkl = np.array([turn @ CRYSTAL.orthogonalization_matrix.T for turn in turns])
    s = CRYSTAL.s(hkl)
    out = np.zeros(len(s))
    found.add(out, s, to_hkl, 3.0)
    wanted = 3.0 * np.mean([found.at(s @ matrix.T) for matrix in to_hkl], axis=0)
    np.testing.assert_allclose(out, wanted, rtol=1e-6, atol=1e-6 * wanted.max())
    assert (out > 0).sum() > 1000


def test_peaks_fall_where_they_are_predicted():
    """Centroids within 0.2 pixels of the prediction; the parts of a peak add up."""
    experiment = make_experiment(
        CRYSTAL, detector="small", n_frames=16, phi_step=0.1, seed=7, tilt=(0.5, -0.3), drift=0.05
    )
    sharp = wilson_peaks(CRYSTAL, 2.2, seed=3, size=1.5e-3, mosaicity=0.02)
    frames = SimulatedFrames(experiment, None, sharp)
    total = np.sum([frames.expected(i)[0] for i in range(16)], axis=0)
    hkl = np.argwhere(sharp.f_squared > 0) + np.array(sharp.start)
    spots = predict_spots(experiment, hkl)
    strong = sharp.strength(hkl[spots.index]) > 0
    inner = (spots.frame > 5) & (spots.frame < 11) & strong
    offsets = []
    for x, y in zip(spots.fast[inner], spots.slow[inner], strict=True):
        i, j = int(x), int(y)
        near = np.hypot(spots.fast - x, spots.slow - y) < 7
        if near.sum() > 1 or not (4 <= i < 252 and 4 <= j < 252):
            continue
        box = total[j - 4 : j + 5, i - 4 : i + 5]
        grid_y, grid_x = np.mgrid[j - 4 : j + 5, i - 4 : i + 5] + 0.5
        offsets.append(
            (np.sum(box * grid_x) / box.sum() - x, np.sum(box * grid_y) / box.sum() - y)
        )
    offset = np.array(offsets)
    assert len(offset) > 10
    assert np.sqrt(np.mean(offset**2)) < 0.2
    assert np.abs(np.median(offset, axis=0)).max() < 0.05


def test_model_peaks_are_a_direct_sum_over_atoms_and_mates():
    crystal = Crystal((25.0, 30.0, 35.0, 90.0, 90.0, 90.0), "P 21 21 21")
    rng = np.random.default_rng(4)
    coord = rng.uniform(0, 20, (6, 3))
    element, b = ["C", "N", "O", "S", "C", "C"], rng.uniform(5, 30, 6)
    found = model_peaks(crystal, element, coord, np.ones(6), b, 3.0)
    for hkl in np.array([(1, 2, 3), (0, 2, 4), (5, 1, 2), (0, 0, 3)]):
        s_squared = float(crystal.s_squared(hkl))
        total = 0j
        for name, xyz, b_atom in zip(element, crystal.fractional(coord), b, strict=True):
            f = gemmi.Element(name).it92.calculate_sf(s_squared / 4)
            for operation in crystal.group.operations():
                place = np.array(operation.apply_to_xyz(list(xyz)))
                total += f * np.exp(-b_atom * s_squared / 4 + 2j * np.pi * hkl @ place)
        # The structure factors are good to 1e-4 of their root mean square.
        wanted = pytest.approx(abs(total) ** 2, rel=1e-3, abs=1e-4 * found.f_squared.max())
        assert float(found.strength(hkl)) == wanted
    assert found.strength(np.array([0, 0, 3])) == 0


def test_fine_slices_hold_parts_of_peaks_that_add_up():
    whole = make_frames(bragg=True, n_frames=1)
    one = whole.experiment
    parts = SimulatedFrames(
        make_experiment(CRYSTAL, detector="tiny", n_frames=5, phi_step=0.05, seed=7),
        None, whole.peaks, n_steps=1,
    )  # fmt: skip
    coarse = SimulatedFrames(one, None, whole.peaks, n_steps=5)
    fine = np.mean([parts.expected(i)[0] for i in range(5)], axis=0)
    np.testing.assert_allclose(fine, coarse.expected(0)[0], rtol=1e-6, atol=1e-9)


def test_impossible_widths_are_refused():
    with pytest.raises(InputError, match="width"):
        wilson_peaks(CRYSTAL, 5.0, size=0.0)
