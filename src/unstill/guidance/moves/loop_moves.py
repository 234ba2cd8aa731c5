"""Loops leap to where the density that the ensemble leaves leads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.guidance.moves.lifted import Lifted
from unstill.guidance.moves.loops import LoopCandidates, propose_loops
from unstill.guidance.moves.residue_graph import ResidueGraph
from unstill.guidance.moves.scene import Scene, Tally
from unstill.shapes import Coords, Float

_LEAST, _MOST = 5, 14
_OVERDONE = 0.8
"""Occupancy that a residue fits best with, of what it has, below which it is overdone."""


@dataclass(frozen=True, eq=False)
class LoopMove:
    """Put loops of members where :func:`.loops.propose_loops` finds a better place.

    Each loop is grown once a round, for the ensemble; then each member, in random order,
    may take one of the candidates, drawn with the odds of the loss that it would lower, by
    Metropolis on the change of loss and repulsion. Growing looks at the data, so that detailed
    balance is not kept: use it early, and let other moves settle what it found.

    Parameters
    ----------
    graph
        Residues and bonds.
    loops
        (first, last) residues of each loop; by default those that the density calls for
        (:func:`loops_in_doubt`), anew each round.
    n_candidates
        Of each loop.
    most
        Loops of one round, at most.
    energy
        Of members (kT), from their coordinates, such as that of restraints: its change counts
        as well.

    Raises
    ------
    InputError
        If a loop ends before it begins.
    """

    graph: ResidueGraph
    loops: Sequence[tuple[int, int]] | None = None
    n_candidates: int = 4
    most: int = 4
    energy: Callable[[Coords], Float[np.ndarray, " n_members"]] | None = None

    def __post_init__(self) -> None:
        for first, last in self.loops or ():
            if last < first:
                raise InputError(
                    "a loop ends before it begins",
                    found=f"residues {first} to {last}",
                    fix="give the first residue and then the last one",
                )

    def apply(self, scene: Scene, rng: np.random.Generator) -> Tally:
        """Try leaps of loops in all members."""
        loops = loops_in_doubt(scene, self.graph) if self.loops is None else list(self.loops)
        tally = Tally(0, 0, 0.0)
        for first, last in loops[: self.most]:
            member = int(rng.integers(len(scene.state.coord)))
            found = propose_loops(
                scene, self.graph, member, first, last, rng, n_candidates=self.n_candidates
            )
            tally += self._shared_out(scene, found, rng)
        return tally

    def _shared_out(self, scene: Scene, found: LoopCandidates, rng: np.random.Generator) -> Tally:
        tally = Tally(0, 0, 0.0)
        if not len(found.coord):
            return tally
        odds = found.score + 1e-9 * max(float(found.score.max()), 1.0)
        odds = odds / odds.sum() if odds.sum() > 0 else np.full(len(odds), 1 / len(odds))
        for member in rng.permutation(len(scene.state.coord)).tolist():
            place = found.coord[int(rng.choice(len(odds), p=odds))]
            change = loop_change(scene, found.atoms, member, place)
            if self.energy is not None:
                pair = np.repeat(scene.coord[member : member + 1], 2, axis=0)
                pair[1, found.atoms] = place
                change += float(np.diff(self.energy(pair))[0])
            taken = bool(np.log1p(-rng.random()) < -change)
            if taken:
                Lifted(scene, found.atoms).settle(member, place)
            tally += Tally(1, int(taken), change if taken else 0.0)
        return tally


def loop_change(scene: Scene, atoms: np.ndarray, member: int, place: np.ndarray) -> float:
    """Change of loss and repulsion (kT) if atoms of one member came to places (Å).

    Parameters
    ----------
    scene
        Left as it is.
    atoms
        ``(n,)``.
    member
        Number of the member.
    place
        ``(n, 3)`` Å.
    """
    lifted = Lifted(scene, atoms, members=[member])
    new = sum(lifted.loss(member, place)) + lifted.repulsion(member, place)
    old = sum(lifted.loss(member, lifted.home[member])) + lifted.repulsion(
        member, lifted.home[member]
    )
    lifted.back()
    return float(new - old)


def loops_in_doubt(scene: Scene, graph: ResidueGraph) -> list[tuple[int, int]]:
    """Find stretches whose main chain has more density in the model than in the map.

    Where another state leads elsewhere, main chains of the members are overdone. Stretches of
    such residues are widened by one, joined where they are near, and widened further to five;
    longer ones than fourteen are cut. The most overdone comes first.

    Parameters
    ----------
    scene
        The ensemble in its density.
    graph
        Residues and bonds.
    """
    if scene.density.strength <= 0:
        return []
    number = [n for n, residue in enumerate(graph.residues) if residue.has_backbone]
    atoms = [[graph.residues[n][name] for name in ("N", "CA", "C", "O")] for n in number]
    if not number:
        return []
    group = np.repeat(np.arange(len(number)), 4)
    lifted = Lifted(scene, np.array(atoms).reshape(-1), leave=1.0)
    # Nothing is lifted: the factors are corrections to an occupancy of one.
    fitted = 1.0 + lifted.corrections(group)
    doubt = {n: float(max(_OVERDONE - f, 0.0)) for n, f in zip(number, fitted, strict=True)}
    chains = _chains(graph, number)
    loops: list[tuple[float, int, int]] = []
    for chain in chains:
        mask = np.array([doubt[n] > 0 for n in chain])
        for first, last in _stretches(mask):
            total = sum(doubt[n] for n in chain[first : last + 1])
            loops.append((total, chain[first], chain[last]))
    loops.sort(key=lambda loop: (-loop[0], loop[1]))
    return [(first, last) for _, first, last in loops]


def _chains(graph: ResidueGraph, number: list[int]) -> list[list[int]]:
    """Residues that follow each other by peptide bonds."""
    starts = set(number) - set(graph.next_residue)
    chains = []
    for start in sorted(starts):
        chain = [start]
        while graph.next_residue[chain[-1]] >= 0 and graph.next_residue[chain[-1]] not in chain:
            chain.append(graph.next_residue[chain[-1]])
        chains.append(chain)
    return chains


def _stretches(mask: np.ndarray) -> list[tuple[int, int]]:
    """First and last of runs, three or more of which are set, widened; never a chain's ends."""
    n = len(mask)
    if n < _LEAST + 2:
        return []
    wide = mask.copy()
    # One residue that fits by chance does not part a loop.
    wide[1:-1] |= mask[:-2] & mask[2:]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wide, [False]]).astype(int)))
    found = []
    for first, last in zip(edges[::2], edges[1::2] - 1, strict=True):
        if last - first < 2:
            continue
        first, last = int(first) - 1, int(last) + 1
        while last - first + 1 < _LEAST:
            first, last = first - 1, last + 1
        first, last = max(first, 1), min(last, n - 2)
        spare = last - first + 1 - _MOST
        if spare > 0:
            first, last = first + spare // 2, last - (spare - spare // 2)
        found.append((first, last))
    return found
