"""Clashes that populations force: by linear programming, and in deposited models."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows_in_space import Row, placed, scattered
from scipy.optimize import linprog
from scipy.spatial import cKDTree

from unstill.ensembles.contacts import Clashes, are_alternatives, find_clashes, unavoidable
from unstill.ensembles.multiconformer import Multiconformer
from unstill.io import read_multiconformer


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_the_population_is_the_least_that_any_joint_distribution_has(a: float, b: float) -> None:
    """Joint populations of (in a, in b): both, a only, b only, none."""
    rows: list[Row] = [
        ("A", 1, "SER", "OG", "O", "A", a, (0.0, 0.0, 0.0)),
        ("A", 9, "HOH", "O", "O", "B", b, (2.2, 0.0, 0.0)),
    ]
    model = placed(rows)
    least = linprog(
        [1, 0, 0, 0], A_eq=[[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]], b_eq=[a, b, 1]
    ).fun
    found = unavoidable(model, find_clashes(model), excess=0.0, everywhere=True)
    assert sum(clash.population for clash in found) == pytest.approx(least, abs=2e-6)


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.01, 0.1]))
def test_every_forced_pair_is_counted_once_for_two_parts(seed: int, excess: float) -> None:
    model = scattered(seed, 60, 8.0)
    clashes = find_clashes(model)
    expected: dict[frozenset[tuple[int, int]], list[float]] = {}
    for a, b in zip(clashes.row_a.tolist(), clashes.row_b.tolist(), strict=True):
        share = model.occupancy[a] + model.occupancy[b] - 1
        if share > excess + 1e-6 and model.altloc_id[a] and model.altloc_id[b]:
            ends = frozenset(
                (int(model.residue[model.site[r]]), int(model.state[r])) for r in (a, b)
            )
            expected.setdefault(ends, []).append(share)
    found = unavoidable(model, clashes, excess=excess)
    assert len(found) == len(expected)
    assert sum(clash.n for clash in found) == sum(map(len, expected.values()))
    populations = [clash.population for clash in found]
    assert populations == sorted(populations, reverse=True)
    assert sorted(populations) == pytest.approx(sorted(map(max, expected.values())))


def test_what_is_missing_of_a_partial_group_is_empty() -> None:
    """0.5 + 0.3 forces nothing, though 0.3 is all that there is of the water."""
    rows: list[Row] = [
        ("A", 1, "SER", "OG", "O", "A", 0.5, (0.0, 0.0, 0.0)),
        ("A", 1, "SER", "OG", "O", "B", 0.5, (0.0, 9.0, 0.0)),
        ("A", 9, "HOH", "O", "O", "C", 0.3, (2.2, 0.0, 0.0)),
    ]
    model = placed(rows)
    assert len(find_clashes(model)) == 1
    assert unavoidable(model, find_clashes(model)) == []
    assert len(unavoidable_of_completed_groups(model)) == 1


def test_clashes_with_what_has_no_choice_are_given_on_request() -> None:
    rows: list[Row] = [
        ("A", 1, "SER", "OG", "O", "A", 0.5, (0.0, 0.0, 0.0)),
        ("A", 9, "HOH", "O", "O", "", 1.0, (2.2, 0.0, 0.0)),
    ]
    model = placed(rows)
    clashes = find_clashes(model)
    assert are_alternatives(model).tolist() == [True, False]
    assert unavoidable(model, clashes) == []
    (clash,) = unavoidable(model, clashes, everywhere=True)
    assert clash.population == pytest.approx(0.5)


# Counted by hand and by another program: atoms two by two, distance and forced share.
DEPOSITED = {
    "altloc/6b8x.pdb": (11, [("A/ARG 221/NH2 A", "A/HOH 548/O B", 1.97, 0.47)]),
    "altloc/6ni6.pdb": (
        17,
        [
            ("A/GLN 178/NE2 A", "B/HOH 448/O B", 2.10, 0.45),
            ("A/GLU 138/OE1 A", "A/HOH 380/O B", 2.14, 0.43),
        ],
    ),
    "altloc/1vme.cif": (0, []),
    "altloc/1vme_0.5A_0.5B.cif": (0, []),
    "altloc/qfit_segment.pdb": (0, []),
    "bragg/1g8a_qfit.pdb": (0, []),
}


@pytest.mark.parametrize("name", DEPOSITED)
def test_unavoidable_clashes_of_deposited_models(unstill_data: Path, name: str) -> None:
    model = read_multiconformer(unstill_data / name)
    n, named = DEPOSITED[name]
    found = unavoidable(model, find_clashes(model))
    assert len(found) == n
    listed = {
        (_label(model, c.row_a), _label(model, c.row_b)): (c.distance, c.population) for c in found
    }
    for a, b, distance, population in named:
        assert listed[a, b] == pytest.approx((distance, population), abs=0.005)


# Pairs of alternatives (label and run of residues bonded under one label) of different runs.
CLASHING = {
    "bragg/1g8a_qfit.pdb": 1,
    "altloc/1vme.cif": 2,
    "altloc/6b8x.pdb": 19,
    "altloc/6ni6.pdb": 26,
}


@pytest.mark.parametrize("name", CLASHING)
def test_clashing_alternatives_of_deposited_models(unstill_data: Path, name: str) -> None:
    model = read_multiconformer(unstill_data / name)
    clashes = find_clashes(model)
    labelled = model.altloc_id != ""
    clashes = clashes.take(labelled[clashes.row_a] & labelled[clashes.row_b])
    run = runs_of_residues(model)
    ends = [
        [(int(run[model.site[row]]), str(model.altloc_id[row])) for row in rows.tolist()]
        for rows in (clashes.row_a, clashes.row_b)
    ]
    pairs = {frozenset(pair) for pair in zip(*ends, strict=True) if pair[0][0] != pair[1][0]}
    assert len(pairs) == CLASHING[name]


@pytest.mark.parametrize(("name", "too_many"), [("altloc/1vme.cif", 0), ("altloc/6b8x.pdb", 11)])
def test_completed_groups_and_kept_bonds_would_claim_more(
    unstill_data: Path, name: str, too_many: int
) -> None:
    """The trap: partial groups made to sum to one, and contacts of bonds taken for clashes."""
    model = read_multiconformer(unstill_data / name)
    assert len(unavoidable_of_completed_groups(model)) > too_many
    assert len(unavoidable(model, find_clashes(model))) == too_many


def unavoidable_of_completed_groups(model: Multiconformer) -> list[object]:
    """Do what must not be done: renormalise, and let everything near be a clash."""
    residue = model.residue[model.site]
    total = np.ones(model.n_rows)
    for number in np.unique(residue[model.altloc_id != ""]).tolist():
        rows = np.flatnonzero((residue == number) & (model.altloc_id != ""))
        by_label = {str(model.altloc_id[row]): model.occupancy[row] for row in rows}
        total[rows] = sum(by_label.values())
    completed = model.replace(occupancy=np.minimum(model.occupancy / total, 1.0))
    a, b = cKDTree(model.coord).query_pairs(2.4, output_type="ndarray").T
    apart = np.linalg.norm(model.coord[a] - model.coord[b], axis=1)
    keep = (residue[a] != residue[b]) & (model.state[a] != model.state[b])
    none = np.full(int(keep.sum()), "", dtype="U1")
    every = Clashes(a[keep], b[keep], 3.04 - apart[keep], apart[keep], none)
    return list(unavoidable(completed, every, everywhere=True))


def runs_of_residues(model: Multiconformer) -> np.ndarray:
    """Number of the run of each site: residues whose C and next N have a label in common."""
    sites = model.sites
    of_junction: dict[tuple[str, int, str], set[str]] = {}
    for row in np.flatnonzero(model.altloc_id != "").tolist():
        site = sites[model.site[row]]
        if site.atom_name in ("C", "N"):
            key = (site.chain_id, int(site.res_id), site.atom_name)
            of_junction.setdefault(key, set()).add(str(model.altloc_id[row]))
    first = np.unique(model.residue, return_index=True)[1]
    run = np.arange(len(first))
    order = np.lexsort((sites.res_id[first], sites.chain_id[first]))
    for before, after in itertools.pairwise(order):
        one, other = sites[first[before]], sites[first[after]]
        if one.chain_id == other.chain_id and other.res_id - one.res_id == 1:
            c = of_junction.get((one.chain_id, int(one.res_id), "C"), set())
            n = of_junction.get((one.chain_id, int(other.res_id), "N"), set())
            if c & n:
                run[after] = run[before]
    return run[model.residue]


def _label(model: Multiconformer, row: int) -> str:
    return model.row_label(row).rsplit(" (", 1)[0]
