"""Rounds of assigning indices and refining, from rough to fine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.experiment import Experiment, Lattice
from unstill.experiment.lattice import nearest_rotation
from unstill.reduction.indexing.assign import assign_indices, within_spread
from unstill.reduction.indexing.crystal_motion import CrystalMotion
from unstill.reduction.indexing.options import IndexOptions
from unstill.reduction.indexing.refine import Refined, refine, residuals_of
from unstill.reduction.indexing.refusals import FEWEST_SPOTS, no_lattice
from unstill.reduction.indexing.search import SearchResult
from unstill.reduction.indexing.spots import Spots
from unstill.reduction.indexing.sublattice import filled_lattice
from unstill.reduction.indexing.turning import turns_during

_REFINED_SPOTS = 20_000
_WORTH_A_TRY = 0.75
_CLOSE = 0.12
_PIXELS, _DEGREES, _FRAMES = 1.0, 0.1, 1.5
"""Residuals up to these never make an outlier."""
_DRIFT_ROUNDS = 4


@dataclass(frozen=True, eq=False)
class Rounds:
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
                else fitted_lattice(known, matrix)
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
        found = part.select(chosen)
        residuals = residuals_of(experiment, motion, found, assigned.hkl[chosen])
        close = within_spread(experiment, found, residuals, smallest=never_outliers(experiment))
        chosen = chosen[close]
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
        turned = turned_degrees(self.experiment)
        # Each knot needs some spots of its own.
        by_spots = len(self.spots) // 60
        knots = min(int(turned / self.options.knot_step) + 3, by_spots)
        if turned < 0.5 * self.options.knot_step and self.options.scan_varying is None:
            return 1
        return max(knots, 1)


def never_outliers(experiment: Experiment) -> tuple[float, float]:
    """Pixels and degrees up to which a residual makes no outlier."""
    scan = experiment.scan
    width = 0.0 if scan is None else abs(float(scan.phi_width or 0.0))
    return _PIXELS, max(_DEGREES, _FRAMES * width)


def turned_degrees(experiment: Experiment) -> float:
    """Return how far a scan turns the crystal."""
    scan = experiment.scan
    return 0.0 if scan is None else abs(scan.phi_step) * scan.n_frames


def fitted_lattice(crystal: Crystal, a_matrix: np.ndarray) -> Lattice:
    """Lattice with the exact cell of the crystal in the orientation of a setting matrix."""
    turn = nearest_rotation(a_matrix @ np.linalg.inv(crystal.fractionalization_matrix.T))
    return Lattice.oriented(crystal, turn)
