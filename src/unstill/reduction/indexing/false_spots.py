"""Which spots are no reflections: defects that stay, and tails torn off strong spots."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from unstill.experiment import Experiment
from unstill.reduction.indexing.spots import Spots

_TORN = 0.1
_PERSISTENT = 0.6
_FEWEST_FRAMES, _LEAST_TURN = 5, 3.0


def is_persistent(experiment: Experiment, spots: Spots) -> np.ndarray:
    """Which spots stay at one place on most frames: defects, or the direct beam."""
    scan = experiment.scan
    n = experiment.n_frames
    none = np.zeros(len(spots), bool)
    if scan is None or n < _FEWEST_FRAMES or abs(scan.phi_step) * n < _LEAST_TURN:
        return none
    seen = spots.last_frame - spots.first_frame + 1
    places = np.stack([spots.panel, np.rint(spots.fast / 3), np.rint(spots.slow / 3)], axis=1)
    _, place = np.unique(places, axis=0, return_inverse=True)
    together = np.bincount(place.ravel(), weights=seen)
    constant: np.ndarray = together[place.ravel()] > _PERSISTENT * n
    return constant


def is_fragment(spots: Spots) -> np.ndarray:
    """Which spots are torn-off tails of a spot ten times as strong, within its own size."""
    n_frames = spots.last_frame - spots.first_frame + 1
    reach = 2 + 1.5 * np.sqrt(spots.n_pixels / n_frames / np.pi)
    torn = np.zeros(len(spots), bool)
    for panel in np.unique(spots.panel):
        here = np.flatnonzero(spots.panel == panel)
        tree = cKDTree(np.stack([spots.fast[here], spots.slow[here]], axis=1))
        close = tree.query_ball_point(tree.data, reach[here], return_sorted=True)
        for strong, around in zip(here, close, strict=True):
            if len(around) > 1:
                near = here[around]
                weak = spots.intensity[near] < _TORN * spots.intensity[strong]
                weak &= spots.first_frame[near] <= spots.last_frame[strong] + 1
                weak &= spots.last_frame[near] >= spots.first_frame[strong] - 1
                torn[near[weak]] = True
    return torn
