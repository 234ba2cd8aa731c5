"""Match two models: chains, residues, atoms, ligands, waters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.optimize
import scipy.spatial

from unstill.chemistry.residues import is_water
from unstill.ensembles.ensemble import Ensemble
from unstill.ensembles.matching.alignment import align_residues
from unstill.ensembles.matching.residues import ModelResidue, atom_pairs, residues_of_model
from unstill.shapes import Int

_LEAST_SHARE, _LEAST_RESIDUES = 0.5, 3
"""Of a shorter chain, what must be the same for two chains to be one molecule."""
_WATER = 1.0
"""Å within which two waters are one."""
_FAR = 100.0


@dataclass(frozen=True)
class ChainPair:
    """Two chains that are one molecule.

    Parameters
    ----------
    first, second
        Their names.
    n_residues
        That are paired.
    n_identical
        Of them, those of one kind.
    """

    first: str
    second: str
    n_residues: int
    n_identical: int


@dataclass(frozen=True, eq=False)
class AtomMatch:
    """Partners, and those who have none.

    Parameters
    ----------
    first, second
        ``(n_pairs,)`` rows of the atoms of both models that are the same, in the order of the
        first model. Of alternate locations one is taken: that of the fullest letter.
    alone_first, alone_second
        Rows without a partner; other alternate locations of partners are not among them.
    chains
        Which chain is which.
    notes
        What has no partner, and what was decided, for people.
    """

    first: Int[np.ndarray, " n_pairs"]
    second: Int[np.ndarray, " n_pairs"]
    alone_first: Int[np.ndarray, " n_alone"]
    alone_second: Int[np.ndarray, " m_alone"]
    chains: tuple[ChainPair, ...]
    notes: tuple[str, ...]

    @property
    def n_pairs(self) -> int:
        """Number of partners."""
        return len(self.first)


def match_models(first: Ensemble, second: Ensemble) -> AtomMatch:
    """Find the atoms of two models that are the same.

    Chains are one molecule where at least half of the shorter one's residues are paired with
    their like; among copies names decide, then distance. Residues keep their numbers where one
    offset explains as much as an alignment does, so that gaps in repeats are not guessed.
    Selenomethionine is methionine, old names of phosphates and primes are understood. Ligands
    of a kind are paired by distance, waters within 1 Å: for these both models must stand in one
    frame.

    Parameters
    ----------
    first, second
        Their first members are compared.
    """
    models = (residues_of_model(first), residues_of_model(second))
    found: list[tuple[int, int]] = []
    notes: list[str] = []
    chains = _chains(models, first, second, found, notes)
    _ligands(models, first, second, found)
    _waters(models, first, second, found)
    pairs = np.array(sorted(found), dtype=int).reshape(-1, 2)
    own, other = (_alone(model, pairs[:, side]) for side, model in enumerate(models))
    notes += _missing(models[0], set(own.tolist()), "first")
    notes += _missing(models[1], set(other.tolist()), "second")
    return AtomMatch(pairs[:, 0], pairs[:, 1], own, other, tuple(chains), tuple(notes))


def _chains(
    models: tuple[list[ModelResidue], list[ModelResidue]],
    first: Ensemble,
    second: Ensemble,
    found: list[tuple[int, int]],
    notes: list[str],
) -> list[ChainPair]:
    parts = [_polymers(model) for model in models]
    names = [list(part) for part in parts]
    if not (names[0] and names[1]):
        return []
    aligned = {
        (a, b): align_residues(parts[0][a], parts[1][b]) for a in names[0] for b in names[1]
    }
    worth = np.zeros((len(names[0]), len(names[1])))
    for i, a in enumerate(names[0]):
        for j, b in enumerate(names[1]):
            same = sum(one.kind == other.kind for one, other in aligned[a, b])
            shorter = min(len(parts[0][a]), len(parts[1][b]))
            if same >= max(min(_LEAST_RESIDUES, shorter), _LEAST_SHARE * shorter):
                near = _distance(aligned[a, b], first, second)
                worth[i, j] = same + 0.5 * (a == b) + 0.4 * (1 - min(near, _FAR) / _FAR)
    chains = []
    rows, columns = scipy.optimize.linear_sum_assignment(worth, maximize=True)
    for i, j in zip(rows.tolist(), columns.tolist(), strict=True):
        if worth[i, j] == 0:
            continue
        pairs = aligned[names[0][i], names[1][j]]
        for one, other in pairs:
            found += atom_pairs(one, other)
        same = sum(one.kind == other.kind for one, other in pairs)
        chains.append(ChainPair(names[0][i], names[1][j], len(pairs), same))
        if names[0][i] != names[1][j]:
            notes.append(f"chain {names[0][i]} is chain {names[1][j]} of the second model")
        if same < len(pairs):
            notes.append(
                f"{len(pairs) - same} residues of chain {names[0][i]} are of another kind in the "
                "second model"
            )
    return chains


def _polymers(model: Sequence[ModelResidue]) -> dict[str, list[ModelResidue]]:
    found: dict[str, list[ModelResidue]] = {}
    for residue in model:
        if residue.letter:
            found.setdefault(residue.chain_id, []).append(residue)
    return found


def _distance(
    pairs: Sequence[tuple[ModelResidue, ModelResidue]], first: Ensemble, second: Ensemble
) -> float:
    """Mean distance (Å) of the first atoms that residues share."""
    both = [atom_pairs(one, other)[:2] for one, other in pairs[:: max(1, len(pairs) // 50)]]
    rows = np.array([pair for some in both for pair in some], dtype=int).reshape(-1, 2)
    if not len(rows):
        return _FAR
    apart = first.coord[0][rows[:, 0]] - second.coord[0][rows[:, 1]]
    return float(np.linalg.norm(apart, axis=1).mean())


def _ligands(
    models: tuple[list[ModelResidue], list[ModelResidue]],
    first: Ensemble,
    second: Ensemble,
    found: list[tuple[int, int]],
) -> None:
    parts = [
        [one for one in model if not one.letter and not is_water(one.res_name)] for model in models
    ]
    for kind in sorted({one.kind for one in parts[0]} & {one.kind for one in parts[1]}):
        own = [one for one in parts[0] if one.kind == kind]
        other = [one for one in parts[1] if one.kind == kind]
        apart = scipy.spatial.distance.cdist(_centres(own, first), _centres(other, second))
        for i, j in zip(*scipy.optimize.linear_sum_assignment(apart), strict=True):
            found += atom_pairs(own[int(i)], other[int(j)])


def _centres(residues: Sequence[ModelResidue], model: Ensemble) -> np.ndarray:
    return np.array([model.coord[0][list(one.atoms.values())].mean(axis=0) for one in residues])


def _waters(
    models: tuple[list[ModelResidue], list[ModelResidue]],
    first: Ensemble,
    second: Ensemble,
    found: list[tuple[int, int]],
) -> None:
    parts = [[one for one in model if is_water(one.res_name)] for model in models]
    if not (parts[0] and parts[1]):
        return
    places = [_centres(parts[0], first), _centres(parts[1], second)]
    trees = [scipy.spatial.cKDTree(one) for one in places]
    apart, nearest = (
        np.asarray(one) for one in trees[1].query(places[0], distance_upper_bound=_WATER)
    )
    back = np.asarray(trees[0].query(places[1])[1])
    for i in np.flatnonzero(np.isfinite(apart)).tolist():
        if int(back[nearest[i]]) == i:
            found += atom_pairs(parts[0][i], parts[1][int(nearest[i])])


def _alone(model: Sequence[ModelResidue], taken: np.ndarray) -> np.ndarray:
    used = set(taken.tolist())
    rows = [row for one in model for row in one.atoms.values() if row not in used]
    return np.array(sorted(rows), dtype=int)


def _missing(model: Sequence[ModelResidue], alone: set[int], which: str) -> list[str]:
    """Residues without any partner and single atoms, in a line each."""
    whole: dict[str, list[str]] = {}
    single: list[str] = []
    waters = 0
    for one in model:
        rows = set(one.atoms.values())
        if not rows & alone:
            continue
        if is_water(one.res_name):
            waters += 1
        elif rows <= alone:
            whole.setdefault(one.chain_id, []).append(f"{one.res_name} {one.number}")
        else:
            names = [name for name, row in one.atoms.items() if row in alone]
            single.append(f"{one.chain_id} {one.res_name} {one.number} {'/'.join(names)}")
    notes = [
        f"{len(some)} residues of chain {chain} only in the {which} model: {_few(some)}"
        for chain, some in whole.items()
    ]
    if single:
        notes.append(f"atoms only in the {which} model: {_few(single)}")
    if waters:
        notes.append(f"{waters} waters only in the {which} model")
    return notes


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
