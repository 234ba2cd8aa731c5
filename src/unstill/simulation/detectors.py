"""Detectors of the field and small ones for tests, and experiments around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.experiment import Beam, Detector, Experiment, Goniometer, Lattice, Panel, Scan
from unstill.experiment.attenuation import sensor_mu
from unstill.experiment.detector import Rectangle
from unstill.experiment.rotation import rotation_about


@dataclass(frozen=True)
class DetectorKind:
    """A detector of equal modules with gaps.

    Parameters
    ----------
    modules
        Number along fast and slow.
    module_size
        Pixels along fast and slow.
    gap
        Pixels between modules, fast and slow.
    pixel
        Size (mm).
    thickness
        Of the silicon (mm); 0 for a detector without sensor corrections.
    cutoff
        Largest count.
    """

    modules: tuple[int, int]
    module_size: tuple[int, int]
    gap: tuple[int, int]
    pixel: float
    thickness: float
    cutoff: int

    @property
    def image_size(self) -> tuple[int, int]:
        """Pixels along fast and slow."""
        fast, slow = (
            n * size + (n - 1) * gap
            for n, size, gap in zip(self.modules, self.module_size, self.gap, strict=True)
        )
        return fast, slow

    def gaps(self) -> tuple[Rectangle, ...]:
        """Rectangles between the modules."""
        width, height = self.image_size
        step_f, step_s = (a + b for a, b in zip(self.module_size, self.gap, strict=True))
        columns = [(i * step_f - self.gap[0], i * step_f) for i in range(1, self.modules[0])]
        rows = [(i * step_s - self.gap[1], i * step_s) for i in range(1, self.modules[1])]
        vertical = [(a, 0, b, height) for a, b in columns if b > a]
        horizontal = [(0, a, width, b) for a, b in rows if b > a]
        return (*vertical, *horizontal)


DETECTORS: dict[str, DetectorKind] = {
    "pilatus-2m": DetectorKind((3, 8), (487, 195), (7, 17), 0.172, 0.45, 1048575),
    "pilatus-6m": DetectorKind((5, 12), (487, 195), (7, 17), 0.172, 0.45, 1048575),
    "eiger-16m": DetectorKind((4, 8), (1028, 512), (12, 38), 0.075, 0.45, 65533),
    "small": DetectorKind((1, 1), (256, 256), (0, 0), 0.8, 0.45, 1048575),
    "tiny": DetectorKind((1, 1), (128, 128), (0, 0), 1.6, 0.45, 1048575),
    "modular": DetectorKind((2, 3), (120, 80), (7, 9), 0.8, 0.45, 1048575),
}
"""By name; the last three are for tests."""


def make_detector(
    kind: str = "pilatus-2m",
    *,
    distance: float = 200.0,
    wavelength: float = 1.0,
    beam_center: tuple[float, float] | None = None,
    tilt: tuple[float, float] = (0.0, 0.0),
    parallax: bool = True,
    split: bool = False,
) -> Detector:
    """Detector square to the beam, or nearly so.

    Parameters
    ----------
    kind
        A name in :data:`DETECTORS`.
    distance
        From the sample to where the beam meets the detector (mm).
    wavelength
        Å; decides how the sensor absorbs.
    beam_center
        Pixels, fast and slow; by default the middle, a little off.
    tilt
        Rotations of the detector about the horizontal and the vertical (degrees).
    parallax
        Whether pixels are displaced by the depth of absorption.
    split
        One panel a module instead of one with gaps.

    Raises
    ------
    InputError
        If the kind is unknown.
    """
    if kind not in DETECTORS:
        raise InputError(
            "unknown detector", found=repr(kind), fix=f"give one of {', '.join(DETECTORS)}"
        )
    found = DETECTORS[kind]
    fast, slow = found.image_size
    beam = beam_center or (0.5 * fast + 3.3, 0.5 * slow - 2.7)
    turn = rotation_about((1, 0, 0), tilt[0]) @ rotation_about((0, 1, 0), tilt[1])
    right, down = turn @ np.array([1.0, 0.0, 0.0]), turn @ np.array([0.0, -1.0, 0.0])
    corner = np.array([0.0, 0.0, -distance]) - found.pixel * (beam[0] * right + beam[1] * down)
    whole = Panel(
        origin=_triple(corner),
        fast_axis=_triple(right),
        slow_axis=_triple(down),
        pixel_size=(found.pixel, found.pixel),
        image_size=(fast, slow),
        thickness=found.thickness,
        mu=sensor_mu("Si", Beam(wavelength).energy),
        material="Si",
        parallax=parallax,
        trusted_range=(0.0, float(found.cutoff)),
        masked=found.gaps(),
        name=kind,
    )
    if not split:
        return Detector((whole,))
    return Detector(tuple(_module(found, whole, i, j) for j in range(found.modules[1])
                          for i in range(found.modules[0])))  # fmt: skip


def _module(kind: DetectorKind, whole: Panel, i: int, j: int) -> Panel:
    fast = i * (kind.module_size[0] + kind.gap[0])
    slow = j * (kind.module_size[1] + kind.gap[1])
    shift = kind.pixel * (fast * np.array(whole.fast_axis) + slow * np.array(whole.slow_axis))
    return replace(
        whole,
        origin=_triple(np.array(whole.origin) + shift),
        image_size=kind.module_size,
        masked=(),
        offset=(fast, slow),
        name=f"{whole.name} {j}-{i}",
    )


def make_experiment(
    crystal: Crystal,
    *,
    detector: str | Detector = "pilatus-2m",
    distance: float = 200.0,
    wavelength: float = 1.0,
    n_frames: int = 40,
    phi_start: float = 0.0,
    phi_step: float = 0.1,
    exposure_time: float = 0.1,
    tilt: tuple[float, float] = (0.0, 0.0),
    parallax: bool = True,
    drift: float = 0.0,
    mosaicity: float = 0.05,
    seed: int = 0,
    name: str = "simulated",
) -> Experiment:
    """Experiment of a randomly oriented crystal on a horizontal rotation axis.

    Parameters
    ----------
    crystal
        Unit cell and space group.
    detector
        A name in :data:`DETECTORS`, or a detector.
    distance, wavelength, tilt, parallax
        See :func:`make_detector`.
    n_frames, phi_start, phi_step, exposure_time
        The scan (degrees, seconds).
    drift
        If positive, the orientation wanders by so many degrees and the cell
        grows by drift/100 over the scan; the experiment then has setting
        matrices at its scan points.
    mosaicity
        Degrees; recorded in the lattice.
    seed
        Of the orientation.
    name
        Of the experiment.
    """
    if isinstance(detector, str):
        detector = make_detector(
            detector, distance=distance, wavelength=wavelength, tilt=tilt, parallax=parallax
        )
    matrix = random_rotation([seed, 5]) @ crystal.fractionalization_matrix.T
    points = _drifting(matrix, n_frames, drift) if drift > 0 else None
    return Experiment(
        beam=Beam(wavelength),
        detector=detector,
        goniometer=Goniometer((1.0, 0.0, 0.0)),
        scan=Scan(n_frames, phi_start, phi_step, exposure_times=np.array([exposure_time])),
        lattice=Lattice(crystal, matrix, points, mosaicity),
        name=name,
    )


def random_rotation(seed: int | Sequence[int]) -> np.ndarray:
    """``(3, 3)`` rotation, uniform over all orientations."""
    w, x, y, z = _unit(np.random.default_rng(seed).normal(size=4))
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _drifting(matrix: np.ndarray, n_frames: int, drift: float) -> np.ndarray:
    share = np.linspace(0.0, 1.0, n_frames + 1)
    first = rotation_about((0.0, 0.6, 0.8), drift * np.sin(np.pi * share))
    second = rotation_about((0.0, 0.8, -0.6), drift * share**2)
    growth = 1 / (1 + drift / 100 * share)
    points: np.ndarray = growth[:, None, None] * (first @ second @ matrix)
    return points


def _unit(vector: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vector / np.linalg.norm(vector)
    return unit


def _triple(vector: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in vector)
    return x, y, z
