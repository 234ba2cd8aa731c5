"""Overlapping selections as disjoint groups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from unstill.diffuse.groups import group_atoms
from unstill.errors import InputError


@given(arrays(bool, (4, 12)))
def test_every_selected_atom_is_in_one_group_and_selections_are_unions(table: np.ndarray) -> None:
    table[:, 0] = True
    names = ["all", "a", "b", "c"]
    groups = group_atoms(dict(zip(names, table, strict=True)))
    every = np.concatenate(groups.atoms)
    assert sorted(every.tolist()) == np.flatnonzero(table.any(axis=0)).tolist()
    for row, member in zip(table, groups.member, strict=True):
        parts = [group for group, part in zip(groups.atoms, member, strict=True) if part]
        assert sorted(np.concatenate(parts).tolist()) == np.flatnonzero(row).tolist()


def test_all_protein_and_water_need_three_groups() -> None:
    protein, water = np.arange(9) < 4, np.arange(9) > 6
    groups = group_atoms({"all": np.ones(9, bool), "protein": protein, "water": water})
    assert sorted(group.tolist() for group in groups.atoms) == [[0, 1, 2, 3], [4, 5, 6], [7, 8]]


def test_selections_without_atoms_are_refused() -> None:
    with pytest.raises(InputError, match="'ions'"):
        group_atoms({"ions": np.zeros(3, bool)})
    with pytest.raises(InputError, match="nothing is selected"):
        group_atoms({})
