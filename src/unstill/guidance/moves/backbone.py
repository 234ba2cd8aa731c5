r"""Backrubs and peptide flips.

A *backrub* turns residues as one piece about the line through the CA atoms on both sides, and
the first and last peptide plane back about their own CA–CA lines, so that O hardly moves
(Davis et al., 2006, https://doi.org/10.1016/j.str.2005.10.007). A *flip* turns one peptide
plane by about 180°. Both keep bond lengths and the planes; what they bend are angles at CA,
which springs between atoms two bonds apart hold (0.1 Å, which is about 7°, as nothing relaxes
before the move is judged), and φ, ψ, which count by their odds. The plane of a proline's N
stays: its ring would not follow.

With θ for the main turn and φ = −cθ + noise for the turns back, c a constant of the place, the
way back is −θ, −φ: the same turns in the same axes undo them, and detailed balance holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from unstill.errors import InputError
from unstill.guidance.moves.loops import ramachandran_odds
from unstill.guidance.moves.residue_graph import ResidueGraph
from unstill.guidance.moves.scene import Scene, Tally
from unstill.guidance.moves.turns import MAX_TURNS, Proposals, Turn, TurnTable, Unit, turn_table
from unstill.shapes import Coord, Float
from unstill.validation.ramachandran import backbone_kind

_SPRING = 100.0
"""kT/Å²: a standard deviation of 0.1 Å."""


@dataclass(frozen=True, eq=False)
class BackrubMove:
    """Metropolis over backrubs of one or two residues (by ``spans``, of more).

    Parameters
    ----------
    graph
        Residues and bonds.
    tries
        Proposals for each place of each member.
    turn
        Standard deviation (degrees) of the main turn.
    spans
        Peptides between the ends.

    Raises
    ------
    InputError
        If there is nothing to try, or the turn is not positive.
    """

    graph: ResidueGraph
    tries: int = 1
    turn: float = 8.0
    spans: Sequence[int] = (2, 3)

    def __post_init__(self) -> None:
        _check(self.tries, self.turn)

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """Turns of every place: the main one, and back of the first and last peptide."""
        return tuple(unit for unit, _ in self._places)

    @cached_property
    def table(self) -> TurnTable:
        """The same for kernels."""
        return turn_table(self.units, ramachandran_odds())

    def apply(self, scene: Scene, rng: np.random.Generator) -> Tally:
        """Try backrubs in all members."""
        if not self.units:
            return Tally(0, 0, 0.0)
        return scene.run(self.table, self.propose(len(scene.state.coord), rng))

    def propose(self, n_members: int, rng: np.random.Generator) -> Proposals:
        """Draw the proposals of a round."""
        unit, member = _all_places(len(self.units), n_members, self.tries, rng)
        n = len(unit)
        back = np.array([ratio for _, ratio in self._places])[unit]
        angle = np.zeros((n, MAX_TURNS))
        angle[:, 0] = np.radians(self.turn) * rng.standard_normal(n)
        noise = np.radians(self.turn) / 2 * rng.standard_normal((n, 2))
        angle[:, 1:3] = -back * angle[:, :1] + noise
        return Proposals(member, unit, angle, np.log1p(-rng.random(n)))

    @cached_property
    def _places(self) -> list[tuple[Unit, tuple[float, float]]]:
        found = []
        for first in range(len(self.graph.residues)):
            for span in self.spans:
                path = _path(self.graph, first, span)
                if path:
                    found.append(_backrub(self.graph, path))
        return found


@dataclass(frozen=True, eq=False)
class PeptideFlipMove:
    """Metropolis over half turns of peptide planes.

    Parameters
    ----------
    graph
        Residues and bonds.
    tries
        Proposals for each peptide of each member.
    noise
        Standard deviation (degrees) around 180°.

    Raises
    ------
    InputError
        If there is nothing to try, or the noise is not positive.
    """

    graph: ResidueGraph
    tries: int = 1
    noise: float = 20.0

    def __post_init__(self) -> None:
        _check(self.tries, self.noise)

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """The turn of every peptide plane."""
        paths = [_path(self.graph, first, 1) for first in range(len(self.graph.residues))]
        return tuple(
            Unit((_peptide(self.graph, *path),), *_energies(self.graph, path))
            for path in paths
            if path
        )

    @cached_property
    def table(self) -> TurnTable:
        """The same for kernels."""
        return turn_table(self.units, ramachandran_odds())

    def apply(self, scene: Scene, rng: np.random.Generator) -> Tally:
        """Try flips in all members."""
        if not self.units:
            return Tally(0, 0, 0.0)
        return scene.run(self.table, self.propose(len(scene.state.coord), rng))

    def propose(self, n_members: int, rng: np.random.Generator) -> Proposals:
        """Draw the proposals of a round."""
        unit, member = _all_places(len(self.units), n_members, self.tries, rng)
        angle = np.zeros((len(unit), MAX_TURNS))
        angle[:, 0] = np.pi + np.radians(self.noise) * rng.standard_normal(len(unit))
        return Proposals(member, unit, angle, np.log1p(-rng.random(len(unit))))


def _check(tries: int, degrees: float) -> None:
    if tries < 1 or not 0 < degrees < 180:
        raise InputError(
            "moves of backbones need a try or more, and an angle between 0 and 180 degrees",
            found=f"{tries} tries, {degrees:g}°",
            fix="give for example 1 try and 10°",
        )


def _all_places(
    n_units: int, n_members: int, tries: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    shape = (n_units, n_members, tries)
    unit = np.broadcast_to(rng.permutation(n_units)[:, None, None], shape).reshape(-1)
    member = np.broadcast_to(np.arange(n_members)[:, None], shape).reshape(-1)
    return unit, member


def _path(graph: ResidueGraph, first: int, span: int) -> list[int]:
    """Residues from one to another so many peptides on; empty where they cannot turn."""
    path = [first]
    for _ in range(span):
        path.append(graph.next_residue[path[-1]])
        if path[-1] < 0:
            return []
    # The N of each end of a turned plane must be free of a ring.
    if graph.residues[path[1]].name == "PRO" or graph.residues[path[-1]].name == "PRO":
        return []
    return path


def _peptide(graph: ResidueGraph, before: int, after: int) -> Turn:
    """Turn of the plane between two residues about the line of their CA."""
    one, other = graph.residues[before], graph.residues[after]
    moved = [one["C"], one["O"], other["N"]]
    moved += [other[name] for name in ("H", "D") if name in other.atom]
    return Turn((one["CA"], other["CA"]), tuple(sorted(moved)))


def _backrub(graph: ResidueGraph, path: list[int]) -> tuple[Unit, tuple[float, float]]:
    ends = graph.residues[path[0]]["CA"], graph.residues[path[-1]]["CA"]
    peptides = [_peptide(graph, *pair) for pair in pairwise(path)]
    moved = {atom for peptide in peptides for atom in peptide.moved}
    for number in path[1:-1]:
        moved |= set(graph.residues[number].atom.values())
    main = Turn(ends, tuple(sorted(moved)))
    turned = peptides[0], peptides[-1]
    oxygen = graph.residues[path[0]]["O"], graph.residues[path[-2]]["O"]
    back = [
        _ratio(graph.reference, main.axis, peptide.axis, atom)
        for peptide, atom in zip(turned, oxygen, strict=True)
    ]
    return Unit((main, *turned), *_energies(graph, path)), (back[0], back[1])


def _ratio(coord: Coord, main: tuple[int, int], own: tuple[int, int], atom: int) -> float:
    """Return the turn about the own axis that undoes most of a small turn about the main one."""
    by_main, by_own = (_velocity(coord, axis, atom) for axis in (main, own))
    return float(by_main @ by_own / (by_own @ by_own))


def _velocity(coord: Coord, axis: tuple[int, int], atom: int) -> Float[np.ndarray, "3"]:
    along = coord[axis[1]] - coord[axis[0]]
    velocity: np.ndarray = np.cross(along, coord[atom] - coord[axis[0]]) / np.linalg.norm(along)
    return velocity


def _energies(
    graph: ResidueGraph, path: list[int]
) -> tuple[
    tuple[tuple[int, int, float, float], ...], tuple[tuple[int, int, int, int, int, int], ...]
]:
    """Springs at the CA atoms of a path, and φ, ψ that change with it."""
    springs, backbones = [], []
    for number in path:
        residue = graph.residues[number]
        around = [residue[name] for name in ("N", "C", "CB") if name in residue.atom]
        for i, one in enumerate(around):
            for other in around[:i]:
                apart = graph.reference[one] - graph.reference[other]
                springs.append((one, other, float(np.linalg.norm(apart)), _SPRING))
        before = graph.next_residue.index(number) if number in graph.next_residue else -1
        after = graph.next_residue[number]
        if before >= 0 and after >= 0:
            kind = backbone_kind(residue.name, graph.residues[after].name)
            ends = graph.residues[before]["C"], graph.residues[after]["N"]
            backbones.append((ends[0], residue["N"], residue["CA"], residue["C"], ends[1], kind))
    return tuple(springs), tuple(backbones)
