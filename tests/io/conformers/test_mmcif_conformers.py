"""mmCIF: what is written is read back, what a file held is kept token by token."""

from __future__ import annotations

import gzip
import itertools
import re
import warnings
from pathlib import Path

import gemmi
import numpy as np
import pytest
from conformer_models import CRYSTAL, assert_same, random_models
from hypothesis import given

from unstill.ensembles.multiconformer import State
from unstill.errors import FormatError, InputError, UnstillWarning
from unstill.io import read_hierarchy_tables, read_multiconformer, write_multiconformer

ATOMS = """loop_
_atom_site.group_PDB
_atom_site.id
_atom_site.type_symbol
_atom_site.label_atom_id
_atom_site.label_alt_id
_atom_site.label_comp_id
_atom_site.label_asym_id
_atom_site.auth_seq_id
_atom_site.Cartn_x
_atom_site.Cartn_y
_atom_site.Cartn_z
_atom_site.occupancy
_atom_site.B_iso_or_equiv
"""
LABELS = ["A", "AA", "1", "'B'", '"C"', ".", "?", "' '", "''", "Z9", "a"]


def file_with_labels(path: Path, labels: list[str]) -> Path:
    lines = [
        f"ATOM {n + 1} C C{n // 2} {label} GLY A {n + 1} {n}.125 2.50 -3.000 0.50 10.0"
        for n, label in enumerate(labels)
    ]
    path.write_text("data_x\n" + ATOMS + "\n".join(lines) + "\n")
    return path


def tokens_by_item(path: Path) -> dict[str, list[str]]:
    """Every item of every block and its tokens, by gemmi alone."""
    found = {}
    for block in gemmi.cif.read(str(path)):
        for item in block:
            if item.pair is not None:
                found[f"{block.name}/{item.pair[0]}"] = [item.pair[1]]
            elif item.loop is not None:
                width = item.loop.width()
                values = list(item.loop.values)
                for number, tag in enumerate(item.loop.tags):
                    found[f"{block.name}/{tag}"] = values[number::width]
    return found


def order_of_categories(path: Path) -> list[str]:
    tags = [tag.partition("/")[2].partition(".")[0] for tag in tokens_by_item(path)]
    return [tag for tag, _ in itertools.groupby(tags)]


@given(model=random_models())
def test_a_model_survives_a_file(tmp_path_factory, model) -> None:
    path = tmp_path_factory.mktemp("m") / "x.cif"
    write_multiconformer(model, path)
    found = read_multiconformer(path)
    assert_same(found, model, coord=1e-9)
    # And gemmi agrees that it is CIF with as many atoms.
    column = gemmi.cif.read(str(path)).sole_block().find_values("_atom_site.id")
    assert len(column) == model.n_rows
    assert len(set(column)) == model.n_rows


@given(model=random_models())
def test_what_is_read_is_written_back_word_by_word(tmp_path_factory, model) -> None:
    folder = tmp_path_factory.mktemp("m")
    write_multiconformer(model, folder / "a.cif")
    write_multiconformer(read_multiconformer(folder / "a.cif"), folder / "b.cif")
    assert tokens_by_item(folder / "a.cif") == tokens_by_item(folder / "b.cif")


def test_coordinates_are_kept_to_the_last_bit_on_request(tmp_path) -> None:
    model = read_multiconformer(file_with_labels(tmp_path / "a.cif", ["."] * 4))
    coord = np.random.default_rng(1).normal(size=(4, 3)) * 1e3
    coord[0] = [0.1 + 0.2, 1e-17, -1 / 3]
    moved = model.replace(coord=coord, carried=None, source_row=np.full(4, -1))
    write_multiconformer(moved, tmp_path / "b.cif", digits=None)
    np.testing.assert_array_equal(read_multiconformer(tmp_path / "b.cif").coord, coord)
    write_multiconformer(moved, tmp_path / "c.cif")
    np.testing.assert_allclose(read_multiconformer(tmp_path / "c.cif").coord, coord, atol=5.01e-4)


def test_ids_that_are_one_number_are_two_states(tmp_path) -> None:
    model = read_multiconformer(file_with_labels(tmp_path / "a.cif", ["A", "B", ".", "."]))
    states = [State("Base"), State("1", "Base"), State("01", "Base"), State("C", "1")]
    model = model.replace(states=tuple(states), state=np.array([1, 2, 0, 3]), stated=True)
    write_multiconformer(model, tmp_path / "b.cif")
    model = read_multiconformer(tmp_path / "b.cif")
    moved = model.replace(states=(*model.states[:3], State("C", "01")))
    write_multiconformer(moved, tmp_path / "c.cif")
    assert read_multiconformer(tmp_path / "c.cif").states[3].parent == "01"


def test_labels_of_all_kinds(tmp_path) -> None:
    path = file_with_labels(tmp_path / "a.cif", LABELS)
    model = read_multiconformer(path)
    assert model.altloc_id.tolist() == ["A", "AA", "1", "B", "C", "", "", "", "", "Z9", "a"]
    # A label makes a state, nothing makes none.
    assert len(model.states) == 1 + 7
    write_multiconformer(model, tmp_path / "b.cif")
    assert tokens_by_item(tmp_path / "b.cif")["x/_atom_site.label_alt_id"] == LABELS


def test_one_row_written_as_pairs(tmp_path) -> None:
    words = ["ATOM", "7", "C", "CA", "AB", "GLY", "A", "3", "1.5", "2.5", "3.5", "0.25", "12.0"]
    tags = [line for line in ATOMS.splitlines() if line.startswith("_")]
    text = "data_one\n" + "".join(f"{t} {w}\n" for t, w in zip(tags, words, strict=True))
    text += "_pdbx_heterogeneity_hierarchy.id Base\n_pdbx_heterogeneity_hierarchy.name all\n"
    text += "_pdbx_heterogeneity_hierarchy.parent .\n_atom_site.pdbx_heterogeneity_id Base\n"
    (tmp_path / "a.cif").write_text(text)
    model = read_multiconformer(tmp_path / "a.cif")
    assert model.stated
    assert model.n_rows == 1
    assert model.states[0].name == "all"
    assert model.coord.tolist() == [[1.5, 2.5, 3.5]]
    tables = read_hierarchy_tables(tmp_path / "a.cif")
    assert [line.id for line in tables.states] == ["Base"]
    write_multiconformer(model, tmp_path / "b.cif")
    before, after = tokens_by_item(tmp_path / "a.cif"), tokens_by_item(tmp_path / "b.cif")
    assert {key: after[key] for key in before} == before


def test_what_was_edited_is_written_and_nothing_else(tmp_path) -> None:
    extra = "_struct.title\n;two\nlines\n;\nloop_\n_citation.id\n_citation.title\n1 'it`s'\n"
    extra += '2 "x y"\n'
    path = file_with_labels(tmp_path / "a.cif", ["A", "B", ".", "."])
    path.write_text(path.read_text() + extra)
    model = read_multiconformer(path)
    coord = model.coord.copy()
    coord[1] = [9.0, 8.0, 7.0]
    write_multiconformer(model.replace(coord=coord), tmp_path / "b.cif")
    before, after = tokens_by_item(path), tokens_by_item(tmp_path / "b.cif")
    assert after.pop("x/_atom_site.Cartn_x") == ["0.125", "9.000", "2.125", "3.125"]
    assert after.pop("x/_atom_site.Cartn_y") == ["2.50", "8.000", "2.50", "2.50"]
    assert after.pop("x/_atom_site.Cartn_z") == ["-3.000", "7.000", "-3.000", "-3.000"]
    assert {key: before[key] for key in after if key in before} == {
        key: words for key, words in after.items() if key in before
    }
    assert "x/_struct.title" in after


def test_removed_rows_are_gone_and_others_stay(tmp_path) -> None:
    path = file_with_labels(tmp_path / "a.cif", ["A", "B", ".", "C"])
    model = read_multiconformer(path)
    write_multiconformer(model.take_rows(np.array([0, 2])), tmp_path / "b.cif")
    assert tokens_by_item(tmp_path / "b.cif")["x/_atom_site.id"] == ["1", "3"]
    assert tokens_by_item(tmp_path / "b.cif")["x/_atom_site.label_alt_id"] == ["A", "."]


def test_gzip_and_several_blocks(tmp_path) -> None:
    path = file_with_labels(tmp_path / "a.cif", ["A", "B"])
    text = (
        "data_first\n_entry.id first\n" + path.read_text() + "data_last\n_exptl.method 'X-RAY'\n"
    )
    with gzip.open(tmp_path / "b.cif.gz", "wt") as stream:
        stream.write(text)
    model = read_multiconformer(tmp_path / "b.cif.gz")
    write_multiconformer(model, tmp_path / "c.cif")
    (tmp_path / "b.cif").write_text(text)
    before, after = tokens_by_item(tmp_path / "b.cif"), tokens_by_item(tmp_path / "c.cif")
    assert {key: after.get(key) for key in before} == before
    assert order_of_categories(tmp_path / "c.cif")[:2] == ["_entry", "_atom_site"]


def test_crystal_and_provenance(tmp_path) -> None:
    model = read_multiconformer(file_with_labels(tmp_path / "a.cif", ["A", "B"]))
    write_multiconformer(
        model.replace(crystal=CRYSTAL), tmp_path / "b.cif", provenance={"command": "it's mine"}
    )
    assert read_multiconformer(tmp_path / "b.cif").crystal == CRYSTAL
    block = gemmi.cif.read(str(tmp_path / "b.cif")).sole_block()
    assert gemmi.cif.as_string(block.find_value("_unstill_provenance.command")) == "it's mine"


CASES = {
    "cycle": ("B A\nA B\n", "root|parent|tree"),
    "two roots": ("A .\nB .\n", "root"),
    "unknown parent": ("A .\nB Z\n", "parent"),
    "twice": ("A .\nA .\n", "twice|same"),
}


@pytest.mark.parametrize("case", list(CASES))
def test_hierarchies_that_are_no_tree_are_refused(tmp_path, case) -> None:
    lines, said = CASES[case]
    path = file_with_labels(tmp_path / "a.cif", ["A"])
    rows = "".join(
        f"{line.split()[0]} n{n} {line.split()[1]}\n" for n, line in enumerate(lines.splitlines())
    )
    tree = "".join(f"_pdbx_heterogeneity_hierarchy.{item}\n" for item in ("id", "name", "parent"))
    text = path.read_text().replace(
        "_atom_site.B_iso_or_equiv\n",
        "_atom_site.B_iso_or_equiv\n_atom_site.pdbx_heterogeneity_id\n",
    )
    path.write_text(text.rstrip("\n") + " A\nloop_\n" + tree + rows)
    with pytest.raises(InputError, match=said):
        read_multiconformer(path)
    # What makes no tree can still be looked at.
    assert len(read_hierarchy_tables(path).states) == len(lines.splitlines())


def test_an_atom_that_stands_twice_is_refused(tmp_path) -> None:
    path = file_with_labels(tmp_path / "a.cif", ["A"])
    path.write_text(
        path.read_text() * 1 + path.read_text().splitlines()[-1].replace(" 1 C", " 2 C") + "\n"
    )
    with pytest.raises(InputError, match="twice"):
        read_multiconformer(path)


@pytest.mark.parametrize(
    "after", ["_atom_site.Cart", "ATOM 3 C", "ATOM 3 C C1 A GLY A 3 2.125 2.50 -3.000 0.50 1"]
)
def test_a_file_that_was_cut_short_is_told_of(tmp_path, after) -> None:
    path = file_with_labels(tmp_path / "a.cif", ["A", "B", "A", "B"])
    text = path.read_text()
    path.write_text(text[: text.index(after) + len(after)])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UnstillWarning)
        try:
            model = read_multiconformer(path)
        except FormatError:
            return
    assert model.n_rows < 4
    assert any("cut" in str(one.message) for one in said)


def test_garbage_is_refused(tmp_path) -> None:
    for number, content in enumerate(
        [b"", b"\x00\x01\x02" * 100, b"data_x\n", b"<html>", b"data_x\nloop_\n"]
    ):
        path = tmp_path / f"{number}.cif"
        path.write_bytes(content)
        with pytest.raises(FormatError):
            read_multiconformer(path)


def test_lines_of_dos_and_letters_beyond_ascii(tmp_path) -> None:
    path = file_with_labels(tmp_path / "a.cif", ["A", "B"])
    text = path.read_text() + "_struct.title 'Säure'\n"
    (tmp_path / "dos.cif").write_bytes(text.replace("\n", "\r\n").encode())
    (tmp_path / "latin.cif").write_bytes(text.encode("latin-1"))
    for name in ("dos.cif", "latin.cif"):
        model = read_multiconformer(tmp_path / name)
        assert model.altloc_id.tolist() == ["A", "B"]
        write_multiconformer(model, tmp_path / "out.cif")
        encoding = "latin-1" if name == "latin.cif" else "utf-8"
        assert "'Säure'" in (tmp_path / "out.cif").read_text(encoding)


def test_models_that_differ_are_members_and_told_of(tmp_path) -> None:
    path = file_with_labels(tmp_path / "a.cif", ["."] * 4)
    text = path.read_text().replace(
        "_atom_site.B_iso_or_equiv\n", "_atom_site.B_iso_or_equiv\n_atom_site.pdbx_PDB_model_num\n"
    )
    head, lines = text[: text.index("ATOM")], text[text.index("ATOM") :].splitlines()
    lines = [f"{line} 1" for line in lines] + [f"{line} 2" for line in lines[:3]]
    path.write_text(head + "\n".join(lines) + "\n")
    with pytest.warns(UnstillWarning, match="other atoms than model 1"):
        model = read_multiconformer(path)
    assert model.members is not None
    assert [state.kind for state in model.states] == ["conformational"] * 2 + ["compositional"]
    np.testing.assert_allclose(model.occupancy, 0.25)
    # Written as members, they may lack what they lack.
    write_multiconformer(model, tmp_path / "b.cif")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UnstillWarning)
        again = read_multiconformer(tmp_path / "b.cif")
    assert again.members is not None
    np.testing.assert_array_equal(again.members.in_state, model.members.in_state)


REAL = ["1vme.cif", "1vme_0.5A_0.5B.cif", "3o5r.cif", "4i39.cif"]


@pytest.mark.parametrize(
    "name", [*(f"altloc/{name}" for name in REAL), "nmr/1gya.cif", "nmr/1l2y.cif"]
)
def test_deposited_files_are_kept_token_by_token(unstill_data, tmp_path, name) -> None:
    path = unstill_data / name
    model = read_multiconformer(path)
    write_multiconformer(model, tmp_path / "x.cif")
    before, after = tokens_by_item(path), tokens_by_item(tmp_path / "x.cif")
    assert len(before) > 20
    # Items are added, none is lost or changed.
    assert [key for key, words in before.items() if after.get(key) != words] == []
    added = {re.split(r"[/.]", key)[1] for key in set(after) - set(before)}
    assert added <= {"_atom_sites_alt", "_unstill_member", "_unstill_state"}
    labels = before[next(key for key in before if key.endswith("_atom_site.label_alt_id"))]
    assert model.altloc_id.tolist() == ["" if word in ".?" else word for word in labels]
    shares = np.array(before[next(k for k in before if k.endswith("_atom_site.occupancy"))], float)
    weight = 1 / max(
        len(set(before[next(k for k in before if k.endswith("_atom_site.pdbx_PDB_model_num"))])), 1
    )
    np.testing.assert_allclose(model.occupancy, shares * weight, rtol=0, atol=1e-12)
