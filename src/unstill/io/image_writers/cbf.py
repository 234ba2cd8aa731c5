"""Mini-CBF, as Pilatus detectors write it."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import numpy as np

from unstill.experiment import FrameHeader
from unstill.io.atomic import atomic_path
from unstill.io.frames.byte_offset import encode_byte_offset
from unstill.io.image_writers.header_comments import header_comments
from unstill.io.image_writers.raw_image import with_cutoff

_PADDING = 4095


def write_cbf(path: Path, frame: np.ndarray, header: FrameHeader) -> None:
    """Write one frame in byte-offset compression.

    Parameters
    ----------
    path
        Where the file shall stand.
    frame
        ``(slow, fast)`` int32, with ``INVALID`` and ``OVERLOADED`` pixels.
    header
        Its ``count_cutoff`` is the largest count that can be trusted.

    Raises
    ------
    OutputError
        If it cannot be written.
    InputError
        If a count is above the cut-off.
    """
    path = Path(path)
    image, mark = with_cutoff(np.asarray(frame, dtype=np.int32), header.count_cutoff)
    packed = encode_byte_offset(image)
    content = _front(path.stem, image.shape, packed, header_comments(header, mark)) + packed
    content += bytes(_PADDING) + b"\r\n--CIF-BINARY-FORMAT-SECTION----\r\n;\r\n\r\n"
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _front(name: str, shape: tuple[int, ...], packed: bytes, comments: str) -> bytes:
    digest = base64.b64encode(hashlib.md5(packed, usedforsecurity=False).digest()).decode()
    text = f"""###CBF: VERSION 1.5
# mini-CBF of unstill

data_{name}

_array_data.header_convention "PILATUS_1.2"
_array_data.header_contents
;
{comments};

_array_data.data
;
--CIF-BINARY-FORMAT-SECTION--
Content-Type: application/octet-stream;
     conversions="x-CBF_BYTE_OFFSET"
Content-Transfer-Encoding: BINARY
X-Binary-Size: {len(packed)}
X-Binary-ID: 1
X-Binary-Element-Type: "signed 32-bit integer"
X-Binary-Element-Byte-Order: LITTLE_ENDIAN
Content-MD5: {digest}
X-Binary-Number-of-Elements: {shape[0] * shape[1]}
X-Binary-Size-Fastest-Dimension: {shape[1]}
X-Binary-Size-Second-Dimension: {shape[0]}
X-Binary-Size-Padding: {_PADDING}

"""
    return text.replace("\n", "\r\n").encode("latin-1", "replace") + b"\x0c\x1a\x04\xd5"
