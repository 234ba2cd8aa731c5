"""Maximum entropy and the most probable copies, against sums over all macrostates."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.optimize
from hypothesis import assume, given
from waters import clashes_in, macrostates_of, model_of, small_models

from unstill.ensembles.decode import decode
from unstill.ensembles.multiconformer import Multiconformer
from unstill.errors import InputError


def independent_probability(model: Multiconformer, in_state: np.ndarray) -> float:
    """Product of conditional shares: sets of alternatives by the number in their ids."""
    share = dict(zip(model.tree.index, model.tree.occupancy.tolist(), strict=True))
    held = {state.id for state, there in zip(model.states, in_state, strict=True) if there}
    sets: dict[tuple[str, str], list[str]] = {}
    for state in model.states[1:]:
        number = state.id[1] if state.parent == "Base" else state.id
        sets.setdefault((state.parent, number), []).append(state.id)
    probability = 1.0
    for (parent, _), ids in sets.items():
        if parent in held:
            chosen = [share[one] for one in ids if one in held]
            rest = share[parent] - sum(share[one] for one in ids)
            probability *= (chosen[0] if chosen else rest) / share[parent]
    return probability


@given(drawn=small_models(4))
def test_the_most_probable_copies_are_first_in_the_sorted_list_of_all(drawn) -> None:
    model = model_of(*drawn)
    able = [one for one in macrostates_of(model) if independent_probability(model, one) > 1e-9]
    assume(able)
    clashes = [clashes_in(model, one) for one in able]
    expected = sorted(
        (
            independent_probability(model, one)
            for one, number in zip(able, clashes, strict=True)
            if number == min(clashes)
        ),
        reverse=True,
    )[:4]
    decoded = decode(model, n_members=4, mode="best")
    np.testing.assert_allclose(
        decoded.members.weights, np.array(expected) / sum(expected), atol=1e-9
    )
    assert decoded.report.probability == pytest.approx(sum(expected))
    assert decoded.report.clashes == pytest.approx(min(clashes) * len(expected))
    assert len(np.unique(decoded.members.in_state, axis=0)) == len(expected)


def least_clashes(held: np.ndarray, clashes: np.ndarray, wanted: np.ndarray):
    """Programme over all macrostates: shares that give the populations, fewest clashes."""
    equations = np.concatenate([held.T, np.ones((1, len(held)))])
    return scipy.optimize.linprog(clashes, A_eq=equations, b_eq=np.append(wanted, 1.0))


def largest_entropy(held: np.ndarray, clashes: np.ndarray, wanted: np.ndarray) -> float | None:
    """Entropy (nats) of the most random shares among those with the fewest clashes."""
    least = least_clashes(held, clashes, wanted)
    if least.x is None:
        return None
    equations = np.concatenate([held.T, np.ones((1, len(held))), clashes[None]])
    right = np.append(wanted, [1.0, least.fun])
    # What no such distribution has is left out, so that the maximum is inside.
    most = [
        scipy.optimize.linprog(-unit, A_eq=equations, b_eq=right).x @ unit
        for unit in np.eye(len(held))
    ]
    kept = held[np.array(most) > 1e-7].astype(float)

    def dual(fields: np.ndarray) -> tuple[float, np.ndarray]:
        logs = kept @ fields
        total = float(np.logaddexp.reduce(logs))
        return total - float(fields @ wanted), kept.T @ np.exp(logs - total) - wanted

    found = scipy.optimize.minimize(dual, np.zeros(len(wanted)), jac=True, method="BFGS")
    return float(found.fun)


@given(drawn=small_models(4))
def test_maximum_entropy_agrees_with_sums_over_all_macrostates(drawn) -> None:
    model = model_of(*drawn)
    held = np.array(macrostates_of(model))
    assume(len(held))
    clashes = np.array([clashes_in(model, one) for one in held], dtype=float)
    wanted = model.tree.occupancy
    entropy = largest_entropy(held, clashes, wanted)
    if entropy is None:
        with pytest.raises(InputError):
            decode(model, n_members=6, mode="maxent")
        return
    decoded = decode(model, n_members=6, mode="maxent")
    np.testing.assert_allclose(decoded.members.populations[: len(model.states)], wanted, atol=1e-6)
    assert decoded.report.entropy == pytest.approx(entropy, abs=1e-4)
    expected = decoded.report.clashes / decoded.report.n_members
    assert expected == pytest.approx(least_clashes(held, clashes, wanted).fun, abs=1e-5)
    # Weighted copies are allowed ones.
    allowed = {tuple(one.tolist()) for one in held}
    for copy in decoded.members.in_state[:, : len(model.states)]:
        assert tuple(copy.tolist()) in allowed
    assert math.isclose(decoded.members.weights.sum(), 1.0)
