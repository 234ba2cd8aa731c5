r"""Loops of 5 to 14 residues that lead elsewhere between the same ends.

The density that is left when a loop is lifted out of its member shows where else it could
be. New main chains grow into it residue by residue, with φ, ψ drawn as the residues of
:mod:`unstill.validation.ramachandran` have them, many side by side (a beam search); those that
come near the other end are closed and annealed there (:mod:`.closure`, :mod:`.loop_growth`).
Then side chains are put on and turned to their best rotamers. Lengths, angles and the planes
of peptides are those of the input.

Candidates are ranked by how much a loop of the best occupancy would explain,
lin²/(4 quad) of the loss's change a·lin + a²·quad, so that a state of small occupancy is not
outdone by one that only fits its own. Growing looks at the data: unlike the other moves, this
one does not keep detailed balance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from unstill.guidance.moves.lifted import Lifted
from unstill.guidance.moves.loop_chain import LoopChain, loop_chain
from unstill.guidance.moves.loop_growth import LoopSettings, grow, settle
from unstill.guidance.moves.probe_grid import ProbeGrid, probe_grid
from unstill.guidance.moves.residue_graph import ResidueGraph
from unstill.guidance.moves.scene import Scene
from unstill.guidance.moves.side_chains import RotamerMove
from unstill.guidance.moves.turns import Proposals
from unstill.shapes import Float, Int
from unstill.validation.ramachandran import KINDS, backbone_density

_N_SAMPLES = 6000
_MARGIN = 4.0
_FARTHEST = 18.0
_ALIKE = 0.6
"""Å root mean square between main chains that count as one candidate."""


@dataclass(frozen=True, eq=False)
class LoopCandidates:
    """Where else a loop could be.

    Parameters
    ----------
    atoms
        ``(n,)`` atoms of the loop in the model.
    coord
        ``(k, n, 3)`` Å, the best first.
    score
        ``(k,)`` what each would lower the loss by at its best occupancy, in kT.
    """

    atoms: Int[np.ndarray, " n"]
    coord: Float[np.ndarray, "k n 3"]
    score: Float[np.ndarray, " k"]


def propose_loops(
    scene: Scene,
    graph: ResidueGraph,
    member: int,
    first: int,
    last: int,
    rng: np.random.Generator,
    *,
    n_candidates: int = 8,
    n_starts: int = 2,
    width: int = 600,
    children: int = 100,
    n_steps: int = 400,
) -> LoopCandidates:
    """Propose other places for a loop of one member; the scene is left as it was.

    Parameters
    ----------
    scene
        The ensemble in its density.
    graph
        Residues and bonds.
    member
        Whose loop.
    first, last
        Numbers (in the graph) of the first and last residue that moves; O of the residue
        before moves as well.
    rng
        Random numbers.
    n_candidates
        At most so many, all different.
    n_starts
        Times that loops are grown.
    width, children
        Of the growth: partial loops that are kept, and continuations of each.
    n_steps
        Of the annealing of each closed loop; the best are annealed again.

    Raises
    ------
    InputError
        If the residues are not a stretch of main chain between two others.
    """
    loop = loop_chain(graph, scene.contacts.places[member], first, last)
    # The first atom is of the residue before the loop, whose side chain stays.
    own = np.unique(graph.number[loop.atoms[1:]]).tolist()
    move = RotamerMove(graph, tries=80, residues=own)
    lifted = Lifted(scene, loop.atoms)
    try:
        lifted.leave(_explained(graph, lifted))
        grid = _grid(scene, graph, member, lifted, loop)
        chosen = _main_chains(grid, loop, rng, _Effort(n_starts, width, children, n_steps))
        found, scores = [], []
        for places in chosen[: 2 * n_candidates]:
            coord = _with_side_chains(scene, move, member, lifted, loop.atoms_at(places), rng)
            linear, square = lifted.loss(member, coord)
            found.append(coord)
            scores.append(linear**2 / (4 * square) if square > 0 and linear < 0 else 0.0)
    finally:
        lifted.back()
    order = np.argsort(-np.array(scores), kind="stable")[:n_candidates]
    coord = np.array(found).reshape(-1, len(loop.atoms), 3)
    return LoopCandidates(loop.atoms, coord[order], np.array(scores)[order])


def _explained(graph: ResidueGraph, lifted: Lifted) -> float:
    """Occupancy that the members' present loops are sure to have.

    Where another state runs elsewhere, residues fit best with their own occupancy; where it
    runs along, with the sum. So the least of them tells, or nearly the least, as they are
    uncertain.
    """
    _, group = np.unique(graph.number[lifted.atoms], return_inverse=True)
    fitted = lifted.occupancies(group.reshape(-1).astype(np.int64))
    return float(np.clip(np.quantile(fitted, _SURE), 0.0, 1.0))


_SURE = 0.2


class _Effort(NamedTuple):
    n_starts: int
    width: int
    children: int
    n_steps: int


def _main_chains(
    grid: ProbeGrid, loop: LoopChain, rng: np.random.Generator, effort: _Effort
) -> list[np.ndarray]:
    """Return closed main chains, all different, the best first."""
    samples = np.stack([_samples(kind, rng) for kind in loop.kind])
    settings = LoopSettings(ramachandran_odds(), loop.kind, loop.torsions[1::3].copy())
    closed = []
    for _ in range(effort.n_starts):
        grown, _ = grow(
            loop.chain,
            grid,
            loop.torsions,
            samples,
            rng,
            width=effort.width,
            children=effort.children,
        )
        closed += [
            _settled(grid, loop, settings, torsions, rng, effort.n_steps, 1.0)
            for torsions in grown[: _SETTLED // effort.n_starts]
        ]
    again = [
        _settled(grid, loop, settings, torsions, rng, 2 * effort.n_steps, 0.3)
        for _, torsions, _ in _different(closed)[:_AGAIN]
    ]
    return [places for _, _, places in _different(again)]


_SETTLED, _AGAIN = 80, 16
_Closed = tuple[float, np.ndarray, np.ndarray]


def _settled(
    grid: ProbeGrid,
    loop: LoopChain,
    settings: LoopSettings,
    torsions: np.ndarray,
    rng: np.random.Generator,
    n_steps: int,
    hottest: float,
) -> _Closed:
    """Score, torsions and main chain of an annealed loop."""
    settled, places = torsions.copy(), np.empty((3 + len(torsions), 3))
    score = settle(
        loop.chain,
        grid,
        settings,
        settled,
        places,
        rng.standard_normal((n_steps, 4)),
        rng.integers(-2, len(torsions) - 1, n_steps).clip(0),
        np.log1p(-rng.random(n_steps)),
        hottest,
    )
    return float(score), settled, places


def _different(closed: list[_Closed]) -> list[_Closed]:
    """Loops that closed and are not alike, the best first."""
    different: list[_Closed] = []
    for one in sorted(closed, key=lambda one: -one[0]):
        apart = [np.sqrt(((one[2] - other[2]) ** 2).sum(1).mean()) for *_, other in different]
        if np.isfinite(one[0]) and all(distance > _ALIKE for distance in apart):
            different.append(one)
    return different


def _grid(
    scene: Scene, graph: ResidueGraph, member: int, lifted: Lifted, loop: LoopChain
) -> ProbeGrid:
    ends = np.array([loop.chain.start[1], loop.chain.target[1]])
    reach = min(3.8 * (len(loop.kind) + 1) / 2, _FARTHEST)
    low = np.minimum(ends.min(axis=0), ends.mean(axis=0) - reach) - _MARGIN
    high = np.maximum(ends.max(axis=0), ends.mean(axis=0) + reach) + _MARGIN
    ignored = lifted.mark
    for residue in loop.ends:
        ignored[list(graph.residues[residue].atom.values())] = True
    return probe_grid(
        scene.contacts,
        scene.density,
        scene.pool,
        member,
        loop.probe,
        ignored,
        low,
        high,
    )


def _samples(kind: int, rng: np.random.Generator) -> np.ndarray:
    """φ, ψ (radians) drawn from the density of a kind."""
    density = backbone_density(KINDS[kind])
    n = len(density)
    drawn = rng.choice(density.size, _N_SAMPLES, p=density.reshape(-1))
    place = np.stack(np.divmod(drawn, n), axis=1) + rng.random((_N_SAMPLES, 2))
    angles: np.ndarray = (place / n - 0.5) * 2 * np.pi
    return angles


def ramachandran_odds() -> np.ndarray:
    """``(n_kinds, n, n)`` −log density of φ, ψ relative to the best, at most 8 kT."""
    density = np.stack([backbone_density(kind) for kind in KINDS])
    share = density / density.max(axis=(1, 2), keepdims=True)
    odds: np.ndarray = -np.log(np.maximum(share, np.exp(-8.0)))
    return odds


def _with_side_chains(
    scene: Scene,
    move: RotamerMove,
    member: int,
    lifted: Lifted,
    coord: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Turn the side chains of a loop to their best rotamers; the loop is lifted again."""
    lifted.put(member, coord)
    if move.side_chains.units:
        for temperature in (1.0, 0.0, 0.0):
            drawn = move.propose(1, rng)
            scene.run(
                move.table,
                Proposals(
                    np.full_like(drawn.member, member),
                    drawn.unit,
                    drawn.angle,
                    drawn.chance * temperature,
                ),
            )
    placed: np.ndarray = scene.contacts.places[member, lifted.atoms].copy()
    lifted.leave(lifted.left)
    return placed
