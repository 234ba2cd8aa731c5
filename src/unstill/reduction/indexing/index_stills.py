"""Index frames one by one, each as a still of its own crystal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from unstill.errors import InputError
from unstill.experiment import Experiment, FrameSource, FrameSubset, ImageSet
from unstill.parallel import ordered_map
from unstill.reduction.indexing.index import index_frames
from unstill.reduction.indexing.options import IndexOptions
from unstill.reduction.indexing.result import IndexResult


@dataclass(frozen=True, eq=False)
class StillsResult:
    """What became of stills.

    Parameters
    ----------
    indexed
        Results by the number of the frame.
    failed
        By the number of the frame, why it was not indexed.
    """

    indexed: dict[int, IndexResult]
    failed: dict[int, str]


def index_stills(
    experiment: Experiment, source: FrameSource, *, options: IndexOptions, workers: int = 1
) -> StillsResult:
    """Index every frame by itself; the cell must be known.

    Parameters
    ----------
    experiment
        Geometry that all frames share; its scan and goniometer are left out.
    source
        The frames.
    options
        With a unit cell.
    workers
        Processes to use.

    Raises
    ------
    InputError
        If the cell is unknown, or no frame can be indexed.
    """
    if options.unit_cell is None:
        raise InputError(
            "stills are indexed with a known cell only",
            found="no unit cell",
            fix="give it with --unit-cell a,b,c,alpha,beta,gamma",
        )
    still = experiment.replace(scan=None, goniometer=None, lattice=None)
    setup = partial(_task, still, source, options)
    outcomes = list(ordered_map(setup, range(source.n_frames), workers=workers))
    indexed = {i: one for i, one in enumerate(outcomes) if isinstance(one, IndexResult)}
    failed = {i: one for i, one in enumerate(outcomes) if isinstance(one, str)}
    if not indexed:
        raise InputError(
            "no still could be indexed",
            found=f"{len(failed)} frames; the first: {failed[0]}",
            fix="check the cell, the distance and the beam centre",
        )
    return StillsResult(indexed, failed)


def _task(
    still: Experiment, source: FrameSource, options: IndexOptions
) -> Callable[[int], IndexResult | str]:
    def task(index: int) -> IndexResult | str:
        one = still.replace(images=_image(still.images, source, index), name=f"still {index + 1}")
        try:
            return index_frames(one, FrameSubset(source, (index,)), options=options)
        except InputError as error:
            return str(error)

    return task


def _image(images: ImageSet, source: FrameSource, index: int) -> ImageSet:
    files = source.files()
    if len(files) == source.n_frames:
        return ImageSet(paths=(files[index],), folder=images.folder)
    return ImageSet(
        template=images.template, paths=images.paths, indices=(index,), folder=images.folder
    )
