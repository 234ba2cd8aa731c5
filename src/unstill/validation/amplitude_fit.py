r"""Scales between calculated and measured amplitudes, and the R values after them.

.. math::
   |F_{model}| = k\,e^{-s^T B s/4}\,\big|F_{calc} + k_{sol}e^{-B_{sol}s^2/4}F_{mask}\big|

is fitted to F_obs by least squares over the work set, all reflections with equal weight; then
every shell of resolution gets a scale and a share of solvent of its own (Afonine et al.,
2013, https://doi.org/10.1107/S0907444913000462). Free reflections are never fitted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares, minimize_scalar

from unstill.crystal import Crystal
from unstill.crystal.supercell import symmetry_operations
from unstill.errors import InputError
from unstill.maps.amplitudes import Amplitudes
from unstill.shapes import Complex, Float

_FEWEST_IN_SHELL = 100
_MOST_K_SOL, _MOST_B_SOL = 1.0, 300.0
_STARTS = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class AmplitudeShell:
    """Agreement in one shell of resolution.

    Parameters
    ----------
    d_max, d_min
        Å.
    n_work, n_free
        Reflections.
    r_work, r_free
        NaN where there are no reflections.
    scale
        Of the shell, beside the overall scale; k_mask multiplies F_mask.
    """

    d_max: float
    d_min: float
    n_work: int
    n_free: int
    r_work: float
    r_free: float
    scale: float
    k_mask: float


@dataclass(frozen=True, eq=False)
class AmplitudeFit:
    r"""A model on the scale of the measurement.

    Parameters
    ----------
    f_model
        ``(n,)`` complex, all scales applied (unit of F_obs).
    r_work, r_free
        Σ\|F_obs − \|F_model\|\| / ΣF_obs; NaN where the set is empty.
    k_overall
        F_obs per electron at s = 0.
    b_aniso
        ``(6,)`` B11, B22, B33, B12, B13, B23 (Å², Cartesian), with the symmetry of the
        crystal.
    k_sol, b_sol
        Solvent: electrons per Å³, and Å²; of the parametric fit, before shells.
    shells
        From low to high resolution.
    """

    f_model: Complex[np.ndarray, " points"]
    r_work: float
    r_free: float
    k_overall: float
    b_aniso: Float[np.ndarray, "6"]
    k_sol: float
    b_sol: float
    shells: tuple[AmplitudeShell, ...]


def fit_amplitudes(
    observed: Amplitudes,
    f_calc: Complex[np.ndarray, " points"],
    f_mask: Complex[np.ndarray, " points"] | None = None,
    *,
    n_shells: int = 20,
    shell_scales: bool = True,
) -> AmplitudeFit:
    """Scale F of a model to measured amplitudes, on the work set only.

    Parameters
    ----------
    observed
        Amplitudes with free flags; every reflection is used, whatever its σ.
    f_calc
        ``(n,)`` F of the atoms at ``observed.hkl``.
    f_mask
        ``(n,)`` F of the flat solvent; no solvent if ``None``.
    n_shells
        Shells of equal numbers of reflections; fewer where shells would hold less than a
        hundred.
    shell_scales
        Whether each shell has a scale and a share of solvent of its own; else the overall
        formula stands alone and shells only report.

    Raises
    ------
    InputError
        If lengths differ, a number is not finite, the model scatters nowhere, or the work set
        has less than a hundred reflections.
    """
    mask = np.zeros(len(f_calc), dtype=complex) if f_mask is None else f_mask
    _check(observed, f_calc, mask, n_shells)
    fit = _Parametric(observed, f_calc, mask)
    k_overall, b_aniso, k_sol, b_sol = fit.solve()
    s_squared = observed.crystal.s_squared(observed.hkl)
    overall = k_overall * np.exp(-_quadratic(observed) @ b_aniso / 4)
    k_mask = k_sol * np.exp(-b_sol * s_squared / 4)
    scale = np.ones(len(f_calc))
    shells = _shells(s_squared, ~observed.free, n_shells)
    if shell_scales:
        for shell in shells:
            one, share = _shell_scale(
                overall[shell] * f_calc[shell],
                overall[shell] * mask[shell],
                observed.f_obs[shell],
                ~observed.free[shell],
            )
            scale[shell], k_mask[shell] = one, share
    f_model = scale * overall * (f_calc + k_mask * mask)
    amplitude = np.abs(f_model)
    return AmplitudeFit(
        f_model,
        _r_value(observed, amplitude, ~observed.free),
        _r_value(observed, amplitude, observed.free),
        k_overall,
        b_aniso,
        k_sol,
        b_sol,
        tuple(_agreement(observed, amplitude, scale, k_mask, shell) for shell in shells),
    )


class _Parametric:
    """The overall formula: ln k, B in the tensors that symmetry allows, k_sol, B_sol."""

    def __init__(self, observed: Amplitudes, f_calc: np.ndarray, f_mask: np.ndarray) -> None:
        work = ~observed.free
        self.f_obs = observed.f_obs[work]
        self.f_calc, self.f_mask = f_calc[work], f_mask[work]
        self.quarter = observed.crystal.s_squared(observed.hkl)[work] / 4
        self.basis = _allowed_tensors(observed.crystal)
        self.slope = -_quadratic(observed)[work] @ self.basis / 4
        self.solvent = bool(np.any(self.f_mask))
        self.unit = float(np.sqrt(np.mean(self.f_obs**2)))

    def solve(self) -> tuple[float, np.ndarray, float, float]:
        """Best of several starts: where solvent cancels atoms, one valley hides another."""
        n = self.slope.shape[1]
        found = [self._from(k_sol) for k_sol in (_STARTS if self.solvent else (0.0,))]
        best = min(found, key=lambda one: one[0])[1]
        return (
            float(np.exp(best[n])),
            self.basis @ best[:n],
            float(best[n + 1]),
            float(best[n + 2]),
        )

    def _from(self, k_sol: float) -> tuple[float, np.ndarray]:
        """Sum of squares, and the parameters of the valley where this k_sol lies."""
        n = self.slope.shape[1]
        start = np.zeros(n + 3)
        start[n + 1 :] = k_sol, 46.0
        calculated = self._amplitude(start)[0]
        start[n] = np.log((calculated @ self.f_obs) / (calculated @ calculated))
        free = slice(None) if self.solvent else slice(0, n + 1)
        limit = np.full(n + 3, np.inf)
        least = np.append(-limit[: n + 1], [0.0, 0.0])
        limit[n + 1 :] = _MOST_K_SOL, _MOST_B_SOL
        size = np.append(np.ones(n), [0.1, 0.1, 10.0])

        def whole(values: np.ndarray) -> np.ndarray:
            full = start.copy()
            full[free] = values
            return full

        def residual(values: np.ndarray) -> np.ndarray:
            apart: np.ndarray = self._amplitude(whole(values))[0] - self.f_obs
            return apart / self.unit

        def jacobian(values: np.ndarray) -> np.ndarray:
            slopes: np.ndarray = self._amplitude(whole(values))[1][:, free] / self.unit
            return slopes

        found = least_squares(
            residual,
            start[free],
            jac=jacobian,
            bounds=(least[free], limit[free]),
            x_scale=size[free],
        )
        return float(found.cost), whole(found.x)

    def _amplitude(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """|F_model| and its derivatives to B, ln k, k_sol and B_sol."""
        n = self.slope.shape[1]
        blur = np.exp(-values[n + 2] * self.quarter)
        total = self.f_calc + values[n + 1] * blur * self.f_mask
        size = np.abs(total)
        overall = np.exp(values[n] + self.slope @ values[:n])
        along = (total.conj() * self.f_mask).real / np.maximum(size, 1e-30)
        to_k_sol = overall * blur * along
        amplitude = overall * size
        derivative = np.column_stack(
            [
                amplitude[:, None] * self.slope,
                amplitude,
                to_k_sol,
                -values[n + 1] * self.quarter * to_k_sol,
            ]
        )
        return amplitude, derivative


def _shell_scale(
    f_calc: np.ndarray, f_mask: np.ndarray, f_obs: np.ndarray, work: np.ndarray
) -> tuple[float, float]:
    """Scale and share of solvent of least squares; the scale is linear and is eliminated."""
    f_calc, f_mask, f_obs = f_calc[work], f_mask[work], f_obs[work]

    def scale_at(share: float) -> tuple[float, float]:
        amplitude = np.abs(f_calc + share * f_mask)
        power = float(amplitude @ amplitude)
        scale = float(amplitude @ f_obs) / power if power > 0 else 0.0
        return scale, float(np.sum((f_obs - scale * amplitude) ** 2))

    share = _least(lambda value: scale_at(value)[1]) if np.any(f_mask) else 0.0
    return scale_at(share)[0], share


def _least(loss: Callable[[float], float]) -> float:
    """Minimum on 0 … 1: may have several valleys, so it is scanned before it is refined."""
    places = np.linspace(0.0, _MOST_K_SOL, 51)
    best = int(np.argmin([loss(place) for place in places.tolist()]))
    low, high = places[max(best - 1, 0)], places[min(best + 1, 50)]
    found = minimize_scalar(loss, bounds=(low, high), method="bounded")
    refined = float(found.x)
    return refined if loss(refined) < loss(float(places[best])) else float(places[best])


def _shells(s_squared: np.ndarray, work: np.ndarray, n_shells: int) -> list[np.ndarray]:
    """Places of the reflections of each shell; equal numbers of work reflections."""
    n = max(min(n_shells, int(work.sum()) // _FEWEST_IN_SHELL), 1)
    edges = np.quantile(s_squared[work], np.linspace(0, 1, n + 1)[1:-1])
    shell = np.searchsorted(edges, s_squared, side="right")
    members = [np.flatnonzero(shell == number) for number in range(n)]
    # Reflections of one spacing may fill more than a shell.
    return [places for places in members if work[places].any()] if n > 1 else members


def _agreement(
    observed: Amplitudes,
    amplitude: np.ndarray,
    scale: np.ndarray,
    k_mask: np.ndarray,
    shell: np.ndarray,
) -> AmplitudeShell:
    chosen = np.zeros(len(amplitude), dtype=bool)
    chosen[shell] = True
    d = observed.crystal.d(observed.hkl[shell])
    work, free = chosen & ~observed.free, chosen & observed.free
    return AmplitudeShell(
        float(d.max()),
        float(d.min()),
        int(work.sum()),
        int(free.sum()),
        _r_value(observed, amplitude, work),
        _r_value(observed, amplitude, free),
        float(scale[shell].mean()),
        float(k_mask[shell].mean()),
    )


def _r_value(observed: Amplitudes, amplitude: np.ndarray, chosen: np.ndarray) -> float:
    total = float(observed.f_obs[chosen].sum())
    if total <= 0:
        return float("nan")
    return float(np.abs(observed.f_obs - amplitude)[chosen].sum()) / total


def _quadratic(observed: Amplitudes) -> np.ndarray:
    """Rows q with q · (B11, B22, B33, B12, B13, B23) = sᵀBs."""
    x, y, z = observed.crystal.s(observed.hkl).T
    return np.stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z], axis=1)


def _allowed_tensors(crystal: Crystal) -> np.ndarray:
    """``(6, n)`` symmetric tensors that the operations of the crystal leave as they are."""
    rotations, _ = symmetry_operations(crystal)
    turns = crystal.orthogonalization_matrix @ rotations @ crystal.fractionalization_matrix
    first, second = np.array([0, 1, 2, 0, 0, 1]), np.array([0, 1, 2, 1, 2, 2])
    unit = np.zeros((6, 3, 3))
    unit[np.arange(6), first, second] = unit[np.arange(6), second, first] = 1.0
    turned = np.einsum("oij,njk,olk->nil", turns, unit, turns) / len(turns)
    average = turned[:, first, second].T
    # The average over a group is a projection; its image are the allowed tensors.
    left, values, _ = np.linalg.svd(average)
    return np.asarray(left[:, values > 0.5])


def _check(observed: Amplitudes, f_calc: np.ndarray, f_mask: np.ndarray, n_shells: int) -> None:
    n = len(observed.f_obs)
    if f_calc.shape != (n,) or f_mask.shape != (n,):
        raise InputError(
            "the structure factors are not those of the reflections",
            found=f"{f_calc.shape} and {f_mask.shape} for {n} reflections",
            fix="calculate them at observed.hkl",
        )
    if not (np.isfinite(f_calc).all() and np.isfinite(f_mask).all() and np.any(f_calc)):
        raise InputError(
            "the structure factors are not finite, or all zero",
            found=f"{int((~np.isfinite(f_calc)).sum())} not finite",
            fix="check the coordinates and occupancies of the model",
        )
    n_work = int((~observed.free).sum())
    if n_work < _FEWEST_IN_SHELL or n_shells < 1:
        raise InputError(
            "too little to fit scales to",
            found=f"{n_work} work reflections in {n_shells} shells",
            fix="give a hundred work reflections or more, and one shell or more",
        )
