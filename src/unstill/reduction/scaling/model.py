"""The scales: a, b, c and d, evaluated at the centroids of any rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from unstill.maps.observations import Observations
from unstill.reduction.scaling.component import Component
from unstill.shapes import Float

_ROWS_AT_ONCE = 1 << 18
_VERSION = 1


@dataclass(frozen=True, eq=False)
class ScaleModel:
    r"""Surfaces with which counts ≈ exposure · a · d · (b · I + c) + background.

    Gauge: the mean of log b over the rows is 0. At each φ the mean of log a
    over the detector is 0; with d, so is its mean over φ and sweeps at each
    place on the detector; the mean of log d is 0. What c has in common in all
    sweeps at one resolution cannot be told from the intensity: c + b · floor(s)
    is lowest at 0 at each s.

    Parameters
    ----------
    sweep_names
        One a sweep.
    b
        Scale, always.
    a, c, d
        Absorption, offset and detector; ``None`` where they are not used.
    floor
        ``(n_s,)`` what b times is added to c, at the knots of c in 1/d.
    """

    sweep_names: tuple[str, ...]
    b: Component
    a: Component | None = None
    c: Component | None = None
    d: Component | None = None
    floor: Float[np.ndarray, " n_s"] | None = None

    @property
    def components(self) -> tuple[Component, ...]:
        """The surfaces that are used, in the order a, b, c, d."""
        return tuple(part for part in (self.a, self.b, self.c, self.d) if part is not None)

    def scale_and_offset(
        self, observations: Observations
    ) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Evaluate the scales at the centroids of rows, coarse or fine.

        Returns
        -------
        scale, offset
            ``(n,)`` with counts ≈ exposure · (scale · I + offset) + background:
            scale = a b d, offset = a d c.

        Raises
        ------
        InputError
            If a row is of a sweep or a panel that was not scaled.
        """
        scale, offset = np.empty(len(observations)), np.zeros(len(observations))
        for start in range(0, len(observations), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            scale[rows], offset[rows] = self._of_part(observations.take(rows))
        return scale, offset

    def _of_part(self, rows: Observations) -> tuple[np.ndarray, np.ndarray]:
        seen = np.zeros(len(rows))
        for part in (self.a, self.d):
            if part is not None:
                seen += part.evaluate(rows)
        scale = np.exp(seen + self.b.evaluate(rows))
        if self.c is None:
            return scale, np.zeros(len(rows))
        return scale, np.exp(seen) * self.c.evaluate(rows) + scale * self.floor_at(rows.s)

    def floor_at(self, s: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """Part of the offset that follows b, at 1/d (Å⁻¹)."""
        if self.c is None or self.c.line is None or self.floor is None:
            return np.zeros(len(s))
        floor: np.ndarray = np.interp(s, self.c.line.positions(), self.floor)
        return floor

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Arrays of numbers and strings, for an npz or HDF5 file."""
        arrays = {
            "version": np.array(_VERSION),
            "sweep_names": np.array(self.sweep_names),
            "components": np.array([part.name for part in self.components]),
        }
        if self.floor is not None:
            arrays["c_floor"] = self.floor
        for part in self.components:
            arrays |= part.to_arrays()
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> ScaleModel:
        """Make the model from its arrays."""
        names = [str(name) for name in arrays["components"]]
        parts = {name: Component.from_arrays(arrays, name) for name in names}
        return cls(
            tuple(str(name) for name in arrays["sweep_names"]),
            parts["b"],
            a=parts.get("a"),
            c=parts.get("c"),
            d=parts.get("d"),
            floor=np.asarray(arrays["c_floor"]) if "c_floor" in arrays else None,
        )
