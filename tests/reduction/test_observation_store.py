"""Rows on disk, slab by slab."""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from small_sweep import poisson_source, small_experiment

from unstill.errors import FormatError, InputError, OutputError
from unstill.reduction.integration.blocks import Block
from unstill.reduction.integration.integrate import integrate_block
from unstill.reduction.integration.observation_store import n_slabs_of, read_block, write_block
from unstill.reduction.integration.tables import pixel_tables


@pytest.fixture(scope="module")
def rows():
    experiment = small_experiment(n_frames=3)
    source = poisson_source(experiment, lambda hkl: np.full(hkl.shape[:-1], 2e5))
    return integrate_block(
        experiment,
        source,
        Block(0, 3, 4),
        pixel_tables(experiment),
        peaks=None,
        divisions=(5, 5, 5),
        sweep=1,
    ).coarse


def test_slabs_hold_all_rows_once(rows, tmp_path):
    slabs = np.abs(rows.index[:, 0]) % 7
    slabs[::50] = -1
    path = tmp_path / "block.h5"
    write_block(path, rows, slabs, n_slabs=9)
    assert n_slabs_of(path) == 9
    assert len(read_block(path)) == np.count_nonzero(slabs >= 0)
    for number in (0, 6, 8):
        part, expected = read_block(path, number), rows.take(slabs == number)
        assert part.crystal == rows.crystal
        assert part.divisions == (5, 5, 5)
        assert part.sweep_names == rows.sweep_names
        for name, column in part.columns().items():
            assert column.dtype == expected.columns()[name].dtype, name
            np.testing.assert_allclose(column, expected.columns()[name], rtol=1e-7)
        np.testing.assert_array_equal(part.counts, expected.counts)
    both = read_block(path, [1, 2])
    assert len(both) == np.count_nonzero((slabs == 1) | (slabs == 2))


def test_writing_twice_gives_the_same_bytes(rows, tmp_path):
    for name in ("a.h5", "b.h5"):
        write_block(tmp_path / name, rows, np.zeros(len(rows), int))
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_damage_is_noticed(rows, tmp_path):
    path = tmp_path / "block.h5"
    write_block(path, rows, np.zeros(len(rows), int))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match="cannot be used"):
        read_block(path)
    import h5py

    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        file["rows/exposure"][5] *= 2
    with pytest.raises(FormatError, match="wrong checksum of exposure"):
        read_block(path)
    path.write_bytes(b"no file of rows")
    with pytest.raises(FormatError):
        read_block(path)


def test_no_rows_and_wrong_slabs(rows, tmp_path):
    path = tmp_path / "none.h5"
    write_block(path, rows.take(slice(0, 0)), np.zeros(0, int), n_slabs=2)
    assert len(read_block(path, 1)) == 0
    with pytest.raises(InputError, match="do not fit"):
        write_block(path, rows, np.zeros(3, int))


def test_threads_write_files_of_one_name_in_their_own_folders(rows, tmp_path):
    def write(number):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_block(folder / "coarse.h5", rows, np.zeros(len(rows), int))
        return len(read_block(folder / "coarse.h5"))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(write, range(16))) == [len(rows)] * 16


def test_a_full_disk_leaves_no_file_and_no_noise(rows, tmp_path, monkeypatch, capfd):
    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="could not be written") as caught:
        write_block(tmp_path / "coarse.h5", rows, np.zeros(len(rows), int))
    assert "No space left" in str(caught.value)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr().err == ""
