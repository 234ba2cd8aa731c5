"""M copies of equal weight with exact counts, and as few conflicts as any can have."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unstill.ensembles.decode.cliques import CliqueTree, clique_tree
from unstill.ensembles.decode.counts import follow_parents, whole_counts
from unstill.ensembles.decode.factors import TiedGroups
from unstill.ensembles.decode.groups import EXCESS, Groups
from unstill.ensembles.decode.integer import deal, least_cost, nearest_counts
from unstill.ensembles.decode.recorded import take_recorded
from unstill.ensembles.decode.relaxed import relaxed
from unstill.ensembles.decode.shuffle import exchange_labels, total_cost
from unstill.ensembles.multiconformer.tree import shortened
from unstill.errors import InputError
from unstill.shapes import Int

_SWEEPS = 12
_SWEEPS_UNPROVEN = 300
_SECONDS = 1.0


@dataclass(frozen=True, eq=False)
class Copies:
    """Values of all groups in all copies.

    Parameters
    ----------
    values
        Value of each group in each copy.
    gap
        Cost of all copies above the proven bound.
    adjusted
        States whose counts had to leave their population.
    notes
        What was not solved exactly.
    """

    values: Int[np.ndarray, "n_groups n_members"]
    gap: float
    adjusted: tuple[str, ...]
    notes: tuple[str, ...]


def least_conflicts(
    groups: Groups,
    parts: list[TiedGroups],
    n_members: int,
    rng: np.random.Generator,
    *,
    seconds: float,
    renormalise: bool,
    progress: Callable[[int, int], None] | None = None,
) -> Copies:
    """Assign states to copies: counts exactly, then conflicts the least, the rest at random.

    Each component is solved to the optimum as an integer programme over the tables of its
    clique tree. Where the tables would be too large, costs are left out until they are
    not, which bounds the optimum from below; exchanges of labels then lower the full
    cost, and the gap is reported. Where exclusions alone make them too large, copies are
    recorded members, if there are any.

    Raises
    ------
    InputError
        If rules cannot be kept at populations within 0.02 (or one copy) of the stated
        ones, or tie too many groups to each other.
    """
    before = whole_counts(groups, n_members, rng)
    counts = before.copy()
    values = np.full((len(groups.groups), n_members), -1)
    stop = time.monotonic() + seconds
    gap = 0.0
    adjusted: list[str] = []
    notes: list[str] = []
    solved_groups, all_groups = 0, sum(len(part.scope) for part in parts)
    for part in sorted(parts, key=lambda p: len(p.scope)):
        # Small components come first; the last ones take the time.
        if progress is not None:
            progress(solved_groups, all_groups)
        solved_groups += len(part.scope)
        left = max(stop - time.monotonic(), _SECONDS)
        solved = relaxed(groups, part)
        if solved is None:
            off = take_recorded(groups, part, n_members, counts, values)
            gap += total_cost(part.factors, values)
            notes.append(
                f"{len(part.scope)} groups exclude each other in too many ways for exact search: "
                f"recorded members were taken, populations within {off:.3f}"
            )
            continue
        tree = clique_tree(groups, solved)
        best = least_cost(tree, _margins(groups, tree, counts), seconds=left)
        if best is None:
            changed = _nearest(groups, tree, n_members, counts, left, renormalise)
            adjusted.extend(changed)
            best = least_cost(tree, _margins(groups, tree, counts), seconds=left)
        assert best is not None, "the nearest counts are those of some copies"
        for group, value in deal(tree, best.tables, rng).items():
            values[group] = value
        partly = len(solved.factors) < len(part.factors)
        proven = not partly and best.cost - best.bound < 1e-6
        sweeps = _SWEEPS if proven else _SWEEPS_UNPROVEN
        exchange_labels(groups, part, values, rng, sweeps=sweeps)
        if not proven:
            gap += max(total_cost(part.factors, values) - best.bound, 0.0)
    if progress is not None:
        progress(solved_groups, all_groups)
    follow_parents(groups, counts, before, done=values[:, 0] >= 0)
    fill_at_random(groups, counts, values, rng)
    return Copies(values, gap, tuple(adjusted), tuple(notes))


def fill_at_random(
    groups: Groups,
    counts: Int[np.ndarray, " n_states"],
    values: Int[np.ndarray, "n_groups n_members"],
    rng: np.random.Generator,
) -> None:
    """Deal the states of all groups that are not assigned yet (−1) to copies, in place."""
    for number, group in enumerate(groups.groups):
        if values[number, 0] >= 0:
            continue
        above = int(groups.of_state[group.parent])
        holders = np.arange(values.shape[1])
        if above >= 0:
            holders = np.flatnonzero(values[above] == groups.value_of_state[group.parent])
        dealt = np.full(len(holders), group.size - 1)
        listed = np.repeat(np.arange(group.size - 1), counts[list(group.states)])
        dealt[: len(listed)] = listed
        values[number] = group.size - 1
        values[number, holders] = rng.permutation(dealt)


def states_of_values(groups: Groups, values: Int[np.ndarray, "n_groups n_members"]) -> np.ndarray:
    """``(n_members, n_states)`` whether each copy is in each state, the root always."""
    in_state = np.zeros((values.shape[1], len(groups.model.states)), dtype=bool)
    in_state[:, groups.model.tree.root] = True
    for number, group in enumerate(groups.groups):
        for value, state in enumerate(group.states):
            in_state[:, state] = values[number] == value
    return in_state


def _margins(groups: Groups, tree: CliqueTree, counts: np.ndarray) -> np.ndarray:
    """Count the copies with each value of the first group of each clique."""
    root = counts[groups.model.tree.root]
    found = []
    for clique in tree.cliques:
        of_states = counts[list(groups.groups[clique.scope[0]].states)]
        found.append(np.append(of_states, root - of_states.sum()))
    return np.concatenate(found)


def _nearest(
    groups: Groups,
    tree: CliqueTree,
    n_members: int,
    counts: np.ndarray,
    seconds: float,
    renormalise: bool,
) -> list[str]:
    """Change counts, in place, to the nearest that the rules allow; return what changed."""
    wanted = _margins(groups, tree, groups.target * n_members)
    found = nearest_counts(tree, wanted, n_members, seconds=seconds)
    states = [groups.groups[clique.scope[0]].states for clique in tree.cliques]
    if found is None:
        raise InputError(
            "no copy can keep all rules",
            found=f"rules on {shortened(groups.model.states[s[0]].id for s in states)}",
            fix="validate the hierarchy, and remove rules that contradict each other",
        )
    start = 0
    changed: list[str] = []
    for own in states:
        counts[list(own)] = found[start : start + len(own)]
        start += len(own) + 1
        off = np.abs(counts[list(own)] - groups.target[list(own)] * n_members)
        far = off > max(1.0, EXCESS * n_members) + 1e-9
        changed.extend(groups.model.states[s].id for s, bad in zip(own, far, strict=True) if bad)
    if changed and not renormalise:
        raise InputError(
            "rules and populations cannot both be kept",
            found=f"states {shortened(changed)} would be off by more than {EXCESS:g}",
            fix="correct the rules or the occupancies, or let these be changed (renormalise)",
        )
    return changed
