"""Members one by one: a frame each, or a block of frames, as structure factors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.maps.block_sums import BlockSums
from unstill.shapes import Complex, Float, Integer


@dataclass(frozen=True, eq=False)
class Member:
    r"""What one member scatters: a frame, or a block of frames taken together.

    Parameters
    ----------
    f_mean
        ``(n_points,)`` ⟨F⟩ over its frames, in electrons per supercell.
    f_squared
        ``(n_points,)`` ⟨\|F\|²⟩ over its frames; \|f_mean\|² for a single one.
    weight
        Σ w of its frames: how much it counts before anything was fitted.
    n_frames
        Frames behind it.
    """

    f_mean: Complex[np.ndarray, " points"]
    f_squared: Float[np.ndarray, " points"]
    weight: float = 1.0
    n_frames: int = 1


class MemberSource(Protocol):
    """Members that are read or made one at a time, in order, as often as asked.

    The points are one half of reciprocal space (Friedel mates are implied) of
    the supercell; ``crystal`` is the *unit* cell with its space group.
    """

    @property
    def crystal(self) -> Crystal:
        """The unit cell and space group."""

    @property
    def divisions(self) -> Triple:
        """Unit cells along a, b, c of the supercell; hkl = index / divisions."""

    @property
    def index(self) -> Integer[np.ndarray, "points 3"]:
        """``(n_points, 3)`` Miller indices of the supercell, one of each Friedel pair."""

    @property
    def n_members(self) -> int:
        """How many members there are; a trajectory that breaks off yields fewer."""

    def members(self) -> Iterator[Member]:
        """Yield the members in order; never all at once."""

    def describe(self) -> dict[str, Any]:
        """Say what they are, for the provenance."""


@dataclass(frozen=True, eq=False)
class BlockMembers:
    """The blocks of block sums in memory, as members.

    Parameters
    ----------
    sums
        The block sums.
    selection
        Which atoms.
    """

    sums: BlockSums
    selection: str = "all"

    def __post_init__(self) -> None:
        self.sums.selection_number(self.selection)

    @property
    def crystal(self) -> Crystal:
        """The unit cell and space group."""
        return self.sums.crystal

    @property
    def divisions(self) -> Triple:
        """Unit cells along a, b, c of the supercell."""
        return self.sums.divisions

    @property
    def index(self) -> Integer[np.ndarray, "points 3"]:
        """``(n_points, 3)`` Miller indices of the supercell."""
        return self.sums.index

    @property
    def n_members(self) -> int:
        """Number of blocks."""
        return self.sums.n_blocks

    def members(self) -> Iterator[Member]:
        """Yield the blocks in order."""
        number = self.sums.selection_number(self.selection)
        for block in range(self.sums.n_blocks):
            weight = float(self.sums.weight[block])
            yield Member(
                self.sums.s1[block, number] / weight,
                self.sums.s2[block, number] / weight,
                weight,
                int(self.sums.n_frames[block]),
            )

    def describe(self) -> dict[str, Any]:
        """Say where the sums came from."""
        return {"selection": self.selection, "sums": dict(self.sums.provenance)}
