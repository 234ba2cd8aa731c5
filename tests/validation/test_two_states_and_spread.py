"""Two states met by an ensemble, lDDT, and spread: closed forms, plain loops, identities."""

from __future__ import annotations

import biotite.structure
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.validation.lddt import lddt
from unstill.validation.spread import ensemble_spread, pair_rmsd
from unstill.validation.two_states import compare_two_states, nearest_states

seeds = st.integers(0, 9999)


def _chain(seed: int, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Places of a random walk, and residues of four atoms."""
    steps = np.random.default_rng(seed).normal(size=(n, 3))
    steps *= 2.0 / np.linalg.norm(steps, axis=1, keepdims=True)
    return np.cumsum(steps, axis=0), np.arange(n) // 4


def _plain_lddt(coord: np.ndarray, reference: np.ndarray, residue: np.ndarray) -> float:
    kept = total = 0
    for i in range(len(reference)):
        for j in range(i):
            wanted = np.linalg.norm(reference[i] - reference[j])
            if residue[i] == residue[j] or wanted > 15:
                continue
            change = abs(np.linalg.norm(coord[i] - coord[j]) - wanted)
            kept += sum(change <= t for t in (0.5, 1.0, 2.0, 4.0))
            total += 4
    return kept / total


@given(seed=seeds, size=st.floats(0.05, 4.0))
def test_lddt_is_the_plain_sum_over_pairs(seed: int, size: float) -> None:
    reference, residue = _chain(seed)
    coord = reference + np.random.default_rng(seed + 1).normal(0, size, (2, 40, 3))
    found = lddt(coord, reference, residue)
    expected = [_plain_lddt(member, reference, residue) for member in coord]
    np.testing.assert_allclose(found.score, expected, atol=1e-12)


@given(seed=seeds)
def test_lddt_needs_no_superposition(seed: int) -> None:
    reference, residue = _chain(seed)
    rng = np.random.default_rng(seed)
    coord = reference + rng.normal(0, 0.6, (1, 40, 3))
    turn = Rotation.random(rng=rng).as_matrix()
    moved = coord @ turn.T + rng.normal(0, 30, 3)
    np.testing.assert_allclose(
        lddt(moved, reference, residue).score, lddt(coord, reference, residue).score, atol=2e-3
    )
    assert lddt((reference @ turn.T)[None], reference, residue).score[0] == 1.0


def test_lddt_of_atoms_and_of_a_selection() -> None:
    reference, residue = _chain(2)
    coord = reference.copy()
    coord[20:24] += 30.0
    whole = lddt(coord[None], reference, residue)
    moved = lddt(coord[None], reference, residue, selected=residue == 5)
    assert moved.n_pairs < whole.n_pairs
    assert moved.score[0] < 0.05 < whole.score[0]
    assert np.nanmax(whole.atom_score[0, 20:24]) < 0.05
    # Every pair counts for both of its atoms.
    lone = lddt(coord[None, :8], reference[:8], residue[:8])
    assert lone.atom_score.mean() == pytest.approx(lone.score[0])
    far = np.array([[0.0, 0, 0], [5.0, 0, 0], [900.0, 0, 0]])
    assert np.isnan(lddt(far[None], far, np.arange(3)).atom_score[0, 2])


@given(seed=seeds, n_members=st.integers(1, 8))
def test_two_states_are_met_by_the_worse(seed: int, n_members: int) -> None:
    first, _ = _chain(seed)
    rng = np.random.default_rng(seed)
    second = first + rng.normal(0, 1.0, first.shape)
    members = rng.normal(0, 0.5, (n_members, *first.shape)) + np.where(
        rng.random((n_members, 1, 1)) < 0.5, first, second
    )
    found = compare_two_states(members, first, second)
    rmsd = np.sqrt(
        [[np.mean(np.sum((m - s) ** 2, axis=1)) for s in (first, second)] for m in members]
    )
    np.testing.assert_allclose(found.rmsd, rmsd)
    assert found.worse == pytest.approx(max(rmsd[:, 0].min(), rmsd[:, 1].min()))
    assert found.population.sum() == pytest.approx(1.0)
    # More members can only come nearer; one state for all meets the other as far as they differ.
    assert compare_two_states(members[:1], first, second).worse >= found.worse - 1e-9
    assert compare_two_states(first[None], first, second).worse == pytest.approx(found.between)
    # By the triangle, one member misses the worse state by half of what is between.
    assert compare_two_states(members[:1], first, second).worse >= found.between / 2 - 1e-9


def test_populations_follow_weights_and_selection() -> None:
    first, residue = _chain(7)
    second = first.copy()
    second[8:12] += [3.0, 0.0, 0.0]
    members = np.stack([first, second, second])
    selected = residue == 2
    found = compare_two_states(
        members, first, second, selected=selected, weights=np.array([1.0, 2.0, 5.0])
    )
    np.testing.assert_allclose(found.population, [1 / 8, 7 / 8])
    assert found.between == pytest.approx(3.0)
    assert found.worse == 0.0
    turn = Rotation.from_euler("xyz", [20, 50, 70], degrees=True).as_matrix()
    state, score = nearest_states(
        members @ turn.T, np.stack([first, second]), residue, selected=selected
    )
    assert state.tolist() == found.nearest.tolist()
    assert score[0, 0] == 1.0 > score[0, 1]


def _ensemble(coord: np.ndarray, weights: np.ndarray | None = None) -> Ensemble:
    atoms = biotite.structure.AtomArray(coord.shape[1])
    equal = np.full(len(coord), 1 / len(coord))
    return Ensemble(atoms, coord, weights=equal if weights is None else weights)


@given(seed=seeds, n_members=st.integers(2, 9))
def test_pairs_and_deviations_tell_the_same_spread(seed: int, n_members: int) -> None:
    rng = np.random.default_rng(seed)
    coord, weights = rng.normal(size=(n_members, 6, 3)), rng.uniform(0.01, 1, n_members)
    weights /= weights.sum()
    found = ensemble_spread(_ensemble(coord, weights))
    # Σ w_m w_n |x_m − x_n|² = 2 Σ w |x − x̄|².
    square = weights @ pair_rmsd(coord) ** 2 @ weights
    assert square == pytest.approx(2 * np.mean(found.rmsf**2))
    # Splitting a member into two halves leaves the spread, but not Kish's number, as it is.
    assert 1 <= found.n_effective <= found.n_by_entropy + 1e-9 <= n_members + 1e-6
    split = _ensemble(
        np.concatenate([coord, coord[:1]]), np.append(weights, weights[0] / 2) - _half(weights)
    )
    np.testing.assert_allclose(ensemble_spread(split).rmsf, found.rmsf)
    assert ensemble_spread(split).n_effective > found.n_effective
    assert ensemble_spread(split).nearest_pair_rmsd == 0.0


def _half(weights: np.ndarray) -> np.ndarray:
    half = np.zeros(len(weights) + 1)
    half[0] = weights[0] / 2
    return half


def test_spread_of_two_members_is_known() -> None:
    coord = np.zeros((2, 3, 3))
    coord[1, 0, 0] = 2.0
    found = ensemble_spread(_ensemble(coord))
    np.testing.assert_allclose(found.rmsf, [1.0, 0.0, 0.0])
    assert found.mean_pair_rmsd == pytest.approx(2 / np.sqrt(3))
    assert (found.n_effective, found.n_by_entropy) == (pytest.approx(2), pytest.approx(2))
    one = ensemble_spread(_ensemble(coord, np.array([1.0, 0.0])), np.array([True, False, False]))
    assert one.rmsf.tolist() == [0.0]
    assert np.isnan(one.mean_pair_rmsd)
    assert one.n_effective == 1.0


def test_refuses_what_does_not_fit() -> None:
    first, residue = _chain(1)
    with pytest.raises(InputError, match="do not fit together"):
        lddt(first[None, :-1], first, residue)
    with pytest.raises(InputError, match="within the cutoff"):
        lddt(first[None], first, np.zeros(40, dtype=int))
    with pytest.raises(InputError, match="or are empty"):
        compare_two_states(first[None], first, first, selected=np.zeros(40, dtype=bool))
    with pytest.raises(InputError, match="weights must be"):
        compare_two_states(first[None], first, first, weights=np.array([-1.0]))
    with pytest.raises(InputError, match="assigned to states"):
        nearest_states(first[None], np.zeros((0, 40, 3)), residue)
    with pytest.raises(InputError, match="selection holds no atom"):
        ensemble_spread(_ensemble(first[None]), np.zeros(40, dtype=bool))
