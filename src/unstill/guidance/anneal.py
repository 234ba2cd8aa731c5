"""A guided walk, level by level: followed, refined on the way, stopped and taken up again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unstill.errors import InputError
from unstill.guidance.protocols import Denoiser, EnsembleState, Stepping
from unstill.shapes import Coords, Float, PerAtom


@dataclass(frozen=True, eq=False)
class Walk:
    """Where a walk stands between two levels: all that it needs to go on.

    Parameters
    ----------
    n_done
        Steps that are done.
    coord
        ``(n_members, n_atoms, 3)`` with the noise of level ``n_done`` (Å).
    clean
        ``(n_members, n_atoms, 3)`` as the last step denoised them.
    weights, b_factor
        ``(n_members,)`` and ``(n_atoms,)`` (Å²), as last refined.
    generator
        State of the random generator.
    """

    n_done: int
    coord: Coords
    clean: Coords
    weights: Float[np.ndarray, " n_members"]
    b_factor: PerAtom
    generator: Mapping[str, Any]

    @property
    def state(self) -> EnsembleState:
        """The ensemble as last denoised."""
        return EnsembleState(self.clean, self.weights, self.b_factor)


Guiding = Callable[[Walk], Denoiser]
"""Makes the guided denoiser of a step from where the walk stands (its weights and B)."""

Refining = Callable[[Walk], EnsembleState]
"""Returns the ensemble with better weights and B; its coordinates are not used."""


def begin(coord: Coords, b_factor: PerAtom, rng: np.random.Generator) -> Walk:
    """Start of a walk: members with the noise of the first level, equal weights."""
    weights = np.full(len(coord), 1 / len(coord))
    return Walk(0, coord, coord, weights, np.asarray(b_factor, float), rng.bit_generator.state)


def anneal(
    sampler: Stepping,
    guiding: Guiding,
    start: Walk,
    *,
    refine: Refining | None = None,
    every: int = 4,
    refine_below: float = 0.5,
    on_level: Callable[[Walk, float], None] | None = None,
) -> Walk:
    """Walk down the levels of a sampler from where a walk stands.

    Parameters
    ----------
    sampler
        Its levels must be those that the walk began with.
    guiding
        Makes the denoiser of every step.
    start
        A new walk, or one that was interrupted: the bits at the end are the same.
    refine, every, refine_below
        Weights and B are refined after every so many steps, at levels of ``refine_below``
        (Å) or less: above, members are too vague to be weighed.
    on_level
        Told of the walk and its level after every step, for progress and checkpoints.

    Raises
    ------
    InputError
        If the walk has more steps behind it than the sampler has.
    """
    levels = sampler.levels
    if start.n_done >= len(levels):
        raise InputError(
            "the walk does not belong to these noise levels",
            found=f"{start.n_done} steps done of {len(levels) - 1}",
            fix="begin anew, or give the levels that it began with",
        )
    rng = np.random.Generator(_bit_generator(start.generator))
    walk = start
    for number in range(start.n_done, len(levels) - 1):
        sigma, following = float(levels[number]), float(levels[number + 1])
        hearing = _Hearing(guiding(walk))
        coord = sampler.step(hearing, walk.coord, sigma, following, rng)
        clean = coord if following == 0 else hearing.last
        walk = Walk(number + 1, coord, clean, walk.weights, walk.b_factor, rng.bit_generator.state)
        if refine is not None and following <= refine_below and (number + 1) % every == 0:
            better = refine(walk)
            walk = replace(walk, weights=better.weights, b_factor=better.b_factor)
        if on_level is not None:
            on_level(walk, following)
    return walk


class _Hearing:
    """A denoiser that remembers what it answered first in a step."""

    def __init__(self, denoiser: Denoiser) -> None:
        self._denoiser = denoiser
        self._last: Coords | None = None

    @property
    def last(self) -> Coords:
        assert self._last is not None
        return self._last

    def denoise(self, x: Coords, sigma: float) -> Coords:
        self._last = self._denoiser.denoise(x, sigma)
        return self._last


def _bit_generator(state: Mapping[str, Any]) -> np.random.BitGenerator:
    made: np.random.BitGenerator = getattr(np.random, state["bit_generator"])()
    made.state = state
    return made
