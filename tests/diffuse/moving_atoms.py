"""Small crystals whose atoms move, as sources of frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import biotite.structure
import gemmi
import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.supercell import supercell


def atom_array(element: list[str], names: list[str] | None = None) -> biotite.structure.AtomArray:
    atoms = biotite.structure.AtomArray(len(element))
    atoms.element = np.array(element)
    atoms.atom_name = np.array(names or element)
    atoms.res_name = np.full(len(element), "ALA")
    atoms.chain_id = np.full(len(element), "A")
    atoms.res_id = np.arange(1, len(element) + 1)
    return atoms


@dataclass
class FrameList:
    coord: np.ndarray
    box: np.ndarray | None
    first_frame: int


@dataclass
class ArrayFrames:
    """Frames in memory with the interface of a trajectory; may break off early."""

    atoms: biotite.structure.AtomArray
    crystal: Crystal
    coord: np.ndarray
    box: np.ndarray | None = None
    announced: int | None = None
    read: list[tuple[int, int]] = field(default_factory=list)

    @property
    def n_frames(self) -> int:
        return self.announced or len(self.coord)

    def chunks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[FrameList]:
        end = min(len(self.coord), self.n_frames if stop is None else stop)
        for first in range(start, end, size):
            part = slice(first, min(first + size, end))
            self.read.append((part.start, part.stop))
            yield FrameList(self.coord[part], None if self.box is None else self.box[part], first)


@dataclass
class RandomFrames:
    """Frames made from their number: dear to make, cheap to describe."""

    atoms: biotite.structure.AtomArray
    crystal: Crystal
    mean: np.ndarray
    sigma: float
    n_frames: int
    random_access: bool = True

    def chunks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[FrameList]:
        end = self.n_frames if stop is None else min(stop, self.n_frames)
        for first in range(start, end, size):
            numbers = range(first, min(first + size, end))
            coord = np.stack(
                [
                    self.mean
                    + self.sigma * np.random.default_rng([7, n]).normal(size=self.mean.shape)
                    for n in numbers
                ]
            )
            yield FrameList(coord, None, first)


CRYSTAL = Crystal((11.0, 13.0, 15.0, 90.0, 90.0, 90.0), "P 21 21 21")
DIVISIONS = (2, 1, 1)
ELEMENT = ["C", "N", "O", "S", "C", "C", "H", "O"]


def make_frames(
    n_frames: int = 24,
    *,
    n_atoms: int = 24,
    sigma: float = 0.4,
    seed: int = 0,
    crystal: Crystal = CRYSTAL,
    divisions: tuple[int, int, int] = DIVISIONS,
    names: list[str] | None = None,
) -> ArrayFrames:
    rng = np.random.default_rng(seed)
    cell = supercell(crystal, divisions)
    mean = cell.cartesian(rng.random((n_atoms, 3)))
    coord = mean + sigma * rng.normal(size=(n_frames, n_atoms, 3))
    element = [ELEMENT[number % len(ELEMENT)] for number in range(n_atoms)]
    return ArrayFrames(atom_array(element, names), crystal, coord)


def direct_f(frames: ArrayFrames, index: np.ndarray) -> np.ndarray:
    """F of every frame by the plain sum, with gemmi's form factors; nothing of ours."""
    cell = supercell(frames.crystal, DIVISIONS)
    stol2 = cell.s_squared(index) / 4
    factors = {
        name: np.array(
            [gemmi.IT92_get_exact(gemmi.Element(name), 0).calculate_sf(s) for s in stol2]
        )
        for name in set(frames.atoms.element)
    }
    strength = np.stack([factors[name] for name in frames.atoms.element])
    frac = cell.fractional(frames.coord)
    phases = np.exp(2j * np.pi * np.einsum("tjx,hx->tjh", frac, index))
    found: np.ndarray = np.einsum("jh,tjh->th", strength, phases)
    return found
