"""One oxygen in a ball of density: its place, B and occupancy by least squares."""

from __future__ import annotations

import numpy as np

from unstill.scattering import form_factors
from unstill.shapes import Coord

RADIUS = 1.6
"""Å around an oxygen that are fitted."""
LARGEST_STEP = 0.3
"""Å of one step."""
_B = np.array([5.0, 8, 12, 16, 20, 25, 30, 36, 43, 51, 60, 70, 82, 95])


class OxygenProfile:
    """Density of an oxygen over radius and B, on the scale of the map.

    Parameters
    ----------
    d_min
        Resolution (Å).
    electron
        Scattering of electrons.
    scale
        Of the map.
    """

    _STEP = 0.02

    def __init__(self, d_min: float, electron: bool, scale: float) -> None:
        nodes, shares = np.polynomial.legendre.leggauss(48)
        s = (nodes + 1) / (2 * d_min)
        f = form_factors(["O"], s**2, table="electron" if electron else "xray")[0]
        weight = shares / (2 * d_min) * f * 4 * np.pi * s**2
        radius = np.arange(0, RADIUS + 1.0, self._STEP)
        damping = np.exp(-_B[:, None] * s**2 / 4) * weight
        self._table = scale * damping @ np.sinc(2 * s[:, None] * radius)

    def at(self, radius: np.ndarray, b: float) -> np.ndarray:
        """Density at radii (Å) of an oxygen with a B (Å²), whole."""
        place = np.interp(b, _B, np.arange(len(_B)))
        row = min(int(place), len(_B) - 2)
        profile = (1 - place + row) * self._table[row] + (place - row) * self._table[row + 1]
        found: np.ndarray = np.interp(radius, np.arange(len(profile)) * self._STEP, profile)
        return found

    def fit(
        self, near: Coord, values: np.ndarray, place: np.ndarray, b: float, room: float
    ) -> tuple[np.ndarray, float, float]:
        """Fit place, B and occupancy (at most ``room``) of an oxygen to density around it."""
        occupancy = 0.0
        for _ in range(3):
            radius = np.linalg.norm(near - place, axis=1)
            inside = radius <= RADIUS
            if inside.sum() < 5:
                break
            profiles = np.array([self.at(radius[inside], b) for b in _B])
            best = (profiles @ values[inside]) / (profiles**2).sum(axis=1)
            best = np.clip(best, 0.0, max(min(1.0, room), 0.0))
            misfit = ((best[:, None] * profiles - values[inside]) ** 2).sum(axis=1)
            choice = int(misfit.argmin())
            b, occupancy = float(_B[choice]), float(best[choice])
            if occupancy <= 0:
                break
            shift = self._shift(near[inside] - place, radius[inside], values[inside], b, occupancy)
            place = place + shift
            if np.linalg.norm(shift) < 0.005:
                break
        return place, b, occupancy

    def _shift(
        self, apart: np.ndarray, radius: np.ndarray, values: np.ndarray, b: float, occupancy: float
    ) -> np.ndarray:
        """Gauss–Newton step of the place."""
        h = self._STEP
        slope = (self.at(radius + h, b) - self.at(np.abs(radius - h), b)) / (2 * h)
        # The density falls along r; the oxygen's move by δ changes it by −p' r̂·δ.
        jacobian = -occupancy * slope[:, None] * apart / np.maximum(radius, 1e-6)[:, None]
        left = values - occupancy * self.at(radius, b)
        normal = jacobian.T @ jacobian
        normal += 1e-3 * np.trace(normal) / 3 * np.eye(3) + 1e-300 * np.eye(3)
        step = np.linalg.solve(normal, jacobian.T @ left)
        length = float(np.linalg.norm(step))
        shift: np.ndarray = step * min(1.0, LARGEST_STEP / max(length, 1e-12))
        return shift
