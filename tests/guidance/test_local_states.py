"""States of residues: overlaps, the choice of the fewest, and members made of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from small_crystal import D_MIN, small_crystal
from two_state_density import ELEMENT, MONOCLINIC, B, map_of, two_states

from unstill.diffuse.density import add_noise, density_of
from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.priors.geometry import united_radii
from unstill.guidance.protocols import EnsembleState
from unstill.guidance.start import starting_model
from unstill.guidance.states import local_shares, sparing_members
from unstill.guidance.states.assembly import assemble
from unstill.guidance.states.choice import choose_candidates
from unstill.guidance.states.costs import PairCosts
from unstill.guidance.states.overlaps import candidate_overlaps
from unstill.validation.residue_conformers import residue_numbers


@pytest.mark.parametrize("d_min", [1.5, 2.5])
def test_overlaps_are_the_curvature_of_the_loss(d_min: float) -> None:
    states, weights = two_states()
    group = np.array([0, 0, 1, 1, 2])
    data = DensityObservable(
        map_of(states, weights, d_min), d_min, ELEMENT, sigma=0.3, fit_scale=False, tolerance=1e-4
    )
    rng = np.random.default_rng(1)
    # Near a screw axis, so that mates overlap too.
    places = np.concatenate([states, states[:1] + rng.normal(0, 0.3, states[:1].shape)])
    state = EnsembleState(places, np.full(3, 1 / 3), B)
    overlaps = candidate_overlaps(places, group, ELEMENT, np.ones(5), B, d_min, crystal=MONOCLINIC)
    even = np.full((3, 3), 1 / 3)
    before = data.amount_gradient(even[group].T, state, d_min)
    change = rng.normal(0, 0.2, (3, 3))
    after = data.amount_gradient((even + change)[group].T, state, d_min)
    expected = np.zeros((3, 3))
    np.add.at(expected, group, (after.amount - before.amount).T)
    found = before.overlap_weight * (overlaps @ change.ravel()).reshape(3, 3)
    np.testing.assert_allclose(found, expected, atol=0.03 * np.abs(expected).max())


def _problem(seed: int, n_groups: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(n_groups * n + 4, n_groups * n))
    shares = rng.dirichlet(np.ones(n), n_groups)
    return root.T @ root, rng.normal(0, 6, (n_groups, n)), shares


def _total(h: np.ndarray, g: np.ndarray, old: np.ndarray, new: np.ndarray, price: float) -> float:
    change = (new - old).ravel()
    return float(0.5 * change @ h @ change + g.ravel() @ change + price * (new > 0).sum())


@pytest.mark.parametrize("seed", range(6))
def test_one_group_gets_the_best_of_all_sets(seed: int) -> None:
    h, g, shares = _problem(seed, 1, 5)
    price = 2.0
    found = choose_candidates(scipy.sparse.csr_array(h), g, shares, np.array([price]))
    best = np.inf
    for size in (1, 2, 3):
        for chosen in itertools.combinations(range(5), size):
            own = list(chosen)

            def loss(q: np.ndarray, own: list[int] = own) -> float:
                new = np.zeros(5)
                new[own] = q
                return _total(h, g, shares, new[None], 0.0)

            fit = scipy.optimize.minimize(
                loss,
                np.full(size, 1 / size),
                bounds=[(0, 1)] * size,
                constraints={"type": "eq", "fun": lambda q: q.sum() - 1},
            )
            best = min(best, float(fit.fun) + price * size)
    assert _total(h, g, shares, found, price) == pytest.approx(best, abs=1e-4)
    assert found.sum() == pytest.approx(1)


def test_a_choice_never_costs_more_and_dear_candidates_are_few() -> None:
    h, g, shares = _problem(7, 6, 7)
    sparse = scipy.sparse.csr_array(h)
    counts = []
    for price in (0.0, 3.0, 1e6):
        found = choose_candidates(sparse, g, shares, np.full(6, price))
        np.testing.assert_allclose(found.sum(axis=1), 1)
        assert (found >= 0).all()
        # A second look changes nothing: every group is at its best, the others given.
        there = (h @ (found - shares).ravel()).reshape(g.shape) + g
        np.testing.assert_allclose(
            choose_candidates(sparse, there, found, np.full(6, price)), found, atol=1e-6
        )
        counts.append((found > 0).sum(axis=1))
    assert (counts[0] <= 3).all()
    assert (counts[2] == 1).all()
    assert counts[0].sum() > counts[1].sum() > counts[2].sum()


def test_members_pair_neighbours_as_cheaply_as_any() -> None:
    rng = np.random.default_rng(3)
    shares = np.array([[0.5, 0.5, 0.0], [0.25, 0.5, 0.25], [0.0, 0.26, 0.74]])
    tables = {(0, 1): rng.random((3, 3)), (1, 2): rng.random((3, 3))}
    links = [(0, 1), (1, 2)]

    def cost(first: int, second: int) -> np.ndarray:
        return tables[first, second]

    found = assemble(shares, 4, links, links, cost)
    assert [np.bincount(column, minlength=3).tolist() for column in found.T] == [
        [2, 2, 0],
        [1, 2, 1],
        [0, 1, 3],
    ]

    def paid(state: np.ndarray) -> float:
        return sum(float(cost(a, b)[state[:, a], state[:, b]].sum()) for a, b in links)

    columns = [list(itertools.permutations(column)) for column in found.T[1:]]
    every = min(
        paid(np.stack([found[:, 0], second, third], axis=1))
        for second in columns[0]
        for third in columns[1]
    )
    assert paid(found) == pytest.approx(every)


def test_costs_tell_a_link_from_a_break_and_a_clash() -> None:
    model = starting_model(small_crystal())
    start = model.atoms.coord.astype(float)
    group = residue_numbers(model.atoms)
    away = start + np.where(group[:, None] == 3, [0.0, 0.0, 1.5], 0.0)
    costs = PairCosts(
        np.concatenate([start, away]),
        group,
        model.restraints,
        united_radii(model.element, model.restraints),
    )
    assert (2, 3) in costs.links
    table = costs(2, 3)
    assert table[0, 0] < 5 < table[0, 1]
    assert table.argmin() == 0 or table[1, 1] > 5
    used = np.ones((group.max() + 1, 2), dtype=bool)
    used[4, 1] = False
    near = costs.neighbours(used)
    assert (2, 3) in near
    assert not any(4 in pair for pair in near)


@pytest.mark.parametrize("population", [0.3, 0.7])
def test_only_what_moves_gets_a_second_state_and_the_right_share(population: float) -> None:
    source = small_crystal()
    letters = source.atoms.altloc_id
    occupancy = np.where(letters == "A", population, np.where(letters == "B", 1 - population, 1))
    truth = source.replace(occupancy=occupancy)
    target = add_noise(density_of(truth, D_MIN), D_MIN, 0.05, 0)
    model = starting_model(source)
    data = DensityObservable(
        target,
        D_MIN,
        model.element,
        sigma=0.2 * float(target.values.std()),
        region=model.atoms.coord[0][residue_numbers(model.atoms) < 7],
    )
    start = model.atoms.coord[0].astype(float)
    rng = np.random.default_rng(0)
    members = start + rng.normal(0, 0.25, (6, *start.shape))
    # One member has the other rotamer, nearly.
    other = letters == "B"
    names = source.atoms.atom_name[other].tolist()
    leu = np.flatnonzero(model.atoms.atoms.res_name == "LEU")
    for atom in leu:
        name = model.atoms.atoms.atom_name[atom]
        place = source.coord[0][other][names.index(name)] if name in names else start[atom]
        members[3, atom] = place + rng.normal(0, 0.05, 3)
    state = EnsembleState(members, np.full(6, 1 / 6), model.b_factor)
    made = sparing_members(model, data, state, 8)
    group = residue_numbers(model.atoms)
    moved = np.abs(made - start).max(axis=(0, 2)) > 0
    assert moved[leu].any()
    assert not moved[group != group[leu[0]]].any()
    shares = local_shares(model, data, EnsembleState(made, np.full(8, 1 / 8), model.b_factor))
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    at_start = np.abs(made[:, leu] - start[leu]).max(axis=(1, 2)) == 0
    first_is_a = population if letters[model.rows[leu[-1]]] == "A" else 1 - population
    assert shares[at_start, group[leu[0]]].sum() == pytest.approx(first_is_a, abs=0.07)
