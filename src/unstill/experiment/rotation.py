"""Rotations: about an axis, and between two orientations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unstill.shapes import Float


def rotation_about(
    axis: Sequence[float] | np.ndarray, angle: float | np.ndarray
) -> Float[np.ndarray, "*angles 3 3"]:
    """Right-handed rotation by ``angle`` (degrees) about a unit axis (Rodrigues).

    R = I + sin φ [e]ₓ + (1 − cos φ) [e]ₓ²

    Examples
    --------
    >>> rotation_about((0, 0, 1), 90.0).round(12)[:, 0].tolist()
    [0.0, 1.0, 0.0]
    """
    x, y, z = (float(value) for value in axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    phi = np.radians(np.asarray(angle, dtype=float))[..., None, None]
    rotation: np.ndarray = np.eye(3) + np.sin(phi) * cross + (1 - np.cos(phi)) * (cross @ cross)
    return rotation


def between(
    first: Float[np.ndarray, "3 3"], second: Float[np.ndarray, "3 3"], share: float
) -> Float[np.ndarray, "3 3"]:
    """Rotation that lies the given share of the way from the first to the second.

    Along the shortest arc, at constant speed (spherical interpolation).

    Parameters
    ----------
    first, second
        Rotation matrices.
    share
        0 gives the first, 1 the second.
    """
    step = second @ first.T
    # Axis times 2 sin(angle); between neighbouring scan points the angle is small.
    twist = np.array([step[2, 1] - step[1, 2], step[0, 2] - step[2, 0], step[1, 0] - step[0, 1]])
    size = float(np.linalg.norm(twist))
    if size < 1e-14:
        return first
    angle = np.degrees(np.arctan2(size, np.trace(step) - 1))
    rotation: np.ndarray = rotation_about(twist / size, share * angle) @ first
    return rotation
