r"""Score an ensemble by Fourier terms of the map that its fit has not seen.

Terms are split into work and held-out; Laue mates stay together, for the one tells the
other, and every resolution gives its share. The fit sees the synthesis of the work terms

.. math:: \rho_w(x) = \frac1V \sum_{H \in W} F(H)\, e^{-2\pi i H\cdot x}

and is judged by the correlation of its own terms with the others,

.. math::
   C_S = \frac{\mathrm{Re}\sum_{H \in S} \bar F_{model} F_{map}}
   {\sqrt{\sum_S |F_{model}|^2 \sum_S |F_{map}|^2}}
   = \mathrm{corr}_x(\rho^S_{model}, \rho^S_{map}),

which is that of the two syntheses over the cell (Parseval; F(000) is left out). What
a fit explains grows on both sides, what it makes up on one: C_work − C_held is the gap of
overfitting.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.symmetry import map_to_asu
from unstill.errors import InputError
from unstill.maps.density_map import DensityMap
from unstill.scattering.synthesis import Synthesis
from unstill.shapes import Bool, Complex, Float, HklIndex

FRACTION = 0.1
"""Of the terms that are held out."""
_FEWEST = 10


@dataclass(frozen=True)
class HeldOutScore:
    """Correlation of a model with what its fit has seen, and with what it has not.

    Parameters
    ----------
    work, held
        Correlations; NaN where a side does not vary.
    """

    work: float
    held: float

    @property
    def gap(self) -> float:
        """Work minus held: what was fitted and is not there."""
        return self.work - self.held


@dataclass(frozen=True, eq=False)
class MapSplit:
    """A density map whose Fourier terms are split into work and held-out.

    Parameters
    ----------
    synthesis
        The terms of the map and its grid.
    f
        ``(n_points,)`` F of the map at ``synthesis.index``.
    held
        ``(n_points,)`` True where no fit may look. F(000) is work.
    known
        Where the map had a value; elsewhere it was taken for its mean.
    """

    synthesis: Synthesis
    f: Complex[np.ndarray, " points"]
    held: Bool[np.ndarray, " points"]
    known: Bool[np.ndarray, "nu nv nw"]

    @cached_property
    def work_map(self) -> DensityMap:
        """Synthesis of the work terms, NaN where the map had no value.

        Held-out terms are zero in it, and so they must be in the density that is fitted to it
        (:meth:`work_terms`); otherwise the fit would draw them towards zero. Where it cannot
        leave them out, :meth:`filled_map` takes them from the model.
        """
        return self.filled_map(np.zeros(len(self.f), dtype=complex))

    def filled_map(self, f_model: Complex[np.ndarray, " points"]) -> DensityMap:
        """Work terms of the map with the held-out terms of a model on the same scale."""
        self._check(f_model)
        values = self.synthesis.density(np.where(self.held, f_model, self.f))
        values[~self.known] = np.nan
        return DensityMap(self.synthesis.crystal, values, {"held_out": int(self.held.sum())})

    def work_terms(
        self, f_model: Complex[np.ndarray, " points"]
    ) -> Complex[np.ndarray, " points"]:
        """F of a model without the terms that are held out."""
        self._check(f_model)
        left: np.ndarray = np.where(self.held, 0, f_model)
        return left

    def score(
        self,
        f_model: Complex[np.ndarray, " points"],
        *,
        near: Bool[np.ndarray, "nu nv nw"] | None = None,
    ) -> HeldOutScore:
        """Correlate F of a model with both sets of terms.

        Parameters
        ----------
        f_model
            ``(n_points,)`` F of the whole cell at ``synthesis.index``
            (:meth:`Synthesis.of_cell`), mean of an ensemble. Any scale.
        near
            Voxels of the grid that count, such as those near the atoms that were fitted
            (:func:`~unstill.validation.real_space.voxels_near`). The whole cell by default.

        Raises
        ------
        InputError
            If the terms or voxels are not those of the map.
        """
        self._check(f_model)
        if near is None:
            elsewhere = ~self.held
            elsewhere[self.synthesis.origin] = False
            return HeldOutScore(
                held_out_correlation(f_model, self.f, elsewhere),
                held_out_correlation(f_model, self.f, self.held),
            )
        if near.shape != self.known.shape or not (near & self.known).any():
            raise InputError(
                "the voxels are not those of the map, or none of them is known",
                found=f"{near.shape} for {self.known.shape}, {int(near.sum())} chosen",
                fix="choose voxels on the grid of split.synthesis, where the map has values",
            )
        chosen = near & self.known
        return HeldOutScore(
            self._local(f_model, ~self.held, chosen), self._local(f_model, self.held, chosen)
        )

    def _local(self, f_model: np.ndarray, terms: np.ndarray, chosen: np.ndarray) -> float:
        sides = [self.synthesis.density(np.where(terms, f, 0))[chosen] for f in (f_model, self.f)]
        return _pearson(*sides)

    def _check(self, f_model: np.ndarray) -> None:
        if f_model.shape != self.f.shape or not np.isfinite(f_model).all():
            raise InputError(
                "the structure factors are not those of the map's terms",
                found=f"shape {f_model.shape} for {len(self.f)} terms",
                fix="calculate finite F at split.synthesis.index",
            )


def split_map(
    target: DensityMap,
    d_min: float,
    *,
    fraction: float = FRACTION,
    seed: int = 0,
    shells: int | None = None,
) -> MapSplit:
    """Split the Fourier terms of a density map into work and held-out.

    Parameters
    ----------
    target
        The map; unknown voxels are filled with its mean. Its box and masks tie neighbouring
        terms together: where much is unknown or flat, thin shells leak less than orbits do.
    d_min
        Resolution of the map (Å); finer terms are dropped.
    fraction, seed, shells
        As of :func:`split_reflections`.

    Raises
    ------
    InputError
        If the grid is too coarse for the resolution, or too few terms are left for a split.
    """
    synthesis = Synthesis(target.crystal, d_min, target.shape)
    known = target.known
    mean = float(target.values[known].mean(dtype=float))
    f = synthesis.structure_factors(np.where(known, target.values, mean).astype(float))
    held = split_reflections(
        target.crystal, synthesis.index, fraction=fraction, seed=seed, shells=shells
    )
    return MapSplit(synthesis, f, held, known)


def split_reflections(
    crystal: Crystal,
    index: HklIndex,
    *,
    fraction: float = FRACTION,
    seed: int = 0,
    shells: int | None = None,
) -> Bool[np.ndarray, " points"]:
    """Choose reflections to hold out, Laue mates together.

    Parameters
    ----------
    crystal
        Cell and space group.
    index
        ``(n, 3)`` Miller indices, mates among them or not; (0, 0, 0) is never held out.
    fraction
        Share of the orbits, between 0 and 0.5; the same at every resolution.
    seed
        Of the choice: same seed, same set.
    shells
        Hold out this many thin shells of resolution, evenly spread, instead of single orbits:
        terms of a shell have neighbours only at its faces.

    Returns
    -------
    held
        ``(n,)`` True where held out.

    Raises
    ------
    InputError
        If the fraction is out of range, or there are too few orbits for it.

    Examples
    --------
    >>> cube = Crystal((20.0, 20.0, 20.0, 90.0, 90.0, 90.0))
    >>> hkl = np.stack(np.meshgrid(*[np.arange(-5, 6)] * 3), -1).reshape(-1, 3)
    >>> held = split_reflections(cube, hkl, fraction=0.1)
    >>> round(float(held.mean()), 2), bool((held == held[::-1]).all())
    (0.1, True)
    """
    index = np.asarray(index)
    representative = map_to_asu(crystal, index)
    orbits, orbit = np.unique(representative, axis=0, return_inverse=True)
    s_squared = crystal.s_squared(orbits)
    # From low to high resolution, without F(000); equal spacings in an order of their own.
    order = np.lexsort((*orbits.T, np.round(s_squared, 9)))
    order = order[s_squared[order] > 0]
    _check_split(len(order), fraction, shells)
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(orbits), dtype=bool)
    n_blocks = shells if shells is not None else max(round(len(order) * fraction), 1)
    # Stratified: of every block of the ordered orbits a run as long as its share.
    edges = np.rint(np.linspace(0, len(order), n_blocks + 1)).astype(int)
    for first, last in pairwise(edges.tolist()):
        size = max(round((last - first) * fraction), 1) if shells is not None else 1
        start = first + rng.integers(last - first - size + 1)
        chosen[order[start : start + size]] = True
    held: np.ndarray = chosen[orbit.reshape(-1)]
    return held


def held_out_correlation(
    f_model: Complex[np.ndarray, " points"],
    f_map: Complex[np.ndarray, " points"],
    held: Bool[np.ndarray, " points"],
) -> float:
    """Correlate two sets of structure factors over the terms that are held out.

    Parameters
    ----------
    f_model, f_map
        ``(n,)`` complex, of one half sphere; any scale.
    held
        ``(n,)`` terms that count; (0, 0, 0) should not.

    Returns
    -------
    correlation
        Between −1 and 1; NaN where a side is zero throughout.

    Raises
    ------
    InputError
        If the lengths differ, or no term is held out.
    """
    if not f_model.shape == f_map.shape == held.shape or not held.any():
        raise InputError(
            "terms and their choice do not fit together, or none is chosen",
            found=f"shapes {f_model.shape}, {f_map.shape}, {held.shape}, {int(held.sum())} held",
            fix="give F of model and map at the same indices, and hold out at least one",
        )
    model, seen = f_model[held], f_map[held]
    power = float(np.vdot(model, model).real * np.vdot(seen, seen).real)
    if not power > 0:
        return float("nan")
    return float(np.clip(np.vdot(model, seen).real / np.sqrt(power), -1, 1))


def half_map_score(
    calculated: Float[np.ndarray, "nu nv nw"],
    fitted: DensityMap,
    other: DensityMap,
    near: Bool[np.ndarray, "nu nv nw"] | None = None,
) -> HeldOutScore:
    """Correlate a model with the half map it was fitted to, and with the other half map.

    Parameters
    ----------
    calculated
        Density of the ensemble on the grid of the maps, to their resolution.
    fitted, other
        Half maps: same signal, noise of their own.
    near
        Voxels that count; all that both maps know by default.

    Raises
    ------
    InputError
        If the grids differ, or no voxel is left.
    """
    shapes = {calculated.shape, fitted.shape, other.shape}
    shapes |= set() if near is None else {near.shape}
    chosen = fitted.known & other.known if len(shapes) == 1 else np.zeros(1, dtype=bool)
    if near is not None and len(shapes) == 1:
        chosen = chosen & near
    if not chosen.any():
        raise InputError(
            "half maps and density are compared on one grid, where both maps have values",
            found=f"shapes {', '.join(map(str, shapes))}",
            fix="calculate the density on the grid of the half maps",
        )
    own = calculated[chosen]
    return HeldOutScore(
        _pearson(own, fitted.values[chosen].astype(float)),
        _pearson(own, other.values[chosen].astype(float)),
    )


def _pearson(one: np.ndarray, two: np.ndarray) -> float:
    one, two = one - one.mean(), two - two.mean()
    power = float((one @ one) * (two @ two))
    return float(np.clip(one @ two / np.sqrt(power), -1, 1)) if power > 0 else float("nan")


def _check_split(n_orbits: int, fraction: float, shells: int | None) -> None:
    if not 0 < fraction <= 0.5:
        raise InputError(
            "the share that is held out lies between 0 and 0.5", found=fraction, fix="give 0.1"
        )
    n_held = round(n_orbits * fraction)
    if n_held < _FEWEST or (shells is not None and not 1 <= shells <= n_held):
        raise InputError(
            "too few reflections to hold some of them out",
            found=f"{n_orbits} orbits, {fraction:g} of them in "
            f"{'orbits' if shells is None else f'{shells} shells'}",
            fix=f"hold out at least {_FEWEST}: a larger fraction or finer resolution, and no "
            "more shells than orbits held out",
        )
