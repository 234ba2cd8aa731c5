"""The report of a multiconformer model: what it says, its size, what viewers are told."""

from __future__ import annotations

import csv
import json
import re
import zipfile
from dataclasses import replace
from html import escape, unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import biotite.structure as struc
import gemmi
import numpy as np
import pytest

from unstill.ensembles.multiconformer import Members, Multiconformer, Rule, State
from unstill.provenance import Provenance
from unstill.validation import Finding, check_hierarchy
from unstill.workflows.heterogeneity_report import FILES, write_heterogeneity_report
from unstill.workflows.heterogeneity_report.alternatives import drawn_states, span
from unstill.workflows.heterogeneity_report.tree_figure import tree_blocks

RECORD = Provenance("unstill hierarchy report").as_dict()


def chain_of(
    n_residues: int,
    labels: str = "AB",
    chains: str = "A",
    *,
    every: int = 1,
    first: int = 1,
    prefix: str = "",
) -> Multiconformer:
    """Glycine chains; every so many residues have CA and O in one place a label."""
    n = n_residues * len(chains)
    sites = struc.AtomArray(4 * n + 1)
    numbers = np.repeat(np.tile(np.arange(first, first + n_residues), len(chains)), 4)
    sites.chain_id[:-1] = np.repeat(list(chains), 4 * n_residues)
    sites.res_id[:-1] = numbers
    sites.res_name[:-1] = "GLY"
    sites.atom_name[:-1] = ["N", "CA", "C", "O"] * n
    sites.element[:-1] = ["N", "C", "C", "O"] * n
    for name, value in (("chain_id", "W"), ("res_id", 1), ("res_name", "HOH")):
        sites.get_annotation(name)[-1] = value
    sites.atom_name[-1] = sites.element[-1] = "O"
    sites.hetero[-1] = True
    states, rows = [State("Base")], []
    shares = np.arange(len(labels), 0, -1) / np.arange(len(labels), 0, -1).sum()
    for residue in range(n):
        where = np.array([3.8 * residue, 0.0, 20.0 * (residue // n_residues)])
        for place, (x, y) in enumerate(((0, 0), (1.4, 0.5), (2.4, -0.5), (2.5, -1.7))):
            site = 4 * residue + place
            at = where + np.array([x, y, 0])
            if place in (0, 2) or residue % every:
                rows.append((site, 0, "", 1.0, at))
                continue
            for number, label in enumerate(labels):
                name = f"{prefix}{sites.chain_id[site]}{sites.res_id[site]}{label}"
                if place == 1:
                    share = float(shares[number])
                    states.append(State(name, "Base", occupancy=share))
                index = next(i for i, s in enumerate(states) if s.id == name)
                off = np.array([0, 0.2 * number, 0.3 * number])
                rows.append((site, index, label, float(shares[number]), at + off))
    rows.append((4 * n, 0, "", 1.0, np.array([0.0, 9.0, 0.0])))
    return Multiconformer(
        sites,
        site=np.array([row[0] for row in rows]),
        state=np.array([row[1] for row in rows]),
        coord=np.array([row[4] for row in rows]),
        occupancy=np.array([row[3] for row in rows]),
        b_factor=np.full(len(rows), 10.0),
        altloc_id=np.array([row[2] for row in rows]),
        states=tuple(states),
    )


def written(model: Multiconformer, folder: Path, **options: Any) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    findings = options.pop("findings", check_hierarchy(model, most=None))
    return write_heterogeneity_report(model, findings, folder, RECORD, name="m.cif", **options)


def words(page: str) -> str:
    """Text of a page without its tags."""
    return unescape(re.sub(r"<[^>]+>", " ", page))


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Multiconformer, dict[str, Path]]:
    model = chain_of(12, "ABC", every=4)
    nested = State("inner", model.states[1].id, occupancy=0.25)
    other = State("other", model.states[1].id, "", "compositional", occupancy=0.25)
    water = np.flatnonzero(model.site == model.n_sites - 1)
    state = model.state.copy()
    state[water] = len(model.states)
    occupancy = model.occupancy.copy()
    occupancy[water] = 0.25
    model = model.replace(
        states=(*model.states, nested, other),
        state=state,
        occupancy=occupancy,
        rules=(Rule(1, "NOT", "inner", ("A5A",), "they touch"),),
    )
    return model, written(model, tmp_path_factory.mktemp("small"))


def test_every_file_is_there_and_the_page_loads_nothing(small) -> None:
    _, paths = small
    assert set(paths) == set(FILES)
    assert all(path.stat().st_size for path in paths.values())
    page = paths["report"].read_text()
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!#)', page)
    assert not re.search(r"url\((?!#)", page)


def test_the_tree_names_every_state_with_its_occupancy(small) -> None:
    model, paths = small
    page = paths["report"].read_text()
    figure = words(page[page.index('id="s1"') : page.index('id="s2"')])
    for number, state in enumerate(model.states):
        assert re.search(rf"\b{re.escape(state.id)}\b", figure)
        if number:
            share = model.populations[number]
            assert (f"{share:.2f}" if share >= 0.095 else f"{share:.3f}") in figure
    assert "inner excludes A5A" in figure
    assert "they touch" in figure
    lines = {line["id"]: line for line in table(paths["states"])}
    assert set(lines) == {state.id for state in model.states[1:]}
    assert lines["inner"]["parent"] == "A1A"
    assert lines["inner"]["residues"] == "W 1"
    # What excludes each other below one parent is one set, and told apart by colour.
    alternatives = [lines[f"A1{label}"] for label in "ABC"]
    assert len({line["alternatives"] for line in alternatives}) == 1
    assert len({line["colour"] for line in alternatives}) == 3


def test_residues_have_their_places_spread_and_occupancies(small) -> None:
    _, paths = small
    lines = {(line["chain"], line["residue"]): line for line in table(paths["residues"])}
    assert len(lines) == 13
    moved, still = lines["A", "5"], lines["A", "6"]
    assert (moved["places"], still["places"]) == ("3", "1")
    share = np.array([3, 2, 1]) / 6
    off = np.array([[0.2 * k, 0.3 * k] for k in range(3)])
    one = share @ ((off - share @ off) ** 2).sum(axis=1)
    # Two of the four atoms move.
    assert float(moved["spread_A"]) == pytest.approx(np.sqrt(one / 2), abs=1e-4)
    assert float(still["spread_A"]) == 0
    assert moved["states"] == "A5A A5B A5C"
    assert [float(o) for o in moved["occupancies"].split()] == pytest.approx(share, abs=1e-3)
    assert lines["W", "1"]["kind"] == "water"


def test_combinations_add_up_and_are_named_by_their_deepest_states(small) -> None:
    _, paths = small
    lines = table(paths["macrostates"])
    for component in {line["component"] for line in lines}:
        some = [line for line in lines if line["component"] == component]
        assert sum(float(line["population"]) for line in some) == pytest.approx(1, abs=1e-4)
    named = [line["states"].split() for line in lines]
    assert ["A9A"] in named
    assert any("inner" in names and "A1A" not in names for names in named)
    # inner needs A1A and excludes A5A, so the residues 1 and 5 are tied.
    assert not any({"inner", "A5A"} <= set(names) for names in named)
    assert "the most random" in words(paths["report"].read_text())


def test_findings_are_listed_and_counted(small, tmp_path) -> None:
    model, _ = small
    some = [Finding("V5", "error", f"finding number {i}", value=i) for i in range(30)]
    page = words(written(model, tmp_path, findings=some)["report"].read_text())
    assert "contradict themselves or each other in 30 ways" in page
    assert "finding number 29" in page
    assert "finding number 3 " not in page
    assert "and 20 more of this sort" in page
    page = words(written(model, tmp_path, findings=[])["report"].read_text())
    assert "The states keep every rule." in page


def test_rules_that_positions_imply_are_counted_not_listed(small, tmp_path) -> None:
    model, _ = small
    written_out = (Rule(2, "NOT", "A1A", ("A1B", "A1C")), Rule(3, "NOT", "A1B", ("A1C",)))
    paths = written(model.replace(rules=(*model.rules, *written_out)), tmp_path, findings=[])
    page = words(paths["report"].read_text())
    assert "2 of 3 rules say that states exclude each other which hold the same atoms" in page
    assert "inner excludes A5A" in page
    assert "A1A excludes" not in page


def test_a_model_without_alternatives_has_no_empty_figure(tmp_path) -> None:
    model = chain_of(5, every=99)
    model = model.take_rows(model.first_row)
    model = model.replace(
        states=(State("Base"),),
        state=np.zeros(model.n_rows, dtype=int),
        altloc_id=np.full(model.n_rows, ""),
    )
    paths = written(model, tmp_path)
    page = paths["report"].read_text()
    assert "<svg" not in page
    assert "every copy is the same" in page
    assert len(gemmi.read_structure(str(paths["copies"]))) == 1
    assert table(paths["states"]) == []


def test_labels_are_escaped_wherever_they_stand(tmp_path) -> None:
    bad = '<b>&"$x$'
    model = chain_of(4, every=2, prefix=bad)
    sites = model.sites.copy()
    sites.chain_id[sites.chain_id == "A"] = "<A&"
    rules = (
        Rule(1, "NOT", model.states[1].id, (model.states[3].id,), "<script>alert(1)</script>"),
    )
    paths = written(model.replace(rules=rules, sites=sites), tmp_path)
    page = paths["report"].read_text()
    assert "<script" not in page
    assert bad not in page
    assert "<b>" not in page.replace("<b>Warning.</b>", "")
    assert escape(bad, quote=False) in page or escape(bad) in page
    # The drawing is XML, and nothing in it has become a tag.
    for figure in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(figure)


@pytest.mark.parametrize(
    ("model", "most_kilobytes"),
    [
        (chain_of(40, "ABCDEFGHIJKLMNOP", every=40), 200),
        (chain_of(100, "ABC"), 500),
        (chain_of(6, "AB", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:22], every=3), 700),
    ],
    ids=["16 states of one residue", "300 states", "22 chains"],
)
def test_pages_of_many_states_and_chains_stay_small(model, most_kilobytes, tmp_path) -> None:
    paths = written(model, tmp_path, findings=[])
    page = paths["report"].read_text()
    assert len(page) < 1000 * most_kilobytes
    assert len(table(paths["states"])) == len(model.states) - 1
    assert page.count("<svg") <= 9
    chains = np.unique(model.sites.chain_id)
    drawn = {name for name in chains if f"residue of chain {name}" in page}
    assert len(drawn) == min(len(chains) - 1, 8)
    if len(drawn) == 8:
        assert "8 of 22 chains with alternatives are drawn" in words(page)


def test_what_is_left_out_of_a_drawing_is_said() -> None:
    model = chain_of(110, "ABC")
    *_, last = tree_blocks(model, drawn_states(model))
    assert "The first 300 of 330 states are drawn" in last.html()


def test_the_same_model_gives_the_same_bytes(small, tmp_path) -> None:
    model, paths = small
    again = written(model, tmp_path)
    for name in FILES:
        if name not in ("molstar", "molstar_archive"):
            assert paths[name].read_bytes() == again[name].read_bytes()
    specs = [json.loads(p["molstar"].read_text()) for p in (paths, again)]
    for spec in specs:
        del spec["metadata"]["timestamp"]
    assert specs[0] == specs[1]


# What viewers are told


def seen(model: Multiconformer, structure: gemmi.Structure) -> list[dict[tuple, str]]:
    """State of every atom of every copy, found by its coordinates."""
    rows = {
        (model.site_label(int(model.site[row])), *np.round(model.coord[row], 3).tolist()): row
        for row in range(model.n_rows)
    }
    found = []
    for copy in structure:
        held = {}
        for chain in copy:
            for residue in chain:
                for atom in residue:
                    number = f"{residue.seqid.num}{residue.seqid.icode.strip()}"
                    label = f"{chain.name}/{residue.name} {number}/{atom.name}"
                    at = [round(x, 3) for x in atom.pos.tolist()]
                    row = rows[label, *at]
                    held[chain.name, number, atom.name] = model.states[model.state[row]].id
        found.append(held)
    return found


def test_copies_are_whole_and_show_every_state(small) -> None:
    model, paths = small
    structure = gemmi.read_structure(str(paths["copies"]))
    copies = seen(model, structure)
    assert len(copies) <= 4
    names = {state for copy in copies for state in copy.values()}
    assert names == {"Base", "inner", *(f"A{r}{x}" for r in (1, 5, 9) for x in "ABC")}
    for copy in copies:
        in_chain = [key for key in copy if key[0] == "A"]
        assert len(in_chain) == 48
        # A copy in a state is in its parent, and keeps the rules.
        held = set(copy.values())
        assert "inner" not in held or ("A1A" in held and "A5A" not in held)
    numbers = [r.label_seq for r in structure[0]["A"].get_polymer()]
    assert numbers == list(range(1, 13))
    # Viewers draw a ribbon through what is said to link as a peptide.
    block = gemmi.cif.read(str(paths["copies"])).sole_block()
    kinds = {name: gemmi.cif.as_string(k) for name, k in block.find("_chem_comp.", ["id", "type"])}
    assert kinds == {"GLY": "PEPTIDE LINKING", "HOH": "NON-POLYMER"}


def expected_colours(model: Multiconformer, copies: list[dict]) -> list[dict[tuple, str]]:
    colour = {model.states[d.state].id: d.colour for d in drawn_states(model)}
    return [
        {key: colour[state] for key, state in copy.items() if state != "Base"} for copy in copies
    ]


def residues_in(text: str) -> list[str]:
    found = []
    for part in re.split(r"[+,]", text):
        low, _, high = part.replace("\\-", "~").partition("-")
        low, high = low.replace("~", "-"), high.replace("~", "-")
        found += [str(n) for n in range(int(low), int(high) + 1)] if high else [low]
    return found


def test_pymol_colours_every_atom_by_its_state(small) -> None:
    model, paths = small
    copies = seen(model, gemmi.read_structure(str(paths["copies"])))
    text = paths["pymol"].read_text()
    found: list[dict[tuple, str]] = [{} for _ in copies]
    command = re.compile(
        r"color 0x(\w{6}), copy_(\d{4}) and "
        r"\(chain (\S+) and resi ([^ )]+)(?: and name ([^ )]+))?\)"
    )
    for colour, copy, chain, residues, names in command.findall(text):
        held = copies[int(copy) - 1]
        for key in held:
            chosen = key[0] == chain and key[1] in residues_in(residues)
            if chosen and (not names or key[2] in names.split("+")):
                found[int(copy) - 1][key] = f"#{colour}"
    assert found == expected_colours(model, copies)
    assert text.splitlines()[2] == "load copies.cif, copies"


def test_chimerax_colours_every_atom_by_its_state(small) -> None:
    model, paths = small
    copies = seen(model, gemmi.read_structure(str(paths["copies"])))
    found: list[dict[tuple, str]] = [{} for _ in copies]
    command = re.compile(r"color #1\.(\d+)/(\w+):([^@ ]+)(?:@(\S+))? (#\w{6}) target ac?\n")
    for copy, chain, residues, names, colour in command.findall(paths["chimerax"].read_text()):
        for key in copies[int(copy) - 1]:
            chosen = key[0] == chain and key[1] in residues_in(residues)
            if chosen and (not names or key[2] in names.split(",")):
                found[int(copy) - 1][key] = colour
    assert found == expected_colours(model, copies)


# Of the published tree schema (version 1): parent, and parameters that must be there.
SCHEMA: dict[str, tuple[set[str], dict[str, type]]] = {
    "download": ({"root"}, {"url": str}),
    "canvas": ({"root"}, {"background_color": str}),
    "parse": ({"download"}, {"format": str}),
    "structure": ({"parse"}, {"type": str, "model_index": int}),
    "component": ({"structure"}, {}),
    "representation": ({"component"}, {"type": str}),
    "color": ({"representation"}, {"color": str}),
    "tooltip": ({"component"}, {"text": str}),
}
SELECTORS = {
    "auth_asym_id": str,
    "auth_seq_id": int,
    "beg_auth_seq_id": int,
    "end_auth_seq_id": int,
    "pdbx_PDB_ins_code": str,
    "label_atom_id": str,
}


def check_node(node: dict[str, Any], parent: str) -> None:
    assert set(node) <= {"kind", "params", "children"}
    if node["kind"] != "root":
        parents, needed = SCHEMA[node["kind"]]
        assert parent in parents
        assert set(node["params"]) - {"selector"} == set(needed)
        for name, kind in needed.items():
            assert isinstance(node["params"][name], kind)
        for name in ("color", "background_color"):
            assert re.fullmatch(r"#[0-9a-f]{6}", node["params"].get(name, "#000000"))
        check_selector(node["params"].get("selector", "all"))
    for child in node.get("children", []):
        check_node(child, node["kind"])


def check_selector(selector: Any) -> None:
    if isinstance(selector, str):
        assert selector in {"all", "polymer", "ligand", "ion", "branched"}
        return
    assert selector
    for part in selector:
        assert all(isinstance(value, SELECTORS[name]) for name, value in part.items())


def nodes(node: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    own = [node] if node["kind"] == kind else []
    return own + [n for child in node.get("children", []) for n in nodes(child, kind)]


def test_the_view_state_keeps_its_published_schema(small) -> None:
    _, paths = small
    spec = json.loads(paths["molstar"].read_text())
    assert set(spec) == {"metadata", "root"}
    assert spec["metadata"]["version"] == "1"
    assert spec["metadata"]["timestamp"]
    check_node(spec["root"], "")
    (download,) = nodes(spec["root"], "download")
    assert (paths["molstar"].parent / download["params"]["url"]).exists()


def test_the_view_state_colours_every_atom_by_its_state(small) -> None:
    model, paths = small
    copies = seen(model, gemmi.read_structure(str(paths["copies"])))
    spec = json.loads(paths["molstar"].read_text())
    found: list[dict[tuple, str]] = [{} for _ in copies]
    for structure in nodes(spec["root"], "structure"):
        copy = structure["params"]["model_index"]
        for shape in nodes(structure, "representation"):
            if shape["params"]["type"] != "ball_and_stick":
                continue
            for node in nodes(shape, "color"):
                for part in node["params"].get("selector", []):
                    low = part.get("beg_auth_seq_id", part.get("auth_seq_id"))
                    high = part.get("end_auth_seq_id", low)
                    for key in copies[copy]:
                        inside = key[0] == part["auth_asym_id"] and low <= int(key[1]) <= high
                        if inside and key[2] == part.get("label_atom_id", key[2]):
                            found[copy][key] = node["params"]["color"]
    assert found == expected_colours(model, copies)
    told = {node["params"]["text"] for node in nodes(spec["root"], "tooltip")}
    assert "state inner, occupancy 0.250" in told


def test_the_archive_holds_the_view_state_and_what_it_names(small) -> None:
    _, paths = small
    with zipfile.ZipFile(paths["molstar_archive"]) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["copies.cif", "index.mvsj"]
        assert archive.read("copies.cif") == paths["copies"].read_bytes()
        assert json.loads(archive.read("index.mvsj")) == json.loads(paths["molstar"].read_text())


def test_negative_numbers_insertions_and_hostile_names_make_no_commands(tmp_path) -> None:
    model = chain_of(6, first=-3)
    sites = model.sites.copy()
    sites.ins_code[(sites.res_id == 2) & (sites.chain_id == "A")] = "B"
    states = [replace(s, id=f"x{s.id}") if s.parent else s for s in model.states]
    paths = written(model.replace(sites=sites, states=tuple(states)), tmp_path)
    pymol = paths["pymol"].read_text()
    assert "resi \\-3" in pymol
    assert "resi 2B" in pymol
    assert "/A:-3" in paths["chimerax"].read_text()
    codes = re.findall(r'"pdbx_PDB_ins_code": ?"(\w)"', paths["molstar"].read_text())
    assert set(codes) == {"B"}
    known = {"#", "load", "split_states", "delete", "hide", "color", "show", "set", "group"}
    assert {line.split(" ")[0] for line in pymol.splitlines()} <= known | {"orient"}
    sites.chain_id[sites.chain_id == "A"] = "A\ndelete"
    bad = written(model.replace(sites=sites, states=tuple(states)), tmp_path)
    for name in ("pymol", "chimerax"):
        assert "\ndelete\n" not in bad[name].read_text()
        assert "color 0x0" not in bad[name].read_text()


def test_members_are_the_copies_where_they_are_recorded(tmp_path) -> None:
    model = chain_of(30, "ABCDE", every=30)
    held = np.eye(5, dtype=bool)
    in_state = np.concatenate([np.ones((5, 1), dtype=bool), held], axis=1)
    weights = model.tree.occupancy[1:]
    model = model.replace(members=Members(weights, in_state))
    paths = written(model, tmp_path)
    assert len(gemmi.read_structure(str(paths["copies"]))) == 5
    page = words(paths["report"].read_text())
    assert "counted in the 5 members" in page
    assert re.search(r"Combinations\s+5\b", page)
    few = written(model, tmp_path, most_copies=2)
    assert len(gemmi.read_structure(str(few["copies"]))) == 2
    assert "3 rare states are in none of them" in words(few["report"].read_text())


def test_spans_are_short_and_say_what_is_left_out() -> None:
    model = chain_of(40)
    one = chain_of(9, every=4)
    assert [span(one, s) for s in range(1, 7)] == ["A 1", "A 1", "A 5", "A 5", "A 9", "A 9"]
    assert span(one, 0) == "A 1–9, W 1"
    assert len(span(model, 0, 6)) <= 6
