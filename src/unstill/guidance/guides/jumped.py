"""A denoiser whose answer leaps: moves that no small step makes, tried on clean coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unstill.guidance.guides.steering import Steering
from unstill.guidance.moves.contacts import ContactFinder
from unstill.guidance.moves.scene import MapFit, Move, Scene
from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.protocols import Denoiser
from unstill.shapes import Coords


@dataclass(frozen=True, eq=False)
class Jumped:
    """Metropolis moves after a denoiser, on contacts and on the density.

    Parameters
    ----------
    denoiser
        The prior, or a guide.
    moves
        Tried in order.
    finder
        Finds contacts of the members.
    steering
        The data; unless they are a density, moves see contacts alone.
    rng
        Chance of the proposals.
    highest, lowest
        Noise levels (Å) between which moves are tried: above, coordinates are too vague to
        leap from; below, it is too late to settle.
    softness
        Share of the noise level that contacts are softened by.
    """

    denoiser: Denoiser
    moves: Sequence[Move]
    finder: ContactFinder
    steering: Steering
    rng: np.random.Generator
    highest: float = 0.8
    lowest: float = 0.15
    softness: float = 0.5

    def denoise(self, x: Coords, sigma: float) -> Coords:
        """Clean coordinates (Å) after a round of moves."""
        clean = self.denoiser.denoise(x, sigma)
        if not (self.lowest <= sigma <= self.highest) or not self.moves:
            return clean
        steering, fit = self.steering, None
        if isinstance(steering.observable, DensityObservable) and steering.strength > 0:
            resolution = steering.resolution(sigma)
            fit = MapFit(steering.observable, resolution, steering.strength)
        scene = Scene(steering.state(clean), self.finder, fit, self.softness * sigma)
        for move in self.moves:
            move.apply(scene, self.rng)
        return scene.coord
