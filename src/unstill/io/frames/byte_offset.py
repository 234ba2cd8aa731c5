"""Byte-offset compression of CBF: differences of neighbours, a byte each where they fit.

A difference of −127 to 127 is one byte; 0x80 announces two bytes, 0x8000 after
it four, 0x80000000 after those eight (all little-endian, signed).

References
----------
International Tables for Crystallography G, 5.6 (CBFlib), doi:10.1107/97809553602060000755.
"""

from __future__ import annotations

import numpy as np

from unstill.compiled import kernel
from unstill.errors import FormatError

_LARGEST = 2**31 - 1


def decode_byte_offset(data: bytes | memoryview, n: int) -> np.ndarray:
    """Unpack pixel values.

    Parameters
    ----------
    data
        The packed bytes; more may follow after the last pixel (padding).
    n
        Number of pixels.

    Returns
    -------
    values
        ``(n,)`` int32. A value beyond int32 becomes the largest or the smallest int32.

    Raises
    ------
    FormatError
        If the bytes end before the last pixel.

    Examples
    --------
    >>> decode_byte_offset(encode_byte_offset(np.array([5, -1, 70000])), 3).tolist()
    [5, -1, 70000]
    """
    packed = np.frombuffer(data, np.uint8)
    values = np.empty(n, dtype=np.int32)
    done = _decode(packed, values)
    if done < n:
        raise FormatError(
            "the packed pixels end too early",
            found=f"{packed.size} bytes with {done} pixels; expected at least "
            f"{max(n, packed.size + n - done)} bytes for {n} pixels",
            fix="the file may be cut short; copy it again",
        )
    return values


def encode_byte_offset(values: np.ndarray) -> bytes:
    """Pack pixel values.

    Parameters
    ----------
    values
        Any shape; integers that fit in int32.

    Returns
    -------
    data
        The packed bytes, without padding.
    """
    flat = np.ascontiguousarray(values, dtype=np.int32).ravel()
    packed = np.empty(_packed_size(flat), dtype=np.uint8)
    _encode(flat, packed)
    return packed.tobytes()


@kernel
def _decode(packed: np.ndarray, values: np.ndarray) -> int:
    """Fill ``values``; return how many there were bytes for."""
    place, size = 0, packed.size
    value = np.int64(0)
    for i in range(values.size):
        if place >= size:
            return i
        step = np.int64(np.int8(packed[place]))
        place += 1
        if step == -128:
            if place + 2 > size:
                return i
            step = np.int64(
                np.int16(np.uint16(packed[place]) | np.uint16(packed[place + 1]) << np.uint16(8))
            )
            place += 2
            if step == -32768:
                if place + 4 > size:
                    return i
                step = _signed(packed, place, 4)
                place += 4
                if step == -2147483648:
                    if place + 8 > size:
                        return i
                    step = _signed(packed, place, 8)
                    place += 8
        value += step
        values[i] = min(max(value, -_LARGEST - 1), _LARGEST)
    return values.size


@kernel
def _signed(packed: np.ndarray, place: int, n_bytes: int) -> np.int64:
    """Signed little-endian integer of 4 or 8 bytes."""
    word = np.uint64(0)
    for k in range(n_bytes):
        word |= np.uint64(packed[place + k]) << np.uint64(8 * k)
    if n_bytes == 4:
        return np.int64(np.int32(np.uint32(word)))
    return np.int64(word)


@kernel
def _packed_size(values: np.ndarray) -> int:
    """Bytes that :func:`_encode` writes."""
    size = 0
    last = np.int64(0)
    for i in range(values.size):
        step = np.abs(np.int64(values[i]) - last)
        last = np.int64(values[i])
        size += 1 if step < 128 else 3 if step < 32768 else 7 if step <= _LARGEST else 15
    return size


@kernel
def _encode(values: np.ndarray, packed: np.ndarray) -> None:
    """Write the differences into ``packed``, which has just room for them."""
    place = 0
    last = np.int64(0)
    for i in range(values.size):
        step = np.int64(values[i]) - last
        last = np.int64(values[i])
        size = np.abs(step)
        n_bytes = 1
        if size > 127:
            packed[place] = 0x80
            place += 1
            n_bytes = 2
        if size > 32767:
            packed[place] = 0x00
            packed[place + 1] = 0x80
            place += 2
            n_bytes = 4
        if size > _LARGEST:
            packed[place] = packed[place + 1] = packed[place + 2] = 0x00
            packed[place + 3] = 0x80
            place += 4
            n_bytes = 8
        for k in range(n_bytes):
            packed[place] = np.uint8((step >> (8 * k)) & 0xFF)
            place += 1
