"""The size of blocks follows from what a frame sweeps."""

from __future__ import annotations

import numpy as np
import pytest
from small_sweep import small_experiment

from unstill.reduction.integration import block_frames
from unstill.reduction.integration.block_frames import frames_that_fit, touched
from unstill.reduction.integration.blocks import Block
from unstill.reduction.integration.integrate import integrate_block
from unstill.reduction.integration.tables import pixel_tables


class Flat:
    """Frames of ones."""

    n_frames = 10

    def __init__(self, shapes):
        self.shapes = shapes

    def read(self, index):
        return tuple(np.ones(shape, np.int32) for shape in self.shapes)


@pytest.mark.parametrize("divisions", [(1, 1, 1), (3, 3, 3), (2, 4, 3)])
def test_rows_are_as_many_as_foreseen(divisions):
    experiment = small_experiment(size=256, panels=2)
    source = Flat([panel.shape for panel in experiment.detector.panels])
    area, swept = touched(experiment, divisions)
    for n in (1, 10):
        rows = integrate_block(
            experiment, source, Block(0, n), pixel_tables(experiment), peaks=None,
            divisions=divisions,
        ).coarse  # fmt: skip
        assert len(rows) == pytest.approx(area + n * swept, rel=0.3)


def test_blocks_shrink_as_the_grid_gets_finer(monkeypatch):
    experiment = small_experiment(size=256, n_frames=40)
    assert frames_that_fit(experiment, (1, 1, 1)) >= 40
    monkeypatch.setattr(block_frames, "BYTES_OF_BLOCK", 8 << 20)
    coarse = frames_that_fit(experiment, (1, 1, 1))
    assert coarse > frames_that_fit(experiment, (1, 1, 1), (3, 3, 3)) >= 1
    assert frames_that_fit(experiment, (9, 9, 9)) == 1


def test_a_still_sweeps_nothing():
    still = small_experiment(n_frames=1).replace(scan=None, goniometer=None)
    assert touched(still, (2, 2, 2))[1] == 0
    assert frames_that_fit(still, (2, 2, 2)) == 1
