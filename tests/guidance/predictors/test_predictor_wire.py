"""Frames: round trips, and everything that is no frame."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from unstill.guidance.predictors import wire

TEXTS = st.text(max_size=20)
HEADERS = st.dictionaries(
    TEXTS.filter(lambda name: name != "arrays"),
    st.one_of(TEXTS, st.integers(-(2**50), 2**50), st.booleans(), st.none(), st.lists(TEXTS)),
    max_size=5,
)
ARRAYS = st.dictionaries(
    TEXTS,
    st.sampled_from(["<f4", ">f4", "<f8", "<i4", ">i8"]).flatmap(
        lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, min_side=0, max_side=4))
    ),
    max_size=3,
)


def decoded(data: bytes) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    stream = io.BytesIO(data)

    def read(size: int) -> bytes:
        found = stream.read(size)
        if len(found) < size:
            raise EOFError
        return found

    answer = wire.decode(read)
    assert not stream.read(), "a frame must be read to its end"
    return answer


@given(header=HEADERS, arrays=ARRAYS)
def test_what_is_sent_arrives(header: dict[str, object], arrays: dict[str, np.ndarray]) -> None:
    found, received = decoded(wire.encode(header, arrays))
    assert found == header
    assert list(received) == list(arrays)
    for name, array in arrays.items():
        assert received[name].shape == array.shape
        np.testing.assert_array_equal(received[name], array)
        received[name][...] = 0


@given(data=st.binary(max_size=60))
def test_noise_is_no_frame(data: bytes) -> None:
    with pytest.raises((wire.BrokenFrameError, EOFError)):
        decoded(data)


@given(cut=st.integers(0, 200), change=st.integers(1, 255))
def test_a_damaged_frame_is_refused_or_holds_no_more_than_was_sent(cut: int, change: int) -> None:
    whole = wire.encode({"type": "denoise", "id": 3}, {"x": np.arange(12.0).reshape(1, 4, 3)})
    data = bytearray(whole)
    data[cut % len(whole)] ^= change
    try:
        _, arrays = decoded(bytes(data))
    except (wire.BrokenFrameError, EOFError, AssertionError):
        return
    assert sum(array.nbytes for array in arrays.values()) <= 96


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"arrays": 3}',
        b'{"arrays": [["x", "<f8"]]}',
        b'{"arrays": [["x", "|O", [1]]]}',
        b'{"arrays": [["x", "<f8", [-1]]]}',
        b'{"arrays": [["x", "<f8", [1.5]]]}',
        b'{"arrays": [["x", "<f8", [99999999999]]]}',
    ],
)
def test_headers_that_make_no_sense_are_refused(text: bytes) -> None:
    with pytest.raises(wire.BrokenFrameError):
        decoded(wire.MAGIC + len(text).to_bytes(4, "little") + text)


def test_a_header_of_absurd_length_is_refused_before_it_is_read() -> None:
    with pytest.raises(wire.BrokenFrameError, match="4294967295"):
        decoded(wire.MAGIC + b"\xff\xff\xff\xff")


def test_arrays_of_other_types_are_not_sent() -> None:
    with pytest.raises(wire.BrokenFrameError, match="complex128"):
        wire.encode({}, {"x": np.zeros(2, dtype=complex)})
