"""Damaged, truncated and foreign files give FormatError with a remedy, never a traceback."""

from __future__ import annotations

import os
import resource
import signal
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.errors import FormatError, OutputError, UnstillError
from unstill.io import read_block_sums, read_map, write_block_sums, write_map
from unstill.maps.block_sums import BlockSums

SUFFIXES = (".nxs", ".mtz", ".ccp4", ".hkl", ".lat")


class Contents(dict[str, bytes]):
    """Whole files by suffix; silent when a failing example prints its arguments."""

    def __repr__(self) -> str:
        return "Contents()"


@pytest.fixture(scope="module")
def contents(tmp_path_factory) -> Contents:
    from unstill.crystal import Crystal, HklGrid
    from unstill.maps import IntensityMap

    rng = np.random.default_rng(1)
    grid = HklGrid((-3, -3, -3), (7, 7, 7))
    crystal = Crystal((40.0, 50.0, 60.0, 90.0, 90.0, 90.0), "P 21 21 21")
    found = IntensityMap(crystal, grid, rng.normal(size=grid.shape), sigma=np.ones(grid.shape))
    folder = tmp_path_factory.mktemp("whole")
    for suffix in SUFFIXES:
        write_map(found, folder / f"map{suffix}")
    return Contents({suffix: (folder / f"map{suffix}").read_bytes() for suffix in SUFFIXES})


def crystal_of_contents():
    from unstill.crystal import Crystal

    return Crystal((40.0, 50.0, 60.0, 90.0, 90.0, 90.0), "P 21 21 21")


@given(fraction=st.floats(0, 0.9999), suffix=st.sampled_from(SUFFIXES))
def test_a_file_cut_anywhere_gives_a_format_error(
    tmp_path_factory, contents, fraction, suffix
) -> None:
    whole = contents[suffix]
    cut = whole[: int(fraction * len(whole))]
    if suffix == ".hkl" and cut.endswith(b"\n") and cut.count(b"\n") > 7:
        return  # a list that ends with a whole line is a shorter list
    if suffix == ".mtz" and cut.rstrip() == whole.rstrip():
        return  # only the blanks after the end of the headers are missing
    path = tmp_path_factory.mktemp("cut") / f"map{suffix}"
    path.write_bytes(cut)
    with pytest.raises(FormatError) as raised:
        read_map(path, crystal=crystal_of_contents())
    assert raised.value.fix


@given(data=st.data(), suffix=st.sampled_from(SUFFIXES))
def test_a_flipped_byte_gives_an_unstill_error_or_a_map(
    tmp_path_factory, contents, data, suffix
) -> None:
    whole = bytearray(contents[suffix])
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("flip") / f"map{suffix}"
    path.write_bytes(bytes(whole))
    # Text and float32 formats carry no checksum: a changed digit is a changed value.
    with suppress(UnstillError):
        assert read_map(path, crystal=crystal_of_contents()).grid.size > 0


def test_a_damaged_voxel_of_our_own_file_is_noticed(tmp_path, contents) -> None:
    import h5py

    path = tmp_path / "map.nxs"
    path.write_bytes(contents[".nxs"])
    with h5py.File(path) as file:
        chunk = file["entry/map/intensity"].id.get_chunk_info(0)
    whole = bytearray(contents[".nxs"])
    whole[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    path.write_bytes(bytes(whole))
    with pytest.raises(FormatError, match="cannot be read"):
        read_map(path)


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"hello world\n", b"%PDF-1.4 nothing\n", os.urandom(5000)]
)
@pytest.mark.parametrize("suffix", [*SUFFIXES, ".dat"])
def test_foreign_content_gives_a_format_error(tmp_path, content, suffix) -> None:
    path = tmp_path / f"map{suffix}"
    path.write_bytes(content)
    with pytest.raises(FormatError) as raised:
        read_map(path, crystal=crystal_of_contents())
    assert raised.value.fix


def test_a_newer_version_asks_for_an_update(tmp_path, contents) -> None:
    import h5py

    path = tmp_path / "map.nxs"
    path.write_bytes(contents[".nxs"])
    with h5py.File(path, "r+") as file:
        file.attrs["unstill_format_version"] = 99
    with pytest.raises(FormatError, match="newer unstill"):
        read_map(path)


def test_block_sums_are_not_mistaken_for_a_map(tmp_path) -> None:
    write_block_sums(some_sums(), tmp_path / "b.nxs")
    with pytest.raises(FormatError, match="block-sums"):
        read_map(tmp_path / "b.nxs")


def some_sums() -> BlockSums:
    rng = np.random.default_rng(3)
    shape = (4, 2, 50)
    return BlockSums(
        crystal=crystal_of_contents(),
        divisions=(2, 2, 1),
        index=rng.integers(-9, 9, (50, 3)).astype(np.int32),
        s1=rng.normal(size=shape) + 1j * rng.normal(size=shape),
        s2=rng.uniform(size=shape),
        weight=np.array([1.0, 2, 3, 4]),
        weight_squared=np.array([1.0, 4, 9, 16]),
        n_frames=np.array([1, 2, 3, 4]),
        selections=("all", "protein"),
        provenance={"command": "unstill diffuse"},
    )


def test_block_sums_round_trip_to_the_bit(tmp_path) -> None:
    sums = some_sums()
    write_block_sums(sums, tmp_path / "b.nxs")
    back = read_block_sums(tmp_path / "b.nxs")
    for name in ("index", "s1", "s2", "weight", "weight_squared", "n_frames"):
        first, second = getattr(sums, name), getattr(back, name)
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second)
    assert (back.crystal, back.divisions) == (sums.crystal, sums.divisions)
    assert tuple(back.selections) == sums.selections
    assert back.provenance == sums.provenance


@given(fraction=st.floats(0, 0.9999))
def test_block_sums_cut_anywhere_give_a_format_error(tmp_path_factory, fraction) -> None:
    path = tmp_path_factory.mktemp("sums") / "b.nxs"
    write_block_sums(some_sums(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(fraction * len(whole))])
    with pytest.raises(FormatError):
        read_block_sums(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_leaves_the_earlier_file_and_nothing_else(tmp_path, make_map, suffix) -> None:
    path = tmp_path / f"map{suffix}"
    path.write_bytes(b"earlier")
    found = make_map()
    with full_disk(300), pytest.raises(OutputError):
        write_map(found, path)
    assert path.read_bytes() == b"earlier"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


class full_disk:
    """Let no file grow beyond some bytes, as a full disk would."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __enter__(self) -> None:
        self._handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._size, self._limits[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)
        signal.signal(signal.SIGXFSZ, self._handler)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_missing_folder_is_named(tmp_path, make_map, suffix) -> None:
    with pytest.raises(OutputError, match="folder does not exist"):
        write_map(make_map(), tmp_path / "nowhere" / f"map{suffix}")
    assert not (Path(tmp_path) / "nowhere").exists()
