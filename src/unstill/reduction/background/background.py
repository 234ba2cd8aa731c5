"""Scattering that is not the crystal's, as a smooth rate on nodes of angle and detector."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unstill.errors import InputError


@dataclass(frozen=True, eq=False)
class PanelBackground:
    """Nodes of one panel.

    Parameters
    ----------
    x, y
        ``(n_x,)``, ``(n_y,)`` positions of the nodes (pixels), at equal steps.
    rate
        ``(n_phi, n_y, n_x)`` photons a second and a pixel.
    variance
        ``(n_phi, n_y, n_x)`` of the rate.
    """

    x: np.ndarray
    y: np.ndarray
    rate: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True, eq=False)
class Background:
    """A smooth background; linear between nodes, constant beyond the last.

    Parameters
    ----------
    phi
        ``(n_phi,)`` angles of the nodes (degrees), increasing. One: it does not turn.
    panels
        In the order of the detector.
    notes
        How it was measured: exposure, beam, counts.
    """

    phi: np.ndarray
    panels: tuple[PanelBackground, ...]
    notes: dict[str, Any] = field(default_factory=dict)

    def slice(self, panel: int, phi: float) -> tuple[np.ndarray, np.ndarray]:
        """Rate and standard uncertainty on the nodes of a panel at one angle."""
        nodes = self.panels[panel]
        at = float(np.interp(phi, self.phi, np.arange(len(self.phi))))
        i = min(int(at), max(len(self.phi) - 2, 0))
        j, share = min(i + 1, len(self.phi) - 1), at - i
        rate = (1 - share) * nodes.rate[i] + share * nodes.rate[j]
        # Neighbouring nodes are smoothed together: as if fully correlated.
        sigma = (1 - share) * np.sqrt(nodes.variance[i]) + share * np.sqrt(nodes.variance[j])
        return np.ascontiguousarray(rate), np.ascontiguousarray(sigma)

    def at(
        self, panel: int, x: np.ndarray, y: np.ndarray, phi: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rate and standard uncertainty (photons a second and a pixel) at pixel coordinates.

        Parameters
        ----------
        panel
            Number of the panel.
        x, y
            Continuous pixel coordinates, fast and slow.
        phi
            Degrees.
        """
        nodes = self.panels[panel]
        rate, sigma = self.slice(panel, phi)
        u = np.interp(x, nodes.x, np.arange(len(nodes.x)))
        v = np.interp(y, nodes.y, np.arange(len(nodes.y)))
        return _bilinear(rate, u, v), _bilinear(sigma, u, v)

    def scaled(self, factor: float) -> Background:
        """Return the background of a beam that is ``factor`` times as strong.

        Raises
        ------
        InputError
            If the factor is not positive.
        """
        if not (np.isfinite(factor) and factor > 0):
            raise InputError(
                "a background cannot be scaled by this", found=factor, fix="give a positive number"
            )
        panels = tuple(
            PanelBackground(p.x, p.y, p.rate * factor, p.variance * factor**2) for p in self.panels
        )
        return Background(self.phi, panels, {**self.notes, "scaled_by": factor})


def _bilinear(grid: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    rows, columns = grid.shape
    i = np.minimum(np.asarray(u).astype(int), max(columns - 2, 0))
    j = np.minimum(np.asarray(v).astype(int), max(rows - 2, 0))
    i1, j1 = np.minimum(i + 1, columns - 1), np.minimum(j + 1, rows - 1)
    u, v = u - i, v - j
    value: np.ndarray = (1 - v) * ((1 - u) * grid[j, i] + u * grid[j, i1]) + v * (
        (1 - u) * grid[j1, i] + u * grid[j1, i1]
    )
    return value
