"""One of the four surfaces a, b, c, d: its knots, its values, and where rows lie on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from unstill.errors import InputError
from unstill.maps.observations import Observations
from unstill.reduction.scaling.basis import Knots, Located, PanelKnots, tensor
from unstill.shapes import Float

if TYPE_CHECKING:
    from scipy import sparse


@dataclass(frozen=True, eq=False)
class Component:
    """A surface as a product of bases: static (panel or 1/d) × along φ of each sweep.

    a is plane × track, b is track, c is line × track, d is plane. The number
    of a knot runs along φ fastest.

    Parameters
    ----------
    name
        ``"a"``, ``"b"``, ``"c"`` or ``"d"``.
    values
        ``(n_knots,)`` log of a, b and d; c itself, in the unit of the intensity.
    plane
        Knots on the panels.
    line
        Knots in 1/d (Å⁻¹), one key.
    track
        Knots in φ (degrees), a key a sweep.
    """

    name: str
    values: Float[np.ndarray, " n_knots"]
    plane: PanelKnots | None = None
    line: Knots | None = None
    track: Knots | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Knots of the static basis and along φ; 1 where there is none."""
        static = self.plane or self.line
        return (static.total if static else 1, self.track.total if self.track else 1)

    @property
    def n_knots(self) -> int:
        """Number of knots."""
        return self.shape[0] * self.shape[1]

    def with_values(self, values: Float[np.ndarray, " n_knots"]) -> Component:
        """Return the surface with other values at its knots."""
        return replace(self, values=values)

    def locate(self, observations: Observations) -> Located:
        """Find the knots around each row.

        Raises
        ------
        InputError
            If a row is of a sweep or a panel that the surface does not have.
        """
        static = along = None
        if self.plane is not None:
            _check_keys(observations.panel, self.plane.n_keys, "panel")
            static = self.plane.locate(observations.panel, observations.x, observations.y)
        elif self.line is not None:
            static = self.line.locate(np.zeros(len(observations), np.int64), observations.s)
        if self.track is not None:
            _check_keys(observations.sweep, self.track.n_keys, "sweep")
            along = self.track.locate(observations.sweep, observations.phi)
        if static is None or along is None:
            located = static or along
            assert located is not None  # a component has one basis at least
            return located
        return tensor(static, along, self.shape[1])

    def evaluate(self, observations: Observations) -> Float[np.ndarray, " n"]:
        """Value of the surface at each row: log of a, b and d; c itself."""
        at = self.locate(observations)
        value: np.ndarray = np.einsum("nm,nm->n", self.values[at.index], at.weight)
        return value

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Arrays that make this surface again."""
        arrays = {f"{self.name}_values": self.values}
        for part in ("plane", "line", "track"):
            knots = getattr(self, part)
            if knots is not None:
                arrays |= knots.to_arrays(f"{self.name}_{part}")
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], name: str) -> Component:
        """Make a surface from its arrays."""
        has = {part: any(key.startswith(f"{name}_{part}_") for key in arrays) for part in _PARTS}
        return cls(
            name,
            np.asarray(arrays[f"{name}_values"], dtype=float),
            plane=PanelKnots.from_arrays(arrays, f"{name}_plane") if has["plane"] else None,
            line=Knots.from_arrays(arrays, f"{name}_line") if has["line"] else None,
            track=Knots.from_arrays(arrays, f"{name}_track") if has["track"] else None,
        )


_PARTS = ("plane", "line", "track")


def design_matrix(component: Component, observations: Observations) -> sparse.csr_array:
    """Hat functions at the rows as a sparse matrix.

    Returns
    -------
    matrix
        ``(n_rows, n_knots)``; times the values at the knots it gives the surface at the rows.
    """
    from scipy import sparse

    at = component.locate(observations)
    n, m = at.index.shape
    matrix: sparse.csr_array = sparse.csr_array(
        (at.weight.ravel(), at.index.ravel(), np.arange(0, n * m + 1, m)),
        shape=(n, component.n_knots),
    )
    return matrix


def _check_keys(key: np.ndarray, n_keys: int, name: str) -> None:
    if key.size and (key.min() < 0 or key.max() >= n_keys):
        raise InputError(
            f"the scales know no such {name}",
            found=f"{name} {int(key.min())} to {int(key.max())} of {n_keys}",
            fix=f"scale observations of all {name}s together",
        )
