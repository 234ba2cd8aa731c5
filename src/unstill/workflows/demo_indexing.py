"""Which indexing of the map fits the coordinates, judged before anything is fitted."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from unstill.crystal import HklGrid
from unstill.crystal.reindexing import parse_operator
from unstill.disorder.liquid_like import LiquidLike
from unstill.disorder.model import intensity_map
from unstill.disorder.transform import ModelAtoms
from unstill.errors import UnstillWarning
from unstill.maps import IntensityMap
from unstill.maps.correlation import correlate
from unstill.maps.reindex import choose_indexing, reindex

SIGMA, GAMMA = 0.45, 10.0
"""A generic liquid-like model (Å): no parameter is fitted before the indexing is chosen."""


@dataclass(frozen=True)
class IndexingTrial:
    """Agreement of a generic model with the map in one indexing.

    ``control`` marks one that the lattice does not allow and that was made
    wrong on purpose.
    """

    operator: str
    cc_total: float
    cc_aniso: float
    control: bool = False


@dataclass(frozen=True, eq=False)
class Indexing:
    """The choice of indexing.

    Parameters
    ----------
    operator
        Moves the map as it came onto the coordinates.
    margin
        Lead in anisotropic CC; ``None`` if the lattice allows only one.
    trials
        All that were tried, the chosen one first.
    observed
        The map in that indexing.
    """

    operator: str
    margin: float | None
    trials: tuple[IndexingTrial, ...]
    observed: IntensityMap


def find_indexing(
    data: IntensityMap,
    atoms: ModelAtoms,
    *,
    d_min: float,
    d_max: float,
    control: str | None = None,
) -> Indexing:
    """Try every indexing that the lattice allows against a generic model.

    Parameters
    ----------
    data
        The map as it came.
    atoms
        Average structure.
    d_min, d_max
        Resolution range (Å).
    control
        An operator that is wrong on purpose.
    """
    model = LiquidLike(atoms)
    theta = model.theta(sigma=SIGMA, gamma=GAMMA)
    grid = HklGrid.covering(atoms.crystal, d_min, data.grid.divisions)
    calculated = intensity_map(model, theta, grid, d_min=d_min)
    choice = choose_indexing(calculated, data, d_min=d_min, d_max=d_max)

    def trial(operator: str, *, is_control: bool = False) -> IndexingTrial:
        moved = (
            _relabelled(data, operator) if is_control else reindex(data, parse_operator(operator))
        )
        found = correlate(calculated, moved, d_min=d_min, d_max=d_max)
        return IndexingTrial(operator, found.cc_total, found.cc_aniso, is_control)

    trials = [trial(candidate.operator.name) for candidate in choice.candidates]
    if control is not None and len(trials) == 1:
        trials.append(trial(control, is_control=True))
    return Indexing(
        operator=choice.operator.name,
        margin=choice.margin if len(choice.candidates) > 1 else None,
        trials=tuple(trials),
        observed=choice.reindexed,
    )


def _relabelled(data: IntensityMap, operator: str) -> IntensityMap:
    """Exchange the indices and keep the cell, as a file with wrong labels would."""
    with warnings.catch_warnings():
        # That the group has no name in the exchanged axes is no news: it is wrong on purpose.
        warnings.simplefilter("ignore", UnstillWarning)
        moved = reindex(data, parse_operator(operator))
    return moved.replace(crystal=data.crystal)
