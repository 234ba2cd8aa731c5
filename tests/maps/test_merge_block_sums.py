"""Block sums: totals, parts, merging."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from unstill.crystal import Crystal
from unstill.crystal.half_space import friedel_half
from unstill.errors import InputError
from unstill.maps.block_sums import BlockSums
from unstill.maps.merge_block_sums import merge_block_sums

CELL = Crystal((12.0, 12.0, 12.0, 90.0, 90.0, 90.0))
INDEX = friedel_half(CELL, 6.0, (2, 1, 1))


def random_sums(
    seed: int, n_blocks: int = 3, crystal: Crystal = CELL, **changes: object
) -> BlockSums:
    rng = np.random.default_rng(seed)
    shape = (n_blocks, 2, len(INDEX))
    fields = {
        "s1": rng.normal(size=shape) + 1j * rng.normal(size=shape),
        "s2": rng.random(shape) * 1e6,
        "weight": rng.random(n_blocks),
        "weight_squared": rng.random(n_blocks),
        "n_frames": np.full(n_blocks, 5),
        "selections": ("all", "protein"),
        "divisions": (2, 1, 1),
        "index": INDEX,
    }
    return BlockSums(crystal=crystal, **(fields | changes))  # type: ignore[arg-type]


def test_merging_is_independent_of_the_order_of_the_runs() -> None:
    runs = [random_sums(seed) for seed in range(3)]
    first = merge_block_sums(runs)
    for order in permutations(runs):
        merged = merge_block_sums(order)
        assert np.array_equal(merged.s1, first.s1)
        for ours, theirs in zip(merged.totals("protein"), first.totals("protein"), strict=True):
            assert np.array_equal(ours, theirs)


def test_nested_merging_gives_the_same_totals_to_1e_12() -> None:
    a, b, c = (random_sums(seed) for seed in range(3))
    together = merge_block_sums([a, b, c]).totals()
    nested = merge_block_sums([merge_block_sums([c, a]), b]).totals()
    for one, other in zip(together, nested, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_merged_totals_are_the_sums_of_the_runs() -> None:
    a, b = random_sums(1), random_sums(2, n_blocks=4)
    merged = merge_block_sums([a, b])
    assert merged.n_blocks == 7
    assert merged.total_frames == 35
    np.testing.assert_allclose(merged.totals()[1], a.totals()[1] + b.totals()[1], rtol=1e-12)
    np.testing.assert_allclose(merged.totals()[2], a.weight.sum() + b.weight.sum())


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            random_sums(2, crystal=Crystal((13.0, 12.0, 12.0, 90.0, 90.0, 90.0))),
            "different crystal",
        ),
        (random_sums(2, selections=("all", "water")), "different selections"),
        (random_sums(2, index=INDEX[::-1]), "different points"),
        (random_sums(2, divisions=(1, 1, 1)), "different divisions"),
        (random_sums(2, provenance={"reference": "another"}), "different reference frames"),
        (random_sums(1), "given twice"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(other: BlockSums, message: str) -> None:
    with pytest.raises(InputError, match=message):
        merge_block_sums([random_sums(1), other])


def test_merging_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="nothing to merge"):
        merge_block_sums([])


def test_a_part_of_the_blocks_can_be_taken() -> None:
    sums = random_sums(5, n_blocks=4)
    part = sums.take([3, 1])
    assert part.n_blocks == 2
    assert np.array_equal(part.s2[0], sums.s2[3])
    assert part.weight.tolist() == sums.weight[[3, 1]].tolist()


def test_an_unknown_selection_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match="'water' where there are all, protein"):
        random_sums(1).totals("water")
