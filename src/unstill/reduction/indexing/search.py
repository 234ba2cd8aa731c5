"""From spots to a first lattice: what to look for, and where the beam may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from unstill.crystal import Crystal
from unstill.experiment import Experiment
from unstill.reduction.indexing.assign import crystal_points
from unstill.reduction.indexing.beam_center import recentered, shifted_beam
from unstill.reduction.indexing.lattice_search import (
    FoundLattice,
    search_known_cell,
    search_unknown_cell,
)
from unstill.reduction.indexing.spots import Spots

GOOD_SHARE = 0.6
"""Share of indexed spots that makes a search of the beam centre needless."""

_SEARCH_SPOTS = 3000
_REACH = 1
_GOOD_CLOSE = 0.4
_RECENTER = 4.0
_LATTICES, _WORTH = 3, 0.7


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The best lattice and where it was found.

    Parameters
    ----------
    experiment
        Geometry under which it was found.
    found
        Lattices, best first; may be empty.
    shift
        Of the beam centre from the start, fast and slow (pixels).
    tried
        In words, what was tried.
    close
        Share of low-resolution spots that come close to lattice points.
    """

    experiment: Experiment
    found: list[FoundLattice]
    shift: tuple[float, float]
    tried: tuple[str, ...]
    close: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether no other beam centre need be tried."""
        return self.share >= GOOD_SHARE and self.close >= _GOOD_CLOSE

    @property
    def share(self) -> float:
        """Of the spots that the best lattice indexes."""
        return self.found[0].share if self.found else 0.0


def search_lattice(
    experiment: Experiment,
    spots: Spots,
    *,
    crystal: Crystal | None,
    max_cell: float | None = None,
    beam_search: float = 8.0,
) -> SearchResult:
    """Look for the lattice of the strongest spots.

    At the beam centre of the experiment first; if few spots are indexed there,
    also at others around it, nearest first.

    Parameters
    ----------
    experiment
        Geometry to start from.
    spots
        Spots without those on rings of ice.
    crystal
        The cell, if it is known.
    max_cell
        Longest axis looked for when it is not (Å); by default from the density of spots.
    beam_search
        How far from its place the beam centre may be (pixels); 0 searches nowhere else.
    """
    strongest = np.argsort(-spots.intensity, kind="stable")[:_SEARCH_SPOTS]
    chosen = spots.select(np.sort(strongest))
    best: SearchResult | None = None
    tried: list[str] = []
    for shift in _shifts(beam_search):
        here = shifted_beam(experiment, shift)
        found = _found(here, chosen, crystal, max_cell)
        result = _recentered(SearchResult(here, found, shift, ()), chosen)
        x, y = result.shift
        tried.append(f"beam centre {x:+g}, {y:+g} px: {result.share:.0%} indexed")
        if best is None or result.close > best.close:
            best = result
        if best.is_good:
            break
    assert best is not None
    return replace(best, tried=tuple(tried))


def _found(
    experiment: Experiment, spots: Spots, crystal: Crystal | None, max_cell: float | None
) -> list[FoundLattice]:
    points = crystal_points(experiment, spots)
    if crystal is not None:
        return search_known_cell(points, crystal)
    return search_unknown_cell(points, max_cell=max_cell or guess_max_cell(points))


def _recentered(result: SearchResult, spots: Spots) -> SearchResult:
    """Let each of the best lattices try other beam centres; keep the one that comes closest."""
    best = result
    for found in result.found[:_LATTICES]:
        if found.share < _WORTH * result.found[0].share:
            continue
        experiment, better, shift, close = recentered(
            result.experiment, spots, found, reach=_RECENTER
        )
        if close > best.close:
            moved_by = (result.shift[0] + shift[0], result.shift[1] + shift[1])
            best = SearchResult(experiment, [better], moved_by, (), close)
        if close >= GOOD_SHARE:
            break
    return best


def reversed_axis(experiment: Experiment) -> Experiment:
    """Return the experiment with its rotation axis pointing the other way."""
    goniometer = experiment.goniometer
    assert goniometer is not None
    x, y, z = goniometer.rotation_axis
    return experiment.replace(
        goniometer=type(goniometer)(
            (-x, -y, -z), goniometer.fixed_rotation, goniometer.setting_rotation
        )
    )


def guess_max_cell(points: np.ndarray) -> float:
    """Longest axis (Å) that neighbouring spots may come from.

    1.5 divided by the distance that a tenth of nearest neighbours undercut; at
    least 60 Å, at most 600 Å.
    """
    from scipy.spatial import cKDTree

    apart = np.asarray(cKDTree(points).query(points, k=2)[0])[:, 1]
    apart = apart[apart > 1e-3]
    if not len(apart):
        return 200.0
    return float(np.clip(1.5 / np.percentile(apart, 10), 60.0, 600.0))


def _shifts(reach: float) -> Iterator[tuple[float, float]]:
    """No shift, then those on a grid, nearest first."""
    step = reach / _REACH
    grid = [
        (i * step, j * step)
        for i in range(-_REACH, _REACH + 1)
        for j in range(-_REACH, _REACH + 1)
    ]
    yield (0.0, 0.0)
    if reach > 0:
        yield from sorted((s for s in grid if s != (0.0, 0.0)), key=lambda s: (np.hypot(*s), s))
