"""Linear splines: hat functions on equally spaced knots, for each sweep or panel its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from unstill.shapes import Float, Int


@dataclass(frozen=True, eq=False)
class Located:
    """Which knots a row lies between.

    Parameters
    ----------
    index
        ``(n, m)`` int32 numbers of the knots.
    weight
        ``(n, m)`` values of their hat functions; each row sums to one.
    """

    index: Int[np.ndarray, "n m"]
    weight: Float[np.ndarray, "n m"]


@dataclass(frozen=True, eq=False)
class Knots:
    """Equally spaced knots on a line, for each key (a sweep, a panel) its own.

    Beyond the outer knots a spline keeps its last value. One knot is a constant.

    Parameters
    ----------
    start, step
        ``(n_keys,)`` first knot and distance of the knots.
    count
        ``(n_keys,)`` number of knots, one at least.

    Examples
    --------
    >>> knots = Knots.spanning([0.0], [2.0], [3])
    >>> at = knots.locate(np.zeros(1, int), np.array([0.25]))
    >>> at.index.tolist(), at.weight.tolist()
    ([[0, 1]], [[0.75, 0.25]])
    """

    start: Float[np.ndarray, " n_keys"]
    step: Float[np.ndarray, " n_keys"]
    count: Int[np.ndarray, " n_keys"]

    @classmethod
    def spanning(cls, first: object, last: object, count: object) -> Knots:
        """Put ``count`` knots from ``first`` to ``last`` of each key."""
        low, high = np.array(first, dtype=float), np.array(last, dtype=float)
        number = np.maximum(np.array(count, dtype=np.int64), 1)
        step = (high - low) / np.maximum(number - 1, 1)
        return cls(low, np.where(step > 0, step, 1.0), np.where(step > 0, number, 1))

    @property
    def n_keys(self) -> int:
        """Number of keys."""
        return len(self.count)

    @property
    def total(self) -> int:
        """Number of knots of all keys."""
        return int(self.count.sum())

    @property
    def offset(self) -> Int[np.ndarray, " n_keys"]:
        """Number of the first knot of each key."""
        offset: np.ndarray = np.cumsum(self.count) - self.count
        return offset

    @property
    def key_of_knot(self) -> Int[np.ndarray, " total"]:
        """Key of every knot."""
        return np.repeat(np.arange(self.n_keys), self.count)

    def positions(self, key: int = 0) -> Float[np.ndarray, " count"]:
        """Where the knots of a key are."""
        positions: np.ndarray = self.start[key] + self.step[key] * np.arange(self.count[key])
        return positions

    def locate(self, key: Int[np.ndarray, " n"], position: Float[np.ndarray, " n"]) -> Located:
        """Find the two knots around each position."""
        base, fraction = self._between(key, position)
        left = self.offset[key] + base
        right = left + (self.count[key] > 1)
        return Located(
            np.stack([left, right], axis=1).astype(np.int32),
            np.stack([1 - fraction, fraction], axis=1),
        )

    def _between(self, key: np.ndarray, position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        last = self.count[key] - 1
        place = np.clip((position - self.start[key]) / self.step[key], 0.0, last)
        base = np.minimum(place.astype(np.int64), np.maximum(last - 1, 0))
        return base, place - base

    def to_arrays(self, prefix: str) -> dict[str, np.ndarray]:
        """Arrays that make these knots again."""
        return {f"{prefix}_{name}": getattr(self, name) for name in ("start", "step", "count")}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], prefix: str) -> Knots:
        """Make knots from their arrays."""
        return cls(
            *(np.asarray(arrays[f"{prefix}_{name}"]) for name in ("start", "step", "count"))
        )


@dataclass(frozen=True, eq=False)
class PanelKnots:
    """A grid of knots on each panel; the number of a knot runs along y fastest.

    Parameters
    ----------
    x, y
        Knots along the fast and slow axis (pixels), a key a panel.
    """

    x: Knots
    y: Knots

    @property
    def n_keys(self) -> int:
        """Number of panels."""
        return self.x.n_keys

    @property
    def total(self) -> int:
        """Number of knots of all panels."""
        return int((self.x.count * self.y.count).sum())

    @property
    def offset(self) -> Int[np.ndarray, " n_keys"]:
        """Number of the first knot of each panel."""
        size = self.x.count * self.y.count
        offset: np.ndarray = np.cumsum(size) - size
        return offset

    @property
    def key_of_knot(self) -> Int[np.ndarray, " total"]:
        """Panel of every knot."""
        return np.repeat(np.arange(self.n_keys), self.x.count * self.y.count)

    def locate(
        self,
        panel: Int[np.ndarray, " n"],
        x: Float[np.ndarray, " n"],
        y: Float[np.ndarray, " n"],
    ) -> Located:
        """Find the four knots around each position."""
        along_x, along_y = self.x.locate(panel, x), self.y.locate(panel, y)
        column = along_x.index - self.x.offset[panel][:, None]
        row = along_y.index - self.y.offset[panel][:, None]
        index = column[:, :, None] * self.y.count[panel][:, None, None] + row[:, None, :]
        index = index + self.offset[panel][:, None, None]
        weight = along_x.weight[:, :, None] * along_y.weight[:, None, :]
        return Located(
            index.reshape(len(panel), 4).astype(np.int32), weight.reshape(len(panel), 4)
        )

    def to_arrays(self, prefix: str) -> dict[str, np.ndarray]:
        """Arrays that make this plane again."""
        return self.x.to_arrays(f"{prefix}_x") | self.y.to_arrays(f"{prefix}_y")

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], prefix: str) -> PanelKnots:
        """Make a plane from its arrays."""
        return cls(
            Knots.from_arrays(arrays, f"{prefix}_x"), Knots.from_arrays(arrays, f"{prefix}_y")
        )


def tensor(left: Located, right: Located, n_right: int) -> Located:
    """Products of the hat functions of two bases; the number of a knot runs along right."""
    n = len(left.index)
    index = left.index[:, :, None] * n_right + right.index[:, None, :]
    weight = left.weight[:, :, None] * right.weight[:, None, :]
    return Located(index.reshape(n, -1).astype(np.int32), weight.reshape(n, -1))
