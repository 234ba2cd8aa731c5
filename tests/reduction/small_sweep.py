"""A tiny sweep with a known truth, in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

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
from unstill.experiment.corrections import pixel_response
from unstill.experiment.pixels import pixel_centers, scattering_vectors
from unstill.experiment.rotation import rotation_about


@dataclass
class ArraySource:
    """Frames in memory; counts how often each is read."""

    frames: list[tuple[np.ndarray, ...]]
    reads: list[int] = field(default_factory=list)

    @property
    def n_frames(self) -> int:
        return len(self.frames)

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        return tuple(image.shape for image in self.frames[0])

    def header(self, index: int) -> FrameHeader:
        return FrameHeader()

    def read(self, index: int) -> tuple[np.ndarray, ...]:
        self.reads.append(index)
        return self.frames[index]

    def refresh(self) -> int:
        return self.n_frames

    def files(self) -> tuple[str, ...]:
        return ()


def small_experiment(
    *,
    cell: tuple[float, ...] = (34.0, 45.0, 60.0, 90, 90, 90),
    space_group: str = "P 21 21 21",
    size: int = 128,
    n_frames: int = 10,
    step: float = 0.1,
    phi_start: float = 0.0,
    distance: float = 60.0,
    orientation: tuple[float, float, float] = (0.3, 0.5, 0.8),
    time: float = 0.5,
    panels: int = 1,
) -> Experiment:
    """A square detector of ``size`` pixels whose beam is off centre."""
    pixel = 0.172 * 256 / size
    beam = Beam(0.9762)
    rows = size // panels
    made = tuple(
        Panel(
            (-0.45 * size * pixel, 0.52 * size * pixel - n * rows * pixel, -distance),
            (1.0, 0, 0),
            (0.0, -1.0, 0),
            (pixel, pixel),
            (size, rows),
            thickness=0.32,
            mu=3.0,
            material="Si",
            parallax=True,
        )
        for n in range(panels)
    )
    axis = np.array(orientation) / np.linalg.norm(orientation)
    lattice = Lattice.oriented(Crystal(cell, space_group), rotation_about(axis, 37.0))
    return Experiment(
        beam,
        Detector(made),
        Goniometer((1.0, 0.0, 0.0)),
        Scan(n_frames, phi_start, step, exposure_times=np.array([time])),
        lattice,
        name="small",
    )


def hkl_of(experiment: Experiment, position: float, panel: int = 0) -> np.ndarray:
    """Exact hkl of all pixels."""
    table = experiment.detector.panels[panel]
    s = scattering_vectors(experiment.beam, table, *np.broadcast_arrays(*pixel_centers(table)))
    return s @ experiment.hkl_matrix(position).T


def expected_frame(
    experiment: Experiment,
    frame: int,
    intensity: Callable[[np.ndarray], np.ndarray],
    *,
    bragg: float = 0.0,
    width: float = 0.03,
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0),
    air: float = 0.0,
) -> list[np.ndarray]:
    """Expected photons: diffuse intensity(hkl), Gaussian Bragg peaks, and an even air rate."""
    time = float(experiment.scan.exposure_times[frame])
    images = []
    for number, panel in enumerate(experiment.detector.panels):
        hkl = hkl_of(experiment, frame + 0.5, number)
        total = intensity(hkl)
        if bragg:
            nearest = np.floor(hkl + 0.5)
            delta = hkl - nearest - np.array(offset)
            peak = np.exp(-0.5 * np.sum(delta**2, axis=-1) / width**2)
            total = total + bragg * peak * allowed(experiment, nearest)
        images.append(time * (total * pixel_response(experiment.beam, panel) + air))
    return images


def allowed(experiment: Experiment, nearest: np.ndarray) -> np.ndarray:
    """Which reflections ``(..., 3)`` symmetry leaves, asked of gemmi."""
    operations = experiment.crystal.group.operations()
    flat = nearest.reshape(-1, 3).astype(int) + 500
    keys, inverse = np.unique(
        (flat[:, 0] * 1000 + flat[:, 1]) * 1000 + flat[:, 2], return_inverse=True
    )
    unique = np.stack([keys // 10**6, keys // 1000 % 1000, keys % 1000], axis=1) - 500
    left = [not operations.is_systematically_absent(row) for row in unique.tolist()]
    return np.array(left)[inverse].reshape(nearest.shape[:-1])


def poisson_source(
    experiment: Experiment, intensity: Callable[[np.ndarray], np.ndarray], seed: int = 0, **more
) -> ArraySource:
    """Poisson frames of a truth."""
    frames = []
    for frame in range(experiment.n_frames):
        rng = np.random.default_rng([seed, frame])
        expected = expected_frame(experiment, frame, intensity, **more)
        frames.append(tuple(rng.poisson(image).astype(np.int32) for image in expected))
    return ArraySource(frames)


def with_space_group(experiment: Experiment, space_group: str) -> Experiment:
    """The same lattice with other symmetry."""
    crystal = Crystal(experiment.crystal.unit_cell, space_group)
    return experiment.replace(lattice=replace(experiment.lattice, crystal=crystal))
