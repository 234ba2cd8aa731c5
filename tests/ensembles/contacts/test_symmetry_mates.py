"""Contacts through symmetry, against the sum over all operations and translations."""

from __future__ import annotations

import itertools

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows_in_space import placed, scattered

from unstill.crystal import Crystal
from unstill.ensembles.contacts import Clashes, find_clashes
from unstill.ensembles.contacts.mates import mate_pairs

CRYSTALS = (
    Crystal((9.0, 10.0, 11.0, 80.0, 95.0, 105.0), "P 1"),
    Crystal((11.0, 9.0, 10.0, 90.0, 100.0, 90.0), "C 1 2 1"),
    Crystal((9.0, 10.0, 12.0, 90.0, 90.0, 90.0), "P 21 21 21"),
    Crystal((10.0, 10.0, 12.0, 90.0, 90.0, 120.0), "P 32 2 1"),
    Crystal((12.0, 12.0, 12.0, 90.0, 90.0, 90.0), "I 2 3"),
)


@given(st.sampled_from(CRYSTALS), st.integers(0, 10_000), st.floats(1.0, 6.0))
def test_mates_are_those_of_every_operation_and_translation(
    crystal: Crystal, seed: int, radius: float
) -> None:
    # Atoms outside the unit cell, too: files put them anywhere.
    coord = np.random.default_rng(seed).uniform(-8, 16, (4, 3))
    found = []
    for a, b, distance, text in mate_pairs(crystal, coord, np.arange(4), radius):
        found += zip(
            a.tolist(), b.tolist(), distance.round(6).tolist(), text.tolist(), strict=True
        )
    assert sorted(f[:3] for f in found) == sorted(every_mate(crystal, coord, radius))
    assert len({(a, b, text) for a, b, _, text in found}) == len(found)
    frac = crystal.fractional(coord)
    for a, b, distance, text in found:
        moved = np.array(gemmi.Op(text).apply_to_xyz(frac[b].tolist()))
        apart = np.linalg.norm(crystal.cartesian((moved - frac[a])[None])[0])
        assert apart == pytest.approx(distance, abs=2e-6)


def every_mate(crystal: Crystal, coord: np.ndarray, radius: float) -> list[tuple[int, int, float]]:
    frac = crystal.fractional(coord)
    contacts = set()
    for op in crystal.group.operations():
        moved = np.array([op.apply_to_xyz(x.tolist()) for x in frac])
        for a, b in itertools.combinations_with_replacement(range(len(coord)), 2):
            lattice = STEPS - np.round(moved[b] - frac[a])
            lengths = np.linalg.norm(crystal.cartesian(moved[b] + lattice - frac[a]), axis=1)
            for vector, length in zip(lattice, lengths, strict=True):
                same = op == gemmi.Op("x,y,z") and not vector.any()
                if length > radius or same or (a == b and length <= 0.5):
                    continue
                whole = gemmi.Op(op.triplet())
                whole.tran = [t + 24 * int(n) for t, n in zip(op.tran, vector, strict=True)]
                # An atom sees its mate, and by the inverse is seen: one contact.
                both = (
                    {whole.triplet(), whole.inverse().triplet()} if a == b else {whole.triplet()}
                )
                contacts.add((a, b, frozenset(both), round(float(length), 6)))
    return [(a, b, length) for a, b, _, length in contacts]


STEPS = np.array(list(itertools.product((-2, -1, 0, 1, 2), repeat=3)), dtype=float)


def test_an_atom_on_an_axis_is_not_its_own_mate() -> None:
    crystal = Crystal((20.0, 20.0, 20.0, 90.0, 90.0, 90.0), "P 1 2 1")
    water = ("A", 1, "HOH", "O", "O", "", 0.5)
    on_axis = placed([(*water, (0.1, 3.0, 0.0))], crystal=crystal)
    beside = placed([(*water, (0.9, 3.0, 0.0))], crystal=crystal)
    assert len(find_clashes(on_axis, symmetry=True)) == 0
    clashes = find_clashes(beside, symmetry=True)
    assert clashes.symmetry.tolist() == ["-x,y,-z"]
    assert clashes.distance == pytest.approx([1.8])


@given(st.integers(0, 10_000))
def test_mates_neither_hide_nor_change_contacts_within_a_copy(seed: int) -> None:
    model = scattered(seed, 40, 8.0, CRYSTALS[3])
    alone, both = find_clashes(model), find_clashes(model, symmetry=True)
    inside = both.within_copy
    assert inside.row_a.tolist() == alone.row_a.tolist()
    assert inside.row_b.tolist() == alone.row_b.tolist()
    assert len(inside) + len(both.between_mates) == len(both)


def test_states_that_exclude_each_other_meet_between_mates() -> None:
    """A mate is another copy, and that may be in the other state."""
    crystal = Crystal((20.0, 20.0, 20.0, 90.0, 90.0, 90.0), "P 1 2 1")
    model = placed(
        [
            ("A", 1, "SER", "OG", "O", "A", 0.5, (1.1, 3.0, 0.0)),
            ("A", 1, "SER", "OG", "O", "B", 0.5, (1.0, 4.0, 0.3)),
        ],
        crystal=crystal,
    )
    pairs = zip(*(c.tolist() for c in _rows(find_clashes(model, symmetry=True))), strict=True)
    assert set(pairs) == {(0, 0), (0, 1), (1, 1)}


def _rows(clashes: Clashes) -> tuple[np.ndarray, np.ndarray]:
    return clashes.row_a, clashes.row_b
