r"""Density in real space: the mean density of an ensemble against a map.

.. math::
   L = \frac{n_{ind}}{2 n} \sum_{x \in mask}
   \big(k\,\rho_{calc}(x) + c - \rho_{obs}(x)\big)^2 / \sigma^2

Both densities are Fourier syntheses to the same resolution, which rises as the
noise falls. Neighbouring voxels of a fine grid tell the same, so that n voxels
count as the n_ind terms of F that they stand for. The scale k and the constant
c, which takes what the model leaves out (F(000) of a map that has none, flat
solvent), are fitted in the mask at every evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.guidance.observables.region import region_mask
from unstill.guidance.observables.sharpness import sharpness
from unstill.guidance.protocols import EnsembleState, Evaluation
from unstill.maps.density_map import DensityMap
from unstill.scattering.grid_scattering import GridScattering
from unstill.scattering.synthesis import Synthesis
from unstill.shapes import Bool, Complex, Coord, Float, PerAtom

_RUNGS = 1.05
"""Resolutions are rounded to powers of this, so that grids can be kept."""


@dataclass(frozen=True, eq=False)
class DensityResidual:
    """What an ensemble leaves of a map at a resolution.

    Parameters
    ----------
    values
        k ρ_calc + c − ρ_obs in the mask, 0 elsewhere.
    mask
        Voxels that count.
    scale
        k.
    weight
        n_ind/(n σ²): the loss is half the sum of squared values times this.
    synthesis, scattering
        Terms and grid, and how atoms are added to it.
    """

    values: Float[np.ndarray, "nu nv nw"]
    mask: Bool[np.ndarray, "nu nv nw"]
    scale: float
    weight: float
    synthesis: Synthesis
    scattering: GridScattering


@dataclass(frozen=True, eq=False)
class AmountGradient:
    """Loss of a map, and how it changes with the amount of every atom.

    Parameters
    ----------
    loss
        As of :class:`~unstill.guidance.protocols.Evaluation`.
    amount
        ``(n_members, n_atoms)`` ∂loss/∂amount.
    overlap_weight
        ∂²loss/∂amount² in units of the overlap ∫ρρ dV of the densities of both atoms.
    """

    loss: float
    amount: Float[np.ndarray, "n_members n_atoms"]
    overlap_weight: float


class DensityObservable:
    """A density map that an ensemble should explain.

    Parameters
    ----------
    target
        The map; its crystal gives the symmetry of the model.
    d_min
        Resolution of the map (Å).
    element, occupancy
        ``(n_atoms,)`` of the model; occupancies multiply the weights of members.
    sigma
        Standard deviation of the map's noise (in its unit).
    region
        ``(n, 3)`` points (Å) around which the map counts; all of it by default.
    radius
        How far around them (Å).
    fit_scale
        Fit k and c; else the map is absolute (k = 1, c = 0).
    electron
        Scattering of electrons.
    held
        ``(n_terms,)`` of :attr:`index`: terms of F that no loss and no fit sees, for
        :meth:`agreement`.
    trust
        ``(n_terms,)`` of :attr:`index`: expected correlation of a term with the truth, by which
        target and model are multiplied; 1 by default.
    judge
        An independent map of the same, such as the other half: with it, and not with terms held
        out, :meth:`agreement` compares.
    context
        F of the whole cell (``(n_terms,)``, of :attr:`index`) of atoms that do not move.
    tolerance
        Relative error of F; gradients are exact but for what it cuts off.

    Raises
    ------
    InputError
        If the noise is not positive, the grid of the map too coarse, or nothing of the map is
        known in the region.
    """

    def __init__(
        self,
        target: DensityMap,
        d_min: float,
        element: np.ndarray,
        *,
        occupancy: PerAtom | None = None,
        sigma: float = 1.0,
        region: Coord | None = None,
        radius: float = 2.5,
        fit_scale: bool = True,
        electron: bool = False,
        held: Bool[np.ndarray, " n_terms"] | None = None,
        trust: Float[np.ndarray, " n_terms"] | None = None,
        judge: DensityMap | None = None,
        context: Complex[np.ndarray, " n_terms"] | None = None,
        tolerance: float = 3e-3,
    ) -> None:
        if not (np.isfinite(sigma) and sigma > 0):
            raise InputError(
                "the noise of a map must be positive", found=sigma, fix="give it in the map's unit"
            )
        self.d_min, self.sigma, self.fit_scale = d_min, sigma, fit_scale
        self.element, self.electron = np.asarray(element, dtype=str), electron
        self._tolerance = tolerance
        self.occupancy = np.ones(len(self.element)) if occupancy is None else occupancy
        self._crystal = target.crystal
        full = Synthesis(target.crystal, d_min, target.shape)
        self._target = full.structure_factors(np.where(target.known, target.values, 0.0))
        self.index = full.index
        self._context = np.zeros(full.n_points, dtype=complex) if context is None else context
        self._work = np.ones(full.n_points) if held is None else 1.0 - held
        if trust is not None:
            self._work = self._work * trust
        self._judge = None if judge is None else _judging(judge, full)
        if len(self._work) != full.n_points or len(self._context) != full.n_points:
            raise InputError(
                "held-out terms or the context do not fit the map",
                found=f"{len(self._work)} and {len(self._context)} terms for {full.n_points}",
                fix=f"give one value a term of the synthesis to {d_min:g} Å",
            )
        self._known, self._region, self._radius = target.known, region, radius
        self._levels: dict[float, _Level] = {}
        self._level(d_min)

    @property
    def crystal(self) -> Crystal:
        """Cell and space group of the map."""
        return self._crystal

    @property
    def has_judge(self) -> bool:
        """Whether an independent map judges, instead of terms held out."""
        return self._judge is not None

    @property
    def target_terms(self) -> Complex[np.ndarray, " n_terms"]:
        """F of the map at :attr:`index`, held-out terms too."""
        return self._target

    def value_and_grad(self, state: EnsembleState, resolution: float) -> Evaluation:
        """Loss and gradients at a resolution (Å; never finer than the map's)."""
        level = self._level(resolution)
        left = self.residual(state, resolution)
        synthesis, weight, scale, residual = left.synthesis, left.weight, left.scale, left.values
        amount = state.weights[:, None] * self.occupancy
        b_factor = np.broadcast_to(state.b_factor, amount.shape)
        cotangent = level.work * synthesis.density_adjoint(weight * scale * residual)
        found = level.grid.adjoint(
            state.coord, amount, b_factor, synthesis.of_cell_adjoint(cotangent)
        )
        per_volume = np.prod(synthesis.shape) / self._crystal.volume
        sharp = sharpness(self.element, state.b_factor, level.synthesis.d_min, self.electron)
        # Every mate of an atom moves with it.
        curvature = weight * scale**2 * per_volume * sharp * self._crystal.n_operations
        return Evaluation(
            loss=0.5 * weight * float((residual**2).sum()),
            coord=found.coord,
            weights=(found.occupancy * self.occupancy).sum(axis=1),
            b_factor=found.b_factor.sum(axis=0),
            curvature=amount**2 * curvature,
        )

    def amount_gradient(
        self,
        amount: Float[np.ndarray, "n_members n_atoms"],
        state: EnsembleState,
        resolution: float,
    ) -> AmountGradient:
        """Loss and its gradient, where every atom of every member has an amount of its own.

        Parameters
        ----------
        amount
            ``(n_members, n_atoms)`` in place of the weights of the state.
        state
            Places and B; its weights are not used.
        resolution
            Å.
        """
        level = self._level(resolution)
        shared = amount * self.occupancy
        b_factor = np.broadcast_to(state.b_factor, shared.shape)
        f = level.grid.structure_factors(state.coord, shared, b_factor)
        left = self._left(level, level.synthesis.of_cell(f) + level.context)
        synthesis, weight, scale = left.synthesis, left.weight, left.scale
        cotangent = level.work * synthesis.density_adjoint(weight * scale * left.values)
        found = level.grid.adjoint(
            state.coord, shared, b_factor, synthesis.of_cell_adjoint(cotangent)
        )
        per_volume = np.prod(synthesis.shape) / self._crystal.volume
        return AmountGradient(
            0.5 * weight * float((left.values**2).sum()),
            found.occupancy * self.occupancy,
            # What is held out curves nothing.
            weight * scale**2 * per_volume * self._crystal.n_operations * level.work.mean(),
        )

    def n_data_per_atom(self, n_atoms: int) -> float:
        """Independent numbers of the map for each of so many atoms of the asymmetric unit."""
        level = self._level(self.d_min)
        return float(level.share * np.prod(level.synthesis.shape)) / (
            n_atoms * self._crystal.n_operations
        )

    def residual(self, state: EnsembleState, resolution: float) -> DensityResidual:
        """Calculate what the ensemble leaves of the map, for those who change a few atoms."""
        level = self._level(resolution)
        return self._left(level, self._terms(level, state))

    def _left(self, level: _Level, f: np.ndarray) -> DensityResidual:
        model = level.synthesis.density(level.work * f)
        scale, constant = self._scaled(model[level.mask], level.target[level.mask])
        residual = np.zeros(model.shape)
        residual[level.mask] = scale * model[level.mask] + constant - level.target[level.mask]
        return DensityResidual(
            residual, level.mask, scale, level.share / self.sigma**2, level.synthesis, level.grid
        )

    def value(self, state: EnsembleState, resolution: float) -> float:
        """Loss alone at a resolution (Å; never finer than the map's)."""
        level = self._level(resolution)
        model = level.synthesis.density(level.work * self._terms(level, state))[level.mask]
        target = level.target[level.mask]
        scale, constant = self._scaled(model, target)
        square = float(((scale * model + constant - target) ** 2).sum())
        return 0.5 * level.share / self.sigma**2 * square

    def correlation(self, state: EnsembleState, resolution: float) -> float:
        """Pearson correlation of both densities in the mask; held-out terms are left out."""
        level = self._level(resolution)
        f = level.work * self._terms(level, state)
        model = level.synthesis.density(f)[level.mask]
        return _correlated(model, level.target[level.mask])

    def agreement(self, state: EnsembleState) -> tuple[float, float]:
        """Correlations, in the mask, of the densities of the terms seen and of those held out.

        F(000) and what the mask cuts apart are in both; held-out terms make a map of their own,
        whose correlation with the model's tells what the ensemble predicts.
        """
        level = self._level(self.d_min)
        synthesis, mask = level.synthesis, level.mask
        model = self._terms(level, state)
        target = _restricted(self.index, self._target, synthesis)
        if self._judge is not None:
            other = _restricted(self.index, self._judge, synthesis)
            parts = [(level.work, target), (level.work, other)]
        else:
            parts = [(level.work, target), (1 - level.work, target)]
        found = []
        for part, terms in parts:
            if not part.any():
                found.append(float("nan"))
                continue
            pair = [synthesis.density(part * f)[mask] for f in (model, terms)]
            found.append(_correlated(*pair))
        return found[0], found[1]

    def difference_map(self, state: EnsembleState) -> DensityMap:
        """Target less fitted model density at full resolution, in the target's unit."""
        level = self._level(self.d_min)
        model = level.synthesis.density(level.work * self._terms(level, state))
        scale, constant = self._scaled(model[level.mask], level.target[level.mask])
        return DensityMap(self._crystal, level.target - scale * model - constant)

    def structure_factors(self, state: EnsembleState) -> Complex[np.ndarray, " n_terms"]:
        """F of the whole cell at :attr:`index`, context included, as ``context`` takes it."""
        return self._terms(self._level(self.d_min), state)

    def _terms(self, level: _Level, state: EnsembleState) -> np.ndarray:
        amount = state.weights[:, None] * self.occupancy
        b_factor = np.broadcast_to(state.b_factor, amount.shape)
        f = level.grid.structure_factors(state.coord, amount, b_factor)
        terms: np.ndarray = level.synthesis.of_cell(f) + level.context
        return terms

    def member_densities(
        self, state: EnsembleState, resolution: float
    ) -> tuple[Float[np.ndarray, "n_members voxels"], Float[np.ndarray, " voxels"]]:
        """Density of every member with weight one, and the map's, at the voxels that count."""
        level = self._level(resolution)
        one = np.ones(1)
        found = [
            level.synthesis.density(
                level.work * self._terms(level, EnsembleState(member[None], one, state.b_factor))
            )[level.mask]
            for member in state.coord
        ]
        return np.array(found), level.target[level.mask]

    def _scaled(self, model: np.ndarray, target: np.ndarray) -> tuple[float, float]:
        if not self.fit_scale:
            return 1.0, 0.0
        centred = model - model.mean()
        square = float(centred @ centred)
        scale = float(centred @ target) / square if square > 0 else 0.0
        # A model that fits upside down is not to be turned round.
        scale = max(scale, 0.0)
        return scale, float(target.mean() - scale * model.mean())

    def _level(self, resolution: float) -> _Level:
        steps = np.floor(np.log(max(resolution / self.d_min, 1.0)) / np.log(_RUNGS) + 1e-9)
        d = float(self.d_min * _RUNGS**steps)
        if d not in self._levels:
            synthesis = Synthesis(self._crystal, d)
            work = _restricted(self.index, self._work, synthesis).real
            f = _restricted(self.index, self._target, synthesis)
            target = synthesis.density(work * f)
            mask = region_mask(
                self._crystal, synthesis.shape, self._known, self._region, self._radius
            )
            # A complex term and its mate are two numbers, F(000) is one.
            n_terms = 2 * float(work.sum()) - 1
            self._levels[d] = _Level(
                synthesis,
                GridScattering(
                    synthesis, self.element, electron=self.electron, tolerance=self._tolerance
                ),
                target,
                mask,
                work,
                _restricted(self.index, self._context, synthesis),
                n_terms / float(np.prod(synthesis.shape)),
            )
        return self._levels[d]


def _judging(judge: DensityMap, full: Synthesis) -> np.ndarray:
    """Terms of another map at those of the target."""
    own = Synthesis(judge.crystal, full.d_min, judge.shape)
    return own.structure_factors(np.where(judge.known, judge.values, 0.0))


@dataclass(frozen=True, eq=False)
class _Level:
    """What is kept of a resolution; ``share`` is the terms of F that a voxel stands for."""

    synthesis: Synthesis
    grid: GridScattering
    target: Float[np.ndarray, "nu nv nw"]
    mask: Bool[np.ndarray, "nu nv nw"]
    work: Float[np.ndarray, " n_terms"]
    context: Complex[np.ndarray, " n_terms"]
    share: float


def _correlated(model: np.ndarray, target: np.ndarray) -> float:
    """Pearson's; 0 where one of them is flat."""
    a, b = model - model.mean(), target - target.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else 0.0


def _restricted(index: np.ndarray, f: np.ndarray, synthesis: Synthesis) -> np.ndarray:
    """F at the terms of a synthesis to a lower resolution than that of ``index``."""
    most = np.abs(index).max(axis=0)
    table = np.zeros(2 * most + 1, dtype=complex)
    table[tuple((index + most).T)] = f
    kept: np.ndarray = table[tuple((synthesis.index + most).T)]
    return kept
