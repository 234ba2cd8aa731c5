"""SMV images of ADSC and similar detectors, also gzipped.

The header is text between braces, ``KEY=VALUE;``. A pixel at or above
``CCD_IMAGE_SATURATION`` is overloaded. ``IMAGE_PEDESTAL`` is not subtracted from the
pixels; the header gives it as ``pedestal``, and ``GAIN`` as ``gain``.

``BEAM_CENTER_X`` and ``BEAM_CENTER_Y`` are in mm in the convention of MOSFLM, as
ADSC writes them: X runs along the slow direction, Y along the fast one. Some
beamlines write them the other way round, so take them as a first guess only.
"""

from __future__ import annotations

import gzip
import math
import re
from pathlib import Path

import numpy as np

from unstill.errors import FormatError
from unstill.experiment import FrameHeader
from unstill.io.frames.pixel_values import LIMIT, ValueRule, as_counts
from unstill.io.reading import REMEDY, parsing, unpacked

_TYPES = {
    "unsigned_char": "u1",
    "unsigned_short": "u2",
    "unsigned short int": "u2",
    "signed_short": "i2",
    "short": "i2",
    "short int": "i2",
    "unsigned_long": "u4",
    "unsigned_int": "u4",
    "unsigned long int": "u4",
    "signed_long": "i4",
    "long": "i4",
    "long int": "i4",
    "int": "i4",
    "float": "f4",
}
_ORDERS = {"little_endian": "<", "big_endian": ">"}
_SIZE = re.compile(rb"HEADER_BYTES\s*=\s*(\d+)\s*;")


def read_smv(path: Path) -> np.ndarray:
    """Read the pixels of an SMV file.

    Returns
    -------
    counts
        ``(slow, fast)`` int32, with ``OVERLOADED`` pixels marked.

    Raises
    ------
    FormatError
        If the file is no SMV image, is cut short, or of an unknown type.
    """
    with parsing(path, "an SMV image"):
        content = unpacked(path)
        said, start = _fields(path, content)
        fast, slow = _image_size(path, said)
        dtype = _dtype(path, said)
        expected = fast * slow * dtype.itemsize
        there = max(len(content) - start, 0)
        if there < expected:
            raise FormatError(
                f"{path.name} is cut short",
                found=f"{path}: {there} bytes of pixels, expected {expected}",
                fix="copy the file again",
            )
        raw = np.frombuffer(content, dtype, count=fast * slow, offset=start)
        saturation = _saturation(said) or LIMIT
        # Whatever counted more was clipped to the largest number of the type.
        clipped = LIMIT if dtype.kind == "f" else int(np.iinfo(dtype).max)
        rule = ValueRule(overloaded_from=min(int(saturation), clipped))
        return as_counts(path, raw.reshape(slow, fast), rule)


def read_smv_header(path: Path) -> FrameHeader:
    """Read the header of an SMV file.

    Raises
    ------
    FormatError
        If the file is no SMV image.
    """
    with parsing(path, "an SMV image"):
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as stream:
            said, _ = _fields(path, stream.read(1 << 16))
        pixel = _number(said, "PIXEL_SIZE")
        center_x, center_y = _number(said, "BEAM_CENTER_X"), _number(said, "BEAM_CENTER_Y")
        center = None
        if pixel and center_x is not None and center_y is not None:
            center = (center_y / pixel, center_x / pixel)
        saturation = _saturation(said)
        return FrameHeader(
            phi_start=_number(said, "OSC_START", "PHI"),
            phi_width=_number(said, "OSC_RANGE"),
            exposure_time=_number(said, "TIME"),
            wavelength=_number(said, "WAVELENGTH"),
            distance=_number(said, "DISTANCE"),
            beam_center=center,
            pixel_size=(pixel, pixel) if pixel else None,
            image_size=_image_size(path, said),
            count_cutoff=None if saturation is None else saturation - 1,
            gain=_number(said, "GAIN") or None,
            pedestal=_number(said, "IMAGE_PEDESTAL"),
            detector=" ".join(["ADSC", said["DETECTOR_SN"]]) if "DETECTOR_SN" in said else None,
            timestamp=said.get("DATE"),
            other=said,
        )


def _fields(path: Path, content: bytes) -> tuple[dict[str, str], int]:
    """Return the fields of the header, and where the pixels begin."""
    size = _SIZE.search(content[:512])
    if not content.startswith(b"{") or size is None:
        raise FormatError(
            f"{path.name} is not an SMV image",
            found=f"{path}: it begins with {content[:8]!r}",
            fix=REMEDY,
        )
    start = int(size[1])
    header = content[:start].decode("latin-1").split("}", 1)[0].lstrip("{")
    pairs = (line.partition("=") for line in header.split(";"))
    return {key.strip(): value.strip() for key, sign, value in pairs if sign}, start


def _image_size(path: Path, said: dict[str, str]) -> tuple[int, int]:
    fast, slow = _number(said, "SIZE1"), _number(said, "SIZE2")
    if not fast or not slow or min(fast, slow) < 1 or fast % 1 or slow % 1:
        raise FormatError(
            f"the header of {path.name} does not say how large the image is",
            found=f"{path}: SIZE1 = {said.get('SIZE1')}, SIZE2 = {said.get('SIZE2')}",
            fix=REMEDY,
        )
    return int(fast), int(slow)


def _dtype(path: Path, said: dict[str, str]) -> np.dtype:
    kind = said.get("TYPE", said.get("Data_type", "unsigned_short"))
    code = _TYPES.get(kind.strip().lower())
    if code is None or said.get("COMPRESSION", "none").lower() not in ("none", "no"):
        raise FormatError(
            f"the pixels of {path.name} are of a type that is not known here",
            found=f"{path}: TYPE = {kind}, COMPRESSION = {said.get('COMPRESSION', 'none')}",
            fix=f"write them uncompressed as one of {', '.join(_TYPES)}",
        )
    order = said.get("BYTE_ORDER", "little_endian").strip().lower()
    if order not in _ORDERS:
        raise FormatError(
            f"the order of the bytes of {path.name} is not known",
            found=f"{path}: BYTE_ORDER = {order}",
            fix=f"write one of {', '.join(_ORDERS)}",
        )
    return np.dtype(_ORDERS[order] + code)


def _saturation(said: dict[str, str]) -> float | None:
    found = _number(said, "CCD_IMAGE_SATURATION")
    return found if found and found > 0 else None


def _number(said: dict[str, str], *keys: str) -> float | None:
    """Return the first of several fields that holds a finite number."""
    for key in keys:
        try:
            value = float(said[key].split()[0])
        except (KeyError, IndexError, ValueError):
            continue
        if math.isfinite(value):
            return value
    return None
