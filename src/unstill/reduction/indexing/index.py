"""Index the spots of a sweep or a still and refine what they were measured with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from unstill.crystal import Crystal
from unstill.experiment import Experiment, FrameSource
from unstill.reduction.indexing.assign import assign_indices, within_spread
from unstill.reduction.indexing.bravais import BravaisCandidate
from unstill.reduction.indexing.choose_lattice import choose_lattice, crystal_of_cell
from unstill.reduction.indexing.find_spots import find_spots
from unstill.reduction.indexing.ice_rings import ice_spots
from unstill.reduction.indexing.options import IndexOptions
from unstill.reduction.indexing.refine import Refined, residuals_of
from unstill.reduction.indexing.refusals import (
    FEWEST_SPOTS,
    check_number,
    check_resolved,
    no_lattice,
)
from unstill.reduction.indexing.result import IndexResult, judged_spots
from unstill.reduction.indexing.rounds import (
    Rounds,
    fitted_lattice,
    never_outliers,
    turned_degrees,
)
from unstill.reduction.indexing.search import SearchResult, reversed_axis, search_lattice
from unstill.reduction.indexing.second_lattice import find_second_lattice
from unstill.reduction.indexing.spots import Spots

SMALLEST_SHARE = 0.3
"""A lattice that indexes less has been found by chance: an eighth of random points index."""

_TELLS_THE_AXIS = 5.0
"""Degrees of turn after which a lattice cannot be indexed well about a reversed axis."""


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
        check_resolved(experiment, known)
    result = _search(experiment, usable, known, options)
    history = [{"step": "search", "share": round(result.share, 4), "tried": list(result.tried)}]
    run = Rounds(result.experiment, usable, options, history)
    candidates: list[BravaisCandidate] = []
    refined = run.first(result, known)
    if known is None:
        primitive = run.primitive(refined)
        chosen, candidates = choose_lattice(primitive, space_group=options.space_group)
        history.append({"step": "bravais", "lattice": chosen.lattice, "penalty": chosen.penalty})
        refined = run.settle(fitted_lattice(chosen.crystal, chosen.a_matrix), before=refined)
    refined = run.drift(refined)
    return _finished(refined, spots, candidates, rings, history)


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
            if best.is_good and turned_degrees(experiment) >= _TELLS_THE_AXIS:
                break
        if best.is_good or options.beam_search == 0:
            break
    if best.share < SMALLEST_SHARE:
        raise no_lattice(
            best.share, len(spots), tuple(tried), known_cell=options.unit_cell is not None
        )
    return replace(best, tried=tuple(tried))


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
    good = np.zeros(len(spots), bool)
    rows = np.flatnonzero(assigned.indexed)
    good[rows] = within_spread(
        experiment, spots.select(rows), residuals[rows], smallest=never_outliers(experiment)
    )
    residuals[~good] = np.nan
    counted = good & judged_spots(experiment, spots)
    if counted.sum() < FEWEST_SPOTS:
        raise no_lattice(float(good.mean()), len(spots), (), known_cell=False)
    experiment = experiment.replace(lattice=motion.lattice())
    x, y, z = (float(value) for value in np.sqrt(np.mean(residuals[counted] ** 2, axis=0)))
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
