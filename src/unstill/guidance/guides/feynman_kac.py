r"""Feynman–Kac steering: particles that are weighed by the data as the noise falls.

A particle is a whole ensemble. Between levels it moves by the reverse
diffusion, guided or not; its weight takes what the tempered likelihood of its
denoised coordinates gained, and the ratio of the densities of the step without
and with guidance:

.. math::
   \log w \mathrel{+}= \lambda' \log p(y|D') - \lambda \log p(y|D)
   + \log\frac{q(x'|x)}{q_{guided}(x'|x)}

At σ = 0 nothing is tempered, so that weighted particles are the posterior of
the discretised prior, whatever the guide; a better guide needs fewer of them.
Particles are drawn anew, systematically, when their effective number falls
below a share. The temper λ = 1/(1 + κ r²) is the width that the likelihood
really has when the clean coordinates are uncertain by r.

Sources: Wu et al. (2023), https://doi.org/10.48550/arXiv.2306.17775; Singhal
et al. (2025), https://doi.org/10.48550/arXiv.2501.06848.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from unstill.errors import InputError
from unstill.guidance.guides.steering import Steering
from unstill.guidance.protocols import Denoiser, Differentiable, Evaluation, Sampler
from unstill.guidance.samplers import ReverseSde
from unstill.shapes import Float


@dataclass(frozen=True, eq=False)
class Particles:
    """Ensembles with weights.

    Parameters
    ----------
    coord
        ``(n_particles, n_members, n_atoms, 3)`` in Å.
    weights
        ``(n_particles,)`` of sum 1.
    log_evidence
        Logarithm of the mean weight over the whole run: an estimate of log p(data), by which
        independent runs are pooled.
    n_resamplings
        How often particles were drawn anew.
    """

    coord: Float[np.ndarray, "n_particles n_members n_atoms 3"]
    weights: Float[np.ndarray, " n_particles"]
    log_evidence: float
    n_resamplings: int


_WIDEST = 20.0
"""Between the logarithms of weights, at most."""


@dataclass(frozen=True, eq=False)
class FeynmanKac:
    """Sequential Monte Carlo along the reverse diffusion.

    Parameters
    ----------
    kernel
        A sampler whose steps have a density: :class:`~unstill.guidance.samplers.ReverseSde`.
    steering
        The data.
    least_share
        Particles are drawn anew when their effective number falls below this share of them.

    Raises
    ------
    InputError
        If the kernel is deterministic, or has no transition density.
    """

    kernel: Sampler
    steering: Steering
    least_share: float = 0.5

    def __post_init__(self) -> None:
        if not isinstance(self.kernel, ReverseSde):
            raise InputError(
                "Feynman–Kac steering needs steps with a density",
                found=f"{type(self.kernel).__name__}: particles that are drawn anew would follow "
                "one path, and the ratio of guided and unguided steps does not exist",
                fix="use the kernel ReverseSde, or a guide of the DPS family with this sampler",
            )
        if not 0 < self.least_share <= 1:
            raise InputError(
                "the share that triggers resampling lies between 0 and 1",
                found=self.least_share,
                fix="give, for example, 0.5",
            )

    def sample(
        self,
        denoiser: Denoiser,
        x: Float[np.ndarray, "n_particles n_members n_atoms 3"],
        rng: np.random.Generator,
    ) -> Particles:
        """Weighted particles at σ = 0 from particles with the noise of the first level."""
        assert isinstance(self.kernel, ReverseSde)
        levels = self.kernel.levels
        if levels[-1] != 0:
            raise InputError(
                "Feynman–Kac steering ends at σ = 0, where the data are not tempered",
                found=f"a last level of {levels[-1]:g} Å",
                fix="make the levels with karras_levels(..., to_zero=True)",
            )
        log_weights = np.zeros(len(x))
        evidence, n_resamplings = 0.0, 0
        told = self._tell(denoiser, x, float(levels[0]))
        log_weights += told.log_likelihood
        for sigma, following in pairwise(levels):
            if _effective(log_weights) < self.least_share * len(x):
                evidence += _log_mean(log_weights)
                chosen = _systematic(log_weights, rng)
                x, told = x[chosen], told.of(chosen)
                log_weights = np.zeros(len(x))
                n_resamplings += 1
            x, log_ratio = self._move(x, told, float(sigma), float(following), rng)
            before = told.log_likelihood
            told = self._tell(denoiser, x, float(following))
            log_weights += told.log_likelihood - before + log_ratio
            # A particle lighter than this is lost all the same, and its ratio may mean nothing.
            log_weights = np.maximum(log_weights, log_weights.max() - _WIDEST)
        evidence += _log_mean(log_weights)
        weights = np.exp(log_weights - log_weights.max())
        return Particles(x, weights / weights.sum(), evidence, n_resamplings)

    def _move(
        self,
        x: np.ndarray,
        told: _Told,
        sigma: float,
        following: float,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        assert isinstance(self.kernel, ReverseSde)
        free = self.kernel.mean(x, told.clean, sigma, following)
        spread = self.kernel.spread(sigma, following)
        if spread == 0:
            # The last step has no density; guiding it could not be accounted for.
            return free, np.zeros(len(x))
        guided = self.kernel.mean(x, told.guided, sigma, following)
        moved = guided + spread * rng.standard_normal(x.shape)
        axes = tuple(range(1, x.ndim))
        ratio = ((moved - guided) ** 2).sum(axis=axes) - ((moved - free) ** 2).sum(axis=axes)
        return moved, ratio / (2 * spread**2)

    def _tell(self, denoiser: Denoiser, x: np.ndarray, sigma: float) -> _Told:
        """Denoise all particles, and ask the data about each."""
        flat = x.reshape(-1, *x.shape[2:])
        clean = (denoiser.denoise(flat, sigma) if sigma > 0 else flat).reshape(x.shape)
        found = [self.steering.evaluate(particle, sigma) for particle in clean]
        uncertain = self.steering.uncertainty(sigma) if sigma > 0 else 0.0
        temper = np.array([_temper(one, uncertain) for one in found])
        log_likelihood = -temper * np.array([one.loss for one in found])
        pull = np.stack([one.coord for one in found]) * temper[:, None, None, None]
        if sigma == 0:
            return _Told(clean, clean, log_likelihood)
        if isinstance(denoiser, Differentiable):
            back = denoiser.pullback(flat, sigma, pull.reshape(flat.shape))
            guided = clean - sigma**2 * back.reshape(x.shape)
        else:
            guided = clean - uncertain * pull
        return _Told(clean, guided, log_likelihood)


@dataclass(frozen=True, eq=False)
class _Told:
    """Of every particle: denoised, denoised with guidance, tempered log-likelihood."""

    clean: np.ndarray
    guided: np.ndarray
    log_likelihood: np.ndarray

    def of(self, chosen: np.ndarray) -> _Told:
        return _Told(self.clean[chosen], self.guided[chosen], self.log_likelihood[chosen])


def _temper(found: Evaluation, uncertain: float) -> float:
    return float(1 / (1 + found.curvature.max(initial=0) * uncertain))


def _effective(log_weights: np.ndarray) -> float:
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / (weights**2).sum())


def _log_mean(log_weights: np.ndarray) -> float:
    top = log_weights.max()
    return float(top + np.log(np.mean(np.exp(log_weights - top))))


def _systematic(log_weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Places drawn with the fewest chance: one number for all, evenly spaced."""
    weights = np.exp(log_weights - log_weights.max())
    n = len(weights)
    at = (rng.random() + np.arange(n)) / n
    chosen = np.searchsorted(np.cumsum(weights) / weights.sum(), at)
    kept: np.ndarray = np.minimum(chosen, n - 1)
    return kept
