"""Crystals of another form are found and dropped, with the reason; others are not."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from several_crystals import rows_of_crystals, tables_of_crystals
from synthetic_rows import TETRAGONAL

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.reduction.crystals.crystal_tables import crystal_tables
from unstill.reduction.crystals.crystals import cell_difference, choose_crystals


def cells_of(n, changed=(), factor=1.021):
    rng = np.random.default_rng(n)
    return [
        Crystal(
            (
                20.0 * (1 + 5e-4 * rng.normal()),
                20.0,
                26.0 * (factor if i in changed else 1.0),
                90.0,
                90.0,
                90.0,
            ),
            "P 41",
        )
        for i in range(n)
    ]


@pytest.mark.parametrize(
    ("n", "other", "counts", "coverage"),
    [
        (3, (1,), 30, 0.5),
        (6, (2, 4), 6, 0.5),
        (6, (), 6, 0.5),
        (60, tuple(range(0, 60, 9)), 8, 0.08),
        (60, (), 4, 0.04),
    ],
)
def test_crystals_of_another_structure_are_dropped(n, other, counts, coverage):
    tables = tables_of_crystals(n, other=other, counts=counts, coverage=coverage)
    choice = choose_crystals(tables, cells_of(n))
    assert choice.dropped == other
    for i in other:
        reason = choice.verdicts[i].reason
        assert re.search(r"CC -?\d\.\d\d ± 0\.\d\d on \d+ voxels with the rest, which", reason)
        assert (
            f"among themselves; its noise allows {choice.verdicts[i].agreement.expected:.2f}"
            in (reason)
        )
    assert all(not choice.verdicts[i].reason for i in choice.kept)
    assert json.loads(json.dumps(choice.as_dict()))["kept"][0].startswith("crystal")


def test_a_cell_that_differs_is_named_by_its_constant():
    tables = tables_of_crystals(5)
    choice = choose_crystals(tables, cells_of(5, changed=(3,)), names=list("abcde"))
    assert choice.dropped == (3,)
    assert choice.verdicts[3].name == "d"
    assert choice.verdicts[3].reason == "cell differs by 2.1 % in c"
    tilted = [*cells_of(4), Crystal((20.0, 20.0, 26.0, 90.0, 92.0, 90.0), "P 1")]
    assert choose_crystals(tables, tilted).verdicts[4].reason == (
        "cell differs by 2.0 degrees in beta"
    )


@pytest.mark.parametrize(("n", "other"), [(2, ()), (2, (1,)), (6, (2,)), (60, (3, 20, 41))])
def test_scales_that_are_not_refined_yet_are_no_difference(n, other):
    rows, _, _ = rows_of_crystals(n, other=other, counts=80, coverage=0.5 if n < 10 else 0.1)
    rng = np.random.default_rng(5)
    block = rng.integers(0, 10, len(rows))
    # The beam changes by a third from block to block, and 10 % are left over in every row.
    factor = (1 + 0.3 * np.sin(block + rows.sweep)) * (1 + 0.1 * rng.normal(size=len(rows)))
    rows = rows.replace(
        block=block.astype(np.int32),
        counts=rng.poisson(rows.counts * np.maximum(factor, 0.1)).astype(float),
    )
    assert choose_crystals(crystal_tables(rows), cells_of(n)).dropped == other


def test_one_crystal_is_kept_and_of_two_that_differ_the_stronger():
    assert choose_crystals(tables_of_crystals(1), cells_of(1)).kept == (0,)
    assert choose_crystals(tables_of_crystals(2), cells_of(2)).kept == (0, 1)
    rows, scale, offset = rows_of_crystals(2, other=(1,))
    fewer = (rows.sweep == 1) | (np.arange(len(rows)) % 2 == 0)
    tables = crystal_tables(rows, scale=scale, offset=offset, keep=fewer)
    choice = choose_crystals(tables, cells_of(2))
    assert choice.kept == (1,)
    assert "with the only crystal that is kept" in choice.verdicts[0].reason


def test_noise_is_not_mistaken_for_another_structure():
    tables = tables_of_crystals(4, counts=1.5)
    choice = choose_crystals(tables, cells_of(4))
    assert choice.dropped == ()
    pair = choice.pairs[0, 1]
    assert pair.cc < 0.6
    assert abs(pair.likeness - 1) < 4 * pair.likeness_error


def test_other_axes_of_the_same_cell_are_no_difference():
    one = Crystal((50.0, 60.0, 70.0, 90.0, 90.0, 90.0))
    assert cell_difference(one, Crystal((60.0, 50.0, 70.0, 90.0, 90.0, 90.0)))[0] < 1e-6
    assert cell_difference(one, Crystal((60.0, 50.0, 72.1, 90.0, 90.0, 90.0)))[1] == "c"


def test_sweeps_of_one_crystal_count_together():
    rows, scale, offset = rows_of_crystals(4)
    tables = crystal_tables(rows, scale=scale, offset=offset, crystal_of_sweep=[0, 0, 1, 1])
    assert [table.n_rows for table in tables] == [
        int((rows.sweep < 2).sum()),
        int((rows.sweep >= 2).sum()),
    ]


def test_what_cannot_be_compared_is_said():
    rows, scale, offset = rows_of_crystals(2)
    with pytest.raises(InputError, match="crystal 2 has no observations"):
        crystal_tables(rows, scale=scale, offset=offset, keep=rows.sweep == 0)
    with pytest.raises(InputError, match="belong to no crystal"):
        crystal_tables(rows, crystal_of_sweep=[0])
    with pytest.raises(InputError, match="1 sets of observations and 2 cells"):
        choose_crystals(tables_of_crystals(1), [TETRAGONAL, TETRAGONAL])
