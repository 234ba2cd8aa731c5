"""What is refined: numbers that move the detector, the beam, the crystal and its cell.

Geometry moves as one body. Each number has a prior, the error that a starting
geometry may have; it decides nothing where the data speak, and holds what they
do not determine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import gemmi
import numpy as np

from unstill.crystal import Crystal
from unstill.experiment import Beam, Detector, Experiment, Panel
from unstill.experiment.rotation import rotation_about

GEOMETRY = (
    ("distance", 3.0),
    ("shift_fast", 3.0),
    ("shift_slow", 3.0),
    ("twist", 1.0),
    ("tilt_fast", 1.0),
    ("tilt_slow", 1.0),
    ("beam", 0.5),
)
"""Names, and priors: mm for lengths, degrees for angles.

``twist`` turns about the normal of the detector, ``tilt_fast`` and ``tilt_slow`` about its axes.
``beam`` turns the beam in the plane that holds it and the rotation axis; across that plane a turn
of the beam cannot be told from one of crystal and detector.
"""

STRAIN_PRIOR = 0.02
"""Of each independent strain of the unit cell."""


@dataclass(frozen=True)
class Free:
    """Which parts of the geometry are refined.

    Parameters
    ----------
    detector, distance, beam, cell
        Whether the detector's shifts and tilts, its distance, the beam, the unit cell are free.
    """

    detector: bool = True
    distance: bool = True
    beam: bool = True
    cell: bool = True


def free_names(free: Free, experiment: Experiment) -> tuple[str, ...]:
    """Names of the geometry that is refined; without a rotation axis the beam is fixed."""
    return tuple(
        name
        for name, _ in GEOMETRY
        if (name == "distance" and free.distance)
        or (name == "beam" and free.beam and experiment.goniometer is not None)
        or (name not in ("distance", "beam") and free.detector)
    )


def priors(names: tuple[str, ...]) -> np.ndarray:
    """Return the standard deviations of the priors of some geometry."""
    return np.array([dict(GEOMETRY)[name] for name in names])


def moved(experiment: Experiment, names: tuple[str, ...], values: np.ndarray) -> Experiment:
    """Return the experiment with its geometry moved by the values of some names."""
    move = dict(zip(names, (float(value) for value in values), strict=True))
    return experiment.replace(
        detector=_moved_detector(experiment.detector, move),
        beam=_moved_beam(experiment, move.get("beam", 0.0)),
    )


def strains(crystal: Crystal) -> np.ndarray:
    """``(n, 3, 3)`` strains of the cell, in its own frame, that keep the symmetry: 1 to 6.

    The six symmetric tensors are averaged over the point group.
    """
    to, back = crystal.orthogonalization_matrix, crystal.fractionalization_matrix
    rotations = [
        to @ (np.array(op.rot, dtype=float) / gemmi.Op.DEN) @ back
        for op in crystal.group.operations().sym_ops
    ]
    tensors = []
    for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)):
        tensor = np.zeros((3, 3))
        tensor[i, j] = tensor[j, i] = 1.0
        tensors.append(np.mean([op @ tensor @ op.T for op in rotations], axis=0).ravel())
    _, sizes, rows = np.linalg.svd(np.array(tensors))
    kept = rows[: int((sizes > 1e-6).sum())]
    result: np.ndarray = kept.reshape(-1, 3, 3)
    return result


def rotation_matrices(turn: np.ndarray) -> np.ndarray:
    """``(n, 3, 3)`` rotations of ``(n, 3)`` rotation vectors (degrees)."""
    vector = np.radians(turn)
    angle = np.linalg.norm(vector, axis=1)
    x, y, z = vector.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    half = np.sinc(angle / (2 * np.pi))
    first = np.sinc(angle / np.pi)[:, None, None]
    second = (0.5 * half * half)[:, None, None]
    matrices: np.ndarray = np.eye(3) + first * cross + second * (cross @ cross)
    return matrices


def _moved_detector(detector: Detector, move: dict[str, float]) -> Detector:
    """Turn all panels about the middle of the detector, then shift them."""
    first = detector.panels[0]
    normal, fast, slow = first.normal, np.array(first.fast_axis), np.array(first.slow_axis)
    turn = rotation_matrices(
        np.array(
            [
                move.get("twist", 0.0) * normal
                + move.get("tilt_fast", 0.0) * fast
                + move.get("tilt_slow", 0.0) * slow
            ]
        )
    )[0]
    away = np.sign(np.dot(first.origin, normal)) or 1.0
    shift = (
        move.get("distance", 0.0) * away * normal
        + move.get("shift_fast", 0.0) * fast
        + move.get("shift_slow", 0.0) * slow
    )
    middle = np.mean([_center(panel) for panel in detector.panels], axis=0)
    panels = []
    for panel in detector.panels:
        origin = middle + turn @ (np.array(panel.origin) - middle) + shift
        axes = turn @ np.array(panel.fast_axis), turn @ np.array(panel.slow_axis)
        panels.append(
            replace(
                panel,
                origin=_triple(origin),
                fast_axis=_triple(axes[0]),
                slow_axis=_triple(axes[1]),
            )
        )
    return Detector(tuple(panels))


def _center(panel: Panel) -> np.ndarray:
    size = np.array(panel.pixel_size) * np.array(panel.image_size) / 2
    middle: np.ndarray = (
        np.array(panel.origin)
        + size[0] * np.array(panel.fast_axis)
        + size[1] * np.array(panel.slow_axis)
    )
    return middle


def _moved_beam(experiment: Experiment, angle: float) -> Beam:
    if angle == 0 or experiment.goniometer is None:
        return experiment.beam
    direction = np.array(experiment.beam.direction)
    across = np.cross(experiment.goniometer.lab_axis, direction)
    turn = rotation_about(across / np.linalg.norm(across), angle)
    return replace(experiment.beam, direction=_triple(turn @ direction))


def _triple(vector: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in vector)
    return x, y, z
