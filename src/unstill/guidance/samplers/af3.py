"""What AlphaFold 3 and its kin do, for tests of equality and for comparison.

Source: Abramson et al. (2024), supplement, algorithm 18,
https://doi.org/10.1038/s41586-024-07487-w. Its step scale above one sharpens:
an ensemble keeps less than half of its variance. Use :class:`OdeHeun` for
ensembles.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from unstill.guidance.levels import af3_levels, checked_levels
from unstill.guidance.protocols import Denoiser
from unstill.shapes import Coords, Float


@dataclass(frozen=True, eq=False)
class Af3:
    """Euler steps, longer than the ODE's, after added noise.

    Random rotations, which make the network's frame of no account, are left
    to the prior: a prior in a fixed frame needs none.

    Parameters
    ----------
    levels
        ``(n_steps + 1,)`` falling noise levels (Å).
    gamma, gamma_min
        The level rises by the share ``gamma`` before a step that ends above ``gamma_min`` (Å).
    noise_scale, step_scale
        Factors on the noise added and on the step.
    """

    levels: Float[np.ndarray, " levels"] = field(default_factory=af3_levels)
    gamma: float = 0.8
    gamma_min: float = 0.2
    noise_scale: float = 1.003
    step_scale: float = 1.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", checked_levels(self.levels))

    def sample(self, denoiser: Denoiser, x: Coords, rng: np.random.Generator) -> Coords:
        """Members at the last level from members with the noise of the first."""
        for sigma, following in zip(self.levels[:-1], self.levels[1:], strict=True):
            gamma = self.gamma if following > self.gamma_min else 0.0
            raised = float(sigma) * (1 + gamma)
            if gamma:
                spread = self.noise_scale * np.sqrt(raised**2 - sigma**2)
                x = x + spread * rng.standard_normal(x.shape)
            slope = (x - denoiser.denoise(x, raised)) / raised
            x = x + self.step_scale * (following - raised) * slope
        return x
