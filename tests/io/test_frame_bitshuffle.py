"""Unpacking bitshuffle and LZ4 ourselves gives what HDF5 gives, and refuses damage."""

from __future__ import annotations

from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.errors import FormatError
from unstill.io.frames.bitshuffle_lz4 import unpack_counts
from unstill.io.frames.pixel_values import as_counts, rule_for

HERE = Path("x.h5")


def packed_chunk(values: np.ndarray, block: int) -> bytes:
    with h5py.File("in memory", "w", driver="core", backing_store=False) as file:
        packing = hdf5plugin.Bitshuffle(nelems=block, cname="lz4")
        data = file.create_dataset("data", data=values, chunks=values.shape, **packing)
        skipped, packed = data.id.read_direct_chunk((0, 0))
        assert skipped == 0
        return bytes(packed)


@st.composite
def images(draw: st.DrawFn) -> np.ndarray:
    """Draw counts as of a detector, or any bits; noise, runs and sizes that are not round."""
    dtype = np.dtype(draw(st.sampled_from(["u1", "u2", "u4", "i2", "i4"])))
    shape = (draw(st.integers(1, 40)), draw(st.integers(8, 61)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(["poisson", "bits", "steps", "same"]))
    info = np.iinfo(dtype)
    if kind == "bits":
        return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    if kind == "poisson":
        return np.minimum(rng.poisson(rng.exponential(20), shape), info.max).astype(dtype)
    if kind == "same":
        return np.full(shape, rng.integers(info.min, info.max, dtype=dtype), dtype)
    return (np.arange(np.prod(shape)) // 37 % 100).astype(dtype).reshape(shape)


@given(images(), st.sampled_from([0, 8, 64, 1000]), st.booleans())
def test_counts_are_those_that_hdf5_unpacks(values: np.ndarray, block: int, masked: bool) -> None:
    mask = (values % 7 == 0).astype(np.uint8) if masked else None
    rule = rule_for(values.dtype, 90)
    unpacked = unpack_counts(
        HERE, packed_chunk(values, block), values.dtype, values.shape, rule, mask
    )
    assert np.array_equal(unpacked, as_counts(HERE, values, rule, mask))


@given(images(), st.data())
def test_damaged_chunks_are_refused_or_give_an_image(
    values: np.ndarray, data: st.DataObject
) -> None:
    packed = bytearray(packed_chunk(values, 0))
    rule = rule_for(values.dtype)
    cut = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(FormatError, match=f"chunk of {cut} bytes"):
        unpack_counts(HERE, bytes(packed[:cut]), values.dtype, values.shape, rule)
    for _ in range(20):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        counts = unpack_counts(HERE, bytes(packed), values.dtype, values.shape, rule)
    except FormatError:
        return
    assert counts.shape == values.shape
