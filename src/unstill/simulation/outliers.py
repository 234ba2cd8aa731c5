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
        What their intensity is multiplied by.
    sigmas
        In place of the factors: the mean of a crossing of N photons is moved by so
        many √N. Crossings that would have to be negative stay as they are.
    seed
        Of the choice.
    """

    divisions: tuple[int, int, int] = (4, 4, 4)
    frames_per_block: int = 10
    bright: float = 0.01
    dark: float = 0.01
    bright_factor: float = 2.0
    dark_factor: float = 0.2
    sigmas: float | None = None
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

    def factors(
        self,
        s: Float[np.ndarray, "n 3"],
        hkl_matrix: Float[np.ndarray, "3 3"],
        frame: int,
        listed: WrongCrossings | None = None,
    ) -> Float[np.ndarray, " n"]:
        """Factor of the intensity of every pixel of one frame; 1 in crossings that are right.

        Parameters
        ----------
        s
            Scattering vectors of the pixels (Å⁻¹).
        hkl_matrix
            Of the middle of the frame.
        frame
            Its number.
        listed
            Factors of the crossings of the block, where they differ between crossings.
        """
        matrix = np.ascontiguousarray(np.array(self.divisions)[:, None] * hkl_matrix)
        out = np.ones(len(s))
        if listed is not None:
            _multiply_listed(out, s, matrix, listed.keys, listed.factors)
            return out
        _multiply(
            out, s, matrix, frame // self.frames_per_block,
            self.seed, self.bright, self.dark, self.bright_factor, self.dark_factor,
        )  # fmt: skip
        return out


@dataclass(frozen=True, eq=False)
class WrongCrossings:
    """Crossings of one block that are wrong, and by how much.

    Parameters
    ----------
    keys
        ``(n,)`` of :func:`voxel_keys`, sorted.
    factors
        ``(n,)`` what their intensity is multiplied by.
    """

    keys: np.ndarray
    factors: np.ndarray

    def label(self, index: Integer[np.ndarray, "m 3"]) -> Integer[np.ndarray, " m"]:
        """Which voxels are wrong in this block: 1 bright, 2 dark, 0 right."""
        wanted = voxel_keys(np.asarray(index, dtype=np.int64))
        if not len(self.keys):
            return np.zeros(len(wanted), dtype=np.int8)
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        kind = np.where(self.factors[place] > 1, 1, 2)
        wrong: np.ndarray = np.where(self.keys[place] == wanted, kind, 0).astype(np.int8)
        return wrong


def voxel_keys(index: Integer[np.ndarray, "n 3"]) -> Integer[np.ndarray, " n"]:
    """One integer a voxel, for indices within ±2¹⁹."""
    keys: np.ndarray = (
        ((index[:, 0] + 524288) << 40) + ((index[:, 1] + 524288) << 20) + index[:, 2] + 524288
    )
    return keys


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


@kernel
def _multiply_listed(
    out: np.ndarray, s: np.ndarray, matrix: np.ndarray, keys: np.ndarray, factors: np.ndarray
) -> None:
    for n in range(len(out)):
        x, y, z = s[n, 0], s[n, 1], s[n, 2]
        h = np.int64(round(matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] * z))
        k = np.int64(round(matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] * z))
        l = np.int64(round(matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2] * z))
        key = ((h + 524288) << 40) + ((k + 524288) << 20) + l + 524288
        place = np.searchsorted(keys, key)
        if place < len(keys) and keys[place] == key:
            out[n] *= factors[place]
