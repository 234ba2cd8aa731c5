"""Rows on disk give what rows in memory give, bit by bit."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from synthetic_rows import TETRAGONAL, draw

from unstill.errors import FormatError, InputError
from unstill.maps.observations import COLUMNS, Observations, concatenate
from unstill.reduction.integration.observation_store import read_block, write_block
from unstill.reduction.merging.merge_pool import merge_pool
from unstill.reduction.merging.merged import Merged
from unstill.reduction.merging.row_pool import MemoryRows, write_rows
from unstill.reduction.scaling.options import ScaleOptions
from unstill.reduction.scaling.scale import ScaleResult, scale_pool


def _blocks(tmp_path, **options) -> list[Observations]:
    """Rows as integration leaves them: a file a block."""
    rows = draw(TETRAGONAL, n_sweeps=3, d_min=1.6, counts=60.0, **options).observations
    found = []
    for sweep in range(3):
        for block in range(2):
            mine = (rows.sweep == sweep) & (rows.block == block)
            path = tmp_path / f"{sweep}-{block}.h5"
            write_block(path, rows.take(mine), np.zeros(int(mine.sum()), int))
            found.append(read_block(path))
    return found


@pytest.fixture
def pools(tmp_path):
    blocks = _blocks(tmp_path)
    counts = blocks[0].counts.copy()
    counts[::50] *= 5
    blocks[0] = blocks[0].replace(counts=counts)
    return blocks, tmp_path / "pool"


def _on_disk(blocks, folder, rows_a_slab):
    folder.mkdir()
    return write_rows(lambda: iter(blocks), folder, rows_a_slab=rows_a_slab)


def test_no_row_and_no_bit_is_lost(pools):
    blocks, folder = pools
    pool = _on_disk(blocks, folder, 500)
    slabs = list(pool.slabs())
    whole, back = concatenate(blocks), concatenate([rows for _, rows in slabs])
    assert len(slabs) > 5
    assert pool.n_rows == len(whole) == len(back)
    assert slabs[-1][0].stop == pool.n_rows

    def in_order(rows):
        order = np.lexsort((*rows.index.T, rows.block, rows.sweep))
        return rows.take(order)

    for name in COLUMNS:
        np.testing.assert_array_equal(
            getattr(in_order(whole), name), getattr(in_order(back), name), err_msg=name
        )


@pytest.mark.parametrize("max_rows", [3000, 10**6])
def test_scales_do_not_depend_on_where_the_rows_are(pools, max_rows):
    blocks, folder = pools
    options = ScaleOptions(absorption="off", offset="on", detector="off", max_rows=max_rows)
    disk = _on_disk(blocks, folder, 400)
    memory = MemoryRows(concatenate(blocks))
    tables: dict[bool, list[np.ndarray]] = {True: [], False: []}
    found: dict[bool, ScaleResult] = {}
    for pool in (disk, memory):

        def watch(rows, rejected, residual, kept=tables[pool.in_memory]):
            out = rejected > 0
            kept.append(
                np.column_stack([rows.take(out).counts, rows.take(out).phi, residual[out]])
            )

        found[pool.in_memory] = scale_pool(pool, options, seed=3, watch=watch)
    one, other = found[True], found[False]
    for name, values in one.model.to_arrays().items():
        np.testing.assert_array_equal(values, other.model.to_arrays()[name], err_msg=name)
    assert one.error_model == other.error_model
    assert (one.chi2, one.n_untested) == (other.chi2, other.n_untested)
    for item in fields(one.blocks):
        np.testing.assert_array_equal(
            getattr(one.blocks, item.name), getattr(other.blocks, item.name)
        )
    assert np.count_nonzero(one.rejected) == np.count_nonzero(other.rejected) > 10
    rejected = [np.concatenate(tables[key]) for key in (True, False)]
    rejected = [table[np.lexsort(table.T)] for table in rejected]
    np.testing.assert_array_equal(*rejected)


def test_bad_ranges_are_left_out_wherever_rows_are(pools):
    blocks, folder = pools
    # Blocks of a sweep are few here, so one that disagrees is made by hand.
    many = [
        block.replace(block=np.asarray(np.arange(len(block)) % 4 + 4 * block.block, np.int32))
        for block in blocks
    ]
    bad = (many[2].block == 1) & (np.arange(len(many[2])) % 8 < 4)
    many[2] = many[2].replace(counts=np.where(bad, 3 * many[2].counts, many[2].counts))
    options = ScaleOptions(absorption="off", offset="off", detector="off", reject_bad_ranges=True)
    one = scale_pool(MemoryRows(concatenate(many)), options)
    other = scale_pool(_on_disk(many, folder, 500), options)
    assert one.bad_ranges
    assert one.bad_ranges == other.bad_ranges
    assert one.error_model == other.error_model
    for reason in range(4):
        assert np.count_nonzero(one.rejected == reason) == np.count_nonzero(
            other.rejected == reason
        )
    assert np.count_nonzero(one.rejected == 3)


@pytest.mark.parametrize("rows_at_once", [700, 1 << 20])
def test_merging_does_not_depend_on_where_the_rows_are(pools, tmp_path, rows_at_once):
    blocks, folder = pools
    pools_of = [_on_disk(blocks, folder, 400), MemoryRows(concatenate(blocks))]
    found = []
    for pool in pools_of:
        rejected = np.concatenate([np.arange(len(rows)) * 0 for _, rows in pool.slabs()])
        for places, rows in pool.slabs():
            rejected[places] = (rows.index.sum(axis=1) % 17 == 0) * 1
        found.append(
            merge_pool(
                pool,
                lambda rows: (1 + 0.1 * np.cos(rows.phi), 0.01 * rows.s),
                rejected=rejected,
                seed=5,
                scratch=tmp_path,
                rows_at_once=rows_at_once,
            )
        )
    _same(*found)
    assert found[0].n_rejected.sum() > 10
    assert not list(tmp_path.glob("merging-*"))


def test_without_symmetry_voxels_come_in_order(pools):
    blocks, folder = pools
    disk = _on_disk(blocks, folder, 400)
    one, other = (
        merge_pool(pool, lambda rows: (np.ones(len(rows)), np.zeros(len(rows))), symmetry=False)
        for pool in (disk, MemoryRows(concatenate(blocks)))
    )
    np.testing.assert_array_equal(one.index, other.index)
    np.testing.assert_allclose(one.intensity, other.intensity, rtol=1e-10)


def test_rows_that_are_missing_are_told(pools):
    blocks, folder = pools
    pool = _on_disk(blocks, folder, 500)
    file = sorted(folder.glob("*.rows"))[1]
    file.write_bytes(file.read_bytes()[:-66])
    with pytest.raises(FormatError, match="rows that were kept on disk"):
        list(pool.slabs())
    with pytest.raises(InputError, match="no observations"):
        write_rows(lambda: iter(()), folder)


def test_nothing_left_is_told(pools):
    blocks, folder = pools
    pool = _on_disk(blocks, folder, 500)
    out = np.ones(pool.n_rows, np.int8)
    with pytest.raises(InputError, match="no row is left"):
        merge_pool(pool, lambda rows: (np.ones(len(rows)), np.zeros(len(rows))), rejected=out)


def _same(one: Merged, other: Merged) -> None:
    for name in Merged.COLUMNS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    np.testing.assert_array_equal(one.expectation.mean, other.expectation.mean)
    np.testing.assert_array_equal(one.expectation.variance, other.expectation.variance)
    assert replace(one.error_model) == other.error_model
