"""What a trajectory has been reduced to: S1, S2 and W by block, selection and hkl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.errors import InputError
from unstill.shapes import Complex, Float


@dataclass(frozen=True, eq=False)
class BlockSums:
    """Sums over the frames of each block, S1 = Σ w F, S2 = Σ w |F|², W = Σ w.

    The points are one half of reciprocal space (Friedel mates are implied) of
    the supercell, d ≥ d_min. F is in electrons per supercell.

    Parameters
    ----------
    crystal
        The *unit* cell and its space group.
    divisions
        Unit cells along a, b, c of the supercell; hkl = index / divisions.
    index
        ``(n_points, 3)`` int32 Miller indices of the supercell.
    s1
        ``(n_blocks, n_selections, n_points)`` complex128.
    s2
        ``(n_blocks, n_selections, n_points)`` float64.
    weight, weight_squared
        ``(n_blocks,)`` Σ w and Σ w².
    n_frames
        ``(n_blocks,)`` frames in each block.
    selections
        Name of each selection, for example ``("all", "protein", "water")``.
    """

    crystal: Crystal
    divisions: Triple
    index: np.ndarray
    s1: np.ndarray
    s2: np.ndarray
    weight: np.ndarray
    weight_squared: np.ndarray
    n_frames: np.ndarray
    selections: Sequence[str] = ("all",)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = (len(self.weight), len(self.selections), len(self.index))
        for name in ("s1", "s2"):
            if getattr(self, name).shape != shape:
                raise InputError(
                    f"{name} does not fit the blocks, selections and points",
                    found=f"{getattr(self, name).shape}, expected {shape}",
                    fix="the file is damaged; make it again with: unstill diffuse --blocks-out",
                )

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return len(self.weight)

    @property
    def n_cells(self) -> int:
        """Unit cells in the supercell."""
        return self.divisions[0] * self.divisions[1] * self.divisions[2]

    @property
    def total_frames(self) -> int:
        """Frames in all blocks."""
        return int(np.sum(self.n_frames))

    def selection_number(self, name: str) -> int:
        """Position of a selection.

        Raises
        ------
        InputError
            If there is no selection of this name.
        """
        return selection_number(self.selections, name)

    def totals(
        self, selection: str = "all"
    ) -> tuple[Complex[np.ndarray, " points"], Float[np.ndarray, " points"], float, float]:
        """S1 and S2 (each a point), W and Σ w² of one selection, all blocks together."""
        number = self.selection_number(selection)
        # Block by block, in order: numpy's pairwise sum would depend on the memory layout.
        s1, s2 = self.s1[0, number].copy(), self.s2[0, number].copy()
        for block in range(1, self.n_blocks):
            s1 += self.s1[block, number]
            s2 += self.s2[block, number]
        return s1, s2, float(np.sum(self.weight)), float(np.sum(self.weight_squared))

    def take(self, blocks: Sequence[int] | np.ndarray) -> BlockSums:
        """Return the sums of some blocks only."""
        chosen = np.asarray(blocks, dtype=int)
        return replace(
            self,
            s1=self.s1[chosen],
            s2=self.s2[chosen],
            weight=self.weight[chosen],
            weight_squared=self.weight_squared[chosen],
            n_frames=self.n_frames[chosen],
        )


def selection_number(selections: Sequence[str], name: str) -> int:
    """Position of a selection among those of the sums.

    Raises
    ------
    InputError
        If there is no selection of this name.
    """
    names = list(selections)
    if name not in names:
        raise InputError(
            "the sums hold no such selection",
            found=f"{name!r} where there are {', '.join(names)}",
            fix="run unstill diffuse again with --select",
        )
    return names.index(name)
