"""TIFF images, also gzipped: one picture a file, with the comments of Pilatus software if any."""

from __future__ import annotations

import logging
from io import BytesIO
from pathlib import Path

import numpy as np
import tifffile

from unstill.errors import FormatError
from unstill.experiment import FrameHeader
from unstill.io.frames.header_text import header_from_comments
from unstill.io.frames.pixel_values import LIMIT, ValueRule, as_counts, rule_for
from unstill.io.reading import parsing, unpacked

# What is wrong with a file is told once, by us.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


def read_tiff(path: Path) -> np.ndarray:
    """Read the pixels of a TIFF file.

    The largest number of an unsigned type of 16 bits or less, and anything at or
    above ``Count_cutoff``, is an overload; with 32 bits the largest two are as
    Dectris writes them.

    Returns
    -------
    counts
        ``(slow, fast)`` int32, with ``INVALID`` and ``OVERLOADED`` pixels marked.

    Raises
    ------
    FormatError
        If the file is damaged, holds several pictures or colours, or its numbers
        are not whole.
    """
    with parsing(path, "a TIFF image"), tifffile.TiffFile(BytesIO(unpacked(path))) as file:
        page = _page(path, file)
        raw = page.asarray()
        if raw.ndim != 2:
            raise FormatError(
                f"{path.name} is not a picture of counts",
                found=f"{path}: array of shape {raw.shape}",
                fix="give images with one number a pixel",
            )
        cutoff = header_from_comments(page.description).count_cutoff
        return as_counts(path, raw, _rule(raw.dtype, cutoff))


def read_tiff_header(path: Path) -> FrameHeader:
    """Read the header of a TIFF file.

    Raises
    ------
    FormatError
        If the file is damaged or holds several pictures.
    """
    with parsing(path, "a TIFF image"), tifffile.TiffFile(BytesIO(unpacked(path))) as file:
        page = _page(path, file)
        return header_from_comments(page.description, (page.imagewidth, page.imagelength))


def _page(path: Path, file: tifffile.TiffFile) -> tifffile.TiffPage:
    if len(file.pages) != 1:
        raise FormatError(
            f"{path.name} is a stack of pictures",
            found=f"{path}: {len(file.pages)} pages",
            fix="give one file a frame",
        )
    return file.pages.first


def _rule(dtype: np.dtype, cutoff: float | None) -> ValueRule:
    top = int(cutoff) + 1 if cutoff and 0 < cutoff < LIMIT else LIMIT
    if dtype.kind == "u" and dtype.itemsize <= 2:
        return ValueRule(overloaded_from=min(top, int(np.iinfo(dtype).max)))
    return rule_for(dtype, None if top == LIMIT else top - 1)
