"""Index the spots of a sweep or a still and refine what they were measured with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.experiment import Experiment, FrameSource, Lattice
from unstill.reduction.indexing.assign import assign_indices, within_spread
from unstill.reduction.indexing.bravais import BravaisCandidate
from unstill.reduction.indexing.choose_lattice import choose_lattice, crystal_of_cell
from unstill.reduction.indexing.crystal_motion import CrystalMotion
from unstill.reduction.indexing.geometry_model import Free
from unstill.reduction.indexing.ice_rings import ice_spots
from unstill.reduction.indexing.refine import Refined, refine, residuals_of, turns_during
from unstill.reduction.indexing.refusals import FEWEST_SPOTS, check_number, no_lattice
from unstill.reduction.indexing.search import (
    SearchResult,
    reversed_axis,
    search_lattice,
)
from unstill.reduction.indexing.second_lattice import SecondLattice, find_second_lattice
from unstill.reduction.indexing.spots import SpotOptions, Spots, find_spots
from unstill.reduction.indexing.sublattice import filled_lattice

SMALLEST_SHARE = 0.3
"""A lattice that indexes less has been found by chance: an eighth of random points index."""

_REFINED_SPOTS = 20_000
_WORTH_A_TRY = 0.75
_CLOSE = 0.12
_TELLS_THE_AXIS = 5.0
"""Degrees of turn after which a lattice cannot be indexed well about a reversed axis."""
_PIXELS, _DEGREES, _FRAMES = 1.0, 0.1, 1.5
"""Residuals up to these never make an outlier."""
_DRIFT_ROUNDS = 4


@dataclass(frozen=True)
class IndexOptions:
    """How frames are indexed.

    Parameters
    ----------
    unit_cell
        a, b, c (Å) and α, β, γ (degrees), if known.
    space_group
        If known.
    spots
        How spots are found.
    scan_varying
        Whether orientation and cell may drift over a sweep; ``None`` lets them
        where the sweep is long enough.
    knot_step
        Degrees between the knots of the drift.
    free
        Which geometry is refined.
    beam_search
        How far from its place the beam centre is looked for (pixels).
    try_reversed_axis
        Also try the rotation axis the other way round.
    max_cell
        Longest axis looked for when the cell is unknown (Å).
    """

    unit_cell: tuple[float, float, float, float, float, float] | None = None
    space_group: str | None = None
    spots: SpotOptions = field(default_factory=SpotOptions)
    scan_varying: bool | None = None
    knot_step: float = 10.0
    free: Free = field(default_factory=Free)
    beam_search: float = 8.0
    try_reversed_axis: bool = False
    max_cell: float | None = None


@dataclass(frozen=True, eq=False)
class IndexResult:
    """An indexed and refined experiment, and how well it explains its spots.

    Parameters
    ----------
    experiment
        With a lattice.
    spots
        All spots.
    hkl
        ``(n, 3)`` Miller indices; 0,0,0 where not indexed.
    indexed
        ``(n,)`` bool.
    residuals
        ``(n, 3)`` calculated minus observed fast, slow (pixels) and angle (degrees); NaN where
        not indexed.
    rmsd
        Root mean squares of the residuals of indexed spots: fast, slow (pixels), angle (degrees);
        of the angle without spots that the ends of the scan cut off.
    refined
        Uncertainties and what is not determined.
    candidates
        Bravais lattices, if the cell was not known.
    second
        Another lattice among the spots that are not indexed, or ``None``.
    ice_rings
        Spacings (Å) of the rings of ice that hold many spots.
    history
        Every step: its name, spots used, share indexed, root mean squares.
    """

    experiment: Experiment
    spots: Spots
    hkl: np.ndarray
    indexed: np.ndarray
    residuals: np.ndarray
    rmsd: tuple[float, float, float]
    refined: Refined
    candidates: tuple[BravaisCandidate, ...]
    second: SecondLattice | None
    ice_rings: tuple[float, ...]
    history: tuple[dict[str, Any], ...]

    @property
    def share(self) -> float:
        """Of all spots that are indexed."""
        return float(self.indexed.mean())


def index_frames(
    experiment: Experiment,
    source: FrameSource,
    *,
    options: IndexOptions | None = None,
    workers: int = 1,
) -> IndexResult:
    """Find spots on frames, index them, and refine geometry, orientation and cell.

    Parameters
    ----------
    experiment
        Starting geometry; a lattice in it is not looked at.
    source
        The frames.
    options
        What is known, and how to go about it.
    workers
        Processes for finding spots.

    Raises
    ------
    InputError
        If there are too few spots, or no lattice explains enough of them.
    """
    options = options or IndexOptions()
    spots = find_spots(experiment, source, options=options.spots, workers=workers)
    return index_spots(experiment, spots, options=options)


def index_spots(
    experiment: Experiment, spots: Spots, *, options: IndexOptions | None = None
) -> IndexResult:
    """Index spots that were found; see :func:`index_frames`."""
    options = options or IndexOptions()
    check_number(spots)
    length = np.linalg.norm(spots.scattering_vectors(experiment), axis=1)
    on_ice, rings = ice_spots(length)
    usable = spots.select(~on_ice) if (~on_ice).sum() >= FEWEST_SPOTS else spots
    known = None
    if options.unit_cell is not None:
        known = crystal_of_cell(options.unit_cell, options.space_group)
    result = _search(experiment, usable, known, options)
    history = [{"step": "search", "share": round(result.share, 4), "tried": list(result.tried)}]
    run = _Run(result.experiment, usable, options, history)
    candidates: list[BravaisCandidate] = []
    refined = run.first(result, known)
    if known is None:
        primitive = run.primitive(refined)
        chosen, candidates = choose_lattice(primitive, space_group=options.space_group)
        history.append({"step": "bravais", "lattice": chosen.lattice, "penalty": chosen.penalty})
        refined = run.settle(_fitted(chosen.crystal, chosen.a_matrix), before=refined)
    refined = run.drift(refined)
    return _finished(refined, spots, candidates, rings, history)


@dataclass(frozen=True, eq=False)
class _Run:
    """Rounds of assigning indices and refining; each is noted in the history."""

    experiment: Experiment
    spots: Spots
    options: IndexOptions
    history: list[dict[str, Any]]

    def first(self, result: SearchResult, known: Crystal | None) -> Refined:
        """Refine the lattices of a search, and go on with the one that fits spots closely."""
        best, most = None, -1.0
        for found in result.found:
            if found.share < _WORTH_A_TRY * result.share:
                continue
            matrix = found.a_matrix
            lattice = (
                Lattice(Crystal(found.unit_cell), matrix)
                if known is None
                else _fitted(known, matrix)
            )
            try:
                refined = self.settle(lattice, reaches=(0.4, 0.7))
            except InputError:
                continue
            close = assign_indices(
                refined.experiment, refined.motion, self.spots, tolerance=_CLOSE
            )
            share = float(close.indexed.mean())
            self.history.append({"step": "lattice of the search", "close": round(share, 4)})
            if share > most:
                best, most = refined, share
        if best is None:
            raise no_lattice(
                result.share,
                len(self.spots),
                result.tried,
                known_cell=self.options.unit_cell is not None,
            )
        return self.settle(None, before=best)

    def primitive(self, refined: Refined) -> np.ndarray:
        """Return the setting matrix of the lattice that the spots fill."""
        assigned = assign_indices(refined.experiment, refined.motion, self.spots, tolerance=_CLOSE)
        a_matrix = refined.motion.lattice().a_matrix
        return filled_lattice(a_matrix, assigned.hkl[assigned.indexed])

    def settle(
        self,
        lattice: Lattice | None,
        *,
        before: Refined | None = None,
        reaches: tuple[float, ...] = (1.0, 1.0),
    ) -> Refined:
        """Refine a constant lattice, or go on: shares of the spots, low resolution first."""
        if lattice is not None:
            motion = CrystalMotion.of(lattice, self.experiment.n_frames)
        elif before is not None:
            motion = before.motion
        refined = before
        for reach in reaches:
            refined = self._round(f"static, {reach:.0%} of spots", refined, motion, reach)
            motion = refined.motion
        assert refined is not None
        return refined

    def drift(self, refined: Refined) -> Refined:
        """Let orientation and cell vary with the scan, where there is enough of it."""
        knots = self._n_knots()
        if knots < 2:
            return refined
        motion = refined.motion.with_knots(knots)
        for _ in range(_DRIFT_ROUNDS):
            before = refined.sigma
            refined = self._round(f"scan-varying, {knots} knots", refined, motion, 1.0)
            motion = refined.motion
            if np.all(refined.sigma[:2] > 0.97 * before[:2]):
                break
        return refined

    def _round(
        self, name: str, before: Refined | None, motion: CrystalMotion, reach: float
    ) -> Refined:
        experiment = self.experiment if before is None else before.experiment
        part = self._nearest(experiment, reach)
        assigned = assign_indices(experiment, motion, part)
        chosen = np.flatnonzero(assigned.indexed)
        if len(chosen) < FEWEST_SPOTS:
            raise no_lattice(
                len(chosen) / max(len(part), 1),
                len(part),
                (),
                known_cell=self.options.unit_cell is not None,
            )
        residuals = residuals_of(experiment, motion, part.select(chosen), assigned.hkl[chosen])
        chosen = chosen[within_spread(residuals, smallest=_smallest(experiment))]
        if len(chosen) > _REFINED_SPOTS:
            chosen = chosen[np.linspace(0, len(chosen) - 1, _REFINED_SPOTS).astype(int)]
        refined = refine(
            self.experiment,
            motion,
            part.select(chosen),
            assigned.hkl[chosen],
            free=self.options.free,
            values=None if before is None else before.values,
        )
        rms = np.sqrt(np.nanmean(refined.residuals**2, axis=0))
        self.history.append(
            {
                "step": name,
                "n_spots": len(part),
                "n_used": len(chosen),
                "share": round(float(assigned.indexed.mean()), 4),
                "rmsd": [round(float(value), 4) for value in rms],
                "unit_cell": [round(v, 4) for v in refined.motion.lattice().crystal.unit_cell],
            }
        )
        return refined

    def _nearest(self, experiment: Experiment, reach: float) -> Spots:
        n = max(int(reach * len(self.spots)), min(len(self.spots), 200))
        if n >= len(self.spots):
            return self.spots
        length = np.linalg.norm(self.spots.scattering_vectors(experiment), axis=1)
        return self.spots.select(np.sort(np.argsort(length, kind="stable")[:n]))

    def _n_knots(self) -> int:
        scan = self.experiment.scan
        if self.options.scan_varying is False or scan is None or not turns_during(self.experiment):
            return 1
        turned = _turned(self.experiment)
        # Each knot needs some spots of its own.
        by_spots = len(self.spots) // 60
        knots = min(int(turned / self.options.knot_step) + 3, by_spots)
        if turned < 0.5 * self.options.knot_step and self.options.scan_varying is None:
            return 1
        return max(knots, 1)


def _search(
    experiment: Experiment, spots: Spots, known: Crystal | None, options: IndexOptions
) -> SearchResult:
    axes = [("", experiment)]
    if options.try_reversed_axis and experiment.goniometer is not None:
        axes.append(("reversed axis, ", reversed_axis(experiment)))
    best = SearchResult(experiment, [], (0.0, 0.0), ())
    tried: list[str] = []
    for reach in (0.0, options.beam_search):
        for name, one in axes:
            found = search_lattice(
                one, spots, crystal=known, max_cell=options.max_cell, beam_search=reach
            )
            tried += [name + text for text in found.tried]
            if found.close > best.close:
                best = found
            if best.is_good and _turned(experiment) >= _TELLS_THE_AXIS:
                break
        if best.is_good or options.beam_search == 0:
            break
    if best.share < SMALLEST_SHARE:
        raise no_lattice(
            best.share, len(spots), tuple(tried), known_cell=options.unit_cell is not None
        )
    return replace(best, tried=tuple(tried))


def _smallest(experiment: Experiment) -> tuple[float, float]:
    scan = experiment.scan
    width = 0.0 if scan is None else abs(float(scan.phi_width or 0.0))
    return _PIXELS, max(_DEGREES, _FRAMES * width)


def _turned(experiment: Experiment) -> float:
    scan = experiment.scan
    return 0.0 if scan is None else abs(scan.phi_step) * scan.n_frames


def _fitted(crystal: Crystal, a_matrix: np.ndarray) -> Lattice:
    """Lattice with the exact cell of the crystal in the orientation of a setting matrix."""
    from unstill.experiment.lattice import nearest_rotation

    turn = nearest_rotation(a_matrix @ np.linalg.inv(crystal.fractionalization_matrix.T))
    return Lattice.oriented(crystal, turn)


def _finished(
    refined: Refined,
    spots: Spots,
    candidates: list[BravaisCandidate],
    rings: tuple[float, ...],
    history: list[dict[str, Any]],
) -> IndexResult:
    experiment, motion = refined.experiment, refined.motion
    assigned = assign_indices(experiment, motion, spots)
    residuals = residuals_of(experiment, motion, spots, assigned.hkl)
    last = experiment.n_frames - 1
    cut_off = (spots.first_frame == 0) | (spots.last_frame == last)
    cut_off &= turns_during(experiment)
    good = np.zeros(len(spots), bool)
    rows = np.flatnonzero(assigned.indexed)
    good[rows] = within_spread(
        residuals[rows], smallest=_smallest(experiment), cut_off=cut_off[rows]
    )
    residuals[~good] = np.nan
    if good.sum() < FEWEST_SPOTS:
        raise no_lattice(float(good.mean()), len(spots), (), known_cell=False)
    experiment = experiment.replace(lattice=motion.lattice())
    x, y, z = (float(value) for value in np.sqrt(np.nanmean(residuals**2, axis=0)))
    if (good & ~cut_off).sum() >= FEWEST_SPOTS:
        z = float(np.sqrt(np.nanmean(residuals[~cut_off, 2] ** 2)))
    return IndexResult(
        experiment=experiment,
        spots=spots,
        hkl=np.where(good[:, None], assigned.hkl, 0),
        indexed=good,
        residuals=residuals,
        rmsd=(x, y, z),
        refined=refined,
        candidates=tuple(candidates),
        second=find_second_lattice(experiment, spots, good),
        ice_rings=rings,
        history=tuple(history),
    )
