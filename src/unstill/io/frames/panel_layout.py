"""Where the panels of a detector lie in what a file calls one image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unstill.errors import FormatError, InputError
from unstill.experiment import Detector


@dataclass(frozen=True)
class PanelLayout:
    """How one raw image is cut into panels.

    Parameters
    ----------
    raw_shape
        ``(slow, fast)``, or ``(panel, slow, fast)`` for a stack.
    boxes
        A panel each: first row, row after the last, first column, column after
        the last. Rows of a stack are counted through all panels.
    """

    raw_shape: tuple[int, ...]
    boxes: tuple[tuple[int, int, int, int], ...]

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of every panel."""
        return tuple((bottom - top, right - left) for top, bottom, left, right in self.boxes)

    def cut(self, path: Path, raw: np.ndarray) -> tuple[np.ndarray, ...]:
        """Cut an image into contiguous panels.

        Raises
        ------
        FormatError
            If the image has another size than the first one.
        """
        if raw.shape != self.raw_shape:
            raise FormatError(
                f"the image {path.name} has another size than the others",
                found=f"{path}: {in_words(raw.shape)}, expected {in_words(self.raw_shape)} "
                "(slow × fast)",
                fix="give the images of one sweep of one detector",
            )
        rows = raw.reshape(-1, raw.shape[-1])
        return tuple(
            np.ascontiguousarray(rows[top:bottom, left:right])
            for top, bottom, left, right in self.boxes
        )


def panel_layout(raw_shape: tuple[int, ...], detector: Detector | None) -> PanelLayout:
    """Find the panels in images of a shape.

    An image is one panel, or it is cut by ``Panel.offset`` and ``Panel.image_size``;
    panels of one size that all say offset (0, 0) may also lie one below the other.
    A stack ``(panel, slow, fast)`` has its panels in order.

    Parameters
    ----------
    raw_shape
        ``(slow, fast)`` or ``(panel, slow, fast)``.
    detector
        ``None``: whatever the file has.

    Raises
    ------
    InputError
        If the detector does not fit the images; both shapes are given.
    """
    rows, columns = int(np.prod(raw_shape[:-1])), raw_shape[-1]
    if len(raw_shape) not in (2, 3) or min(raw_shape) < 1:
        raise InputError(
            "an image of the file is neither one picture nor a stack of panels",
            found=f"{len(raw_shape)} dimensions: {in_words(raw_shape)}",
            fix="store frames as (frame, slow, fast) or (frame, panel, slow, fast)",
        )
    if len(raw_shape) == 3 or detector is None:
        height = raw_shape[-2]
        stacked = tuple((top, top + height, 0, columns) for top in range(0, rows, height))
        layout = PanelLayout(raw_shape, stacked)
        if detector is not None and layout.shapes != _shapes(detector):
            raise _mismatch(raw_shape, detector)
        return layout
    return PanelLayout(raw_shape, _boxes(raw_shape, detector))


def in_words(shape: tuple[int, ...]) -> str:
    """``(195, 487)`` as ``195 × 487``."""
    return " × ".join(str(size) for size in shape)


def _boxes(
    raw_shape: tuple[int, ...], detector: Detector
) -> tuple[tuple[int, int, int, int], ...]:
    rows, columns = raw_shape
    offsets = [panel.offset for panel in detector.panels]
    shapes = _shapes(detector)
    stacked = sum(height for height, _ in shapes) == rows
    if len(offsets) > 1 and not np.any(offsets) and stacked:
        starts = np.cumsum([0, *(height for height, _ in shapes)]).tolist()
        offsets = [(0, start) for start in starts[:-1]]
    boxes = tuple(
        (top, top + height, left, left + width)
        for (left, top), (height, width) in zip(offsets, shapes, strict=True)
    )
    whole = len(boxes) > 1 or any(offsets[0]) or shapes[0] == (rows, columns)
    inside = all(
        top >= 0 and left >= 0 and bottom <= rows and right <= columns
        for top, bottom, left, right in boxes
    )
    if not (whole and inside) or _overlap(boxes):
        raise _mismatch(raw_shape, detector)
    return boxes


def _overlap(boxes: tuple[tuple[int, int, int, int], ...]) -> bool:
    return any(
        max(a[0], b[0]) < min(a[1], b[1]) and max(a[2], b[2]) < min(a[3], b[3])
        for i, a in enumerate(boxes)
        for b in boxes[:i]
    )


def _shapes(detector: Detector) -> tuple[tuple[int, int], ...]:
    return tuple(panel.shape for panel in detector.panels)


def _mismatch(raw_shape: tuple[int, ...], detector: Detector) -> InputError:
    shapes = _shapes(detector)
    described = in_words(shapes[0])
    if len(shapes) > 1:
        offsets = ", ".join(str(panel.offset) for panel in detector.panels[:3])
        described = f"{len(shapes)} panels, the first {described}, at offsets {offsets} …"
    return InputError(
        "the images do not fit the detector of the experiment",
        found=f"images of {in_words(raw_shape)}, detector of {described} (slow × fast)",
        fix="give the images that this geometry was refined with, or the geometry of these images",
    )
