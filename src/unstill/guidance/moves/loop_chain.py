"""A loop of a model as a main chain of torsions with atoms that ride on it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from unstill.errors import InputError
from unstill.guidance.moves.closure import Chain, frame_coordinates
from unstill.guidance.moves.residue_graph import ResidueGraph
from unstill.shapes import Coord, Float, Int
from unstill.validation.ramachandran import backbone_kind
from unstill.validation.torsions import torsions as torsions_of

_SHORTEST, _LONGEST = 2, 24
_PHI_OF_PROLINE = 0.15
_OMEGA = 0.3


@dataclass(frozen=True, eq=False)
class LoopChain:
    """A loop.

    Parameters
    ----------
    chain
        What of its geometry stays.
    torsions
        ``(3 (n + 1),)`` radians as they are.
    kind
        ``(n,)`` number of each residue in :data:`unstill.validation.ramachandran.KINDS`.
    atoms
        Atoms that move: of the residues of the loop, and O before it.
    ends
        Numbers of the residues before and after.
    probe
        CA of the first residue.
    frame
        ``(n_atoms, 3)`` main-chain atoms (as :func:`.closure.build` has them) that each atom
        rides on.
    local
        ``(n_atoms, 3)`` Å, in the frame of these.
    """

    chain: Chain
    torsions: Float[np.ndarray, " n_torsions"]
    kind: Int[np.ndarray, " n"]
    atoms: Int[np.ndarray, " n_atoms"]
    ends: tuple[int, int]
    probe: int
    frame: Int[np.ndarray, "n_atoms 3"]
    local: Float[np.ndarray, "n_atoms 3"]

    def atoms_at(self, places: Coord) -> Coord:
        """Places of all atoms (Å) on a main chain."""
        a, b, c = (places[self.frame[:, i]] for i in range(3))
        x = c - b
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        z = np.cross(a - b, x)
        z = z / np.linalg.norm(z, axis=1, keepdims=True)
        y = np.cross(z, x)
        local = self.local[..., None]
        found: np.ndarray = b + local[:, 0] * x + local[:, 1] * y + local[:, 2] * z
        return found


def loop_chain(graph: ResidueGraph, coord: Coord, first: int, last: int) -> LoopChain:
    """Read the loop from residue ``first`` to ``last`` off a member.

    Parameters
    ----------
    graph
        Residues and bonds.
    coord
        ``(n_atoms, 3)`` Å; more may follow.
    first, last
        Numbers of residues in the graph.

    Raises
    ------
    InputError
        If they are not joined by main chain, or nothing joins them to residues at both ends.
    """
    path = _path(graph, first, last)
    residues = [graph.residues[number] for number in path]
    main = np.array([[r["N"], r["CA"], r["C"]] for r in residues])
    places = coord[main.reshape(-1)].astype(float)
    n = len(path) - 2
    count = 3 * n + 6
    quads = np.arange(count - 3)[:, None] + np.arange(4)
    torsions = np.radians(torsions_of(places[None], quads)[0])
    back = places[1:-1] - places[2:]
    ahead = -back[:-1]
    cosine = (back[1:] * ahead).sum(1)
    cosine /= np.linalg.norm(back[1:], axis=1) * np.linalg.norm(ahead, axis=1)
    atoms, frame, local = _riders(graph, coord, path, places)
    names = [residue.name for residue in residues]
    kind = np.array([backbone_kind(*pair) for pair in pairwise(names[1:])])
    oxygen = np.array(
        [
            frame_coordinates(places[3 * r + 1 : 3 * r + 4], coord[None, residue["O"]])[0]
            for r, residue in enumerate(residues[:-1])
        ]
    )
    beta = np.zeros((n, 3))
    has_beta = np.array(["CB" in residue.atom for residue in residues[1:-1]])
    for r in np.flatnonzero(has_beta):
        of = coord[None, residues[r + 1]["CB"]]
        beta[r] = frame_coordinates(places[3 * r + 3 : 3 * r + 6], of)[0]
    return LoopChain(
        Chain(
            places[:3].copy(),
            places[-3:].copy(),
            np.linalg.norm(np.diff(places, axis=0), axis=1)[2:],
            np.arccos(np.clip(cosine, -1, 1))[: count - 3],
            oxygen,
            beta,
            has_beta,
            _mobility(names, n),
        ),
        torsions,
        kind.astype(np.int64),
        atoms,
        (path[0], path[-1]),
        residues[1]["CA"],
        frame,
        local,
    )


def _mobility(names: list[str], n: int) -> np.ndarray:
    mobility = np.ones(3 * n + 3)
    mobility[1::3] = _OMEGA
    # The ring of proline holds φ.
    for place, name in enumerate(names[1:]):
        if name == "PRO":
            mobility[3 * place + 2] = _PHI_OF_PROLINE
    return mobility


def _path(graph: ResidueGraph, first: int, last: int) -> list[int]:
    """Numbers of the residues from before the loop to after it."""
    after = graph.next_residue
    before = after.index(first) if first in after else -1
    path = [before, first]
    while path[-1] not in (last, -1) and len(path) <= _LONGEST + 1:
        path.append(after[path[-1]])
    path.append(after[last] if path[-1] == last else -1)
    if -1 in path or not _SHORTEST <= len(path) - 2 <= _LONGEST:
        raise InputError(
            "a loop is a stretch of main chain between two residues of the same chain",
            found=f"residues {first} to {last} of the model, of which {len(path) - 2} are joined",
            fix=f"name {_SHORTEST} to {_LONGEST} residues without a gap, not at an end",
        )
    return path


def _riders(
    graph: ResidueGraph, coord: np.ndarray, path: list[int], places: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Atoms of the loop, what each rides on, and where in its frame."""
    atoms, frames = [graph.residues[path[0]]["O"]], [[1, 2, 3]]
    for r, number in enumerate(path[1:-1], start=1):
        k = 3 * r
        for name, atom in graph.residues[number].atom.items():
            atoms.append(atom)
            if name == "O":
                frames.append([k + 1, k + 2, k + 3])
            elif name in ("H", "D") and graph.residues[number].name != "PRO":
                frames.append([k - 1, k, k + 1])
            else:
                frames.append([k, k + 1, k + 2])
    local = np.array(
        [
            frame_coordinates(places[frame], coord[None, atom])[0]
            for atom, frame in zip(atoms, frames, strict=True)
        ]
    )
    return np.array(atoms, dtype=np.int64), np.array(frames, dtype=np.int64), local
