"""A multiconformer model as whole copies with the populations that it states."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from unstill.ensembles.decode.best import most_probable
from unstill.ensembles.decode.copies import (
    fill_at_random,
    least_conflicts,
    states_of_values,
)
from unstill.ensembles.decode.costs import (
    Conflicts,
    count_meetings,
    find_conflicts,
    frechet_floor,
)
from unstill.ensembles.decode.counts import whole_counts
from unstill.ensembles.decode.factors import (
    Factor,
    Pair,
    TiedGroups,
    can_meet,
    components,
    hard_factors,
    pair_factors,
)
from unstill.ensembles.decode.groups import Groups, state_groups
from unstill.ensembles.decode.maxent import maximum_entropy
from unstill.ensembles.decode.report import DecodeReport
from unstill.ensembles.ensemble import Ensemble
from unstill.ensembles.multiconformer import Members, Multiconformer, recorded_members
from unstill.errors import InputError

DecodeMode = Literal["marginal", "maxent", "best"]

_LIMIT = 100_000


@dataclass(frozen=True, eq=False)
class Decoded:
    """An ensemble made of a multiconformer model.

    Parameters
    ----------
    ensemble
        Over all sites of the model; an atom that a member does not have has
        occupancy 0 there, and the coordinates of its first row.
    members
        The states of each member, and its weight. States are those of ``model``.
    model
        What was decoded: the given model, its hierarchy inferred where nobody stated
        one, with partial rows in states of their own (after the others).
    report
        Numbers.
    """

    ensemble: Ensemble
    members: Members
    model: Multiconformer
    report: DecodeReport


@dataclass(frozen=True, eq=False)
class _Outcome:
    """States of all members, and what is known of them."""

    in_state: np.ndarray
    weights: np.ndarray
    gap: float = 0.0
    adjusted: tuple[str, ...] = ()
    entropy: float | None = None
    probability: float | None = None
    notes: tuple[str, ...] = ()


def decode(
    model: Multiconformer,
    *,
    n_members: int = 20,
    mode: DecodeMode = "marginal",
    seed: int = 0,
    overlap: float = 0.6,
    symmetry: bool = True,
    keep_bonds: bool = True,
    renormalise: bool = False,
    seconds: float = 120.0,
    progress: Callable[[int, int], None] | None = None,
) -> Decoded:
    """Make an ensemble of whole copies whose populations are those of a model.

    Every copy has at most one of the states that exclude each other, keeps the
    tree and the rules, and lacks what is partial in the right share of copies. Conflicts
    (chain bonds that would break, then clashes) are as few as any copies with these counts
    can have, proven by integer programming.

    Parameters
    ----------
    model
        Occupancies are populations. Members that it records are not used beyond
        their populations; ``recorded_members`` restores them.
    n_members
        Copies to make.
    mode
        ``marginal``: copies of equal weight, populations to 1/(2 M) where there are two
        alternatives (below 1/M always), conflicts the fewest. Right for an
        ensemble to compute from, and the default. ``maxent``: weighted copies of the
        distribution of largest entropy, populations to 1e-6, expected conflicts the
        fewest; more members than asked for where weights must be split. Right where weights
        may be used and nothing must be assumed. ``best``: the most probable conflict-free
        macrostates with weights in proportion to their probability. Right to see
        dominant structures; populations are *not* kept, since the best few hardly differ.
    seed
        The same seed gives the same members.
    overlap
        Overlap (Å) of van der Waals spheres above which atoms clash.
    symmetry
        Count clashes expected with symmetry mates. Mates are other copies, whose
        states are independent: no choice of members changes their number, so they are
        reported and not removed.
    keep_bonds
        Pair neighbours so that chain bonds hold, before clashes are avoided; otherwise only
        clashes count.
    renormalise
        Scale down occupancies whose sum exceeds the parent's by more than 0.02, and let
        rules override occupancies, instead of refusing.
    seconds
        Time for integer programmes; beyond it the best so far is kept, with its gap.
    progress
        Called with the numbers of groups that are done, and of all that are tied to others
        (``marginal`` only).

    Returns
    -------
    Decoded
        Ensemble, members and report.

    Raises
    ------
    InputError
        If occupancies are negative or exceed what the tree allows, rules contradict each
        other or the occupancies, or an argument is out of range.
    """
    started = time.monotonic()
    _check(n_members, mode, seconds)
    if not model.stated:
        from unstill.ensembles.hierarchy import infer_hierarchy

        model = infer_hierarchy(model)
    groups = state_groups(model, renormalise=renormalise)
    symmetric = symmetry and model.crystal is not None
    conflicts = find_conflicts(groups.model, overlap=overlap, symmetry=symmetric)
    if not keep_bonds:
        conflicts = replace(conflicts, junctions={})
    hard = hard_factors(groups)
    soft = pair_factors(groups, conflicts.costs(groups, n_members if mode == "marginal" else 1))
    parts = components(groups, soft, hard)
    rng = np.random.default_rng(seed)
    if mode == "marginal":
        copies = least_conflicts(
            groups,
            parts,
            n_members,
            rng,
            seconds=seconds,
            renormalise=renormalise,
            progress=progress,
        )
        in_state = states_of_values(groups, copies.values)
        weights = np.full(n_members, 1 / n_members)
        outcome = _Outcome(in_state, weights, copies.gap, copies.adjusted, notes=copies.notes)
    elif mode == "maxent":
        outcome = _most_random(groups, soft, hard, n_members, rng)
    else:
        outcome = _most_probable(groups, conflicts, hard, n_members)
    members = Members(outcome.weights, outcome.in_state)
    report = _report(model, groups, conflicts, parts, outcome, mode, seed, symmetric, started)
    decoded = groups.model.replace(members=None)
    return Decoded(_ensemble(decoded, members, report, seed), members, decoded, report)


def _most_random(
    groups: Groups,
    soft: list[Factor],
    hard: list[Factor],
    n_members: int,
    rng: np.random.Generator,
) -> _Outcome:
    found = maximum_entropy(groups, soft, hard, n_members, rng)
    notes: tuple[str, ...] = ()
    if len(found.weights) > n_members:
        notes = (f"{len(found.weights)} members instead of {n_members} keep populations exact",)
    in_state = states_of_values(groups, found.values)
    return _Outcome(in_state, found.weights, entropy=found.entropy, notes=notes)


def _most_probable(
    groups: Groups, conflicts: Conflicts, hard: list[Factor], n_members: int
) -> _Outcome:
    soft = pair_factors(groups, conflicts.numbers(groups))
    found = most_probable(groups, soft, hard, n_members)
    weights = np.exp(found.cost[0] - found.cost)
    notes: tuple[str, ...] = ("the most probable macrostates do not keep the populations",)
    if len(weights) < n_members:
        notes = (*notes, f"there are {len(weights)} allowed macrostates")
    in_state = states_of_values(groups, found.values)
    return _Outcome(
        in_state,
        weights / weights.sum(),
        probability=float(np.exp(-found.cost).sum()),
        notes=notes,
    )


def _ensemble(
    model: Multiconformer, members: Members, report: DecodeReport, seed: int
) -> Ensemble:
    """Rows are there whenever their state is: no occupancy is left inside a member."""
    whole = model.replace(
        members=members,
        occupancy=members.populations[model.state],
        provenance={**model.provenance, "decoded": {"seed": seed, **report.as_dict()}},
    )
    return recorded_members(whole)


def _report(
    model: Multiconformer,
    groups: Groups,
    conflicts: Conflicts,
    parts: list[TiedGroups],
    outcome: _Outcome,
    mode: str,
    seed: int,
    symmetric: bool,
    started: float,
) -> DecodeReport:
    populations = outcome.weights @ outcome.in_state
    n = len(outcome.weights)
    free = {pair: k for pair, k in conflicts.clashes.items() if can_meet(groups, *pair)}
    fixed = {pair: k for pair, k in conflicts.clashes.items() if groups.model.tree.related(*pair)}
    random = _dealt_at_random(groups, n, seed)

    def met(pairs: Mapping[Pair, int], in_state: np.ndarray, weights: np.ndarray) -> float:
        return round(float(weights @ count_meetings(pairs, in_state)) * len(weights), 6)

    equal = np.full(len(random), 1 / len(random))
    junctions = {pair: k for pair, k in conflicts.junctions.items() if can_meet(groups, *pair)}
    clashes = met(free, outcome.in_state, outcome.weights)
    floor = frechet_floor(groups, free, populations * n)
    error = np.abs(populations[groups.model.state] - model.occupancy)
    worst = int(error.argmax()) if len(error) else -1
    state_error = np.abs(populations - groups.target)
    return DecodeReport(
        mode=mode,
        n_members=n,
        groups=len(groups.groups),
        partial_groups=sum(group.absent > 0 for group in groups.groups),
        combinations_log10=_combinations(groups),
        components=len(parts),
        largest_component=max((len(part.scope) for part in parts), default=0),
        max_marginal_error=float(error[worst]) if worst >= 0 else 0.0,
        worst_row=model.row_label(worst) if worst >= 0 else "",
        max_state_error=float(state_error.max()),
        excess=groups.excess,
        adjusted=outcome.adjusted,
        clashing_pairs=sum(free.values()),
        clashes_random=met(free, random, equal),
        clashes=clashes,
        clashes_floor=round(floor, 6),
        clashes_bound=max(round(floor, 6), clashes - math.floor(outcome.gap + 0.5)),
        proven=outcome.gap < 1e-6,
        fixed_clashes=met(fixed, outcome.in_state, outcome.weights),
        junctions=met(junctions, outcome.in_state, outcome.weights),
        junctions_random=met(junctions, random, equal),
        symmetry_clashes=_expected(conflicts.mates, groups.target) if symmetric else None,
        self_clashing=tuple(
            groups.model.states[a].id
            for a, b in sorted(conflicts.mates)
            if a == b != groups.model.tree.root
        ),
        entropy=outcome.entropy,
        probability=outcome.probability,
        seconds=time.monotonic() - started,
        notes=outcome.notes,
    )


def _dealt_at_random(groups: Groups, n_members: int, seed: int) -> np.ndarray:
    """States of copies that keep tree and counts, and nothing else."""
    rng = np.random.default_rng([seed, 1])
    values = np.full((len(groups.groups), n_members), -1)
    fill_at_random(groups, whole_counts(groups, n_members, rng), values, rng)
    return states_of_values(groups, values)


def _expected(mates: Mapping[Pair, int], share: np.ndarray) -> float:
    """Clashes with independent mates in one copy, where one of the two is not in every copy."""
    return float(
        sum(k * share[a] * share[b] for (a, b), k in mates.items() if min(share[a], share[b]) < 1)
    )


def _combinations(groups: Groups) -> float:
    """Decimal logarithm of the number of macrostates that the tree allows."""
    found = np.zeros(len(groups.model.states))
    for state in groups.model.tree.downward[::-1].tolist():
        for number in groups.below[state]:
            group = groups.groups[number]
            options = [found[s] for s in group.states if groups.target[s] > 0]
            options += [0.0] * (group.absent > 0)
            if options:
                top = max(options)
                found[state] += top + math.log10(sum(10 ** (o - top) for o in options))
    return float(found[groups.model.tree.root])


def _check(n_members: int, mode: str, seconds: float) -> None:
    if not 1 <= n_members <= _LIMIT:
        raise InputError(
            "the number of members is out of range",
            found=n_members,
            fix=f"ask for 1 to {_LIMIT} members",
        )
    if mode not in ("marginal", "maxent", "best"):
        raise InputError(
            "the model can be decoded in no such mode",
            found=repr(mode),
            fix="use marginal, maxent or best",
        )
    if not seconds > 0:
        raise InputError("the time allowed is not positive", found=seconds, fix="allow some")
