r"""Measured amplitudes: the mean structure factor of an ensemble against F_obs.

.. math::
   |F_{model}| = K(H)\,\Big|\sum_m w_m F_m(H) + F_{fixed}(H) + k_{mask}(H) F_{mask}(H)\Big|

K is an overall anisotropic scale times one of each shell; the mask is the mean
of those of the members. Scales, mask and σ_A are fitted anew every so many evaluations, or
on request, and are constants to the gradients. Free reflections are in no loss and no fit
but that of σ_A.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unstill.errors import InputError
from unstill.guidance.observables.amplitude_targets import (
    AmplitudeTarget,
    MaximumLikelihood,
    symmetry_factors,
)
from unstill.guidance.protocols import EnsembleState, Evaluation
from unstill.maps.amplitudes import Amplitudes
from unstill.scattering import form_factors
from unstill.scattering.grid_scattering import GridScattering
from unstill.scattering.solvent import solvent_grid, solvent_mask, solvent_structure_factors
from unstill.scattering.synthesis import Synthesis
from unstill.shapes import Complex, Coord, Float, PerAtom
from unstill.validation.amplitude_fit import AmplitudeFit, fit_amplitudes

_RUNGS = 1.05
"""Resolutions are rounded to powers of this, so that grids can be kept."""
_BINS = 64


@dataclass(frozen=True, eq=False)
class FixedAtoms:
    """Atoms that scatter and keep solvent out but do not move, such as ligands and waters.

    Parameters
    ----------
    coord
        ``(n, 3)`` in Å.
    element, occupancy, b_factor
        ``(n,)``.
    """

    coord: Coord
    element: np.ndarray
    occupancy: PerAtom
    b_factor: PerAtom


@dataclass(frozen=True, eq=False)
class LikelyTerms:
    """Terms of the likeliest density, one of each orbit.

    Parameters
    ----------
    observed
        The reflections.
    f
        ``(n,)`` of the density, in electrons; free reflections too, which nobody may use.
    f_still
        ``(n,)`` of what does not move: fixed atoms and solvent.
    """

    observed: Amplitudes
    f: Complex[np.ndarray, " points"]
    f_still: Complex[np.ndarray, " points"]


class AmplitudeObservable:
    """Amplitudes that an ensemble should explain.

    Parameters
    ----------
    observed
        Amplitudes with free flags, and the crystal.
    element, occupancy
        ``(n_atoms,)`` of the model; occupancies multiply the weights of members.
    target
        ``MaximumLikelihood()`` or ``LeastSquares()``.
    fixed
        Atoms beside those of the state.
    solvent
        Whether there is bulk solvent.
    refit_every
        Evaluations between two fits of scales, solvent and σ_A.
    tolerance
        Relative error of F; gradients are exact but for what it cuts off.

    Raises
    ------
    InputError
        If ``refit_every`` is less than one.
    """

    def __init__(
        self,
        observed: Amplitudes,
        element: np.ndarray,
        *,
        occupancy: PerAtom | None = None,
        target: AmplitudeTarget | None = None,
        fixed: FixedAtoms | None = None,
        solvent: bool = True,
        refit_every: int = 20,
        tolerance: float = 1e-3,
    ) -> None:
        if refit_every < 1:
            raise InputError(
                "scales are fitted every so many evaluations",
                found=refit_every,
                fix="give refit_every of 1 or more",
            )
        self.observed, self.refit_every, self.solvent = observed, refit_every, solvent
        self.element = np.asarray(element, dtype=str)
        self.occupancy = np.ones(len(self.element)) if occupancy is None else occupancy
        self.fixed = fixed
        self.target = MaximumLikelihood() if target is None else target
        self._d = observed.crystal.d(observed.hkl)
        # The last digit must not cost the outermost reflection.
        self.d_min = float(self._d.min()) * (1 - 1e-9)
        self._tolerance = tolerance
        self._levels: dict[float, _Level] = {}
        self._scaled: _Scaled | None = None
        self._age = 0

    def value_and_grad(self, state: EnsembleState, resolution: float) -> Evaluation:
        """Loss and gradients with the work reflections of d ≥ resolution (Å)."""
        level = self._level(resolution)
        f_state = self._f_state(level, state)
        stale = self._scaled is None or self._scaled.level is not level
        if stale or self._age >= self.refit_every:
            self._refit(level, state, f_state)
        self._age += 1
        scaled = self._scaled
        assert scaled is not None  # _refit sets it
        total = f_state + scaled.constant
        size = np.abs(total)
        slope = scaled.target.slope(level.observed, scaled.scale * size)
        work = ~level.observed.free
        unit = total / np.maximum(size, 1e-30)
        cotangent = level.adjoint(np.where(work, slope.slope * scaled.scale, 0.0) * unit)
        amount, b_factor = self._atoms(state)
        found = level.grid.adjoint(
            state.coord, amount, b_factor, level.synthesis.of_cell_adjoint(cotangent)
        )
        stiffness = np.where(work, slope.curvature * scaled.scale**2, 0.0)
        return Evaluation(
            loss=float(slope.loss[work].sum()),
            coord=found.coord,
            weights=(found.occupancy * self.occupancy).sum(axis=1),
            b_factor=found.b_factor.sum(axis=0),
            curvature=amount**2 * level.curvature(self.element, state.b_factor, stiffness),
        )

    def refresh(self, state: EnsembleState, resolution: float) -> None:
        """Fit scales, solvent and σ_A to a state now."""
        level = self._level(resolution)
        self._refit(level, state, self._f_state(level, state))

    def fit(self, state: EnsembleState) -> AmplitudeFit:
        """Scale a state to the measurement at full resolution; scales that are kept stay."""
        level = self._level(self.d_min)
        f_state = self._f_state(level, state) + level.f_fixed
        return fit_amplitudes(level.observed, f_state, self._f_mask(level, state))

    def r_factors(self, state: EnsembleState) -> tuple[float, float]:
        """R_work and R_free at full resolution, scales fitted anew (NaN without a free set)."""
        found = self.fit(state)
        return found.r_work, found.r_free

    def likely_terms(self, state: EnsembleState) -> LikelyTerms:
        """Terms of the density that data and a state suggest, on an absolute scale.

        Scales, solvent and σ_A are fitted anew; the loss keeps them.
        """
        level = self._level(self.d_min)
        f_state = self._f_state(level, state)
        self._refit(level, state, f_state)
        scaled = self._scaled
        assert scaled is not None  # _refit sets it
        total = f_state + scaled.constant
        size = scaled.scale * np.abs(total)
        likely = MaximumLikelihood().fitted(level.observed, size)
        best = likely.best_amplitudes(level.observed, size) / scaled.scale
        unit = total / np.maximum(np.abs(total), 1e-30)
        return LikelyTerms(level.observed, best * unit, scaled.constant)

    def _atoms(self, state: EnsembleState) -> tuple[np.ndarray, np.ndarray]:
        amount = state.weights[:, None] * self.occupancy
        return amount, np.broadcast_to(state.b_factor, amount.shape)

    def _f_state(self, level: _Level, state: EnsembleState) -> np.ndarray:
        f = level.grid.structure_factors(state.coord, *self._atoms(state))
        return level.at_reflections(level.synthesis.of_cell(f))

    def _f_mask(self, level: _Level, state: EnsembleState) -> np.ndarray | None:
        """F of the mean of the members' masks; members without weight have none."""
        if not self.solvent:
            return None
        crystal, fixed = self.observed.crystal, self.fixed
        shape = solvent_grid(crystal, level.synthesis.d_min)
        mask = np.zeros(shape)
        for weight, member in zip(state.weights, state.coord, strict=True):
            if weight == 0:
                continue
            coord, element = member, self.element
            if fixed is not None:
                coord = np.concatenate([member, fixed.coord])
                element = np.concatenate([element, fixed.element])
            mask += weight * solvent_mask(crystal, coord, element, shape)
        return solvent_structure_factors(crystal, mask, level.observed.hkl)

    def _refit(self, level: _Level, state: EnsembleState, f_state: np.ndarray) -> None:
        f_atoms, f_mask = f_state + level.f_fixed, self._f_mask(level, state)
        fit = fit_amplitudes(level.observed, f_atoms, f_mask)
        scale, k_mask = _scales(fit, level.observed)
        constant = level.f_fixed + (0.0 if f_mask is None else k_mask * f_mask)
        f_model = scale * np.abs(f_state + constant)
        self._scaled = _Scaled(level, scale, constant, self.target.fitted(level.observed, f_model))
        self._age = 0

    def _level(self, resolution: float) -> _Level:
        steps = np.floor(np.log(max(resolution / self.d_min, 1.0)) / np.log(_RUNGS) + 1e-9)
        d = float(self.d_min * _RUNGS**steps)
        if d not in self._levels:
            chosen = self._d >= d
            one = self.observed
            observed = replace(
                one,
                hkl=one.hkl[chosen],
                f_obs=one.f_obs[chosen],
                sigma=one.sigma[chosen],
                free=one.free[chosen],
            )
            self._levels[d] = _make_level(
                Synthesis(one.crystal, d), observed, self.element, self.fixed, self._tolerance
            )
        return self._levels[d]


@dataclass(frozen=True, eq=False)
class _Level:
    """What is kept of a resolution: where reflections stand in the half sphere, and fixed F."""

    synthesis: Synthesis
    grid: GridScattering
    observed: Amplitudes
    place: np.ndarray
    mirrored: np.ndarray
    centric: np.ndarray
    f_fixed: np.ndarray

    def at_reflections(self, f: Complex[np.ndarray, " points"]) -> np.ndarray:
        found: np.ndarray = np.where(self.mirrored, f[self.place].conj(), f[self.place])
        return found

    def adjoint(self, cotangent: np.ndarray) -> np.ndarray:
        found = np.zeros(self.synthesis.n_points, dtype=complex)
        np.add.at(found, self.place, np.where(self.mirrored, cotangent.conj(), cotangent))
        return found

    def curvature(
        self, element: np.ndarray, b_factor: np.ndarray, stiffness: np.ndarray
    ) -> Float[np.ndarray, " n_atoms"]:
        """Gauss–Newton for weight one, phases of atom and F taken for independent."""
        s_squared = self.observed.crystal.s_squared(self.observed.hkl)
        # All mates of an atom move along; in a centric F their terms come in conjugate pairs.
        mean = np.where(self.centric, 1.0, 0.5) * self.observed.crystal.n_operations
        power = stiffness * mean * (2 * np.pi) ** 2 * s_squared / 3
        return binned_sharpness(element, b_factor, s_squared, power)


@dataclass(frozen=True, eq=False)
class _Scaled:
    level: _Level
    scale: np.ndarray
    constant: np.ndarray
    target: AmplitudeTarget


def binned_sharpness(
    element: np.ndarray, b_factor: np.ndarray, s_squared: np.ndarray, power: np.ndarray
) -> Float[np.ndarray, " n_atoms"]:
    """Σ power f² exp(−B s²/2) of every atom, in bins of s²."""
    edges = np.linspace(0, float(s_squared.max()) * (1 + 1e-9), _BINS + 1)
    total = np.histogram(s_squared, edges, weights=power)[0]
    middle = (edges[1:] + edges[:-1]) / 2
    kinds, kind = np.unique(element, return_inverse=True)
    f = form_factors(kinds, middle)
    found: np.ndarray = (f[kind] ** 2 * np.exp(-b_factor[:, None] * middle / 2)) @ total
    return found


def _make_level(
    synthesis: Synthesis,
    observed: Amplitudes,
    element: np.ndarray,
    fixed: FixedAtoms | None,
    tolerance: float,
) -> _Level:
    most = np.abs(synthesis.index).max(axis=0)
    table = np.full(2 * most + 1, -1)
    table[tuple((synthesis.index + most).T)] = np.arange(synthesis.n_points)
    direct = table[tuple((observed.hkl + most).T)]
    place = np.where(direct < 0, table[tuple((most - observed.hkl).T)], direct)
    level = _Level(
        synthesis,
        GridScattering(synthesis, element, tolerance=tolerance),
        observed,
        place,
        direct < 0,
        symmetry_factors(observed)[1],
        np.zeros(len(place), dtype=complex),
    )
    if fixed is None:
        return level
    still = GridScattering(synthesis, fixed.element, tolerance=tolerance)
    f = still.structure_factors(fixed.coord[None], fixed.occupancy[None], fixed.b_factor[None])
    return replace(level, f_fixed=level.at_reflections(synthesis.of_cell(f)))


def _scales(fit: AmplitudeFit, observed: Amplitudes) -> tuple[np.ndarray, np.ndarray]:
    """K and k_mask of every reflection, as they are in the fit."""
    b11, b22, b33, b12, b13, b23 = fit.b_aniso
    tensor = np.array([[b11, b12, b13], [b12, b22, b23], [b13, b23, b33]])
    s = observed.crystal.s(observed.hkl)
    scale = fit.k_overall * np.exp(-np.einsum("ni,ij,nj->n", s, tensor, s) / 4)
    d, k_mask = observed.crystal.d(observed.hkl), np.zeros(len(s))
    for shell in fit.shells:
        here = (d <= shell.d_max) & (d >= shell.d_min)
        scale[here] *= shell.scale
        k_mask[here] = shell.k_mask
    return scale, k_mask
