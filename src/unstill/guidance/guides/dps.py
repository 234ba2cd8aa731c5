r"""Diffusion posterior sampling: the denoised coordinates follow the data's gradient.

On x₀, with the curvature κ of the loss and the uncertainty r² of the denoised
coordinates (:class:`~unstill.guidance.guides.steering.Steering`):

.. math:: D'(x,\sigma) = D - \nabla L(D) / (\kappa + 1/r^2)

a step in ångströms that no strength can overdrive: where data are sharp it is
Newton's, where the prior is, it is held to r; it is halved until it helps. On
x_t, through the denoiser,

.. math::
   D'(x,\sigma) = D - \lambda\,\delta, \qquad \delta = \sigma^2 J^T \nabla L(D),
   \qquad \lambda = 1/(1 + \delta^T H \delta / \nabla L^T \delta)

H being the Hessian of the loss: in the span of the data, whose likelihood is
broadened by the uncertainty of D, this is the exact step for one datum.

Neither is the exact posterior: D's uncertainty is replaced by one number.
Bias for Gaussians is measured in the documentation.

Source: Chung et al. (2023), https://doi.org/10.48550/arXiv.2209.14687.
"""

from __future__ import annotations

from dataclasses import dataclass

from unstill.errors import InputError
from unstill.guidance.guides.proximal import descend
from unstill.guidance.guides.steering import Steering
from unstill.guidance.protocols import Denoiser, Differentiable
from unstill.shapes import Coords


@dataclass(frozen=True, eq=False)
class DpsOnX0:
    """A denoiser whose result is moved towards the data; needs no gradient of the prior.

    Parameters
    ----------
    denoiser
        The prior, or another guide.
    steering
        The data.
    """

    denoiser: Denoiser
    steering: Steering

    def denoise(self, x: Coords, sigma: float) -> Coords:
        """Clean coordinates (Å), as prior and data have them."""
        clean = self.denoiser.denoise(x, sigma)
        if self.steering.strength == 0:
            return clean
        return descend(self.steering, clean, sigma, 1)


@dataclass(frozen=True, eq=False)
class DpsOnXt:
    """A denoiser moved by the gradient of the loss to its input, through the prior.

    Parameters
    ----------
    denoiser
        A prior that gradients go back through.
    steering
        The data.

    Raises
    ------
    InputError
        If the prior has no ``pullback``.
    """

    denoiser: Denoiser
    steering: Steering

    def __post_init__(self) -> None:
        if not isinstance(self.denoiser, Differentiable):
            raise InputError(
                "guidance on x_t needs a prior that gradients can go back through",
                found=f"{type(self.denoiser).__name__} has no pullback",
                fix="use guidance on x0",
            )

    def denoise(self, x: Coords, sigma: float) -> Coords:
        """Clean coordinates (Å), as prior and data have them."""
        clean = self.denoiser.denoise(x, sigma)
        if self.steering.strength == 0:
            return clean
        assert isinstance(self.denoiser, Differentiable)
        found = self.steering.evaluate(clean, sigma)
        pulled = self.denoiser.pullback(x, sigma, found.coord)
        step = sigma**2 * pulled
        # Gauss–Newton along the step: how the gradient changes, from one more evaluation.
        change = self.steering.evaluate(clean - step, sigma).coord - found.coord
        bend, gain = -float((change * step).sum()), float((found.coord * step).sum())
        if gain <= 0:
            return clean
        return clean - step / (1 + max(bend, 0.0) / gain)
