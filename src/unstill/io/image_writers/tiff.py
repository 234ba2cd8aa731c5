"""TIFF with the comments of Pilatus software."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from unstill.experiment import FrameHeader
from unstill.io.atomic import atomic_path
from unstill.io.image_writers.header_comments import header_comments
from unstill.io.image_writers.raw_image import with_cutoff


def write_tiff(path: Path, frame: np.ndarray, header: FrameHeader) -> None:
    """Write one frame as signed 32-bit integers.

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
    image, mark = with_cutoff(np.asarray(frame, dtype=np.int32), header.count_cutoff)
    comments = header_comments(header, mark)
    with atomic_path(Path(path)) as temporary:
        tifffile.imwrite(temporary, image, description=comments, metadata=None, software="unstill")
