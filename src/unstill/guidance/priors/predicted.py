"""A structure predictor and the built-in chemistry as one prior of all atoms of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from unstill.guidance.priors.finish import Staged
from unstill.guidance.protocols import Prior
from unstill.shapes import Bool, Coord, Coords, Int


class PartialPrior(Prior, Protocol):
    """A prior of some rows of a model."""

    @property
    def index(self) -> Int[np.ndarray, " n_known"]:
        """Rows that it moves."""


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a predictor knows it places; chemistry has the rest, and the last word.

    A network is right about folds and rotamers and loose about bonds; and it
    knows nothing of mates by symmetry. Below a noise level its answer is
    therefore a proposal to the built-in prior, which moves it by no more than the noise.

    Parameters
    ----------
    predictor
        Of the rows ``predictor.index``.
    built_in
        Of all atoms.
    reference
        ``(n_atoms, 3)`` where the model began (Å).
    movable
        ``(n_atoms,)`` False for atoms that stand still there.
    below
        Noise level (Å) from which chemistry is asked too.
    """

    predictor: PartialPrior
    built_in: Staged
    reference: Coord
    movable: Bool[np.ndarray, " n_atoms"]
    below: float = 0.5

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.reference)

    def sample_init(self, n_members: int, sigma: float, rng: np.random.Generator) -> Coords:
        """Members with noise of s.d. ``sigma`` (Å), those of the predictor in its way."""
        members = self.built_in.sample_init(n_members, sigma, rng)
        members[:, self.predictor.index] = self.predictor.sample_init(n_members, sigma, rng)
        return self._held(members)

    def denoise(self, x: Coords, sigma: float) -> Coords:
        """Clean coordinates (Å) of members with noise of s.d. ``sigma`` (Å)."""
        known = self.predictor.index
        everything = len(known) == self.n_atoms
        clean = np.array(x) if everything else self.built_in.prior.denoise(x, sigma)
        clean[:, known] = self.predictor.denoise(x[:, known], sigma)
        clean = self._held(clean)
        return self.built_in.denoise(clean, sigma) if sigma <= self.below else clean

    def _held(self, members: Coords) -> Coords:
        held: np.ndarray = np.where(self.movable[:, None], members, self.reference)
        return held
