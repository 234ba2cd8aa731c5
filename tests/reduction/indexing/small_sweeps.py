"""Small sweeps with known geometry: as lists of spots, and as frames with spots drawn on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from unstill.crystal import Crystal
from unstill.experiment import (
    Beam,
    Detector,
    Experiment,
    FrameHeader,
    Goniometer,
    Lattice,
    Panel,
    Scan,
)
from unstill.experiment.predict import predict_spots
from unstill.experiment.rotation import rotation_about
from unstill.reduction.indexing.geometry_model import moved
from unstill.reduction.indexing.spots import Spots

TETRAGONAL = Crystal((29.0, 29.0, 38.0, 90.0, 90.0, 90.0), "P 41")
TRICLINIC = Crystal((21.0, 25.0, 31.0, 83.0, 97.0, 106.0), "P 1")
CENTRED = Crystal((46.0, 24.0, 33.0, 90.0, 104.0, 90.0), "C 1 2 1")
U = rotation_about((0.6, 0.0, 0.8), 37.0) @ rotation_about((0.0, 1.0, 0.0), 21.0)


def sweep(
    crystal: Crystal = TETRAGONAL,
    *,
    n_frames: int = 120,
    phi_step: float = 0.5,
    distance: float = 150.0,
    u_matrix: np.ndarray = U,
    pixel: float = 0.5,
    n_pixels: int = 256,
) -> Experiment:
    half = pixel * n_pixels / 2
    panel = Panel(
        (-half + 1.3, half - 0.7, -distance), (1, 0, 0), (0, -1, 0), (pixel, pixel),
        (n_pixels, n_pixels),
    )  # fmt: skip
    return Experiment(
        Beam(1.0),
        Detector((panel,)),
        Goniometer((1.0, 0.0, 0.0)),
        Scan(n_frames, 10.0, phi_step, exposure_times=np.array([0.1])),
        Lattice.oriented(crystal, u_matrix),
    )


def still(crystal: Crystal = TETRAGONAL) -> Experiment:
    return sweep(crystal).replace(scan=None, goniometer=None)


def off(experiment: Experiment, **moves: float) -> Experiment:
    """The geometry moved away from the truth, the lattice forgotten."""
    made = moved(experiment, tuple(moves), np.array(list(moves.values())))
    return made.replace(lattice=None)


def drifting(experiment: Experiment, angle: float, strain: float) -> Experiment:
    """A crystal that turns by an angle (degrees) and swells by a share over its scan."""
    lattice = experiment.lattice
    assert lattice is not None
    share = np.linspace(0, 1, experiment.n_frames + 1)
    points = np.array(
        [
            rotation_about((0.0, 0.6, 0.8), angle * np.sin(2 * x))
            @ lattice.a_matrix
            / (1 + strain * x)
            for x in share
        ]
    )
    return experiment.replace(
        lattice=Lattice(lattice.crystal, lattice.a_matrix, a_at_scan_points=points)
    )


def all_hkl(crystal: Crystal, d_min: float) -> np.ndarray:
    reach = [int(length / d_min) + 1 for length in crystal.unit_cell[:3]]
    grid = np.stack(
        np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1
    ).reshape(-1, 3)
    grid = grid[np.any(grid != 0, axis=1) & (crystal.d(grid.astype(float)) >= d_min)]
    absent = crystal.group.operations()
    return grid[~np.array(absent.systematic_absences(grid))]


def seen_spots(
    experiment: Experiment,
    *,
    d_min: float = 3.2,
    noise: float = 0.1,
    share: float = 0.6,
    seed: int = 0,
) -> tuple[Spots, np.ndarray]:
    """Spots of a random part of the reflections with errors of centroids, and their hkl."""
    rng = np.random.default_rng(seed)
    hkl = all_hkl(experiment.crystal, d_min)
    hkl = hkl[rng.random(len(hkl)) < share]
    predicted = predict_spots(experiment, hkl, max_excitation=1.5e-3)
    n = len(predicted)
    frame = predicted.frame + 0.2 * rng.normal(size=n) * (experiment.scan is not None)
    variance = np.tile([noise**2, noise**2, 0.04], (n, 1))
    whole = np.clip(np.floor(frame), 0, experiment.n_frames - 1).astype(int)
    spots = Spots(
        panel=predicted.panel,
        fast=predicted.fast + noise * rng.normal(size=n),
        slow=predicted.slow + noise * rng.normal(size=n),
        frame=frame,
        variance=variance,
        intensity=rng.exponential(500.0, n) + 50,
        n_pixels=np.full(n, 9),
        first_frame=whole,
        last_frame=whole + 1,
        overloaded=np.zeros(n, bool),
        cut=np.zeros(n, bool),
        at_end=np.zeros(n, bool),
    )
    return spots, hkl[predicted.index]


def joined(first: Spots, second: Spots) -> Spots:
    return Spots(
        **{
            name: np.concatenate([getattr(first, name), getattr(second, name)])
            for name in vars(first)
        }
    )


@dataclass(frozen=True)
class DrawnFrames:
    """Frames with a Gaussian for every predicted spot on a background, with counting noise."""

    experiment: Experiment
    d_min: float = 3.0
    photons: float = 300.0
    background: float = 2.0
    seed: int = 0
    size: int = 256

    @property
    def n_frames(self) -> int:
        return self.experiment.n_frames

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        return tuple(panel.shape for panel in self.experiment.detector.panels)

    def header(self, index: int) -> FrameHeader:
        return header_of(self.experiment, index)

    def read(self, index: int) -> tuple[np.ndarray, ...]:
        rng = np.random.default_rng([self.seed, index])
        expected = np.full(self.shapes[0], self.background)
        spots = self.predicted()
        share = ndtr((index + 1 - spots.frame) / 0.7) - ndtr((index - spots.frame) / 0.7)
        for k in np.flatnonzero(share > 1e-3):
            profile = [
                np.diff(ndtr((np.arange(self.size + 1) - center) / 0.9))
                for center in (spots.slow[k], spots.fast[k])
            ]
            strength = self.photons * (0.3 + (spots.index[k] * 0.618) % 1)
            expected += strength * share[k] * np.outer(*profile)
        return (rng.poisson(expected).astype(np.int32),)

    def predicted(self):
        return predict_spots(self.experiment, all_hkl(self.experiment.crystal, self.d_min))

    def refresh(self) -> int:
        return self.n_frames

    def files(self) -> tuple[str, ...]:
        return ()


def header_of(experiment: Experiment, index: int) -> FrameHeader:
    panel = experiment.detector.panels[0]
    scan = experiment.scan
    assert scan is not None
    return FrameHeader(
        phi_start=float(scan.phi(index)),
        phi_width=scan.phi_width,
        exposure_time=0.1,
        wavelength=experiment.beam.wavelength,
        distance=panel.distance,
        beam_center=(
            -panel.origin[0] / panel.pixel_size[0],
            panel.origin[1] / panel.pixel_size[1],
        ),
        pixel_size=panel.pixel_size,
        image_size=panel.image_size,
    )


@dataclass(frozen=True)
class HeldFrames:
    """Frames of one panel that are there already."""

    images: list[np.ndarray]

    @property
    def n_frames(self) -> int:
        return len(self.images)

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        return (self.images[0].shape,)

    def header(self, index: int) -> FrameHeader:
        return FrameHeader(phi_start=float(index), phi_width=1.0)

    def read(self, index: int) -> tuple[np.ndarray, ...]:
        return (self.images[index],)

    def refresh(self) -> int:
        return self.n_frames

    def files(self) -> tuple[str, ...]:
        return ()
