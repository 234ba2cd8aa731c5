"""Block sums that are read one block at a time: the same bits, and no more than is asked for."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest

from unstill.crystal import Crystal
from unstill.errors import FormatError, InputError
from unstill.io import open_block_sums, read_block_sums, write_block_sums
from unstill.maps.block_sums import BlockSums
from unstill.maps.members import BlockMembers, Member, MemberSource

CRYSTAL = Crystal((30.0, 40.0, 50.0, 90.0, 90.0, 90.0), "P 21 21 21")


def some_sums(n_blocks: int = 5, n_points: int = 70) -> BlockSums:
    rng = np.random.default_rng(8)
    shape = (n_blocks, 2, n_points)
    return BlockSums(
        crystal=CRYSTAL,
        divisions=(2, 2, 1),
        index=rng.integers(-9, 9, (n_points, 3)).astype(np.int32),
        s1=rng.normal(size=shape) + 1j * rng.normal(size=shape),
        s2=rng.uniform(size=shape),
        weight=rng.uniform(1, 3, n_blocks),
        weight_squared=rng.uniform(1, 3, n_blocks),
        n_frames=rng.integers(1, 9, n_blocks),
        selections=("all", "protein"),
        provenance={"command": "unstill diffuse"},
    )


def in_older_layout(path: Path) -> None:
    """Store the sums again in the chunks that h5py guesses, as files were written before."""
    with h5py.File(path, "r+") as file:
        group = file["entry/sums"]
        for name in ("s1", "s2"):
            values = group[name][()]
            del group[name]
            group.create_dataset(name, data=values, compression="gzip", fletcher32=True)


def assert_same_members(found: MemberSource, expected: MemberSource) -> None:
    pairs: list[tuple[Member, Member]] = list(
        zip(found.members(), expected.members(), strict=True)
    )
    assert len(pairs) == found.n_members == expected.n_members > 0
    for one, other in pairs:
        np.testing.assert_array_equal(one.f_mean, other.f_mean)
        np.testing.assert_array_equal(one.f_squared, other.f_squared)
        assert one.f_mean.dtype == np.complex128
        assert (one.weight, one.n_frames) == (other.weight, other.n_frames)
    np.testing.assert_array_equal(found.index, expected.index)
    assert (found.crystal, found.divisions) == (expected.crystal, expected.divisions)


@pytest.mark.parametrize("selection", ["all", "protein"])
@pytest.mark.parametrize("older", [False, True])
def test_the_members_are_those_of_the_sums_in_memory_to_the_bit(
    tmp_path, selection, older
) -> None:
    path = tmp_path / "b.nxs"
    sums = some_sums()
    write_block_sums(sums, path)
    if older:
        in_older_layout(path)
        with h5py.File(path) as file:
            assert file["entry/sums/s1"].chunks[0] > 1
    found = open_block_sums(path, selection=selection)
    assert_same_members(found, BlockMembers(sums, selection))
    assert_same_members(found, BlockMembers(read_block_sums(path), selection))
    assert found.describe() == {
        "file": str(path),
        "selection": selection,
        "sums": {"command": "unstill diffuse"},
    }


def test_no_chunk_spans_two_blocks_or_is_larger_than_a_few_megabytes(tmp_path) -> None:
    write_block_sums(some_sums(3, 70_000), tmp_path / "b.nxs")
    with h5py.File(tmp_path / "b.nxs") as file:
        for name in ("s1", "s2"):
            assert file["entry/sums"][name].chunks == (1, 1, 65536)


def test_a_block_is_read_without_touching_the_chunks_of_others(tmp_path) -> None:
    path = tmp_path / "b.nxs"
    sums = some_sums()
    write_block_sums(sums, path)
    with h5py.File(path) as file:
        stored = file["entry/sums/s1"].id
        chunk = stored.get_chunk_info_by_coord((3, 0, 0))
    whole = bytearray(path.read_bytes())
    whole[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    path.write_bytes(bytes(whole))
    members = open_block_sums(path).members()
    for block in range(3):
        assert np.array_equal(next(members).f_mean, sums.s1[block, 0] / sums.weight[block])
    with pytest.raises(FormatError, match=r"b\.nxs cannot be read as an unstill block-sums file"):
        next(members)
    # Nor the chunks of another selection.
    assert len(list(open_block_sums(path, selection="protein").members())) == 5


@pytest.mark.parametrize("older", [False, True])
def test_each_number_is_read_once_in_a_pass(tmp_path, monkeypatch, older) -> None:
    path = tmp_path / "b.nxs"
    write_block_sums(some_sums(40, 3000), path)
    if older:
        in_older_layout(path)
    source = open_block_sums(path)
    got: dict[str, int] = {}
    most = 0
    read = h5py.Dataset.__getitem__

    def counted(dataset, *arguments):
        nonlocal most
        found = read(dataset, *arguments)
        got[dataset.name] = got.get(dataset.name, 0) + found.size
        most = max(most, len(found))
        return found

    monkeypatch.setattr(h5py.Dataset, "__getitem__", counted)
    assert len(list(source.members())) == 40
    assert got == {"/entry/sums/s1": 40 * 3000, "/entry/sums/s2": 40 * 3000}
    assert most == 1 or (older and most < 40)


def test_memory_is_that_of_a_few_blocks_whatever_their_number(tmp_path) -> None:
    n_points = 30_000
    write_block_sums(some_sums(40, n_points), tmp_path / "b.nxs")
    source = open_block_sums(tmp_path / "b.nxs")
    tracemalloc.start()
    try:
        # The last of the members is held by the loop while the next is made.
        total = sum(float(member.f_squared.sum()) for member in source.members())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total > 0
    assert peak < 6 * 24 * n_points


def test_a_pass_can_be_left_and_taken_up_again_from_the_start(tmp_path) -> None:
    sums = some_sums()
    write_block_sums(sums, tmp_path / "b.nxs")
    source = open_block_sums(tmp_path / "b.nxs")
    first, second = source.members(), source.members()
    next(first)
    next(first)
    assert np.array_equal(next(second).f_mean, sums.s1[0, 0] / sums.weight[0])
    first.close()
    assert len(list(source.members())) == 5


def test_what_is_no_file_of_block_sums_is_refused(tmp_path) -> None:
    (tmp_path / "text.nxs").write_text("hello")
    with pytest.raises(FormatError, match="cannot be read"):
        open_block_sums(tmp_path / "text.nxs")
    with h5py.File(tmp_path / "other.nxs", "w") as file:
        file["x"] = 1
    with pytest.raises(FormatError, match="not an unstill block-sums file"):
        open_block_sums(tmp_path / "other.nxs")
    with pytest.raises(FileNotFoundError):
        open_block_sums(tmp_path / "none.nxs")
    write_block_sums(some_sums(), tmp_path / "b.nxs")
    with pytest.raises(InputError, match="'water' where there are all, protein"):
        open_block_sums(tmp_path / "b.nxs", selection="water")


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_a_block_without_a_weight_is_refused(tmp_path, value) -> None:
    write_block_sums(some_sums(), tmp_path / "b.nxs")
    with h5py.File(tmp_path / "b.nxs", "r+") as file:
        file["entry/sums/weight"][2] = value
    with pytest.raises(FormatError, match="in block 2"):
        open_block_sums(tmp_path / "b.nxs")


def test_sums_that_do_not_fit_the_points_are_refused(tmp_path) -> None:
    path = tmp_path / "b.nxs"
    write_block_sums(some_sums(), path)
    source = open_block_sums(path)
    write_block_sums(some_sums(n_points=60), path)
    with pytest.raises(FormatError, match=r"found \(5, 2, 60\), expected \(5, 2, 70\)"):
        next(source.members())
    with h5py.File(path, "r+") as file:
        del file["entry/sums/s2"]
        file["entry/sums/s2"] = np.ones((5, 2, 59))
    with pytest.raises(FormatError, match=r"s2 in b\.nxs does not fit"):
        open_block_sums(path)
