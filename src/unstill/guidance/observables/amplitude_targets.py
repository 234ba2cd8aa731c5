r"""Losses of amplitudes: least squares, and the likelihood of a model with errors.

With v = ε Σ_N (1 − σ_A²) + c σ² and D = σ_A √(Σ_N/Σ_P), minus the logarithm of the
likelihood of F_o is, but for terms of F_o alone,

.. math::
   L_{acentric} &= \ln v + (F_o^2 + D^2F_m^2)/v - \ln I_0(2 D F_o F_m / v), \quad c = 2 \\
   L_{centric} &= \tfrac12\ln v + (F_o^2 + D^2F_m^2)/2v - \ln\cosh(D F_o F_m / v), \quad c = 1

the Rice distribution and its centric kin. σ_A is the most likely one of the free
reflections of every shell of resolution; a model that was fitted to the work set agrees
with it too well to tell its errors. The measurement's σ is added to each component of F,
an approximation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import gemmi
import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import i0e, i1e

from unstill.errors import InputError
from unstill.maps.amplitudes import Amplitudes
from unstill.shapes import Bool, Float

_FEWEST_FREE = 50
_MOST_SHELLS = 20


@dataclass(frozen=True, eq=False)
class TargetSlope:
    """Loss of every reflection, its derivative to F_model, and a bound of the second one."""

    loss: Float[np.ndarray, " points"]
    slope: Float[np.ndarray, " points"]
    curvature: Float[np.ndarray, " points"]


class AmplitudeTarget(Protocol):
    """What makes a loss of measured and calculated amplitudes."""

    def fitted(
        self, observed: Amplitudes, f_model: Float[np.ndarray, " points"]
    ) -> AmplitudeTarget:
        """Estimate the target's own parameters anew."""

    def slope(self, observed: Amplitudes, f_model: Float[np.ndarray, " points"]) -> TargetSlope:
        """Loss and derivatives of all reflections, free ones too."""


@dataclass(frozen=True)
class LeastSquares:
    """½((F_model − F_obs)/σ)², which takes the model for free of error."""

    def fitted(
        self, observed: Amplitudes, f_model: Float[np.ndarray, " points"]
    ) -> AmplitudeTarget:
        """Return itself: there is nothing to estimate."""
        del observed, f_model
        return self

    def slope(self, observed: Amplitudes, f_model: Float[np.ndarray, " points"]) -> TargetSlope:
        """Loss and derivatives of all reflections."""
        apart = (f_model - observed.f_obs) / observed.sigma
        return TargetSlope(0.5 * apart**2, apart / observed.sigma, observed.sigma**-2.0)


@dataclass(frozen=True, eq=False)
class MaximumLikelihood:
    """Minus the logarithm of the likelihood; σ_A from the free set.

    Parameters
    ----------
    sigma_a, d, variance
        ``(n,)`` σ_A, D and v of every reflection; :meth:`fitted` fills them.
    """

    sigma_a: Float[np.ndarray, " points"] | None = None
    d: Float[np.ndarray, " points"] | None = None
    variance: Float[np.ndarray, " points"] | None = None

    def fitted(
        self, observed: Amplitudes, f_model: Float[np.ndarray, " points"]
    ) -> MaximumLikelihood:
        """Return the likelihood with σ_A of a model.

        Raises
        ------
        InputError
            If fewer than fifty reflections are free.
        """
        n_free = int(observed.free.sum())
        if n_free < _FEWEST_FREE:
            raise InputError(
                "the errors of a model are estimated from free reflections",
                found=f"{n_free} free of {len(observed.free)} reflections",
                fix="give a file with free flags, a higher resolution, or LeastSquares()",
            )
        epsilon, centric = symmetry_factors(observed)
        s_squared = observed.crystal.s_squared(observed.hkl)
        n_shells = min(_MOST_SHELLS, n_free // _FEWEST_FREE)
        edges = np.quantile(s_squared[observed.free], np.linspace(0, 1, n_shells + 1)[1:-1])
        shell = np.searchsorted(edges, s_squared, side="right")
        noise = np.where(centric, 1.0, 2.0) * observed.sigma**2
        sigma_a, d, variance = (np.zeros(len(f_model)) for _ in range(3))
        variance += 1.0
        for number in range(n_shells):
            here = shell == number
            if not (here & observed.free).any():
                # Ties in spacing can leave a shell without free ones: D = 0, it pulls nothing.
                continue
            # Powers need no phases and no model errors: all reflections of the shell.
            power = observed.f_obs[here] ** 2
            observed_power = float(np.mean(power / epsilon[here]))
            signal = max(observed_power - float(np.mean((noise / epsilon)[here])), 0.0)
            signal = max(signal, 0.05 * observed_power)
            model_power = float(np.mean(f_model[here] ** 2 / epsilon[here]))
            ratio = np.sqrt(signal / model_power) if model_power > 0 else 0.0
            free = here & observed.free

            def unlikely(
                value: float,
                free: np.ndarray = free,
                ratio: float = ratio,
                signal: float = signal,
            ) -> float:
                v = epsilon[free] * signal * (1 - value**2) + noise[free]
                return float(
                    _unlikely(
                        observed.f_obs[free], f_model[free], value * ratio, v, centric[free]
                    ).sum()
                )

            found = minimize_scalar(unlikely, bounds=(0.0, 0.9999), method="bounded")
            value = float(found.x)
            sigma_a[here], d[here] = value, value * ratio
            variance[here] = epsilon[here] * signal * (1 - value**2) + noise[here]
        return MaximumLikelihood(sigma_a, d, variance)

    def slope(self, observed: Amplitudes, f_model: Float[np.ndarray, " points"]) -> TargetSlope:
        """Loss and derivatives of all reflections, σ_A held.

        Raises
        ------
        InputError
            If σ_A was not estimated, or for other reflections.
        """
        figure, share, centric = self._figure(observed, f_model)
        d, v = self.d, self.variance
        assert d is not None  # _figure asked
        assert v is not None
        return TargetSlope(
            _unlikely(observed.f_obs, f_model, d, v, centric),
            share * d / v * (d * f_model - figure * observed.f_obs),
            share * d**2 / v,
        )

    def best_amplitudes(
        self, observed: Amplitudes, f_model: Float[np.ndarray, " points"]
    ) -> Float[np.ndarray, " points"]:
        r"""Amplitudes of the least biased density, with the model's phases.

        .. math:: 2 m F_o - D F_m \text{ (acentric)}, \qquad m F_o \text{ (centric)}

        Source: Read (1986), https://doi.org/10.1107/S0108767386099622.
        """
        figure, _, centric = self._figure(observed, f_model)
        assert self.d is not None  # _figure asked
        best = figure * observed.f_obs
        found: np.ndarray = np.where(centric, best, 2 * best - self.d * f_model)
        return found

    def _figure(
        self, observed: Amplitudes, f_model: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Figure of merit m, 1 or 2, and which are centric."""
        if self.d is None or self.variance is None or len(self.d) != len(f_model):
            raise InputError(
                "the likelihood has no sigma_A of these reflections",
                found="none" if self.d is None else f"{len(self.d)} for {len(f_model)}",
                fix="call fitted first",
            )
        _, centric = symmetry_factors(observed)
        share = np.where(centric, 1.0, 2.0)
        x = share * self.d * observed.f_obs * f_model / self.variance
        return np.where(centric, np.tanh(x), i1e(x) / i0e(x)), share, centric


def symmetry_factors(
    observed: Amplitudes,
) -> tuple[Float[np.ndarray, " points"], Bool[np.ndarray, " points"]]:
    """ε of every reflection (without centring), and whether it is centric."""
    operations: gemmi.GroupOps = observed.crystal.group.operations()
    hkl = observed.hkl.tolist()
    epsilon = np.array([operations.epsilon_factor_without_centering(one) for one in hkl], float)
    return epsilon, np.array([operations.is_reflection_centric(one) for one in hkl], bool)


def _unlikely(
    f_obs: np.ndarray,
    f_model: np.ndarray,
    d: np.ndarray | float,
    v: np.ndarray,
    centric: np.ndarray,
) -> np.ndarray:
    """−ln p without what depends on F_obs only; written so that no exponential overflows."""
    apart = (f_obs - d * f_model) ** 2 / v
    x = d * f_obs * f_model / v
    two_sided = 0.5 * np.log(v) + apart / 2 - np.log1p(np.exp(-2 * x)) + np.log(2)
    found: np.ndarray = np.where(centric, two_sided, np.log(v) + apart - np.log(i0e(2 * x)))
    return found
