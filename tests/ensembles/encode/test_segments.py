"""The choice of states along a chain, against all that could be chosen."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moving_chains import moving_chain

from unstill.ensembles.encode.label_sync import synchronise_labels
from unstill.ensembles.encode.nested_clusters import Places, nested_clusters
from unstill.ensembles.encode.segments import (
    ChainResidue,
    SegmentCosts,
    _candidates,
    _misfit,
    choose_partitions,
)


def residues_of(seed: int, n_residues: int = 3) -> tuple[list[ChainResidue], np.ndarray]:
    ensemble = moving_chain(seed, n_residues=n_residues, n_members=5)
    there = np.ones((5, ensemble.n_atoms), dtype=bool)
    found = []
    for number in np.unique(ensemble.atoms.res_id).tolist():
        own = np.flatnonzero(ensemble.atoms.res_id == number)
        backbone, side = own[:5], own[5:]
        found.append(
            ChainResidue(
                Places.of(ensemble.coord, there, backbone),
                Places.of(ensemble.coord, there, side),
                ensemble.coord[:, own[0]],
                ensemble.coord[:, own[2]],
            )
        )
    return found, ensemble.weights


@given(seed=st.integers(0, 1000))
def test_the_chosen_sequence_is_the_cheapest_of_all(seed) -> None:
    residues, weights = residues_of(seed)
    costs = SegmentCosts(0.4, 10.0)
    pools = _candidates(residues, weights, costs)
    chosen = choose_partitions(residues, weights, costs)

    def price(picked: tuple[int, ...]) -> float:
        total = sum(float(pool.atoms[k]) for pool, k in zip(pools, picked, strict=True))
        for at in range(len(picked) - 1):
            misfit = _misfit(
                residues[at], pools[at], residues[at + 1], pools[at + 1], weights, costs
            )
            total += costs.junction * float(misfit[picked[at], picked[at + 1]])
        return total

    best = min(price(one) for one in itertools.product(*(range(len(p.partitions)) for p in pools)))
    mine = tuple(
        next(k for k, labels in enumerate(pool.partitions) if np.array_equal(labels, one))
        for pool, one in zip(pools, chosen, strict=True)
    )
    assert price(mine) == pytest.approx(best, rel=1e-6)


@given(seed=st.integers(0, 1000), eps=st.sampled_from([0.2, 0.5, 1.5]))
def test_means_of_backbone_states_are_within_the_bound(seed, eps) -> None:
    residues, weights = residues_of(seed)
    for residue, labels in zip(
        residues, choose_partitions(residues, weights, SegmentCosts(eps)), strict=True
    ):
        coord = residue.backbone.coord.reshape(len(weights), -1, 3)
        for label in np.unique(labels):
            own = labels == label
            mean = np.average(coord[own], axis=0, weights=weights[own])
            rmsd = np.sqrt(((coord[own] - mean) ** 2).sum(axis=2).mean(axis=1))
            assert rmsd.max() <= eps + 1e-6


def test_largest_allowed_clusters_cover_every_member_once() -> None:
    rng = np.random.default_rng(4)
    points = rng.normal(size=(9, 2))
    squared = ((points[:, None] - points[None]) ** 2).sum(axis=-1)
    tree = nested_clusters(squared[np.triu_indices(9, 1)], 9)
    for allowed in (np.arange(17) < 9, np.ones(17, bool), rng.random(17) < 0.5):
        allowed = allowed.copy()
        allowed[:9] = True
        chosen = tree.largest(allowed)
        assert (tree.held[chosen].sum(axis=0) == 1).all()
        labels = tree.labels(chosen)
        assert len(np.unique(labels)) == chosen.sum()


def agreement(states: list[np.ndarray], labels: list[np.ndarray], weights: np.ndarray) -> float:
    """Population with the same label at neighbouring residues."""
    own = [mine[one] for mine, one in zip(labels, states, strict=True)]
    return sum(float(weights[a == b].sum()) for a, b in itertools.pairwise(own))


@given(seed=st.integers(0, 1000))
def test_labels_agree_along_a_chain(seed) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, 10)
    weights = rng.uniform(0.1, 1, 10)
    weights /= weights.sum()
    states = []
    for _ in range(4):
        mine = np.unique(rng.permutation(3)[truth], return_inverse=True)[1]
        states.append(mine)
    labels = synchronise_labels(states, [range(4)], weights)
    for mine, one in zip(states, labels, strict=True):
        assert len(set(one.tolist())) == int(mine.max()) + 1
    # All residues switch together, so all can agree, and they must.
    assert agreement(states, labels, weights) == pytest.approx(3.0)
