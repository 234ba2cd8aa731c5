"""Frames that do not look like the others are named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from small_sweep import ArraySource, poisson_source, small_experiment

from unstill.experiment import FrameHeader
from unstill.reduction.integration.integrate import integrate_sweep
from unstill.reduction.integration.tables import pixel_tables
from unstill.reduction.survey.frame_check import check_frames, check_statistics, spans
from unstill.reduction.survey.frame_statistics import join_statistics


def statistics(images, experiment):
    tables = pixel_tables(experiment)
    blocks = integrate_sweep(
        experiment,
        ArraySource([(image,) for image in images]),
        tables,
        peaks=None,
        divisions=(2, 2, 2),
    )
    return join_statistics([block.frames for block in blocks])


def test_beam_trips_closed_shutters_and_overloads_are_named():
    experiment = small_experiment(n_frames=40)
    source = poisson_source(experiment, lambda hkl: np.full(hkl.shape[:-1], 2e5))
    images = [frame[0].copy() for frame in source.frames]
    assert check_statistics(statistics(images, experiment)) == []
    images[3][:] = 0
    for number in (10, 11, 12):
        images[number] = np.random.default_rng(1).binomial(images[number], 0.2).astype(np.int32)
    images[20] = images[20] * 3
    images[25][:, 50] = -2
    images[30][:] = -1
    found = {f.code: f for f in check_statistics(statistics(images, experiment))}
    assert "image 4" in found["empty-frames"].found
    assert "image 11-13" in found["dark-frames"].found
    assert "image 21" in found["bright-frames"].found
    assert "image 26" in found["overloads"].found
    assert "image 31" in found["no-pixels"].found


def test_a_header_of_another_distance_is_named_with_both_values():
    experiment = small_experiment(n_frames=2, time=1.0)
    source = poisson_source(experiment, lambda hkl: np.full(hkl.shape[:-1], 2e5))

    class Told(ArraySource):
        def header(self, index):
            return replace(FrameHeader(), distance=80.0, wavelength=0.9762)

    check = check_frames(experiment, Told(source.frames), pixel_tables(experiment))
    found = {finding.code: finding for finding in check.findings}
    assert "80 mm in the header and 60 mm in the geometry" in found["header-distance"].found
    assert "header-wavelength" not in found


def test_many_ranges_are_shortened():
    assert spans(np.arange(0, 40, 2)).endswith("and 12 more ranges")
