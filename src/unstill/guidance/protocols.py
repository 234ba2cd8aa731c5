"""What the parts of guidance promise each other; interfaces only.

Choice is by object: whatever keeps the promise can be used, and nothing asks
for names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from unstill.shapes import Coords, Float, Int, PerAtom


@dataclass(frozen=True, eq=False)
class EnsembleState:
    """What guidance moves: places, weights and B factors of an ensemble.

    Parameters
    ----------
    coord
        ``(n_members, n_atoms, 3)`` in Å.
    weights
        ``(n_members,)``, non-negative, of sum 1.
    b_factor
        ``(n_atoms,)`` in Å².
    """

    coord: Coords
    weights: Float[np.ndarray, " n_members"]
    b_factor: PerAtom

    @property
    def n_members(self) -> int:
        """Number of members."""
        return len(self.coord)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Loss of an ensemble, and how it changes.

    Parameters
    ----------
    loss
        Half the sum of squared deviations in their standard deviations, so that exp(−loss) is
        a likelihood.
    coord
        ``(n_members, n_atoms, 3)`` ∂loss/∂coord (per Å).
    weights
        ``(n_members,)`` ∂loss/∂weights.
    b_factor
        ``(n_atoms,)`` ∂loss/∂B (per Å²).
    curvature
        ``(n_members, n_atoms)`` diagonal of the Gauss–Newton matrix, mean of x, y and z
        (per Å²): gradient over curvature is a step in Å.
    """

    loss: float
    coord: Coords
    weights: Float[np.ndarray, " n_members"]
    b_factor: PerAtom
    curvature: Float[np.ndarray, "n_members n_atoms"]


class Denoiser(Protocol):
    """E[x | x + σ·noise], or its nearest relative."""

    def denoise(self, x: Coords, sigma: float) -> Coords:
        """Clean coordinates (Å) of members with independent noise of s.d. ``sigma`` (Å)."""


@runtime_checkable
class Prior(Denoiser, Protocol):
    """A denoiser that knows where to begin.

    ``n_atoms`` is the number of atoms it moves.
    """

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""

    def sample_init(self, n_members: int, sigma: float, rng: np.random.Generator) -> Coords:
        """Members with noise of s.d. ``sigma`` (Å), from which sampling starts."""


@runtime_checkable
class Differentiable(Protocol):
    """A denoiser through which a gradient can go back."""

    def pullback(self, x: Coords, sigma: float, gradient: Coords) -> Coords:
        """Transposed Jacobian of ``denoise`` at ``x``, times a gradient to its result."""


@runtime_checkable
class Jumping(Protocol):
    """A prior that can leap where no small step leads."""

    def jump(self, x: Coords, sigma: float, rng: np.random.Generator) -> Coords:
        """Coordinates after one round of moves that keep the prior's distribution."""


class Observable(Protocol):
    """Data, and how an ensemble would have made them."""

    def value_and_grad(self, state: EnsembleState, resolution: float) -> Evaluation:
        """Loss of the ensemble against the data to a resolution (Å), with gradients."""


@runtime_checkable
class Valued(Protocol):
    """An observable whose loss alone costs less than its gradient."""

    def value(self, state: EnsembleState, resolution: float) -> float:
        """Loss of the ensemble against the data to a resolution (Å)."""


class Restraint(Protocol):
    """What coordinates should keep to, whatever the data say."""

    def value_and_grad(self, coord: Coords) -> tuple[Float[np.ndarray, " n_members"], Coords]:
        """Energy of every member (in kT) and its gradient (per Å)."""


class Sampler(Protocol):
    """A walk from noise to members of a distribution whose denoiser is known."""

    def sample(self, denoiser: Denoiser, x: Coords, rng: np.random.Generator) -> Coords:
        """Members at σ = 0 from members ``x`` with the noise of the schedule's first level."""


class Stepping(Sampler, Protocol):
    """A sampler whose walk can be followed, stopped and taken up again between levels."""

    @property
    def levels(self) -> Float[np.ndarray, " levels"]:
        """Falling noise levels (Å)."""

    def step(
        self,
        denoiser: Denoiser,
        x: Coords,
        sigma: float,
        following: float,
        rng: np.random.Generator,
    ) -> Coords:
        """Members at the level ``following`` from those at ``sigma`` (Å)."""


class Guide(Denoiser, Protocol):
    """A denoiser that has heard the data: made of another denoiser, which may be a guide too."""

    @property
    def denoiser(self) -> Denoiser:
        """What it asks before it asks the data."""


class Match(Protocol):
    """Which atom of one model is which of another, such as a predictor's and a crystal's.

    ``first`` and ``second`` are rows of the same atoms; ``notes`` name what has no partner.
    """

    @property
    def first(self) -> Int[np.ndarray, " n_pairs"]:
        """Rows of the first model, in its order."""

    @property
    def second(self) -> Int[np.ndarray, " n_pairs"]:
        """Rows of their partners."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What has no partner, for people."""


class Populations(Protocol):
    """Weights of members from the data."""

    def fit(self, state: EnsembleState, resolution: float) -> Float[np.ndarray, " n_members"]:
        """Weights (non-negative, of sum 1) that suit the data best."""
