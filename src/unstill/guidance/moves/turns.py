"""Moves that turn some atoms about the line through two others, and proposals of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

MAX_TURNS = 4
"""Turns of one proposal."""


@dataclass(frozen=True)
class Turn:
    """A turn about an axis.

    Parameters
    ----------
    axis
        The two atoms that the axis goes through; positive angles turn clockwise, seen from
        the first to the second.
    moved
        Atoms that turn.
    torsion
        Four atoms whose torsion angle the turn changes, where it has an energy of its own.
    barrier
        Half of its threefold barrier (kT).
    """

    axis: tuple[int, int]
    moved: tuple[int, ...]
    torsion: tuple[int, int, int, int] = (0, 0, 0, 0)
    barrier: float = 0.0


@dataclass(frozen=True)
class Unit:
    """Turns that are proposed together, as those of one side chain.

    Parameters
    ----------
    turns
        In the order in which they are done.
    springs
        (atom, atom, length Å, stiffness kT/Å²): distances that the turns change and should not.
    backbones
        (C before, N, CA, C, N after, kind): φ, ψ whose odds count, with the number of their
        kind in :data:`unstill.validation.ramachandran.KINDS`.
    """

    turns: tuple[Turn, ...]
    springs: tuple[tuple[int, int, float, float], ...] = ()
    backbones: tuple[tuple[int, int, int, int, int, int], ...] = ()
    atoms: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        moved = {atom for turn in self.turns for atom in turn.moved}
        object.__setattr__(self, "atoms", tuple(sorted(moved)))


class TurnTable(NamedTuple):
    """Units and turns as arrays for kernels; lists as starts and entries."""

    axis: np.ndarray
    torsion: np.ndarray
    barrier: np.ndarray
    turn_start: np.ndarray
    turn_atoms: np.ndarray
    first_turn: np.ndarray
    unit_start: np.ndarray
    unit_atoms: np.ndarray
    spring_start: np.ndarray
    spring_atoms: np.ndarray
    spring: np.ndarray
    backbone_start: np.ndarray
    backbone: np.ndarray
    odds: np.ndarray


class Proposals(NamedTuple):
    """What is tried, in order.

    ``member``, ``unit`` ``(n,)``; ``angle`` ``(n, MAX_TURNS)`` radians for the turns of the
    unit; ``chance`` ``(n,)`` logarithms of uniform numbers.
    """

    member: np.ndarray
    unit: np.ndarray
    angle: np.ndarray
    chance: np.ndarray


def turn_table(units: Sequence[Unit], odds: np.ndarray | None = None) -> TurnTable:
    """Lay units out for kernels.

    Parameters
    ----------
    units
        Of at most ``MAX_TURNS`` turns each.
    odds
        ``(n_kinds, n, n)`` −log density (kT) of φ, ψ; flat by default.
    """
    turns = [turn for unit in units for turn in unit.turns]
    springs = [spring for unit in units for spring in unit.springs]
    backbones = [backbone for unit in units for backbone in unit.backbones]
    return TurnTable(
        np.array([turn.axis for turn in turns], dtype=np.int64).reshape(-1, 2),
        np.array([turn.torsion for turn in turns], dtype=np.int64).reshape(-1, 4),
        np.array([turn.barrier for turn in turns], dtype=float),
        *_listed([turn.moved for turn in turns]),
        _starts([len(unit.turns) for unit in units]),
        *_listed([unit.atoms for unit in units]),
        _starts([len(unit.springs) for unit in units]),
        np.array([spring[:2] for spring in springs], dtype=np.int64).reshape(-1, 2),
        np.array([spring[2:] for spring in springs], dtype=float).reshape(-1, 2),
        _starts([len(unit.backbones) for unit in units]),
        np.array(backbones, dtype=np.int64).reshape(-1, 6),
        np.zeros((4, 1, 1)) if odds is None else np.ascontiguousarray(odds),
    )


def _listed(lists: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    entries = [entry for one in lists for entry in one]
    return _starts([len(one) for one in lists]), np.array(entries, dtype=np.int64)


def _starts(lengths: Sequence[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.array(lengths, dtype=np.int64))]).astype(np.int64)
