"""How an experiment names its images."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from unstill.experiment import ImageSet

_NUMBER = re.compile(r"(\d+)(\D*)$")
_DIGITS = re.compile(r"\d+")


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

    A number without a file is a frame without a measurement:

    >>> image_set_of(["/data/run_007.cbf", "/data/run_009.cbf"], 3)[0].template
    'run_###.cbf'
    """
    paths = [Path(os.path.abspath(file)) for file in files]  # noqa: PTH100 - keeps links
    folder = str(paths[0].parent) if paths else "."
    found = _template(paths, n_frames)
    if found is not None:
        return ImageSet(template=found[0], folder=folder), found[1]
    if len(paths) != n_frames:
        paths = _holders(paths)
    if len(paths) < 2 and n_frames > 1:
        return ImageSet(template=paths[0].name if paths else "", folder=folder), 1
    return ImageSet(paths=tuple(str(path) for path in paths), folder=folder), 1


def _holders(paths: list[Path]) -> list[Path]:
    """Files that hold all frames between them, without those that they link to."""
    masters = [path for path in paths if path.stem.endswith("_master")]
    if len(masters) > 1:
        return masters
    alike = len({_DIGITS.sub("#", path.name) for path in paths}) == 1
    return paths if alike else paths[:1]


def _template(paths: Sequence[Path], n_frames: int) -> tuple[str, int] | None:
    """Template and first number of files that have one frame each; some may be missing."""
    if n_frames < 2 or len(paths) < 2 or len({path.parent for path in paths}) > 1:
        return None
    one_each = len(paths) == n_frames or not paths[0].name.endswith((".h5", ".nxs", ".hdf5"))
    first = _NUMBER.search(paths[0].name)
    if not one_each or first is None:
        return None
    start, width = int(first[1]), len(first[1])
    stem = paths[0].name[: first.start()]
    names = [f"{stem}{start + i:0{width}d}{first[2]}" for i in range(n_frames)]
    there = [path.name for path in paths]
    if there != [name for name in names if name in set(there)] or there[-1] != names[-1]:
        return None
    return f"{stem}{'#' * width}{first[2]}", start
