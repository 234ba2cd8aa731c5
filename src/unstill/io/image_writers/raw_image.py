"""Panels of a detector as one image, as files hold them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unstill.errors import InputError
from unstill.experiment import INVALID, OVERLOADED, Detector


def raw_shape(detector: Detector) -> tuple[int, int]:
    """Rows and columns of the image that holds all panels at their offsets."""
    rows = max(panel.offset[1] + panel.image_size[1] for panel in detector.panels)
    columns = max(panel.offset[0] + panel.image_size[0] for panel in detector.panels)
    return rows, columns


def raw_image(frames: Sequence[np.ndarray], detector: Detector) -> np.ndarray:
    """Put the panels of one frame at their offsets; ``INVALID`` between them.

    Returns
    -------
    image
        ``(slow, fast)`` int32.

    Raises
    ------
    InputError
        If the arrays are not those of the panels.
    """
    if [values.shape for values in frames] != [panel.shape for panel in detector.panels]:
        raise InputError(
            "the frame does not fit the detector",
            found=[values.shape for values in frames],
            fix=f"give arrays of {[panel.shape for panel in detector.panels]}",
        )
    if len(frames) == 1 and not any(detector.panels[0].offset):
        return np.asarray(frames[0], dtype=np.int32)
    image = np.full(raw_shape(detector), INVALID, dtype=np.int32)
    for values, panel in zip(frames, detector.panels, strict=True):
        fast, slow = panel.offset
        image[slow : slow + values.shape[0], fast : fast + values.shape[1]] = values
    return image


def with_cutoff(image: np.ndarray, cutoff: float | None) -> tuple[np.ndarray, int]:
    """Replace overloaded pixels by the number that marks them in a signed file.

    Parameters
    ----------
    image
        int32 with ``OVERLOADED`` pixels.
    cutoff
        Largest count that can be trusted; ``None`` where nothing is cut off.

    Returns
    -------
    image, mark
        The mark is one above the cut-off: readers take it and more as overloaded.

    Raises
    ------
    InputError
        If a pixel is overloaded and no cut-off is known, or a count is above it.
    """
    mark = 2**31 - 1 if cutoff is None or cutoff >= 2**31 - 1 else int(cutoff) + 1
    highest = int(image.max(initial=0))
    if highest >= mark:
        raise InputError(
            "a count is above the cut-off of the detector",
            found=f"{highest}, cut-off {mark - 1}",
            fix="mark such pixels as overloaded, or give a higher cut-off",
        )
    return np.where(image == OVERLOADED, np.int32(mark), image), mark
