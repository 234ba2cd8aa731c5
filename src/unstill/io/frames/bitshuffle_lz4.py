"""Chunks packed with bitshuffle and LZ4, as Eiger detectors write them.

HDF5 unpacks one chunk at a time, whatever the number of threads. Here threads
unpack side by side, and counts come out in one pass.

A chunk begins with the number of bytes (8, big-endian) and the block size in
bytes (4); then each block follows after its packed size (4). Within a block the
bits of 8 neighbouring elements are transposed: first all lowest bits, 8 elements
a byte, then the next ones. Elements beyond the last multiple of 8 follow as they are.

References
----------
Masui et al. (2015), doi:10.1016/j.ascom.2015.07.002; the block format of LZ4.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unstill.compiled import kernel
from unstill.errors import FormatError
from unstill.experiment import INVALID, OVERLOADED
from unstill.io.frames.pixel_values import LIMIT, ValueRule

HEADER_BYTES = 12
_DEFAULT_BLOCK = 8192
_LARGEST_BLOCK = 1 << 24


def unpack_counts(
    path: Path,
    packed: bytes,
    dtype: np.dtype,
    shape: tuple[int, ...],
    rule: ValueRule,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """Unpack one chunk to int32 counts, with invalid and overloaded pixels marked.

    Parameters
    ----------
    path
        For messages.
    packed
        The chunk as it is stored.
    dtype
        Of its elements: little-endian integers of 1, 2 or 4 bytes.
    shape
        Of the image.
    rule
        Which numbers are not counts.
    mask
        uint8 of the same shape; pixels that are not zero are invalid.

    Raises
    ------
    FormatError
        If the chunk is damaged or of another size.
    """
    n = int(np.prod(shape))
    chunk = np.frombuffer(packed, np.uint8)
    n_bytes = int.from_bytes(packed[:8], "big")
    block = int.from_bytes(packed[8:HEADER_BYTES], "big") or _DEFAULT_BLOCK
    counts = np.empty(n, dtype=np.int32)
    bad = np.zeros(0, np.uint8) if mask is None else np.ascontiguousarray(mask).reshape(-1)
    sound = n_bytes == n * dtype.itemsize and block <= _LARGEST_BLOCK
    per_block = block // dtype.itemsize
    top = min(rule.overloaded_from, LIMIT)
    if not (
        sound
        and per_block % 8 == 0
        and _unpack(
            chunk, dtype.itemsize, dtype.kind == "i", per_block, rule.invalid, top, bad, counts
        )
    ):
        raise FormatError(
            f"a frame of {path.name} is damaged",
            found=f"{path}: a chunk of {len(packed)} bytes that does not unpack to "
            f"{n * dtype.itemsize} bytes",
            fix="copy the file again",
        )
    return counts.reshape(shape)


@kernel
def _unpack(
    chunk: np.ndarray,
    size: int,
    signed: bool,
    per_block: int,
    invalid: int,
    top: int,
    bad: np.ndarray,
    counts: np.ndarray,
) -> bool:
    """Unpack all blocks into ``counts``; return whether the chunk made sense."""
    planes = np.empty(per_block * size, dtype=np.uint8)
    place = np.int64(HEADER_BYTES)
    n = counts.size
    whole = n - n % 8
    start = 0
    while start < whole:
        m = min(per_block, whole - start)
        if place + 4 > chunk.size:
            return False
        length = np.int64(0)
        for k in range(4):
            length = length << 8 | np.int64(chunk[place + k])
        place += 4
        if place + length > chunk.size:
            return False
        if not _lz4(chunk, place, place + length, planes, m * size):
            return False
        place += length
        _transpose(planes, m, size, counts[start : start + m])
        start += m
    if place + (n - whole) * size > chunk.size:
        return False
    for i in range(whole, n):
        word = np.uint32(0)
        for k in range(size):
            word |= np.uint32(chunk[place + k]) << np.uint32(8 * k)
        counts[i] = np.int32(word)
        place += size
    _mark(counts, size, signed, invalid, top, bad)
    return True


@kernel
def _lz4(chunk: np.ndarray, begin: int, end: int, out: np.ndarray, n_out: int) -> bool:
    """Unpack one LZ4 block; return whether it fills ``n_out`` bytes."""
    place, done = np.int64(begin), np.int64(0)
    while place < end:
        token = np.int64(chunk[place])
        literals, place = _length(chunk, place + 1, end, token >> 4)
        if place + literals > end or done + literals > n_out:
            return False
        _copy(chunk[place : place + literals], out[done : done + literals])
        place += literals
        done += literals
        if place == end:
            break
        if place + 2 > end:
            return False
        offset = np.int64(chunk[place]) | np.int64(chunk[place + 1]) << 8
        length, place = _length(chunk, place + 2, end, token & 15)
        origin, final = done - offset, done + length + 4
        if offset == 0 or origin < 0 or final > n_out:
            return False
        # A match may overlap what it writes; then what is there doubles with every step.
        while done < final:
            step = min(done - origin, final - done)
            _copy(out[origin : origin + step], out[done : done + step])
            done += step
    return bool(done == n_out)


@kernel
def _length(
    chunk: np.ndarray, place: np.int64, end: int, nibble: np.int64
) -> tuple[np.int64, np.int64]:
    """Read a length: a nibble, and more bytes while they are full; and where it ends."""
    length = nibble
    more = np.int64(255)
    while nibble == 15 and more == 255 and place < end:
        more = np.int64(chunk[place])
        length += more
        place += 1
    return length, place


@kernel
def _copy(source: np.ndarray, target: np.ndarray) -> None:
    for i in range(target.size):
        target[i] = source[i]


@kernel
def _transpose(planes: np.ndarray, m: int, size: int, values: np.ndarray) -> None:
    """Put the bits of ``m`` elements together; a value is the bits of up to 32."""
    row = m // 8
    first = True
    for k in range(size):
        part = planes[8 * k * row : 8 * (k + 1) * row]
        if first or _any(part):
            for distance, mask in ((4, 0x0F), (2, 0x33), (1, 0x55)):
                for b in range(8):
                    if b & distance == 0:
                        _swap(
                            part[b * row : (b + 1) * row],
                            part[(b + distance) * row : (b + distance + 1) * row],
                            distance,
                            mask,
                        )
            _interleave(part, row, 8 * k, first, values)
        first = False


@kernel
def _any(part: np.ndarray) -> bool:
    found = np.uint8(0)
    for i in range(part.size):
        found |= part[i]
    return bool(found != 0)


@kernel
def _swap(low: np.ndarray, high: np.ndarray, distance: int, mask: int) -> None:
    """Exchange the upper bits of one plane with the lower bits of another."""
    for i in range(low.size):
        swap = (low[i] >> distance ^ high[i]) & mask
        high[i] ^= swap
        low[i] ^= swap << distance


@kernel
def _interleave(part: np.ndarray, row: int, shift: int, first: bool, values: np.ndarray) -> None:
    """Take one byte of every element from the eight planes in turn."""
    for j in range(row):
        for i in range(8):
            byte = np.int32(np.uint32(part[i * row + j]) << np.uint32(shift))
            values[8 * j + i] = byte if first else values[8 * j + i] | byte


@kernel
def _mark(
    counts: np.ndarray, size: int, signed: bool, invalid: int, top: int, bad: np.ndarray
) -> None:
    """Turn the bits of the elements into counts, in place."""
    low = np.int64(1) << np.int64(8 * size)
    for i in range(counts.size):
        value = np.int64(counts[i])
        if value < 0:
            value += np.int64(1) << np.int64(32)
        if signed and value >= low >> 1:
            value -= low
        if value < 0 or value == invalid or (bad.size > 0 and bad[i] != 0):
            counts[i] = INVALID
        elif value >= top:
            counts[i] = OVERLOADED
        else:
            counts[i] = value
