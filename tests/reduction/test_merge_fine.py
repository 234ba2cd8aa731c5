"""Fine maps slab by slab: the sum of parts, the same bits, coarse from fine."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_rows import TETRAGONAL, draw, smooth_truth
from test_halves import LAUE

from unstill.crystal.symmetry import index_operations
from unstill.errors import InputError
from unstill.io.map_files import read_map
from unstill.maps.compare import compare
from unstill.maps.observations import concatenate
from unstill.maps.symmetrize import symmetrize
from unstill.reduction.merging.error_model import ErrorModel
from unstill.reduction.merging.fine_map import write_fine_map
from unstill.reduction.merging.fine_slabs import cut_slabs
from unstill.reduction.merging.merge import merge_observations
from unstill.reduction.merging.merge_fine import coarsened, merge_slabs, rows_by_slab
from unstill.reduction.merging.statistics import merging_statistics
from unstill.reduction.merging.unique_voxels import unique_by_shell
from unstill.reduction.merging.voxel_sums import VoxelSums, add_sums, order_rows, voxel_sums

FINE = (3, 3, 3)


def model(rows):
    return 1 + 0.3 * np.sin(rows.phi / 20 + rows.sweep), np.full(len(rows), 0.1)


def drawn_rows(**options):
    """Rows with the scale of the model."""
    rows = draw(divisions=FINE, **({"d_min": 3.0, "n_sweeps": 3} | options)).observations
    scale, _ = model(rows)
    return rows.replace(exposure=rows.exposure / scale * np.median(scale))


def whole(rows, **options):
    return merge_observations(rows, *model(rows), **options)


@pytest.mark.parametrize("name", LAUE)
@pytest.mark.parametrize("friedel", [True, False])
def test_slabs_hold_every_voxel_once(name, friedel):
    crystal = LAUE[name]
    slabs = cut_slabs(crystal, (2, 2, 2), 5.0, 4, friedel=friedel)
    rows = draw(crystal, truth=smooth_truth(crystal), d_min=4.5, n_sweeps=1).observations
    number = slabs.slab_of(rows.index)
    assert np.array_equal(number == -1, rows.s > (1 + 1e-9) / 5.0)
    counts = np.bincount(number[number >= 0], minlength=len(slabs))
    assert counts.min() > 0.05 * counts.sum() / len(slabs)
    mates = rows.index @ slabs.operations[-1]
    assert np.array_equal(slabs.slab_of(mates), number)
    n_unique, _ = unique_by_shell(crystal, (2, 2, 2), slabs.operations, np.array([0.0, 0.2]))
    assert slabs.grid.size >= n_unique.sum()


@settings(max_examples=6)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_slabs_and_the_order_of_blocks_change_no_bit(seed, n_slabs):
    rows = drawn_rows(d_min=4.0)
    expectation = whole(coarsened(rows, (1, 1, 1))).expectation
    slabs = cut_slabs(TETRAGONAL, FINE, 4.0, n_slabs)
    blocks = [rows.take(rows.block + 2 * rows.sweep == i) for i in range(6)]
    order = np.random.default_rng(seed).permutation(6)
    pieces = merge_slabs(
        rows_by_slab(lambda: (blocks[i] for i in order), slabs), model, expectation=expectation
    )
    expected = whole(rows, expectation=expectation.of_sampling(FINE))
    found = list(pieces)
    for column in ("index", "intensity", "sigma", "half_intensity", "deviations"):
        axis = 1 if column == "half_intensity" else 0
        joint = np.concatenate([getattr(piece, column) for piece in found], axis=axis)
        assert joint.tobytes() == getattr(expected, column).tobytes(), column


def test_the_fine_map_of_several_sweeps_is_the_sum_of_its_parts():
    rows = drawn_rows(n_sweeps=5)
    expectation = whole(rows).expectation
    operations = index_operations(TETRAGONAL, FINE)

    def sums_of(part):
        order = order_rows(part, *model(part), operations=operations, laue=operations)
        parts = [voxel_sums(inside, expectation, ErrorModel()) for _, inside in order.parts()]
        return add_sums(parts)

    together = sums_of(rows)
    added = add_sums([sums_of(rows.take(rows.sweep == sweep)) for sweep in range(5)])
    for item in fields(VoxelSums):
        np.testing.assert_allclose(
            getattr(added, item.name), getattr(together, item.name), rtol=1e-6, atol=1e-12
        )
    with pytest.raises(InputError):
        add_sums([])


def test_coarse_from_fine_is_coarse():
    rows = drawn_rows(background=0.0, offset=0.0)
    coarse = coarsened(rows, (1, 1, 1))
    direct = merge_observations(coarse, np.ones(len(coarse)), np.zeros(len(coarse)))
    as_coarse = rows.replace(
        index=np.floor_divide(rows.index + 1, 3).astype(np.int32), divisions=(1, 1, 1)
    )
    from_fine = merge_observations(as_coarse, np.ones(len(rows)), np.zeros(len(rows)))
    assert np.array_equal(direct.index, from_fine.index)
    np.testing.assert_allclose(direct.intensity, from_fine.intensity, rtol=1e-12)
    np.testing.assert_allclose(direct.sigma, from_fine.sigma, rtol=0.02)
    np.testing.assert_allclose(direct.multiplicity, from_fine.multiplicity, rtol=1e-12)


def test_coarse_rows_keep_sums_and_centroids():
    rows = drawn_rows()
    shuffled = rows.take(np.random.default_rng(0).permutation(len(rows)))
    coarse, again = coarsened(rows, (1, 3, 1)), coarsened(shuffled, (1, 3, 1))
    for name, column in coarse.columns().items():
        assert column.tobytes() == getattr(again, name).tobytes(), name
    for name in ("counts", "exposure", "background", "volume", "n_pixels"):
        assert getattr(coarse, name).sum() == pytest.approx(getattr(rows, name).sum())
    assert coarse.phi @ coarse.exposure == pytest.approx(rows.phi @ rows.exposure)
    assert np.abs(coarse.hkl()[:, 0] - np.rint(coarse.hkl()[:, 0])).max() == 0
    with pytest.raises(InputError, match="odd"):
        coarsened(draw(d_min=5.0).observations, (1, 1, 1))


def test_a_fine_map_is_written_slab_by_slab(tmp_path):
    rows = drawn_rows(counts=100, n_sweeps=4)
    coarse = whole(coarsened(rows, (1, 1, 1)))
    slabs = cut_slabs(TETRAGONAL, FINE, 3.0, 3)
    paths = {None: tmp_path / "fine.nxs", 0: tmp_path / "half_0.nxs", 1: tmp_path / "half_1.nxs"}

    def write(into):
        pieces = merge_slabs(
            rows_by_slab(lambda: [rows], slabs), model, expectation=coarse.expectation
        )
        return write_fine_map(pieces, slabs, into, provenance={"made": "in a test"}, n_shells=6)

    found = write(paths)
    expected = whole(rows, expectation=coarse.expectation.of_sampling(FINE))
    fine = read_map(paths[None])
    assert fine.provenance == {"made": "in a test"}
    full = symmetrize(fine, expand=True)
    assert full.n_measured == expected.map.n_measured
    assert compare(full, expected.map, reindex="none").cc_aniso > 0.999999
    assert found.n_voxels == expected.n_voxels == fine.n_measured
    assert found.n_obs == expected.n_obs.sum() == fine.n_obs.sum()
    assert found.chi2 == pytest.approx(expected.chi2)
    halves = compare(read_map(paths[0]), read_map(paths[1]), reindex="none")
    overall = merging_statistics(expected, interval=False).overall
    assert halves.cc_aniso == pytest.approx(overall.cc_half, abs=1e-6)
    assert found.overall.cc_half == pytest.approx(overall.cc_half, abs=0.02)
    assert found.overall.cc_friedel == pytest.approx(overall.cc_friedel, abs=0.02)
    assert sum(shell.n_obs for shell in found.shells) == found.n_obs
    again = tmp_path / "again.nxs"
    write({None: again})
    assert np.array_equal(read_map(again).intensity, fine.intensity, equal_nan=True)


def test_rejected_rows_and_empty_slabs_are_passed_over():
    rows = drawn_rows(d_min=5.0)
    expectation = whole(rows).expectation
    slabs = cut_slabs(TETRAGONAL, FINE, 5.0, 3)
    first = slabs.slab_of(rows.index) == 0
    by_slab = rows_by_slab(lambda: [rows.take(~first), rows.take(first)], slabs)
    pieces = list(
        merge_slabs(
            by_slab,
            model,
            expectation=expectation,
            keep=lambda part: slabs.slab_of(part.index) != 0,
        )
    )
    assert len(pieces) == len(slabs) - 1
    joint = concatenate([rows.take(first), rows.take(~first)])
    assert sum(len(piece) for piece in pieces) < len(whole(joint))
    with pytest.raises(InputError):
        cut_slabs(TETRAGONAL, FINE, 5.0, 0)
