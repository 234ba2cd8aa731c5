"""Frames on a pipe between unstill and a predictor: a JSON header, then raw arrays.

::

    4 bytes   magic
    4 bytes   length of the header (unsigned, little endian)
    header    a JSON object in UTF-8; its "arrays" are [[name, dtype, shape], ...]
    arrays    one after the other, row by row, little endian

Both sides read this file: unstill imports it, the worker loads it by its path
in the predictor's own Python. It therefore needs the standard library and
numpy, and nothing of unstill.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

PROTOCOL = 1
"""Version of the messages; both sides must speak the same."""

MAGIC = b"\x93uP\x01"
DTYPES = ("<f4", "<f8", "<i4", "<i8")
MAX_HEADER = 1 << 28
MAX_ARRAYS = 1 << 34


class BrokenFrameError(ValueError):
    """What came over the pipe is no frame."""


def encode(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> bytes:
    """Bytes of a frame.

    Parameters
    ----------
    header
        What JSON can hold, without NaN.
    arrays
        Name → array of a type among ``DTYPES``.

    Raises
    ------
    BrokenFrameError
        If an array has another type.
    """
    listed, raw = [], []
    for name, array in (arrays or {}).items():
        dtype = array.dtype.newbyteorder("<").str
        if dtype not in DTYPES:
            raise BrokenFrameError(f"array {name!r} of type {array.dtype} cannot be sent")
        listed.append([name, dtype, list(array.shape)])
        raw.append(np.ascontiguousarray(array, dtype=dtype).tobytes())
    text = json.dumps({**header, "arrays": listed}, allow_nan=False).encode()
    if len(text) > MAX_HEADER:
        raise BrokenFrameError(f"a header of {len(text)} bytes is too long to be sent")
    return b"".join([MAGIC, len(text).to_bytes(4, "little"), text, *raw])


def decode(read: Callable[[int], bytes]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of the frame that comes next.

    Parameters
    ----------
    read
        Gives exactly the number of bytes that it is asked for, or raises.

    Raises
    ------
    BrokenFrameError
        If what comes is no frame.
    """
    magic = read(4)
    if magic != MAGIC:
        raise BrokenFrameError(f"bytes {magic!r} where a frame should begin")
    length = int.from_bytes(read(4), "little")
    if length > MAX_HEADER:
        raise BrokenFrameError(f"a header of {length} bytes")
    try:
        header = json.loads(read(length).decode())
    except (ValueError, RecursionError) as error:
        raise BrokenFrameError(f"a header that is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise BrokenFrameError(f"a header that is no object but {type(header).__name__}")
    arrays, total = {}, 0
    for name, dtype, shape in _listed(header.pop("arrays", [])):
        size = math.prod(shape) * np.dtype(dtype).itemsize
        total += size
        if total > MAX_ARRAYS:
            raise BrokenFrameError(f"arrays of {total} bytes")
        arrays[name] = np.frombuffer(read(size), dtype=dtype).reshape(shape).copy()
    return header, arrays


def _listed(listed: Any) -> list[tuple[str, str, tuple[int, ...]]]:
    try:
        found = [(str(name), str(dtype), tuple(shape)) for name, dtype, shape in listed]
    except (TypeError, ValueError) as error:
        raise BrokenFrameError(f"a list of arrays that is none: {listed!r:.80}") from error
    for name, dtype, shape in found:
        if dtype not in DTYPES or not all(isinstance(n, int) and n >= 0 for n in shape):
            raise BrokenFrameError(f"array {name!r} of type {dtype} and shape {shape}")
    return found
