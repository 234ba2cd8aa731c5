"""Reflection tables: written, read, refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import msgpack
import numpy as np
import pytest

from unstill.errors import FormatError, InputError
from unstill.io.dials_refl import INDEXED, Reflections, read_refl, write_refl


def table(n: int = 5) -> Reflections:
    rng = np.random.default_rng(0)
    return Reflections(
        {
            "miller_index": rng.integers(-9, 9, (n, 3)),
            "xyzobs.px.value": rng.normal(size=(n, 3)),
            "intensity.sum.value": rng.normal(size=n),
            "panel": np.arange(n),
            "flags": np.full(n, INDEXED),
            "id": np.zeros(n, dtype=int),
            "entering": np.arange(n) % 2 == 0,
            "bbox": rng.integers(0, 9, (n, 6)),
        },
        {0: "abc"},
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.refl"
    written = table()
    write_refl(path, written)
    found = read_refl(path)
    assert found.identifiers == {0: "abc"}
    assert len(found) == 5
    assert set(found.columns) == set(written.columns)
    for name, values in written.columns.items():
        np.testing.assert_array_equal(found[name], values)


def test_types_are_those_of_dials(tmp_path: Path) -> None:
    path = tmp_path / "a.refl"
    write_refl(path, table())
    tag, version, body = msgpack.unpackb(path.read_bytes(), strict_map_key=False)
    assert (tag, version, body["nrows"]) == ("dials::af::reflection_table", 1, 5)
    assert {name: column[0] for name, column in body["data"].items()} == {
        "miller_index": "cctbx::miller::index<>",
        "xyzobs.px.value": "vec3<double>",
        "intensity.sum.value": "double",
        "panel": "std::size_t",
        "flags": "std::size_t",
        "id": "int",
        "entering": "bool",
        "bbox": "int6",
    }


def test_shoeboxes_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.refl"
    write_refl(path, table())
    tag, version, body = msgpack.unpackb(path.read_bytes(), strict_map_key=False)
    body["data"]["shoebox"] = ["Shoebox<>", [5, b"whatever"]]
    path.write_bytes(msgpack.packb([tag, version, body]))
    assert "shoebox" not in read_refl(path).columns


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no column 'xyzcal.px'.*miller_index"):
        table()["xyzcal.px"]


def test_an_empty_table_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "a.refl"
    write_refl(path, table(0))
    assert len(read_refl(path)) == 0


@pytest.mark.parametrize("protocol", [2, 4])
def test_pickles_are_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "old.pickle"
    path.write_bytes(pickle.dumps({"a": 1}, protocol=protocol))
    with pytest.raises(FormatError, match=r"pickle.*index the images anew"):
        read_refl(path)


@pytest.mark.parametrize("cut", [60, 200, -1])
def test_cut_tables_are_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.refl"
    write_refl(path, table())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FormatError):
        read_refl(path)


def test_damage_in_a_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.refl"
    write_refl(path, table())
    tag, version, body = msgpack.unpackb(path.read_bytes(), strict_map_key=False)
    body["data"]["id"][1][1] = b"\0\0\0"
    path.write_bytes(msgpack.packb([tag, version, body]))
    with pytest.raises(FormatError, match="'id' does not have a value a row"):
        read_refl(path)
    path.write_bytes(b"no table")
    with pytest.raises(FormatError, match="no DIALS reflection table"):
        read_refl(path)


def test_columns_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="differ in length"):
        write_refl(tmp_path / "a.refl", Reflections({"a": np.zeros(2), "b": np.zeros(3)}))
    with pytest.raises(InputError, match="no type"):
        write_refl(tmp_path / "a.refl", Reflections({"a": np.zeros((2, 7))}))
    assert not list(tmp_path.iterdir())
