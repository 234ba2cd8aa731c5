"""Which partitions of the members become states."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unstill.ensembles.encode.partitions import ABSENT, partitions_of_members, refines


@given(
    columns=st.lists(
        st.lists(st.integers(-1, 3), min_size=5, max_size=5), min_size=1, max_size=10
    ),
    seed=st.integers(0, 50),
)
def test_every_atom_follows_a_partition_at_least_as_fine_as_its_own(
    columns: list[list[int]], seed: int
) -> None:
    place = np.stack([_canonical(column) for column in columns], axis=1)
    residue = np.random.default_rng(seed).integers(0, 3, len(columns))
    residue = np.unique(residue, return_inverse=True)[1]
    found = partitions_of_members(place, residue)
    for atom, number in enumerate(found.of_atom):
        own = place[:, atom]
        first = found.first[number]
        for a in range(5):
            for b in range(5):
                if first[a] == first[b] != ABSENT:
                    assert own[a] == own[b]
        assert (first[own != ABSENT] != ABSENT).all()
    for number, parent in enumerate(found.parent):
        if parent >= 0:
            assert refines(found.first[number], found.first[parent])
            assert not refines(found.first[parent], found.first[number])


def test_the_finest_coarser_partition_of_the_residue_is_the_parent() -> None:
    halves, quarters, eighths = (np.arange(8) // size * size for size in (4, 2, 1))
    whole = np.zeros(8, dtype=int)
    place = np.stack([whole, *[halves] * 9, *[quarters] * 9, *[eighths] * 9], axis=1)
    found = partitions_of_members(place, np.zeros(28, dtype=int))
    assert [len(found.classes(number)) for number in range(4)] == [1, 2, 4, 8]
    assert found.parent.tolist() == [-1, -1, 1, 2]


def test_partitions_of_different_residues_are_not_nested() -> None:
    halves, quarters = (np.arange(8) // size * size for size in (4, 2))
    place = np.stack([*[halves] * 9, *[quarters] * 9], axis=1)
    found = partitions_of_members(place, np.repeat([0, 1], 9))
    assert found.parent.tolist() == [-1, -1]


def _canonical(column: list[int]) -> np.ndarray:
    """First index with the same value; absent where negative, unless all are."""
    values = np.array(column)
    if (values < 0).all():
        values[:] = 0
    first = np.array([column.index(value) if value >= 0 else ABSENT for value in values])
    return np.where(values >= 0, np.array([list(values).index(v) for v in values]), first)
