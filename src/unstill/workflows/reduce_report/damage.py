"""Radiation damage from the frames themselves: how the fall-off with resolution changes."""

from __future__ import annotations

import numpy as np

from unstill.reduction.survey.frame_statistics import FrameStatistics

_POINTS = 60
_FEWEST_PHOTONS = 200.0


def relative_b(
    frames: FrameStatistics, shell_edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    r"""B-factor that takes the start of a sweep to each part of it.

    .. math:: \ln\frac{R_k(\varphi)}{R_k(0)} = \ln g(\varphi) - \tfrac12 B(\varphi) s_k^2

    with the rate R of the used pixels in shells, fitted by least squares that
    weigh with the photons. The rate holds the background too, so that B is a
    lower bound.

    Parameters
    ----------
    frames
        Of one sweep.
    shell_edges
        ``(n_shells + 1,)`` in 1/d (Å⁻¹).

    Returns
    -------
    phi, b
        Angles (degrees) and B (Å²); ``None`` for fewer than two parts or three
        shells with photons.
    """
    n = min(_POINTS, len(frames))
    if n < 2:
        return None
    part = np.arange(len(frames)) * n // len(frames)
    pixels, photons = (_summed(table, part, n) for table in (
        frames.shell_pixels, frames.shell_photons
    ))  # fmt: skip
    usable = (photons > _FEWEST_PHOTONS).all(axis=0)
    if np.count_nonzero(usable) < 3:
        return None
    s_squared = ((shell_edges[:-1] + shell_edges[1:]) / 2)[usable] ** 2
    rate = photons[:, usable] / pixels[:, usable]
    change = np.log(rate / rate[0])
    weight = 1 / (1 / photons[:, usable] + 1 / photons[0, usable])
    total = weight.sum(axis=1, keepdims=True)
    centred = s_squared - (weight * s_squared).sum(axis=1, keepdims=True) / total
    slope = (weight * centred * change).sum(axis=1) / (weight * centred**2).sum(axis=1)
    phi = np.bincount(part, frames.phi, n) / np.bincount(part, minlength=n)
    return phi, -2 * slope


def _summed(table: np.ndarray, part: np.ndarray, n: int) -> np.ndarray:
    total = np.zeros((n, table.shape[1]))
    np.add.at(total, part, table)
    return total
