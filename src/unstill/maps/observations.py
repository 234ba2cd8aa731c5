"""Unmerged intensities: one row a crossing of a voxel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.errors import InputError
from unstill.shapes import Float, Integer


@dataclass(frozen=True, eq=False)
class Observations:
    """What the pixels of one voxel counted while it crossed the Ewald sphere, row by row.

    A row is one voxel in one block of at most 1° of one sweep. Nothing is
    scaled or symmetrised: the expected count of a row is

        counts ≈ exposure · a · d · (b · I + c) + background

    with the intensity I of the voxel and the scales a, b, c, d at the centroid.

    Parameters
    ----------
    crystal
        Unit cell and space group of the map that the rows go to.
    divisions
        Voxels a reciprocal-lattice vector; hkl = index / divisions.
    index
        ``(n, 3)`` int32 grid index of the voxel as measured, not symmetrised.
    sweep
        ``(n,)`` int32 which sweep.
    block
        ``(n,)`` int32 which block of frames of the sweep.
    n_pixels
        ``(n,)`` int32 pixels summed, over all frames of the block.
    counts
        ``(n,)`` float64 photons summed.
    exposure
        ``(n,)`` float64 Σ t Ω A E P (s sr): photons expected for unit intensity.
    background
        ``(n,)`` float64 photons expected from the measured background.
    background_sigma
        ``(n,)`` float64 its standard uncertainty, fully correlated in the row.
    volume
        ``(n,)`` float64 reciprocal volume swept by the pixels (Å⁻³).
    x, y
        ``(n,)`` float64 centroid on the panel, fast and slow (pixels, centres at i + ½).
    panel
        ``(n,)`` int32 which panel.
    phi
        ``(n,)`` float64 centroid of the rotation angle (degrees).
    s
        ``(n,)`` float64 centroid of 1/d (Å⁻¹).
    sweep_names
        One a sweep.
    provenance
        What made these rows.

    Raises
    ------
    InputError
        If columns differ in length.
    """

    crystal: Crystal
    divisions: Triple
    index: Integer[np.ndarray, "n 3"]
    sweep: Integer[np.ndarray, " n"]
    block: Integer[np.ndarray, " n"]
    n_pixels: Integer[np.ndarray, " n"]
    counts: Float[np.ndarray, " n"]
    exposure: Float[np.ndarray, " n"]
    background: Float[np.ndarray, " n"]
    background_sigma: Float[np.ndarray, " n"]
    volume: Float[np.ndarray, " n"]
    x: Float[np.ndarray, " n"]
    y: Float[np.ndarray, " n"]
    panel: Integer[np.ndarray, " n"]
    phi: Float[np.ndarray, " n"]
    s: Float[np.ndarray, " n"]
    sweep_names: tuple[str, ...] = ("sweep 1",)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in COLUMNS}
        if len(set(lengths.values())) > 1:
            raise InputError(
                "the columns of the observations differ in length",
                found=lengths,
                fix="give one value a row",
            )

    def __len__(self) -> int:
        return len(self.counts)

    def hkl(self) -> Float[np.ndarray, "n 3"]:
        """Fractional Miller coordinates of the voxels."""
        hkl: np.ndarray = self.index / np.array(self.divisions)
        return hkl

    def columns(self) -> dict[str, np.ndarray]:
        """All columns by name."""
        return {name: getattr(self, name) for name in COLUMNS}

    def take(self, rows: np.ndarray | slice) -> Observations:
        """Return some rows: a slice, a boolean mask or positions."""
        return self.replace(**{name: column[rows] for name, column in self.columns().items()})

    def replace(self, **changes: Any) -> Observations:
        """Return a copy with some fields changed."""
        return replace(self, **changes)


COLUMNS: tuple[str, ...] = tuple(
    item.name
    for item in fields(Observations)
    if item.name not in ("crystal", "divisions", "sweep_names", "provenance")
)
"""Names of the columns, in order."""


def concatenate(parts: Sequence[Observations]) -> Observations:
    """Put rows of one crystal and one sampling below each other.

    Raises
    ------
    InputError
        If there is no part, or their crystals or divisions differ.
    """
    if not parts:
        raise InputError("no observations to put together", fix="give one part at least")
    first = parts[0]
    for part in parts[1:]:
        if (part.crystal, part.divisions) != (first.crystal, first.divisions):
            raise InputError(
                "observations of different lattices cannot be put together",
                found=f"{first.crystal} {first.divisions} and {part.crystal} {part.divisions}",
                fix="bring them to one crystal and one sampling first",
            )
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}
    return first.replace(**joined)
