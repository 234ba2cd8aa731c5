"""Observations that are wrong as a whole, chosen by a hash that tests can repeat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.compiled import kernel
from unstill.shapes import Float, Integer


@dataclass(frozen=True)
class Outliers:
    """Crossings of voxels whose intensity is multiplied by a factor.

    A crossing is one voxel in one block of frames, as in the reduction.

    Parameters
    ----------
    divisions
        Voxels a reciprocal-lattice vector.
    frames_per_block
        Frame i belongs to block i // frames_per_block.
    bright, dark
        Shares of the crossings.
    bright_factor, dark_factor
        What their intensity is multiplied by. A crossing of N photons is 20 σ
        away at 1 ± 20/√N.
    seed
        Of the choice.
    """

    divisions: tuple[int, int, int] = (4, 4, 4)
    frames_per_block: int = 10
    bright: float = 0.01
    dark: float = 0.01
    bright_factor: float = 2.0
    dark_factor: float = 0.2
    seed: int = 0

    def label(
        self, index: Integer[np.ndarray, "n 3"], block: Integer[np.ndarray, " n"]
    ) -> Integer[np.ndarray, " n"]:
        """Which crossings are wrong: 1 bright, 2 dark, 0 right.

        Parameters
        ----------
        index
            Voxels, round(hkl · divisions).
        block
            Blocks of frames.
        """
        index = np.asarray(index, dtype=np.int64)
        wrong = np.zeros(len(index), dtype=np.int8)
        _label(wrong, index, np.asarray(block, dtype=np.int64), self.seed, self.bright, self.dark)
        return wrong

    def apply(
        self,
        intensity: Float[np.ndarray, " n"],
        s: Float[np.ndarray, "n 3"],
        hkl_matrix: Float[np.ndarray, "3 3"],
        frame: int,
    ) -> None:
        """Multiply the intensity of pixels of one frame that lie in wrong crossings."""
        matrix = np.array(self.divisions)[:, None] * hkl_matrix
        _multiply(
            intensity, s, np.ascontiguousarray(matrix), frame // self.frames_per_block,
            self.seed, self.bright, self.dark, self.bright_factor, self.dark_factor,
        )  # fmt: skip


@kernel
def _uniform(seed: int, block: int, h: int, k: int, l: int) -> float:
    """One number in [0, 1) from five (splitmix64 as a hash)."""
    state = np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15)
    for value in (block, h, k, l):
        state ^= np.uint64(np.int64(value) & 0xFFFFFFFF)
        state += np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return float(state >> np.uint64(11)) / 9007199254740992.0


@kernel
def _label(
    out: np.ndarray, index: np.ndarray, block: np.ndarray, seed: int, bright: float, dark: float
) -> None:
    for n in range(len(out)):
        u = _uniform(seed, block[n], index[n, 0], index[n, 1], index[n, 2])
        if u < bright:
            out[n] = 1
        elif u < bright + dark:
            out[n] = 2


@kernel
def _multiply(
    out: np.ndarray,
    s: np.ndarray,
    matrix: np.ndarray,
    block: int,
    seed: int,
    bright: float,
    dark: float,
    bright_factor: float,
    dark_factor: float,
) -> None:
    for n in range(len(out)):
        x, y, z = s[n, 0], s[n, 1], s[n, 2]
        h = round(matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z)
        k = round(matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z)
        l = round(matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z)
        u = _uniform(seed, block, h, k, l)
        if u < bright:
            out[n] *= bright_factor
        elif u < bright + dark:
            out[n] *= dark_factor
