"""Tables of weights: nothing is lost on the way to a file and back."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.errors import FormatError, InputError, OutputError
from unstill.io.weights_csv import WeightsTable, read_weights_csv, write_weights_csv


def some_table(n: int = 30, seed: int = 0, **more: object) -> WeightsTable:
    rng = np.random.default_rng(seed)
    n_frames = rng.integers(1, 12, n)
    return WeightsTable(
        n_frames=n_frames,
        prior=n_frames / n_frames.sum(),
        weight=rng.dirichlet(np.full(n, 0.3)),
        **({"error": rng.random(n) * 1e-3} | more),  # type: ignore[arg-type]
    )


def same(found: WeightsTable, table: WeightsTable) -> None:
    for name in ("n_frames", "prior", "weight", "error", "first_frame", "shares"):
        np.testing.assert_array_equal(getattr(found, name), getattr(table, name), err_msg=name)
    assert found.states == table.states


@given(n=st.integers(1, 40), seed=st.integers(0, 1000), mixed=st.booleans(), gap=st.booleans())
def test_what_is_read_back_is_what_was_written_to_the_bit(
    tmp_path_factory, n, seed, mixed, gap
) -> None:
    rng = np.random.default_rng(seed)
    table = some_table(n, seed)
    shares = rng.dirichlet(np.ones(3), n) if mixed else np.eye(3)[np.arange(n) % 3]
    if mixed or n >= 3:
        table = some_table(n, seed, states=("closed", "half, open", "δ"), shares=shares)
    if gap:
        table = WeightsTable(**{**table.__dict__, "first_frame": table.first_frame * 2 + 3})
    path = tmp_path_factory.mktemp("weights") / "weights.csv"
    write_weights_csv(table, path)
    found = read_weights_csv(path)
    same(found, table)
    assert found.weight.sum() == pytest.approx(1, abs=1e-12)
    assert found.frame_weights().sum() == pytest.approx(1, abs=1e-12)


def test_the_columns_are_those_that_are_promised(tmp_path) -> None:
    table = WeightsTable(
        n_frames=np.array([2, 1]),
        prior=np.array([2 / 3, 1 / 3]),
        weight=np.array([0.1, 0.9]),
        states=("A", "B"),
        shares=np.array([[0.5, 0.5], [0.0, 1.0]]),
    )
    write_weights_csv(table, tmp_path / "w.csv")
    with (tmp_path / "w.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == [
        *("member", "first_frame", "n_frames", "prior", "weight", "ratio", "error"),
        *("share_A", "share_B"),
    ]
    assert [row["first_frame"] for row in rows] == ["0", "2"]
    assert [float(row["weight"]) for row in rows] == [0.1, 0.9]
    assert float(rows[1]["ratio"]) == pytest.approx(2.7)
    assert rows[0]["error"] == ""
    pure = WeightsTable(**{**table.__dict__, "shares": np.array([[0.0, 1.0], [1.0, 0.0]])})
    write_weights_csv(pure, tmp_path / "w.csv")
    with (tmp_path / "w.csv").open() as stream:
        assert [row["state"] for row in csv.DictReader(stream)] == ["B", "A"]


def test_frames_of_a_block_share_its_weight_and_frames_of_none_weigh_nothing() -> None:
    table = WeightsTable(
        n_frames=np.array([2, 4]),
        prior=np.array([0.5, 0.5]),
        weight=np.array([0.2, 0.8]),
        first_frame=np.array([1, 4]),
    )
    expected = [0, 0.1, 0.1, 0, 0.2, 0.2, 0.2, 0.2]
    np.testing.assert_allclose(table.frame_weights(), expected, rtol=1e-15)
    np.testing.assert_allclose(table.frame_weights(10), [*expected, 0, 0], rtol=1e-15)
    with pytest.raises(InputError, match=r"frames up to 7 \(counting from 0\) of 6"):
        table.frame_weights(6)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"weight": np.array([0.2, 0.7])}, "column weight holds no weights that sum to one.*0.9"),
        ({"weight": np.array([-0.5, 1.5])}, "smallest -0.5"),
        ({"weight": np.array([np.nan, 1.0])}, "column weight"),
        ({"prior": np.array([0.0, 1.0])}, "column prior"),
        ({"weight": np.ones(1)}, r"2 members, weight of shape \(1,\)"),
        ({"states": ("A",)}, "for 1 states"),
        ({"n_frames": np.array([3, 0])}, "member 1 .* with 0 frames from frame 3 on"),
        ({"first_frame": np.array([0, 2])}, "member 1 .* from frame 2 on"),
    ],
)
def test_tables_that_make_no_sense_are_refused(change, what) -> None:
    half = np.array([0.5, 0.5])
    arguments = {"n_frames": np.array([3, 3]), "prior": half, "weight": half}
    with pytest.raises(InputError, match=what):
        WeightsTable(**(arguments | change))


def test_a_table_that_was_cut_anywhere_is_refused(tmp_path) -> None:
    path = tmp_path / "weights.csv"
    # Numbers whose digits would be missed, and a last weight that would be missed.
    write_weights_csv(some_table(6, states=("A", "B"), shares=np.eye(2)[[0, 1, 1, 0, 0, 1]]), path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError):
            read_weights_csv(path)
    path.write_bytes(whole)
    assert read_weights_csv(path).n_members == 6


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("weight,ratio", "w,ratio", "no column weight"),
        ("\n1,", "\n2,", "does not list every member once"),
        ("\n1,", "\n1,,", "line 3 of 4 has lost columns"),
        (",0.25,", ",O.25,", "cannot be read as a table of weights.*O.25"),
        (",0.25,", ",0.26,", "column weight holds no weights that sum to one"),
    ],
)
def test_damaged_tables_are_refused_with_the_reason(tmp_path, old, new, what) -> None:
    third = np.full(3, 1 / 3)
    path = tmp_path / "weights.csv"
    table = WeightsTable(np.array([1, 1, 1]), third, np.array([0.25, 0.25, 0.5]))
    write_weights_csv(table, path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(FormatError, match=what):
        read_weights_csv(path)


def test_columns_of_other_names_and_another_order_do_no_harm(tmp_path) -> None:
    table = some_table(4)
    path = tmp_path / "weights.csv"
    write_weights_csv(table, path)
    with path.open() as stream:
        rows = list(csv.reader(stream))
    turned = [[*row[::-1], f"note {number}"] for number, row in enumerate(rows)]
    path.write_text("".join(",".join(row) + "\n" for row in turned))
    same(read_weights_csv(path), table)


def test_an_unwritable_place_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="folder does not exist"):
        write_weights_csv(some_table(), tmp_path / "gone" / "weights.csv")
