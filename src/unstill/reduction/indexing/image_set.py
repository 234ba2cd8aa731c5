"""How an experiment names its images."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from unstill.experiment import ImageSet

_NUMBER = re.compile(r"(\d+)(\D*)$")


def image_set_of(files: Sequence[str], n_frames: int) -> tuple[ImageSet, int]:
    """Name images by a template, where numbers follow each other, or else by their paths.

    Parameters
    ----------
    files
        Paths behind the frames, in order.
    n_frames
        Number of frames.

    Returns
    -------
    images, first_image
        With absolute paths; the number of the first image, 1 where names have none.

    Examples
    --------
    >>> images, first = image_set_of(["/data/run_007.cbf", "/data/run_008.cbf"], 2)
    >>> images.template, first
    ('run_###.cbf', 7)
    """
    paths = [Path(os.path.abspath(file)) for file in files]  # noqa: PTH100 - keeps links
    folder = str(paths[0].parent) if paths else "."
    if len(paths) != n_frames:
        # One file holds the frames; further files are those that it links to.
        return ImageSet(template=paths[0].name if paths else "", folder=folder), 1
    numbers = [_NUMBER.search(path.name) for path in paths]
    first = numbers[0]
    if first is not None and n_frames > 1:
        start, width = int(first[1]), len(first[1])
        stem = paths[0].name[: first.start()]
        expected = [f"{stem}{start + i:0{width}d}{first[2]}" for i in range(n_frames)]
        same_folder = all(path.parent == paths[0].parent for path in paths)
        if same_folder and expected == [path.name for path in paths]:
            return ImageSet(template=f"{stem}{'#' * width}{first[2]}", folder=folder), start
    return ImageSet(paths=tuple(str(path) for path in paths), folder=folder), 1
