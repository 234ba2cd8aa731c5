"""What goes wrong at beamlines, as switches; the reduction must notice each."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from unstill.experiment import Experiment
from unstill.experiment.rotation import rotation_about
from unstill.simulation.outliers import Outliers

ICE_SPACINGS = (3.897, 3.669, 3.441, 2.671, 2.249, 2.072, 1.948, 1.918, 1.883, 1.721)
"""d (Å) of the first rings of hexagonal ice."""

_ICE_HEIGHTS = (1.0, 0.8, 0.6, 0.3, 0.4, 0.35, 0.2, 0.15, 0.15, 0.1)


@dataclass(frozen=True)
class Faults:
    """Switches; by default nothing is wrong.

    Parameters
    ----------
    hot_pixels, dead_pixels
        Numbers of pixels that count ``hot_level`` photons besides, and that count nothing.
    hot_level
        Photons a frame.
    zingers
        Pixels a frame, on average, that a stray particle fills with 500 to 5000 photons.
    ice
        Height of the strongest ice ring, in e² per unit cell; 0 means no ice.
    second_lattice
        Share of a second crystal, turned by ``second_turn`` degrees.
    second_turn
        Degrees.
    decay
        Radiation damage: B grows by so many Å² a second of exposure; every
        intensity is damped by exp(−B s²/2).
    outliers
        Whole observations that are too bright or too dark.
    beam_trip
        Frames, counted from 0, that got a tenth of the beam.
    seed
        Of the places of hot and dead pixels.
    """

    hot_pixels: int = 0
    dead_pixels: int = 0
    hot_level: float = 1e4
    zingers: float = 0.0
    ice: float = 0.0
    second_lattice: float = 0.0
    second_turn: float = 4.0
    decay: float = 0.0
    outliers: Outliers | None = None
    beam_trip: tuple[int, ...] = ()
    seed: int = 0

    def beam(self, frame: int) -> float:
        """Share of the beam that a frame got."""
        return 0.1 if frame in self.beam_trip else 1.0

    def bad_pixels(self, n_pixels: int) -> tuple[np.ndarray, np.ndarray]:
        """Flat positions, over all panels, of the hot and of the dead pixels."""
        wanted = min(self.hot_pixels + self.dead_pixels, n_pixels)
        places = np.random.default_rng([self.seed, 4]).choice(n_pixels, wanted, replace=False)
        return np.sort(places[: self.hot_pixels]), np.sort(places[self.hot_pixels :])

    def ice_intensity(self, s: np.ndarray) -> np.ndarray:
        """Intensity of the ice rings at 1/d (Å⁻¹), e² per unit cell of the crystal."""
        total = np.zeros(np.shape(s))
        for spacing, height in zip(ICE_SPACINGS, _ICE_HEIGHTS, strict=True):
            total += height * np.exp(-((s - 1 / spacing) ** 2) / (2 * 0.0015**2))
        return self.ice * total

    def second(self, experiment: Experiment) -> Experiment:
        """Experiment of the second crystal: the same, turned about an oblique axis."""
        turn = rotation_about(np.array([0.48, 0.6, 0.64]), self.second_turn)
        return turned(experiment, turn)

    def as_dict(self) -> dict[str, object]:
        """All parameters, for the record."""
        return asdict(self)


def turned(experiment: Experiment, rotation: np.ndarray) -> Experiment:
    """Return the experiment with its crystal turned (at goniometer angle 0)."""
    from dataclasses import replace

    lattice = experiment.lattice
    if lattice is None:
        return experiment
    points = lattice.a_at_scan_points
    return experiment.replace(
        lattice=replace(
            lattice,
            a_matrix=rotation @ lattice.a_matrix,
            a_at_scan_points=None if points is None else rotation @ points,
        )
    )


def with_distance_error(experiment: Experiment, shift: float) -> Experiment:
    """Return the experiment as someone would describe it who errs in the distance (mm)."""
    from dataclasses import replace

    panels = tuple(
        replace(
            panel, origin=tuple(np.array(panel.origin) + shift * _away(panel.origin, panel.normal))
        )
        for panel in experiment.detector.panels
    )
    return experiment.replace(detector=replace(experiment.detector, panels=panels))


def _away(origin: tuple[float, float, float], normal: np.ndarray) -> np.ndarray:
    return normal if float(np.dot(origin, normal)) > 0 else -normal
