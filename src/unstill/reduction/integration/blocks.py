"""Blocks of frames: how far a crystal may turn while one row of observations is summed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.experiment import Experiment


@dataclass(frozen=True)
class Block:
    """Frames ``start`` to ``stop`` (excluded) of a sweep.

    Parameters
    ----------
    start, stop
        Frames, counted from 0.
    number
        Of the block in its sweep.
    """

    start: int
    stop: int
    number: int = 0

    def __len__(self) -> int:
        return self.stop - self.start


def blocks_of(
    experiment: Experiment, max_spread: float = 1.0, *, max_frames: int | None = None
) -> list[Block]:
    """Cut a sweep into blocks that turn by at most ``max_spread``.

    All blocks but the last have the same number of frames, so that a sweep
    that grows keeps its blocks.

    Parameters
    ----------
    experiment
        Stills, and frames that turn further than ``max_spread`` each or by an
        unknown angle, give one block a frame.
    max_spread
        Degrees.
    max_frames
        Upper limit of frames a block: fine maps of large detectors have many
        rows a frame, and a block is in memory as a whole.

    Raises
    ------
    InputError
        If ``max_spread`` is not positive.

    Examples
    --------
    >>> from unstill.experiment import Beam, Detector, Goniometer, Panel, Scan
    >>> panel = Panel((0.0, 0, 100), (1.0, 0, 0), (0.0, 1, 0), (0.1, 0.1), (10, 10))
    >>> sweep = Experiment(Beam(1.0), Detector((panel,)), Goniometer(), Scan(25, phi_step=0.1))
    >>> [len(block) for block in blocks_of(sweep)]
    [10, 10, 5]
    """
    if not (np.isfinite(max_spread) and max_spread > 0):
        raise InputError(
            "a block must turn by some angle", found=max_spread, fix="give degrees, for example 1"
        )
    size = _frames_a_block(experiment, max_spread)
    if max_frames is not None:
        size = max(1, min(size, max_frames))
    starts = range(0, experiment.n_frames, size)
    return [
        Block(start, min(start + size, experiment.n_frames), number)
        for number, start in enumerate(starts)
    ]


def _frames_a_block(experiment: Experiment, max_spread: float) -> int:
    scan = experiment.scan
    if scan is None or not scan.phi_width or not scan.phi_step:
        return 1
    step = max(abs(scan.phi_step), abs(scan.phi_width))
    # Ten frames of 0.1 degrees are one degree, whatever the last bit of 0.1 is.
    return max(1, int(max_spread / step + 1e-6))
