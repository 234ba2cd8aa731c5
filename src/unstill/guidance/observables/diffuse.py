r"""Diffuse intensity of an ensemble against a measured map.

.. math::
   I(q) = \sum_g \Big[\sum_m w_m |F_m(qR_g)|^2 - \big|\sum_m w_m F_m(qR_g)\big|^2\Big],
   \qquad L = \tfrac12\sum_q \big((k I(q) + b_{shell} - I_{obs}(q))/\sigma(q)\big)^2

F_m is that of one asymmetric unit: copies that move independently of one another add
intensities (Guinier, 1963, *X-ray Diffraction in Crystals, Imperfect Crystals, and Amorphous
Bodies*), and the sum over the operations g gives the symmetry of the Laue group. k and, on
request, an isotropic background b of each shell are fitted at every evaluation. With
background, only what differs from the mean of a shell counts, which is what is trusted in
measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.crystal.supercell import supercell, symmetry_operations
from unstill.errors import InputError
from unstill.guidance.observables.amplitudes import binned_sharpness
from unstill.guidance.protocols import EnsembleState, Evaluation
from unstill.maps.intensity_map import IntensityMap
from unstill.scattering import Scatterers, make_engine
from unstill.scattering.engine import StructureFactorEngine
from unstill.shapes import Float, PerAtom


class DiffuseObservable:
    """A diffuse map that the differences between members should explain.

    Parameters
    ----------
    target
        Intensity with sigma, at any fractions of hkl; symmetry is that of its crystal.
    element, occupancy
        ``(n_atoms,)`` of the asymmetric unit.
    fit_scale
        Fit k ≥ 0; else intensities are e² per unit cell (k = 1).
    n_background
        Shells of equal width in s that get an isotropic background; 0 for none.
    tolerance
        Relative error of F.

    Raises
    ------
    InputError
        If the map has no sigma, nothing is left of it, or lengths differ.
    """

    def __init__(
        self,
        target: IntensityMap,
        element: np.ndarray,
        *,
        occupancy: PerAtom | None = None,
        fit_scale: bool = True,
        n_background: int = 0,
        tolerance: float = 1e-5,
    ) -> None:
        self.element = np.asarray(element, dtype=str)
        self.occupancy = np.ones(len(self.element)) if occupancy is None else occupancy
        self.fit_scale, self._tolerance = fit_scale, tolerance
        if len(self.occupancy) != len(self.element) or n_background < 0:
            raise InputError(
                "occupancies or shells of background do not fit",
                found=f"{len(self.occupancy)} for {len(self.element)} atoms, {n_background}",
                fix="give an occupancy for every atom, and shells of 0 or more",
            )
        index, self._intensity, self._sigma = _measured(target)
        self._crystal = target.crystal
        self._divisions = np.array(target.grid.divisions)
        self._s = np.sqrt(target.crystal.s_squared(index / self._divisions))
        self._mates, self._mate = _mates(target, index)
        edges = np.linspace(0, float(self._s.max()) * (1 + 1e-9), max(n_background, 1) + 1)
        self._shell = np.searchsorted(edges, self._s, side="right") - 1
        self._n_background = n_background
        self._large = supercell(target.crystal, target.grid.divisions)

    def value_and_grad(self, state: EnsembleState, resolution: float) -> Evaluation:
        """Loss and gradients with the points of d ≥ resolution (Å).

        Raises
        ------
        InputError
            If no point is left.
        """
        view = self._view(resolution)
        engine = self._engine(state.b_factor, view)
        places = [self._frac(member) for member in state.coord]
        f = np.array([engine.structure_factors(place) for place in places], dtype=complex)
        mean = state.weights @ f
        apart = f - mean
        # Σ w|F − ⟨F⟩|² loses no digits where members are alike.
        single = state.weights @ np.abs(apart) ** 2
        model = single[view.mate].sum(axis=0)
        scale, residual = self._fitted(model, view.chosen)
        by_model = residual * scale / self._sigma[view.chosen]
        stiff = scale**2 / self._sigma[view.chosen] ** 2
        pull, stiffness = np.zeros(len(single)), np.zeros(len(single))
        for mate in view.mate:
            np.add.at(pull, mate, by_model)
            np.add.at(stiffness, mate, stiff)
        coord, b_factor = np.zeros(state.coord.shape), np.zeros(len(self.element))
        curvature = np.zeros(state.coord.shape[:2])
        for m, weight in enumerate(state.weights):
            found = engine.adjoint(places[m], 2 * weight * pull * apart[m])
            coord[m], b_factor = found.coord, b_factor + found.b_factor
            # The phase of an atom is independent of that of the difference: mean of cos² is ½.
            power = stiffness * 2 * weight**2 * np.abs(apart[m]) ** 2
            power = power * (2 * np.pi) ** 2 * engine.points.s_squared / 3
            curvature[m] = self.occupancy**2 * binned_sharpness(
                self.element, state.b_factor, engine.points.s_squared, power
            )
        # ∂/∂w_m of Σ w|F|² − |Σ w F|²: that of the loss where the sum of weights is kept.
        by_weight = np.abs(f) ** 2 - 2 * (mean.conj() * f).real
        return Evaluation(
            0.5 * float(residual @ residual), coord, by_weight @ pull, b_factor, curvature
        )

    def intensity(self, state: EnsembleState) -> Float[np.ndarray, " points"]:
        """Return the model's intensity (e² per unit cell) at the points that count."""
        view = self._view(0.0)
        engine = self._engine(state.b_factor, view)
        f = np.array([engine.structure_factors(self._frac(one)) for one in state.coord])
        single = state.weights @ np.abs(f - state.weights @ f) ** 2
        model: np.ndarray = single[view.mate].sum(axis=0)
        return model

    def agreement(self, state: EnsembleState, n_shells: int = 10) -> float:
        """Anisotropic correlation of map and model: of what shell means leave, by 1/σ².

        0 for members that are all alike, which scatter nothing diffusely.
        """
        weight, model = self._sigma**-2.0, self.intensity(state)
        edges = np.linspace(0, float(self._s.max()) * (1 + 1e-9), n_shells + 1)
        shell = np.searchsorted(edges, self._s, side="right") - 1
        a, b = (one - _shell_mean(one, weight, shell) for one in (model, self._intensity))
        size = float(np.sqrt(((weight * a) @ a) * ((weight * b) @ b)))
        return float((weight * a) @ b) / size if size > 0 else 0.0

    def _frac(self, coord: np.ndarray) -> np.ndarray:
        frac: np.ndarray = self._crystal.fractional(np.asarray(coord, dtype=float))
        return np.asarray(frac / self._divisions)

    def _engine(self, b_factor: PerAtom, view: _View) -> StructureFactorEngine:
        scatterers = Scatterers(self.element, self.occupancy, b_factor)
        return make_engine(self._large, view.index, scatterers, tolerance=self._tolerance)

    def _view(self, resolution: float) -> _View:
        chosen = self._s * resolution <= 1 + 1e-9
        if not chosen.any():
            raise InputError(
                "no point of the diffuse map is left at this resolution",
                found=f"{resolution:g} Å, the lowest point is at {1 / self._s.min():.3g} Å",
                fix="start from a finer resolution",
            )
        used, mate = np.unique(self._mate[:, chosen], return_inverse=True)
        return _View(chosen, self._mates[used], mate.reshape(len(self._mate), -1))

    def _fitted(self, model: np.ndarray, chosen: np.ndarray) -> tuple[float, np.ndarray]:
        """Scale, and the residual in σ after the best scale and background."""
        weight, target = self._sigma[chosen] ** -2.0, self._intensity[chosen]
        left_model, left_target = model, target
        if self._n_background:
            shell = self._shell[chosen]
            left_model = model - _shell_mean(model, weight, shell)
            left_target = target - _shell_mean(target, weight, shell)
        scale = 1.0
        if self.fit_scale:
            power = float((weight * left_model) @ left_model)
            scale = float((weight * left_model) @ left_target) / power if power > 0 else 0.0
            # A pattern that fits upside down is not to be turned round.
            scale = max(scale, 0.0)
        return scale, (scale * left_model - left_target) * np.sqrt(weight)


@dataclass(frozen=True, eq=False)
class _View:
    """Points to a resolution: which count, where F is wanted, and where mates stand in it."""

    chosen: np.ndarray
    index: np.ndarray
    mate: np.ndarray


def _measured(target: IntensityMap) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grid index, intensity and σ of the voxels that count; the origin never does."""
    if target.sigma is None:
        raise InputError(
            "a diffuse map needs sigma to be weighed",
            found="a map without sigma",
            fix="add a sigma, such as a share of the intensity",
        )
    axes = [s + np.arange(n) for s, n in zip(target.grid.start, target.grid.shape, strict=True)]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    good = np.isfinite(target.intensity) & np.isfinite(target.sigma) & (target.sigma > 0)
    good &= index.any(axis=-1)
    if target.mask is not None:
        good &= ~target.mask
    if not good.any():
        raise InputError(
            "nothing is left of the diffuse map",
            found="no voxel with intensity and a positive sigma",
            fix="check the mask",
        )
    return (
        index[good],
        np.asarray(target.intensity[good], dtype=float),
        np.asarray(target.sigma[good], dtype=float),
    )


def _mates(target: IntensityMap, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct mates up to Friedel's law, and the place of each in them, by operation."""
    rotations, _ = symmetry_operations(target.crystal)
    divisions = np.array(target.grid.divisions)
    every = []
    for rotation in rotations:
        exact = (index / divisions) @ rotation * divisions
        turned = np.rint(exact).astype(np.int64)
        if np.abs(exact - turned).max() > 1e-6:
            raise InputError(
                "the divisions of the diffuse map do not suit its space group",
                found=f"{tuple(divisions.tolist())} in {target.crystal.space_group}",
                fix="give equal divisions along axes that symmetry exchanges",
            )
        h, k, l = turned.T
        upper = (l > 0) | ((l == 0) & ((k > 0) | ((k == 0) & (h >= 0))))
        every.append(np.where(upper[:, None], turned, -turned))
    distinct, place = np.unique(np.concatenate(every), axis=0, return_inverse=True)
    return distinct, place.reshape(len(rotations), len(index))


def _shell_mean(values: np.ndarray, weight: np.ndarray, shell: np.ndarray) -> np.ndarray:
    total = np.bincount(shell, weight)
    mean = np.bincount(shell, weight * values) / np.where(total > 0, total, 1.0)
    found: np.ndarray = mean[shell]
    return found
