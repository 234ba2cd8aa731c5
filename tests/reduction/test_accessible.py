"""Voxels that an experiment can reach, against all its pixels."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_rows import TETRAGONAL

from unstill.crystal.reindexing import IDENTITY, parse_operator
from unstill.crystal.symmetry import index_operations
from unstill.errors import InputError
from unstill.experiment import Beam, Detector, Experiment, Goniometer, Lattice, Panel, Scan
from unstill.experiment.pixels import pixel_centers, scattering_vectors
from unstill.reduction.merging.accessible import accessible_voxels
from unstill.reduction.merging.representatives import representatives


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    n, pixel, distance = 64, 1.5, 90.0
    half = n * pixel / 2
    panel = Panel((-half, half, -distance), (1, 0, 0), (0, -1, 0), (pixel, pixel), (n, n))
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    turn = turn * np.sign(np.linalg.det(turn))
    return Experiment(
        beam=Beam(1.0, (0.0, 0.0, 1.0), (0.0, 1.0, 0.0), 0.99),
        detector=Detector((panel,)),
        goniometer=Goniometer((1.0, 0.0, 0.0), np.eye(3), np.eye(3)),
        scan=Scan(60, 0.0, 0.5, exposure_times=np.full(60, 0.1)),
        lattice=Lattice.oriented(TETRAGONAL, turn),
    )


def pixel_voxels(experiment, divisions):
    """Grid indices of all pixels of all frames."""
    panel = experiment.detector.panels[0]
    fast, slow = np.broadcast_arrays(*pixel_centers(panel))
    s = scattering_vectors(experiment.beam, panel, fast, slow).reshape(-1, 3)
    hkl = [s @ experiment.hkl_matrix(i + 0.5).T for i in range(experiment.n_frames)]
    return np.rint(np.concatenate(hkl) * np.array(divisions)).astype(np.int64)


def test_reached_voxels_are_those_that_pixels_fall_in(experiment):
    divisions = (2, 2, 2)
    operations = index_operations(TETRAGONAL, divisions)
    index, counts = np.unique(
        representatives(operations, pixel_voxels(experiment, divisions))[0],
        axis=0,
        return_counts=True,
    )
    reach = accessible_voxels([experiment], divisions, operations)
    found = reach(index)
    # What only the rim of a voxel touches has no crossing of its centre.
    assert found[counts > np.median(counts)].mean() > 0.96
    box = np.indices((25, 25, 30)).reshape(3, -1).T
    box = box[np.all(representatives(operations, box)[0] == box, axis=1)]
    reached = box[reach(box)]
    known = {tuple(row) for row in index.tolist()}
    assert 50 < len(reached) < len(box)
    assert np.mean([tuple(row) in known for row in reached.tolist()]) > 0.995


def test_moved_experiments_reach_moved_voxels(experiment):
    operations = index_operations(TETRAGONAL, (2, 2, 2))
    index = np.indices((12, 12, 16)).reshape(3, -1).T
    plain = accessible_voxels([experiment], (2, 2, 2), operations)(index)
    swap = parse_operator("k,h,-l")
    moved = accessible_voxels([experiment], (2, 2, 2), operations, moves=[swap])
    assert np.array_equal(moved(index @ swap.matrix.astype(int)), plain)
    both = accessible_voxels([experiment] * 2, (2, 2, 2), operations, moves=[IDENTITY, swap])
    assert np.array_equal(both(index), plain | moved(index))


def test_every_experiment_needs_a_move(experiment):
    operations = index_operations(TETRAGONAL, (2, 2, 2))
    with pytest.raises(InputError, match="its own move"):
        accessible_voxels([experiment], (2, 2, 2), operations, moves=[])
