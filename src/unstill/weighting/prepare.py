"""From members and an observed map to numbers that can be weighed."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.reindexing import IDENTITY, candidate_operators, parse_operator
from unstill.crystal.same_lattice import same_lattice
from unstill.crystal.symmetry import has_symmetry_of
from unstill.diffuse.bragg import BraggPoints
from unstill.errors import InputError, UnstillWarning
from unstill.maps.intensity_map import IntensityMap
from unstill.maps.members import MemberSource
from unstill.maps.reindex import Candidate, choose_indexing
from unstill.maps.reindex import reindex as reindex_map
from unstill.maps.symmetrize import symmetrize
from unstill.maps.thin_out import thin_out
from unstill.shapes import Float
from unstill.weighting.backends import Backend
from unstill.weighting.data import Observed, observe
from unstill.weighting.forward import weighted_intensity
from unstill.weighting.orbits import Orbits, find_orbits
from unstill.weighting.table import MEMORY, MemberTable, gather

_ROUNDING = 1e-12
"""Of the Bragg intensity; no motion is so small."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Members and data on the same orbits.

    Parameters
    ----------
    table
        The members.
    observed
        The data.
    observed_map
        The map in the indexing of the members.
    operator, candidates
        Indexing of the data, and all that were tried.
    """

    table: MemberTable
    observed: Observed
    observed_map: IntensityMap
    operator: str
    candidates: tuple[Candidate, ...]


def prepare(
    source: MemberSource,
    observed: IntensityMap,
    *,
    d_min: float | None = None,
    d_max: float | None = None,
    reindex: str = "auto",
    backend: Backend | None = None,
    bragg: bool = False,
    dtype: str = "float32",
    memory: int = MEMORY,
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Read the members once, at the orbits where the map can be compared.

    Parameters
    ----------
    source, observed
        Members, and the measured map. Divisions of the map may be those of
        the supercell or divide them.
    d_min, d_max
        Resolution limits (Å).
    reindex
        ``"auto"`` chooses the indexing of the map by the anisotropic
        correlation with the unweighted members; ``"none"``; or an operator.
    backend
        Where the work will be done; numpy by default.
    bragg
        Keep what Bragg amplitudes need too.
    dtype, memory, folder, progress
        Of :func:`unstill.weighting.table.gather`.

    Raises
    ------
    InputError
        If members and map do not belong together.
    """
    steps = _steps(source, observed)
    crystal = _averaging_crystal(source.crystal, observed.crystal)
    observed = observed.replace(crystal=Crystal(observed.crystal.unit_cell, crystal.space_group))
    automatic = reindex == "auto" and len(candidate_operators(observed.crystal, crystal)) > 1
    operator = IDENTITY if reindex in ("auto", "none") else parse_operator(reindex)
    moved = reindex_map(observed, operator)
    # Before anything is read: a trajectory may take hours.
    _check_cell(source, moved)
    wanted = _within(source, d_min, d_max) & np.all(source.index % steps == 0, axis=1)
    orbits = find_orbits(crystal, source.divisions, source.index, wanted)
    if not automatic:
        # Nothing is kept of points that the map does not hold.
        wanted &= _measured(source, orbits, observe(moved, orbits))
        orbits = find_orbits(crystal, source.divisions, source.index, wanted)
    table = gather(
        source,
        orbits,
        bragg=BraggPoints.of(crystal, source.divisions, source.index) if bragg else None,
        dtype=dtype,
        memory=memory,
        folder=folder,
        progress=progress,
    )
    candidates: tuple[Candidate, ...] = ()
    uniform = weighted_intensity(table, table.prior[None])[0][0]
    _check_motion(table, uniform)
    if automatic:
        calculated = thin_out(map_of_orbits(orbits, uniform), observed.grid.divisions)
        choice = choose_indexing(calculated, observed)
        operator, candidates = choice.operator, choice.candidates
        moved = reindex_map(observed, operator)
    if backend is not None:
        with backend.scope():
            table = table.on(backend)
    return Prepared(table, observe(moved, orbits), moved, operator.name, candidates)


def map_of_orbits(orbits: Orbits, intensity: Float[np.ndarray, " orbits"]) -> IntensityMap:
    """Whole-sphere map of one intensity an orbit; what no orbit reaches is masked."""
    low, high = orbits.index.min(axis=0), orbits.index.max(axis=0)
    h, k, l = (int(value) for value in low)
    n_h, n_k, n_l = (int(value) for value in high - low + 1)
    grid = HklGrid((h, k, l), (n_h, n_k, n_l), orbits.divisions)
    values = np.full(grid.size, np.nan)
    values[grid.position(orbits.index)] = intensity
    unique = IntensityMap(orbits.crystal, grid, values.reshape(grid.shape))
    return symmetrize(unique, expand=True)


def _steps(source: MemberSource, observed: IntensityMap) -> np.ndarray:
    """Points of the supercell from one voxel of the map to the next."""
    fine, coarse = np.array(source.divisions), np.array(observed.grid.divisions)
    if np.any(fine % coarse):
        raise InputError(
            "the observed map is sampled at points that the members do not have",
            found=f"divisions {tuple(coarse.tolist())}, supercell {tuple(fine.tolist())}",
            fix="bring the map to the supercell with: unstill map resample",
        )
    steps: np.ndarray = fine // coarse
    return steps


def _averaging_crystal(members: Crystal, observed: Crystal) -> Crystal:
    """Return the crystal of the members, with the Laue group of whichever knows more symmetry."""
    if has_symmetry_of(members, observed):
        return members
    if has_symmetry_of(observed, members):
        warnings.warn(
            f"the members are in {members.space_group} and the map in {observed.space_group}; "
            f"both are averaged over the Laue group {observed.laue_group}",
            UnstillWarning,
            stacklevel=4,
        )
        return Crystal(members.unit_cell, observed.space_group)
    raise InputError(
        "members and observed map have different symmetry",
        found=f"{members.space_group} and {observed.space_group}",
        fix="name the true space group for both with --space-group",
    )


def _check_cell(source: MemberSource, moved: IntensityMap) -> None:
    if not same_lattice(source.crystal, moved.crystal):
        raise InputError(
            "wrong cell: members and observed map differ by more than 1 %",
            found=f"{source.crystal.unit_cell} and {moved.crystal.unit_cell}",
            fix="use frames of this crystal form, and an operator that the lattice allows",
        )


def _check_motion(table: MemberTable, uniform: Float[np.ndarray, " orbits"]) -> None:
    bragg = float(np.mean(np.abs(table.centre) ** 2)) / table.n_cells
    if np.abs(uniform).max() <= _ROUNDING * bragg:
        raise InputError(
            "the members are all the same, and scatter nothing diffusely",
            found=f"{table.n_members} members whose structure factors are equal to rounding",
            fix="give the frames of a simulation, each once",
        )


def _within(source: MemberSource, d_min: float | None, d_max: float | None) -> np.ndarray:
    for name, value in (("d_min", d_min), ("d_max", d_max)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise InputError(f"{name} must be positive", found=value, fix="give it in angstroms")
    if d_min is not None and d_max is not None and d_min >= d_max:
        raise InputError(
            "the high-resolution limit is not below the low-resolution limit",
            found=f"d_min {d_min:g}, d_max {d_max:g} Å",
            fix="exchange --d-min and --d-max",
        )
    s_squared = source.crystal.s_squared(source.index / np.array(source.divisions))
    kept = np.ones(len(s_squared), dtype=bool)
    if d_min is not None:
        kept &= s_squared <= (1 + 1e-9) / d_min**2
    if d_max is not None:
        kept &= s_squared >= (1 - 1e-9) / d_max**2
    return kept


def _measured(source: MemberSource, orbits: Orbits, observed: Observed) -> np.ndarray:
    measured = np.zeros(len(source.index), dtype=bool)
    measured[orbits.points] = np.repeat(observed.measured, orbits.size)
    return measured
