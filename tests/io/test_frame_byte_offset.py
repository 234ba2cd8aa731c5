"""Byte-offset packing: what goes in comes out, as fabio packs it too."""

from __future__ import annotations

import numpy as np
import pytest
from fabio.compression import compByteOffset, decByteOffset
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from unstill.errors import FormatError
from unstill.io.frames.byte_offset import decode_byte_offset, encode_byte_offset

EDGES = np.array(
    [
        0,
        127,
        0,
        -128,
        0,
        128,
        0,
        32767,
        0,
        -32768,
        0,
        32768,
        -1,
        -2,
        2**31 - 1,
        -(2**31),
        2**31 - 1,
    ],
    dtype=np.int32,
)
int32_arrays = arrays(
    np.int32,
    st.integers(0, 200),
    elements=st.one_of(st.integers(-3, 200), st.integers(-(2**31), 2**31 - 1)),
)


@given(int32_arrays)
def test_unpacking_undoes_packing(values: np.ndarray) -> None:
    assert np.array_equal(decode_byte_offset(encode_byte_offset(values), values.size), values)


@given(arrays(np.int32, st.integers(1, 200), elements=st.integers(-3, 10**9)))
def test_fabio_packs_the_same_bytes(values: np.ndarray) -> None:
    assert encode_byte_offset(values) == bytes(compByteOffset(values))
    unpacked = decByteOffset(encode_byte_offset(values), size=values.size)
    assert np.array_equal(unpacked, values)


def test_steps_of_every_width_survive() -> None:
    packed = encode_byte_offset(EDGES)
    assert np.array_equal(decode_byte_offset(packed, EDGES.size), EDGES)
    # Padding after the last pixel does no harm.
    assert np.array_equal(decode_byte_offset(packed + bytes(9), EDGES.size), EDGES)


@given(int32_arrays.filter(len), st.data())
def test_cut_data_are_refused_with_the_byte_counts(
    values: np.ndarray, data: st.DataObject
) -> None:
    packed = encode_byte_offset(values)
    cut = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(FormatError, match=f"{cut} bytes .* expected at least"):
        decode_byte_offset(packed[:cut], values.size)


def test_values_beyond_int32_stop_at_its_ends() -> None:
    step = (2**31 - 1).to_bytes(4, "little", signed=True)
    packed = b"\x80\x00\x80" + step + b"\x80\x00\x80" + step
    assert decode_byte_offset(packed, 2).tolist() == [2**31 - 1, 2**31 - 1]
