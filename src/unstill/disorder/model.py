"""What a model of disorder is: free parameters, an intensity, its gradient, its samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from unstill.crystal.hkl_grid import HklGrid, Triple
from unstill.crystal.symmetry import map_to_asu
from unstill.disorder.transform import ModelAtoms
from unstill.errors import InputError
from unstill.maps.intensity_map import IntensityMap
from unstill.shapes import Float, Integer

Theta = Float[np.ndarray, " n_parameters"]
"""Free parameters in the form in which they are fitted."""

Values = Mapping[str, float]
"""Parameters in the field's words and units, for example ``{"sigma": 0.45, "gamma": 9.0}``."""


@dataclass(frozen=True)
class Parameter:
    """One free parameter.

    Parameters
    ----------
    name, unit
        In the field's words; unit of the value, not of its logarithm.
    start, lower, upper
        First guess and bounds of the value.
    log
        Whether the fit works on the logarithm (amplitudes and lengths).
    zero_is_fine
        Whether the lower bound stands for zero, where a fit may well end.
    """

    name: str
    unit: str
    start: float
    lower: float
    upper: float
    log: bool = True
    zero_is_fine: bool = False

    def encode(self, value: float) -> float:
        """Turn a value into what the fit works on."""
        return float(np.log(value)) if self.log else float(value)

    def decode(self, free: float) -> float:
        """Turn what the fit works on into the value."""
        return float(np.exp(free)) if self.log else float(free)


@runtime_checkable
class PreparedModel(Protocol):
    """A model at fixed points of reciprocal space; keeps what does not depend on θ."""

    def intensity(self, theta: Theta) -> Float[np.ndarray, " points"]:
        """Diffuse intensity, e² per unit cell."""

    def with_jacobian(
        self, theta: Theta
    ) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, "n_parameters points"]]:
        """Diffuse intensity and its derivatives to θ."""

    def at(self, numbers: Integer[np.ndarray, " chosen"]) -> PreparedModel:
        """Return the same for some of the points."""


@runtime_checkable
class Displacer(Protocol):
    """Draws the displacements of all atoms of a supercell; picklable."""

    def __call__(self, rng: np.random.Generator) -> Float[np.ndarray, "n_atoms 3"]:
        """One draw, Cartesian, Å, in the order of ``build_supercell``."""


@runtime_checkable
class DisorderModel(Protocol):
    """Parameters to a diffuse map."""

    @property
    def name(self) -> str:
        """For example ``"liquid-like"``."""

    @property
    def atoms(self) -> ModelAtoms:
        """Average structure of the asymmetric unit."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Free parameters, in the order of θ."""

    def starts(self) -> tuple[Theta, ...]:
        """Points from which a fit shall try to start."""

    def prepare(self, index: Integer[np.ndarray, "points 3"], divisions: Triple) -> PreparedModel:
        """Do at these points what does not depend on the parameters."""

    def report(self, theta: Theta) -> dict[str, float]:
        """θ in the field's words and units."""

    def displacer(self, theta: Theta, divisions: Triple) -> Displacer:
        """Source of random displacements with the statistics of the model."""


def encode(parameters: tuple[Parameter, ...], values: Values) -> Theta:
    """Values by name to θ; parameters that are not named keep their start.

    Raises
    ------
    InputError
        If a name is unknown or a value lies outside its bounds.
    """
    unknown = set(values) - {parameter.name for parameter in parameters}
    if unknown:
        raise InputError(
            "the model has no such parameter",
            found=", ".join(sorted(unknown)),
            fix=f"choose from {', '.join(p.name for p in parameters)}",
        )
    theta = np.empty(len(parameters))
    for number, parameter in enumerate(parameters):
        value = float(values.get(parameter.name, parameter.start))
        if not parameter.lower <= value <= parameter.upper:
            raise InputError(
                f"{parameter.name} lies outside its bounds",
                found=f"{value:g} {parameter.unit}",
                fix=f"give a value from {parameter.lower:g} to {parameter.upper:g}",
            )
        theta[number] = parameter.encode(value)
    return theta


def bounds(parameters: tuple[Parameter, ...]) -> list[tuple[float, float]]:
    """Lower and upper bound of each free parameter, as the fit sees it."""
    return [(p.encode(p.lower), p.encode(p.upper)) for p in parameters]


def intensity_map(
    model: DisorderModel, theta: Theta, grid: HklGrid, *, d_min: float | None = None
) -> IntensityMap:
    """Diffuse map of a model on a grid.

    Only one point of each Laue orbit is computed.

    Parameters
    ----------
    model
        Any disorder model.
    theta
        Its free parameters, for example ``model.theta(sigma=0.5, gamma=10)``.
    grid
        Where intensity is wanted.
    d_min
        Voxels beyond this limit (Å) are masked; by default none are.

    Returns
    -------
    IntensityMap
        In e² per unit cell.
    """
    return ModelGrid(model, grid, d_min=d_min).map(theta)


class ModelGrid:
    """A model at all voxels of a grid, prepared once for many θ.

    Parameters
    ----------
    model, grid, d_min
        See :func:`intensity_map`.
    """

    def __init__(self, model: DisorderModel, grid: HklGrid, *, d_min: float | None = None) -> None:
        self._model, self._grid = model, grid
        index = grid.index().reshape(-1, 3)
        inside = np.ones(len(index), dtype=bool)
        if d_min is not None:
            s_squared = model.atoms.crystal.s_squared(index / np.array(grid.divisions))
            inside = s_squared <= (1 + 1e-9) / d_min**2
        points, number = unique_points(crystal_points(model, index[inside], grid.divisions))
        self._number = np.full(grid.size, -1)
        self._number[inside] = number
        self.prepared = model.prepare(points, grid.divisions)

    def map(self, theta: Theta, grid: HklGrid | None = None) -> IntensityMap:
        """Diffuse map, on request in another box of the same divisions (NaN outside this one)."""
        grid = self._grid if grid is None else grid
        index = grid.index().reshape(-1, 3)
        known = self._grid.contains(index)
        number = np.full(grid.size, -1)
        number[known] = self.numbers(index[known])
        # The last value stands for voxels that were not computed.
        values = np.append(self.prepared.intensity(theta), np.nan)
        return IntensityMap(
            self._model.atoms.crystal,
            grid,
            values[number].reshape(grid.shape),
            provenance={"model": self._model.name, "parameters": self._model.report(theta)},
        )

    def numbers(self, index: Integer[np.ndarray, "points 3"]) -> Integer[np.ndarray, " points"]:
        """Where grid indices stand among the prepared points."""
        numbers: np.ndarray = self._number[self._grid.position(index)]
        return numbers


def crystal_points(
    model: DisorderModel, index: Integer[np.ndarray, "points 3"], divisions: Triple
) -> Integer[np.ndarray, "points 3"]:
    """Map points to one of each Laue orbit; where mates are off the grid, to themselves."""
    try:
        return map_to_asu(model.atoms.crystal, index, divisions)
    except InputError:
        # Unequal divisions of equivalent axes: the mates of a point are no grid points.
        return index


def unique_points(
    index: Integer[np.ndarray, "points 3"],
) -> tuple[Integer[np.ndarray, "unique 3"], Integer[np.ndarray, " points"]]:
    """Distinct points and, for each given point, the number of its own."""
    low = index.min(axis=0)
    span = index.max(axis=0) - low + 1
    keys = np.ravel_multi_index(tuple((index - low).T), tuple(int(n) for n in span))
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return index[first], inverse
