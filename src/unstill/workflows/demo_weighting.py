"""Weights of a 50:50 ensemble of two states against a map of another mixture of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unstill.crystal.hkl_grid import Triple
from unstill.diffuse import diffuse_intensity, stream_members
from unstill.ensembles import Ensemble
from unstill.errors import UnstillWarning
from unstill.maps import BlockSums, IntensityMap
from unstill.maps.members import BlockMembers, MemberSource
from unstill.shapes import Int
from unstill.weighting import Options, WeighResult
from unstill.weighting.prepare import prepare
from unstill.weighting.states import StatePopulation, state_populations
from unstill.weighting.weigh import weigh_by_sigmoids, weigh_prepared
from unstill.workflows.two_state_frames import SIGMA, two_state_frames

SHARE = 0.8
"""Share of state A in the truth; half of the frames are in it."""

N_FRAMES, N_TRUTH = 120, 240
BOX: Triple = (2, 2, 2)
NOISE = 0.3
"""Of the simulated measurement, in units of the spread of the map."""

HOLDOUT = 0.2
"""Share of the data that no fit sees; a tenth of so coarse a map tells little from chance."""

_DWELL = 5
_STEPS = 5


@dataclass(frozen=True)
class Swing:
    """A loop that knows two places.

    Parameters
    ----------
    first, last
        Residues whose Cα atoms are the hinges.
    angle
        By which it turns (degrees).
    d_min
        Resolution of the map (Å).
    """

    first: int
    last: int
    angle: float = 60.0
    d_min: float = 4.0


@dataclass(frozen=True, eq=False)
class WeightingDemo:
    """What weighing found, beside the truth and the published recipe.

    Parameters
    ----------
    swing
        The loop.
    share
        State A in the truth.
    state
        ``(n_frames,)`` 0 for A, 1 for B.
    n_truth
        Frames behind the truth, none of which is weighed.
    sigma
        Rigid-body motion of every molecule (Å).
    found
        Maximum entropy.
    recipe
        The published recipe on the same data, and on permuted ones.
    populations
        Of both states, with errors.
    """

    swing: Swing
    share: float
    state: Int[np.ndarray, " frames"]
    n_truth: int
    sigma: float
    found: WeighResult
    recipe: WeighResult
    populations: tuple[StatePopulation, ...]

    def share_of_a(self, weights: np.ndarray) -> float:
        """Weight of all frames in state A."""
        return float(weights[self.state == 0].sum())

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers for programs."""
        return {
            "loop": [self.swing.first, self.swing.last],
            "angle": self.swing.angle,
            "d_min": self.swing.d_min,
            "sigma": self.sigma,
            "truth": self.share,
            "n_truth": self.n_truth,
            "share_prior": self.share_of_a(self.found.prior),
            "share": self.share_of_a(self.found.weights),
            "share_recipe": self.share_of_a(self.recipe.weights),
            "states": [one.as_dict() for one in self.populations],
            "maxent": self.found.as_dict(),
            "sigmoid_cc": self.recipe.as_dict(),
        }


def weighting_demo(
    structure: Ensemble,
    swing: Swing,
    *,
    seed: int,
    workers: int,
    progress: Callable[[int, int], None],
) -> WeightingDemo:
    """Weigh half-and-half frames against a simulated map of 80:20.

    Truth and frames share nothing but the structure: the map is that of frames
    of their own, with noise and the σ of that noise.
    """
    # The state changes now and then, as in a simulation.
    state = np.resize(np.repeat([0, 1], _DWELL), N_FRAMES)
    everything = np.concatenate([state, np.resize([0, 1], N_TRUTH)])
    loop = (swing.first, swing.last)
    frames = two_state_frames(structure, loop, swing.angle, everything, seed=seed)
    source = stream_members(
        frames,
        BOX,
        swing.d_min,
        remove_drift=False,
        workers=workers,
        progress=lambda done, total: progress(2 * done // total, _STEPS),
    )
    sums, truth = _split(source, everything)
    observed = _measured(truth, seed)
    ready = prepare(BlockMembers(sums), observed)
    progress(3, _STEPS)
    options = Options(holdout=HOLDOUT, seed=seed, workers=workers)
    found = weigh_prepared(ready, options)
    progress(4, _STEPS)
    with warnings.catch_warnings():
        # That the recipe collapses is what it is here to show.
        warnings.simplefilter("ignore", UnstillWarning)
        recipe = weigh_by_sigmoids(ready, replace(options, n_null=3, force=True))
    progress(_STEPS, _STEPS)
    labels = np.where(state == 0, "A, in its place", "B, swung out")
    populations = state_populations(
        labels, found.weights, found.prior, found.n_frames, found.weight_draws
    )
    return WeightingDemo(swing, SHARE, state, N_TRUTH, SIGMA, found, recipe, populations)


def _split(source: MemberSource, state: np.ndarray) -> tuple[BlockSums, BlockSums]:
    """Frames to weigh, and the weighted sums of the frames behind the truth."""
    n_points = len(source.index)
    f = np.zeros((N_FRAMES, 1, n_points), dtype=np.complex128)
    s1, s2 = np.zeros((2, 1, n_points), np.complex128), np.zeros((2, 1, n_points))
    for number, member in enumerate(source.members()):
        if number < N_FRAMES:
            f[number, 0] = member.f_mean
            continue
        s1[state[number], 0] += member.f_mean
        s2[state[number], 0] += member.f_squared
    n_each = np.array([N_TRUTH - N_TRUTH // 2, N_TRUTH // 2])
    share = np.array([SHARE, 1 - SHARE]) / n_each
    ones = np.ones(N_FRAMES)
    place = (source.crystal, source.divisions, source.index)
    weighted = share[:, None, None]
    return (
        BlockSums(*place, f, np.abs(f) ** 2, ones, ones, ones.astype(np.int64)),
        BlockSums(*place, s1 * weighted, s2 * weighted, n_each * share, n_each * share**2, n_each),
    )


def _measured(truth: BlockSums, seed: int) -> IntensityMap:
    exact = diffuse_intensity(truth, with_sigma=False)
    sigma = NOISE * float(np.nanstd(exact.intensity))
    noise = np.random.default_rng([seed, 1]).normal(size=exact.grid.shape)
    # One draw for both Friedel mates, of which only one is measured.
    noise = (noise + noise[::-1, ::-1, ::-1]) / np.sqrt(2)
    return exact.replace(
        intensity=exact.intensity + sigma * noise, sigma=np.full(exact.grid.shape, sigma)
    )
