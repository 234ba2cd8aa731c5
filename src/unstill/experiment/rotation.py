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
    first: Float[np.ndarray, "*rotations 3 3"],
    second: Float[np.ndarray, "*rotations 3 3"],
    share: float | np.ndarray,
) -> Float[np.ndarray, "*rotations 3 3"]:
    """Rotation that lies the given share of the way from the first to the second.

    Along the shortest arc, at constant speed (spherical interpolation).

    Parameters
    ----------
    first, second
        Rotation matrices, less than half a turn apart.
    share
        0 gives the first, 1 the second; one number, or one for every pair.
    """
    step = second @ np.swapaxes(first, -1, -2)
    # Axis times 2 sin(angle).
    twist = np.stack(
        [
            step[..., 2, 1] - step[..., 1, 2],
            step[..., 0, 2] - step[..., 2, 0],
            step[..., 1, 0] - step[..., 0, 1],
        ],
        axis=-1,
    )
    size = np.linalg.norm(twist, axis=-1)
    angle = np.arctan2(size, np.trace(step, axis1=-2, axis2=-1) - 1) * np.asarray(share)
    x, y, z = np.moveaxis(twist / np.where(size > 0, size, 1.0)[..., None], -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
    sine, rest = np.sin(angle)[..., None, None], 1 - np.cos(angle)[..., None, None]
    rotation: np.ndarray = (np.eye(3) + sine * cross + rest * (cross @ cross)) @ first
    return rotation


def nearest_rotation(
    matrix: Float[np.ndarray, "*matrices 3 3"],
) -> Float[np.ndarray, "*matrices 3 3"]:
    """Rotation nearest to a matrix; keeps the hand of left-handed axes."""
    left, _, right = np.linalg.svd(matrix)
    rotation: np.ndarray = left @ right
    return rotation
