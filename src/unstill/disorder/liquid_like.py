r"""Liquid-like motions: displacements whose correlation decays with distance.

Every atom moves with a Gaussian field of displacements,
:math:`\langle u_i(\mathbf r) u_j(\mathbf r')\rangle =
\delta_{ij}\, \sigma^2 C(|\mathbf r - \mathbf r'|)`, :math:`C = e^{-r/\gamma}`. Averaged exactly,
per unit cell,

.. math::
   I(\mathbf q) = \sum_{jk} f_j f_k e^{i\mathbf q\cdot \mathbf r_{jk}} e^{-q^2\sigma^2}
   \left(e^{q^2\sigma^2 C(r_{jk})} - 1\right)
   = \sum_n \frac{(q^2\sigma^2)^n}{n!} e^{-q^2\sigma^2}\, [|F|^2 * \Gamma_{\gamma/n}](\mathbf q),
   \qquad \Gamma_\gamma(q) = \frac{8\pi\gamma^3}{(1+\gamma^2q^2)^2} .

Two points decide whether the convolution equals the sum over atoms. Form
factors belong to q and not to the Bragg point they are folded from, so the
interference :math:`|F|^2 - \sum f^2` is divided by the mean square form factor
before and multiplied after. And the term of each atom with itself, which has
no correlation to lose, is added in closed form; folding it with the slowly
decaying Γ would need all of reciprocal space. On a small crystal the textbook
form misses the sum over atoms by more than 15 % in the outer shells, this one
by less than 1 % (``tests/disorder/test_liquid_like.py``).

References
----------
Caspar, D. L. D., Clarage, J., Salunke, D. M. & Clarage, M. (1988). *Nature*
332, 659–662. https://doi.org/10.1038/332659a0
Clarage, J. B., Clarage, M. S., Phillips, W. C., Sweet, R. M. & Caspar, D. L. D.
(1992). *Proteins* 12, 145–157. https://doi.org/10.1002/prot.340120208
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np

from unstill.crystal.hkl_grid import Triple
from unstill.disorder.blurred_transform import BlurredTransform
from unstill.disorder.confined_transform import ConfinedTransform
from unstill.disorder.displacement_field import ConfinedField, CrystalField
from unstill.disorder.model import Displacer, Parameter, Theta, encode
from unstill.disorder.phonon_orders import order_weights
from unstill.disorder.transform import ModelAtoms
from unstill.errors import InputError
from unstill.shapes import Float, Integer


@dataclass(frozen=True, eq=False)
class LiquidLike:
    r"""Liquid-like motions with two parameters, σ (Å) and γ (Å).

    Parameters
    ----------
    atoms
        Average structure.
    confined
        Whether the correlation ends at the border of the body (the asymmetric
        unit, or each chain): neighbours then move independently. For γ → ∞
        such bodies translate rigidly.
    orders
        Phonon orders that are summed one by one; the last stands for all
        higher ones (see ``remainder``).
    remainder
        With ``False`` the series is cut: ``orders=1, remainder=False`` is the
        one-phonon formula :math:`q^2\sigma^2 e^{-q^2\sigma^2} [|F|^2 * \Gamma]`.
    origin
        Whether the convolution includes the F(000) term. Off by default: it
        makes an isotropic peak around the direct beam, and in a real crystal
        the solvent between the molecules takes most of it away. It has no part
        in the anisotropic intensity. Ignored where ``confined``.
    d_transform
        The transform is computed to this spacing (Å), beyond the edge of the
        map, because Γ has long tails. By default 1.2 Å, where bonded atoms are
        resolved, but not finer than half nor coarser than three quarters of
        the map's own limit.

    Examples
    --------
    >>> import biotite.structure
    >>> from unstill import Crystal, Ensemble
    >>> atoms = biotite.structure.AtomArray(2)
    >>> atoms.element = np.array(["C", "O"])
    >>> coord = np.array([[[1.0, 2.0, 3.0], [2.2, 2.0, 3.0]]])
    >>> crystal = Crystal((8.0, 9.0, 10.0, 90.0, 90.0, 90.0), "P 21 21 21")
    >>> model = LiquidLike(ModelAtoms.of(Ensemble(atoms, coord, crystal=crystal)))
    >>> prepared = model.prepare(np.array([[0, 0, 1], [1, 2, 3]]), (2, 2, 2))
    >>> bool((prepared.intensity(model.theta(sigma=0.45, gamma=3.0)) > 0).all())
    True
    """

    atoms: ModelAtoms
    confined: bool = False
    orders: int = 6
    remainder: bool = True
    origin: bool = False
    d_transform: float | None = None

    def __post_init__(self) -> None:
        if self.orders < 1 or not (self.d_transform is None or self.d_transform > 0):
            raise InputError(
                "there must be one order at least, and a positive limit of the transform",
                found=f"orders {self.orders}, d_transform {self.d_transform}",
                fix="use the defaults, 6 and None",
            )

    @property
    def name(self) -> str:
        """``"liquid-like"``."""
        return "liquid-like"

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Root-mean-square displacement along an axis σ, correlation length γ."""
        return (
            Parameter("sigma", "Å", 0.45, 0.01, 3.0),
            Parameter("gamma", "Å", 10.0, 0.3, 1000.0),
        )

    def theta(self, **values: float) -> Theta:
        """θ of values by name: ``theta(sigma=0.45, gamma=9.0)``."""
        return encode(self.parameters, values)

    def starts(self) -> tuple[Theta, ...]:
        """Medium, short and long correlation; the error surface is flat far from the minimum."""
        return tuple(self.theta(gamma=gamma) for gamma in (10.0, 3.0, 30.0))

    def report(self, theta: Theta) -> dict[str, float]:
        """σ and γ in Å."""
        return {p.name: p.decode(t) for p, t in zip(self.parameters, theta, strict=True)}

    def prepare(
        self, index: Integer[np.ndarray, "points 3"], divisions: Triple
    ) -> PreparedLiquidLike:
        """Compute the transform of the average structure once."""
        return PreparedLiquidLike(self, index, divisions)

    def displacer(self, theta: Theta, divisions: Triple) -> Displacer:
        """Gaussian random field on the supercell, or one for each body."""
        sigma, gamma = self.report(theta).values()
        field = ConfinedField if self.confined else CrystalField
        return field.of(self.atoms, divisions, sigma=sigma, gamma=gamma)


class PreparedLiquidLike:
    """Liquid-like motions at fixed points.

    Parameters
    ----------
    model
        What to compute.
    index, divisions
        ``(n_points, 3)`` grid indices; hkl = index / divisions.
    """

    def __init__(
        self, model: LiquidLike, index: Integer[np.ndarray, "points 3"], divisions: Triple
    ) -> None:
        self._model = model
        atoms = model.atoms
        s_squared = atoms.crystal.s_squared(index / np.array(divisions))
        self._q_squared = 4 * np.pi**2 * s_squared
        self._independent = atoms.independent_scattering(s_squared)
        d_edge = 2 * np.pi / float(np.sqrt(self._q_squared.max()))
        limit = _transform_limit(d_edge, model.d_transform)
        self._blurred: ConfinedTransform | BlurredTransform = (
            ConfinedTransform(atoms, index, divisions, d_transform=limit)
            if model.confined
            else BlurredTransform(atoms, index, divisions, d_transform=limit, origin=model.origin)
        )

    def intensity(self, theta: Theta) -> Float[np.ndarray, " points"]:
        """Diffuse intensity, e² per unit cell."""
        model = self._model
        sigma, gamma = model.report(theta).values()
        x = self._q_squared * sigma**2
        weights, _ = order_weights(x, model.orders, remainder=model.remainder)
        blurred = self._blurred.values(gamma, model.orders)
        intensity: np.ndarray = np.einsum("np,np->p", weights, blurred) + self._independent
        return intensity

    def with_jacobian(
        self, theta: Theta
    ) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, "2 points"]]:
        """Diffuse intensity and its derivatives to log σ and log γ."""
        model = self._model
        sigma, gamma = model.report(theta).values()
        x = self._q_squared * sigma**2
        weights, slopes = order_weights(x, model.orders, remainder=model.remainder)
        blurred, by_gamma = self._blurred.with_slopes(gamma, model.orders)
        intensity = np.einsum("np,np->p", weights, blurred) + self._independent
        # dx / d log σ = 2x.
        by_log_sigma = np.einsum("np,np->p", slopes, blurred) * 2 * x
        by_log_gamma = np.einsum("np,np->p", weights, by_gamma) * gamma
        return intensity, np.array([by_log_sigma, by_log_gamma])

    def at(self, numbers: Integer[np.ndarray, " chosen"]) -> PreparedLiquidLike:
        """Return the same for some of the points."""
        some = copy(self)
        some._q_squared = self._q_squared[numbers]
        some._independent = self._independent[numbers]
        some._blurred = self._blurred.at(numbers)
        return some


def _transform_limit(d_edge: float, asked: float | None) -> float:
    if asked is None:
        # Rounded, so that maps that end at nearly the same limit get the same transform.
        return float(np.floor(100 * np.clip(1.2, 0.5 * d_edge, 0.75 * d_edge)) / 100)
    return min(asked, d_edge)
