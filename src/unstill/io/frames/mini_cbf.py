"""Mini-CBF of Pilatus and Eiger detectors, also gzipped.

The header is a block of comments (``# Exposure_time 0.1 s``), with any CIF items
after it; those are not read. The pixels are int32 in byte-offset compression.
A pixel at or above ``Count_cutoff`` is overloaded: the detector writes the cut-off
for whatever counted more.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unstill.errors import FormatError
from unstill.experiment import FrameHeader
from unstill.io.frames.byte_offset import decode_byte_offset
from unstill.io.frames.header_text import header_from_comments
from unstill.io.frames.pixel_values import LIMIT, ValueRule, as_counts
from unstill.io.reading import REMEDY, parsing, unpacked

BINARY_START = b"\x0c\x1a\x04\xd5"
"""Stands before the packed pixels."""

_SECTION = b"--CIF-BINARY-FORMAT-SECTION--"
_HEADER_BYTES = 65536


def read_cbf(path: Path) -> np.ndarray:
    """Read the pixels of a mini-CBF file.

    Returns
    -------
    counts
        ``(slow, fast)`` int32, with ``INVALID`` and ``OVERLOADED`` pixels marked.

    Raises
    ------
    FormatError
        If the file is no CBF, is cut short, its checksum is wrong, or the pixels
        are packed in another way.
    """
    with parsing(path, "a CBF image"):
        content = unpacked(path)
        described, start = _description(path, content)
        packed = memoryview(content)[start : start + described.n_bytes]
        _check(path, packed, described)
        fast, slow = described.image_size
        values = decode_byte_offset(packed, fast * slow).reshape(slow, fast)
        return as_counts(path, values, _rule(content[:start]), reuse=True)


def read_cbf_header(path: Path) -> FrameHeader:
    """Read the header of a mini-CBF file and none of its pixels.

    Raises
    ------
    FormatError
        If the file is no CBF.
    """
    with parsing(path, "a CBF image"):
        content = _front(path)
        described, start = _description(path, content)
        return header_from_comments(_comments(content[:start]), described.image_size)


@dataclass(frozen=True)
class _Binary:
    """What the MIME header says of the packed pixels."""

    n_bytes: int
    image_size: tuple[int, int]
    md5: str | None


def _front(path: Path) -> bytes:
    """Return the file up to the pixels at least."""
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as stream:
        content = b""
        while BINARY_START not in content and len(content) < 64 * _HEADER_BYTES:
            more = stream.read(_HEADER_BYTES)
            if not more:
                break
            content += more
    return content


def _description(path: Path, content: bytes) -> tuple[_Binary, int]:
    if not content.startswith(b"###CBF"):
        raise FormatError(
            f"{path.name} is not a CBF image",
            found=f"{path}: it begins with {content[:8]!r}",
            fix=REMEDY,
        )
    start = content.find(BINARY_START)
    section = content.rfind(_SECTION, 0, max(start, 0))
    if start < 0 or section < 0:
        raise FormatError(
            f"{path.name} holds no pixels", found=f"{path}: a header only", fix=REMEDY
        )
    mime = content[section:start].decode("latin-1")
    packing = _mime(mime, r'conversions="?([\w-]+)"?') or "none"
    if packing != "x-CBF_BYTE_OFFSET":
        raise FormatError(
            f"the pixels of {path.name} are packed in a way that is not known here",
            found=f"{path}: conversions = {packing}",
            fix="write them in byte-offset compression (x-CBF_BYTE_OFFSET)",
        )
    sizes = [_mime(mime, rf"X-Binary-{key}:\s*(\d+)") for key in _SIZES]
    if None in sizes:
        raise FormatError(
            f"the header of {path.name} does not say how large the image is",
            found=dict(zip(_SIZES, sizes, strict=True)),
            fix=REMEDY,
        )
    n_bytes, fast, slow = (int(size or 0) for size in sizes)
    md5 = _mime(mime, r"Content-MD5:\s*([\w+/=]+)")
    return _Binary(n_bytes, (fast, slow), md5), start + len(BINARY_START)


_SIZES = ("Size", "Size-Fastest-Dimension", "Size-Second-Dimension")


def _mime(text: str, pattern: str) -> str | None:
    found = re.search(pattern, text)
    return found[1] if found else None


def _check(path: Path, packed: memoryview, described: _Binary) -> None:
    """Compare length and checksum with what the header announces."""
    if len(packed) < described.n_bytes:
        raise FormatError(
            f"{path.name} is cut short",
            found=f"{path}: {len(packed)} bytes of pixels, expected {described.n_bytes}",
            fix="copy the file again",
        )
    fast, slow = described.image_size
    if fast * slow > described.n_bytes:
        raise FormatError(
            f"the header of {path.name} contradicts itself",
            found=f"{path}: {fast} × {slow} pixels in {described.n_bytes} bytes",
            fix=REMEDY,
        )
    if described.md5 is None:
        return
    digest = hashlib.md5(packed, usedforsecurity=False).digest()
    if base64.b64encode(digest).decode() != described.md5:
        raise FormatError(
            f"the pixels of {path.name} are damaged",
            found=f"{path}: the MD5 checksum is {base64.b64encode(digest).decode()}, "
            f"expected {described.md5}",
            fix="copy the file again",
        )


def _comments(header: bytes) -> str:
    """Return the comments of the mini-header; a template for the full header may follow."""
    text = header.decode("latin-1")
    start = max(text.find("_array_data.header_contents"), 0)
    end = text.find("\n;", text.find("\n;", start) + 2)
    return text[start : end if end > 0 else len(text)]


def _rule(header: bytes) -> ValueRule:
    found = re.search(rb"Count_cutoff\s+(\d+)", header)
    cutoff = int(found[1]) if found else 0
    return ValueRule(overloaded_from=cutoff if 0 < cutoff < LIMIT else LIMIT)
