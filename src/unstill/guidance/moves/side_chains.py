r"""Side chains leap from rotamer to rotamer.

Torsions are found by walking the bonds outward from CA, so that any amino acid has them,
modified ones too; rings have none, nor have bonds that lead into another residue. Angles
between tetrahedral atoms have the energy V(1 + cos 3χ); V is 2.5 kT, which gives χ a standard
deviation of (9V)^(-1/2), 12°, in its three wells. Those to flat groups are free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unstill.errors import InputError
from unstill.guidance.moves.residue_graph import Residue, ResidueGraph
from unstill.guidance.moves.scene import Scene, Tally
from unstill.guidance.moves.turns import MAX_TURNS, Proposals, Turn, TurnTable, Unit, turn_table

BARRIER = 2.5
"""V (kT)."""
_FLAT = 0.25
"""Volume spanned by the unit vectors of three bonds; about 0.7 for a tetrahedral atom."""
_HYDROGENS = ("H", "D")


@dataclass(frozen=True, eq=False)
class SideChainUnits:
    """Side chains that can turn.

    Parameters
    ----------
    units
        One a residue, with its torsions outward.
    residue
        Number of the residue of each.
    flat
        ``(n_units, MAX_TURNS)`` which torsions lead to a flat group.
    """

    units: tuple[Unit, ...]
    residue: tuple[int, ...]
    flat: np.ndarray


def side_chain_units(graph: ResidueGraph) -> SideChainUnits:
    """Find the side chains that can turn, and what each of their torsions moves."""
    units, numbers, flat = [], [], []
    for number, residue in enumerate(graph.residues):
        if not residue.has_backbone:
            continue
        turns = _turns(graph, number, residue)[:MAX_TURNS]
        if turns:
            units.append(Unit(tuple(turn for turn, _ in turns)))
            numbers.append(number)
            flat.append([is_flat for _, is_flat in turns] + [False] * (MAX_TURNS - len(turns)))
    return SideChainUnits(
        tuple(units), tuple(numbers), np.array(flat, dtype=bool).reshape(-1, MAX_TURNS)
    )


@dataclass(frozen=True, eq=False)
class RotamerMove:
    """Metropolis over rotamers of all side chains of all members.

    Proposals are a leap of one χ by 120° either way (180° or anything for a flat group), a
    leap of all χ at once, or a small turn of all; each angle has Gaussian noise. All are as
    likely backward as forward.

    Parameters
    ----------
    graph
        Residues and bonds.
    tries
        Proposals for each residue of each member.
    noise
        Standard deviation (degrees) around the leap.
    residues
        Numbers of the residues that may move; all by default.

    Raises
    ------
    InputError
        If there is nothing to try, or the noise is not positive.
    """

    graph: ResidueGraph
    tries: int = 6
    noise: float = 12.0
    residues: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if self.tries < 1 or not 0 < self.noise < 180:
            raise InputError(
                "rotamers need a try or more, and noise between 0 and 180 degrees",
                found=f"{self.tries} tries, {self.noise:g}°",
                fix="give for example 6 tries and 12°",
            )

    @cached_property
    def side_chains(self) -> SideChainUnits:
        """What can turn."""
        return side_chain_units(self.graph)

    @cached_property
    def table(self) -> TurnTable:
        """The same for kernels."""
        return turn_table(self.side_chains.units)

    def apply(self, scene: Scene, rng: np.random.Generator) -> Tally:
        """Try leaps in all members."""
        if not self._chosen.size:
            return Tally(0, 0, 0.0)
        return scene.run(self.table, self.propose(len(scene.state.coord), rng))

    def propose(self, n_members: int, rng: np.random.Generator) -> Proposals:
        """Draw the proposals of a round."""
        order = rng.permutation(self._chosen)
        shape = (len(order), n_members, self.tries)
        unit = np.broadcast_to(order[:, None, None], shape).reshape(-1)
        member = np.broadcast_to(np.arange(n_members)[:, None], shape).reshape(-1)
        n = len(unit)
        flat = self.side_chains.flat[unit]
        there = np.arange(MAX_TURNS) < self._n_turns[unit][:, None]
        third = 2 * np.pi / 3 * rng.integers(-1, 2, (n, MAX_TURNS))
        half = np.pi * rng.integers(0, 2, (n, MAX_TURNS))
        anywhere = rng.uniform(-np.pi, np.pi, (n, MAX_TURNS))
        loose = np.where(rng.random((n, MAX_TURNS)) < 0.5, half, anywhere)
        leap = np.where(flat, loose, third)
        kind = rng.random(n)[:, None]
        one = np.arange(MAX_TURNS) == (rng.random(n) * self._n_turns[unit]).astype(int)[:, None]
        # One angle leaps for sure; of all angles, some may stay in their well.
        sure = 2 * np.pi / 3 * rng.choice([-1, 1], (n, MAX_TURNS))
        leap = np.where(kind < 0.4, np.where(one, np.where(flat, loose, sure), 0.0), leap)
        leap = np.where(kind < 0.75, leap, 0.0)
        turned = np.where(kind < 0.4, one, True) & there
        angle = leap + np.radians(self.noise) * rng.standard_normal((n, MAX_TURNS))
        chance = np.log1p(-rng.random(n))
        return Proposals(member, unit, np.where(turned, angle, 0.0), chance)

    @cached_property
    def _n_turns(self) -> np.ndarray:
        return np.array([len(unit.turns) for unit in self.side_chains.units], dtype=int)

    @cached_property
    def _chosen(self) -> np.ndarray:
        numbers = np.array(self.side_chains.residue, dtype=int)
        if self.residues is None:
            return np.arange(len(numbers))
        chosen: np.ndarray = np.flatnonzero(np.isin(numbers, np.array(self.residues, dtype=int)))
        return chosen


def _turns(graph: ResidueGraph, number: int, residue: Residue) -> list[tuple[Turn, bool]]:
    """Find the turns of a side chain outward, with whether they lead to a flat group."""
    own, alpha = set(residue.atom.values()), residue["CA"]
    backbone = {residue["N"], residue["C"]}
    found: list[tuple[Turn, bool]] = []
    edge = [
        (residue["N"], alpha, atom)
        for atom in sorted(graph.neighbours[alpha])
        if atom in own - backbone and graph.element[atom] not in _HYDROGENS
    ]
    seen = {alpha} | {atom for _, _, atom in edge}
    while edge:
        before, inner, outer = edge.pop(0)
        heavy = [
            atom
            for atom in sorted(graph.neighbours[outer])
            if atom != inner and graph.element[atom] not in _HYDROGENS
        ]
        moved = graph.beyond(inner, outer)
        is_flat = _is_flat(graph, outer)
        stiff = is_flat and graph.element[inner] == "N"
        if heavy and moved is not None and moved <= own and not stiff:
            staggered = not is_flat and graph.element[inner] == "C"
            staggered &= graph.element[outer] in ("C", "S", "SE")
            turn = Turn(
                (inner, outer),
                tuple(sorted(moved - {outer})),
                (before, inner, outer, heavy[0]),
                BARRIER if staggered else 0.0,
            )
            found.append((turn, is_flat))
        for atom in heavy:
            if atom in own and atom not in seen:
                seen.add(atom)
                edge.append((inner, outer, atom))
    return found


def _is_flat(graph: ResidueGraph, atom: int) -> bool:
    around = [n for n in graph.neighbours[atom] if graph.element[n] not in _HYDROGENS]
    if len(around) != 3:
        return False
    bonds = graph.reference[around] - graph.reference[atom]
    bonds /= np.linalg.norm(bonds, axis=1, keepdims=True)
    return bool(abs(np.linalg.det(bonds)) < _FLAT)
