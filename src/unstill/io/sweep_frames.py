"""Which frames of a source belong to which sweep."""

from __future__ import annotations

import re
import warnings
from pathlib import PurePath

from unstill.errors import InputError, UnstillWarning
from unstill.experiment import Experiment, FrameSource, FrameSubset

_MANY_FRAMES = (".h5", ".nxs", ".hdf5")


def match_frames(
    experiment: Experiment, source: FrameSource
) -> tuple[Experiment, FrameSource] | None:
    """Find the frames of a source that belong to an experiment.

    Images are told by the numbers in their file names, frames of one file that
    holds many by the numbers it gives them, or their order, image 1 first. A source
    without numbers and with no more frames than the scan is taken as it is. Frames
    that a source has although their files are missing stay, without a measurement.

    Parameters
    ----------
    experiment
        Its scan gives the numbers of the images.
    source
        All frames there are, for example of an image pattern that several
        sweeps share.

    Returns
    -------
    experiment, source
        The experiment, without frames at its beginning or end that have no
        image (with a warning), and its frames; ``None`` if the sweep has no image.

    Raises
    ------
    InputError
        If images in the middle of the sweep are missing.
    """
    if source.n_frames == 0:
        return None
    indices, scan = experiment.images.indices, experiment.scan
    if indices and source.n_frames > len(indices):
        return experiment, FrameSubset(source, indices)
    if scan is None or scan.open_ended:
        return experiment, source
    numbers = _image_numbers(source)
    if not numbers:
        if source.n_frames <= scan.n_frames:
            return experiment, source
        numbers = list(range(1, source.n_frames + 1))
    at = {number: index for index, number in enumerate(numbers)}
    found = [number for number in scan.image_numbers if number in at]
    if not found:
        # A scan that was made from a later data file alone counts its frames from 1.
        alone = scan.first_image == 1 and source.n_frames == scan.n_frames
        own = alone and source.files()[0].endswith(_MANY_FRAMES)
        return (experiment, source) if own else None
    _check_gaps(experiment, found)
    start = found[0] - scan.first_image
    if len(found) < scan.n_frames:
        warnings.warn(
            f"the sweep {experiment.name!r} has images {found[0]} to {found[-1]} only, of "
            f"{scan.first_image} to {scan.image_numbers[-1]}",
            UnstillWarning,
            stacklevel=2,
        )
        experiment = experiment.part(start, start + len(found))
    if found == numbers:
        return experiment, source
    return experiment, FrameSubset(source, tuple(at[number] for number in found))


def _image_numbers(source: FrameSource) -> list[int]:
    """Numbers at the end of the file names, one a frame, or those that the source knows."""
    files = source.files()
    if len(files) != source.n_frames or files[0].endswith(_MANY_FRAMES):
        # Sources know the numbers of frames without a file, and of later data files.
        return list(getattr(source, "image_numbers", ()))
    numbers = []
    for file in files:
        name = re.sub(r"\.(gz|bz2)$", "", PurePath(file).name)
        found = re.search(r"(\d+)\.[A-Za-z]\w*$", name)
        if found is None:
            return []
        numbers.append(int(found[1]))
    return numbers if len(set(numbers)) == len(numbers) else []


def _check_gaps(experiment: Experiment, found: list[int]) -> None:
    missing = sorted(set(range(found[0], found[-1] + 1)) - set(found))
    if missing:
        shown = ", ".join(map(str, missing[:10])) + (" …" if len(missing) > 10 else "")
        raise InputError(
            f"images in the middle of the sweep {experiment.name!r} are missing",
            found=f"no image {shown} between {found[0]} and {found[-1]}",
            fix="copy them, or give the parts before and after as two experiments",
        )
