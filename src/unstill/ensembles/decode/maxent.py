"""Weighted copies of the maximum-entropy distribution, with exact populations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unstill.ensembles.decode.cliques import CliqueTree, are_small, clique_tree
from unstill.ensembles.decode.entropy import exact_pieces, most_random
from unstill.ensembles.decode.factors import Factor, components
from unstill.ensembles.decode.groups import Groups
from unstill.errors import InputError
from unstill.shapes import Float, Int

_THIN = 1e-9


@dataclass(frozen=True, eq=False)
class Weighted:
    """Copies with weights.

    Parameters
    ----------
    weights
        Summing to one.
    values
        Value of each group in each copy.
    entropy
        Of the whole distribution that they stand for, in nats.
    """

    weights: Float[np.ndarray, " n_members"]
    values: Int[np.ndarray, "n_groups n_members"]
    entropy: float


def maximum_entropy(
    groups: Groups,
    soft: Sequence[Factor],
    hard: Sequence[Factor],
    n_members: int,
    rng: np.random.Generator,
) -> Weighted:
    """Return weighted copies of the most random distribution with the stated populations.

    Conflicts are as rare as the populations allow; apart from them nothing is
    correlated that need not be. Each component is drawn ``n_members`` times, one slot of
    weight 1/``n_members`` each; what is missing for exact populations fills the slots up. Slots of
    the components are paired at random. Where fillings cut slots, there are
    more members than asked for.

    Raises
    ------
    InputError
        If rules and populations cannot both be kept, or conflicts tie too many groups.
    """
    alone = [Factor((g,), np.zeros(group.size)) for g, group in enumerate(groups.groups)]
    runs: list[tuple[np.ndarray, np.ndarray, list[int]]] = []
    entropy = 0.0
    for part in components(groups, [*soft, *alone], hard):
        if not are_small(groups, part):
            raise InputError(
                "conflicts tie too many states to each other for the exact distribution",
                found=f"{len(part.scope)} groups of states",
                fix="use the marginal mode",
            )
        tree = clique_tree(groups, part)
        shares = _shares(groups, tree)
        joint = most_random(tree, shares)
        entropy += joint.entropy
        drawn = joint.draw(n_members, rng)
        weights, rest = exact_pieces(joint, drawn, shares)
        runs.append(_laid_out(drawn, weights, rest, rng))
    return _paired(groups, runs, entropy)


def _shares(groups: Groups, tree: CliqueTree) -> np.ndarray:
    found = []
    for clique in tree.cliques:
        of_states = groups.target[list(groups.groups[clique.scope[0]].states)]
        found.append(np.append(of_states, max(1.0 - of_states.sum(), 0.0)))
    return np.concatenate(found)


def _laid_out(
    drawn: dict[int, np.ndarray],
    weights: np.ndarray,
    rest: list[tuple[float, dict[int, int]]],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Lengths of pieces along [0, 1], the values of each, and the groups they speak of."""
    scope = sorted(drawn)
    slot = 1 / len(weights)
    lengths: list[float] = []
    values: list[list[int]] = []
    left = [(weight, [piece[g] for g in scope]) for weight, piece in rest]
    for copy in rng.permutation(len(weights)).tolist():
        room = slot - float(weights[copy])
        if weights[copy] > 0:
            lengths.append(float(weights[copy]))
            values.append([int(drawn[g][copy]) for g in scope])
        while room > _THIN and left:
            weight, piece = left.pop()
            lengths.append(min(weight, room))
            values.append(piece)
            if weight > room + _THIN:
                left.append((weight - room, piece))
            room -= lengths[-1]
    return np.array(lengths), np.array(values, dtype=int).T, scope


def _paired(
    groups: Groups, runs: list[tuple[np.ndarray, np.ndarray, list[int]]], entropy: float
) -> Weighted:
    """Cut [0, 1] wherever a component changes; every interval is one copy."""
    ends = [np.cumsum(lengths) / lengths.sum() for lengths, _, _ in runs]
    cuts = np.unique(np.concatenate([[0.0, 1.0], *ends]))
    cuts = cuts[np.append(True, np.diff(cuts) > _THIN)]
    cuts[-1] = 1.0
    middle, weights = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts)
    values = np.full((len(groups.groups), len(weights)), -1)
    for end, (_, of_pieces, scope) in zip(ends, runs, strict=True):
        piece = np.minimum(np.searchsorted(end, middle), len(end) - 1)
        values[scope] = of_pieces[:, piece]
    if not runs:
        return Weighted(weights, values, entropy)
    kept, same = np.unique(values, axis=1, return_inverse=True)
    return Weighted(np.bincount(same.reshape(-1), weights), kept, entropy)
