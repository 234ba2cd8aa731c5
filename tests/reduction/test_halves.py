"""Representatives and halves: gemmi says the same, and nothing depends on the order."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_rows import TETRAGONAL, draw

from unstill.crystal import Crystal
from unstill.crystal.symmetry import index_operations, map_to_asu
from unstill.errors import InputError
from unstill.reduction.merging.halves import friedel_half, random_half
from unstill.reduction.merging.representatives import (
    CENTRIC,
    merging_operations,
    packed,
    representatives,
    unpacked,
)

HEXAGONAL = (30.0, 30.0, 44.0, 90.0, 90.0, 120.0)
TETRA = (30.0, 30.0, 44.0, 90.0, 90.0, 90.0)
CUBIC = (30.0, 30.0, 30.0, 90.0, 90.0, 90.0)
RIGHT = (30.0, 35.0, 44.0, 90.0, 90.0, 90.0)
LAUE = {
    "-1": Crystal((30.0, 35.0, 44.0, 80.0, 95.0, 105.0), "P 1"),
    "2/m": Crystal((30.0, 35.0, 44.0, 90.0, 101.0, 90.0), "P 1 21 1"),
    "mmm": Crystal(RIGHT, "P 21 21 21"),
    "4/m": Crystal(TETRA, "P 41"),
    "4/mmm": Crystal(TETRA, "P 41 21 2"),
    "-3": Crystal(HEXAGONAL, "P 31"),
    "-3m": Crystal(HEXAGONAL, "P 31 2 1"),
    "6/m": Crystal(HEXAGONAL, "P 61"),
    "6/mmm": Crystal(HEXAGONAL, "P 61 2 2"),
    "m-3": Crystal(CUBIC, "P 21 3"),
    "m-3m": Crystal(CUBIC, "P 43 3 2"),
}
SETTINGS = {
    "unique axis c": Crystal((30.0, 35.0, 44.0, 90.0, 90.0, 101.0), "P 1 1 21"),
    "unique axis a": Crystal((30.0, 35.0, 44.0, 101.0, 90.0, 90.0), "P 21 1 1"),
    "I 2": Crystal((30.0, 35.0, 44.0, 90.0, 101.0, 90.0), "I 1 2 1"),
    "A 2": Crystal((30.0, 35.0, 44.0, 90.0, 101.0, 90.0), "A 1 2 1"),
    "2 21 21": Crystal(RIGHT, "P 2 21 21"),
    "3 1 2": Crystal(HEXAGONAL, "P 31 1 2"),
    "R 3:H": Crystal(HEXAGONAL, "R 3 :H"),
    "R 3:R": Crystal((30.0, 30.0, 30.0, 75.0, 75.0, 75.0), "R 3 :R"),
    "R 32:R": Crystal((30.0, 30.0, 30.0, 75.0, 75.0, 75.0), "R 3 2 :R"),
    "F 4 3 2": Crystal(CUBIC, "F 4 3 2"),
}
EVERY = LAUE | SETTINGS


def test_the_eleven_laue_classes_are_there():
    assert {crystal.laue_group for crystal in LAUE.values()} == set(LAUE)


@pytest.mark.parametrize("name", EVERY)
def test_mates_and_friedel_halves_are_those_of_gemmi(name):
    crystal = EVERY[name]
    index = np.indices((9, 9, 9)).reshape(3, -1).T.astype(np.int32) - 4
    representative, kind = representatives(index_operations(crystal, (3, 3, 3)), index)
    assert np.array_equal(representative, map_to_asu(crystal, index, (3, 3, 3)))

    operations = crystal.group.operations()
    asu = gemmi.ReciprocalAsu(crystal.group)
    theirs = [asu.to_asu(row.tolist(), operations) for row in index]
    centric = np.array([operations.is_reflection_centric(row.tolist()) for row in index])
    centric |= np.all(index == 0, axis=1)  # gemmi does not ask about the origin
    assert np.array_equal(kind == CENTRIC, centric)
    # Two rows of one orbit lie in one half if both or neither need Friedel's law to meet.
    _, ours = np.unique(representative, axis=0, return_inverse=True)
    _, gemmis = np.unique([hkl for hkl, _ in theirs], axis=0, return_inverse=True)
    pairs = np.unique(np.stack([ours.ravel(), gemmis.ravel()]), axis=1)
    assert pairs.shape[1] == ours.max() + 1 == gemmis.max() + 1
    half = friedel_half(crystal, index, (3, 3, 3))
    differs = half[~centric] ^ np.array([isym % 2 == 0 for _, isym in theirs])[~centric]
    for orbit in np.unique(ours.ravel()[~centric]):
        assert len(set(differs[ours.ravel()[~centric] == orbit])) == 1


@pytest.mark.parametrize("name", LAUE)
def test_inversion_exchanges_the_friedel_halves(name):
    crystal = LAUE[name]
    index = np.random.default_rng(1).integers(-9, 10, (400, 3))
    _, kind = representatives(index_operations(crystal, (2, 2, 2)), index)
    _, opposite = representatives(index_operations(crystal, (2, 2, 2)), -index)
    assert np.array_equal(opposite[kind != CENTRIC], 1 - kind[kind != CENTRIC])
    assert np.array_equal(opposite == CENTRIC, kind == CENTRIC)


def test_p1_merges_friedel_mates_and_not_mirror_images():
    both = merging_operations(TETRAGONAL, (2, 2, 2), symmetry=False)
    index = np.array([[1, 2, -3], [-1, -2, 3], [1, 2, 3], [0, 0, 0]])
    representative, kind = representatives(both, index)
    assert representative.tolist() == [[1, 2, -3], [1, 2, -3], [1, 2, 3], [0, 0, 0]]
    assert kind.tolist() == [0, 1, 0, CENTRIC]
    apart = merging_operations(TETRAGONAL, (2, 2, 2), symmetry=False, friedel=False)
    assert representatives(apart, index)[0].tolist() == index.tolist()


def test_friedel_mates_are_kept_apart_under_the_rotations():
    apart = merging_operations(TETRAGONAL, (2, 2, 2), friedel=False)
    assert len(apart) == 4
    a, b, c = representatives(apart, np.array([[1, 2, 3], [-2, 1, 3], [-1, -2, -3]]))[0].tolist()
    assert a == b != c


def test_centric_rows_are_split_as_told():
    index = np.array([[1, 2, 0], [1, 2, 0], [1, 2, 3]])
    assert friedel_half(TETRAGONAL, index, centric=np.array([1, 0, 1])).tolist() == [
        1,
        0,
        friedel_half(TETRAGONAL, index)[2],
    ]


def test_divisions_that_the_group_does_not_allow_are_refused():
    with pytest.raises(InputError, match="divided differently"):
        friedel_half(TETRAGONAL, np.array([[1, 2, 3]]), (2, 3, 2))


@given(st.permutations(range(40)), st.integers(0, 2**40))
def test_a_random_half_depends_on_the_row_alone(order, seed):
    rows = draw(d_min=5.0).observations.take(slice(0, 40))
    half = random_half(rows, seed)
    assert np.array_equal(random_half(rows.take(np.array(order)), seed), half[order])
    changed = rows.replace(counts=rows.counts + 1, phi=rows.phi + 3)
    assert np.array_equal(random_half(changed, seed), half)


def test_random_halves_are_even_and_differ_by_seed():
    rows = draw(d_min=2.0).observations
    halves = [random_half(rows, seed).astype(float) for seed in (0, 1)]
    for half in halves:
        assert abs(half.mean() - 0.5) < 3 * 0.5 / np.sqrt(len(rows))
    assert abs(np.corrcoef(*halves)[0, 1]) < 3 / np.sqrt(len(rows))
    blocks = rows.block == 0
    assert abs(halves[0][blocks].mean() - halves[0][~blocks].mean()) < 0.02


@given(st.lists(st.tuples(*[st.integers(-(2**20) + 1, 2**20 - 1)] * 3), min_size=1, max_size=30))
def test_packed_indices_order_as_the_indices_do(rows):
    index = np.array(rows)
    key = packed(index)
    assert np.array_equal(unpacked(key), index)
    assert np.argsort(key, kind="stable").tolist() == sorted(
        range(len(rows)), key=lambda row: rows[row]
    )


def test_absurd_indices_are_refused():
    with pytest.raises(InputError, match="too large"):
        packed(np.array([[2**21, 0, 0]]))
