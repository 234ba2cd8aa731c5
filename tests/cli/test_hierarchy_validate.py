"""``unstill hierarchy validate``: verdicts, exit codes, JSON and page, for all sorts of files."""

from __future__ import annotations

import importlib.util
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from two_state_files import refused, unstill

ITEMS = (
    "group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id "
    "label_seq_id Cartn_x Cartn_y Cartn_z occupancy B_iso_or_equiv auth_seq_id auth_asym_id "
    "pdbx_PDB_model_num pdbx_heterogeneity_id"
)
ATOMS = (
    ("N", ".", "0.00 0.00 0.00", "1.00", "Base"),
    ("CA", "A", "1.46 0.00 0.00", "0.60", "A"),
    ("CA", "B", "1.46 0.20 0.00", "0.40", "B"),
    ("C", ".", "2.00 1.42 0.00", "1.00", "Base"),
    ("O", ".", "1.20 2.36 0.00", "1.00", "Base"),
)
STATES = (("Base", "all", "."), ("A", "one", "Base"), ("B", "other", "Base"))
RULES = (("1", "NOT", "A", "B"),)


def model_file(path: Path, atoms: Any = ATOMS, states: Any = STATES, rules: Any = RULES) -> Path:
    """Write one residue with two states; without states the file is plain mmCIF."""
    items = ITEMS.split(" ") if states else ITEMS.split(" ")[:-1]
    lines = ["data_model", "loop_", *(f"_atom_site.{item}" for item in items)]
    for number, (name, alt, at, occupancy, state) in enumerate(atoms, start=1):
        front = f"ATOM {number} {name[0]} {name} {alt} GLY A 1"
        lines.append(f"{front} {at} {occupancy} 10.0 1 A 1" + (f" {state}" if states else ""))
    for category, names, rows in (
        ("pdbx_heterogeneity_hierarchy", ("id", "name", "parent"), states),
        (
            "pdbx_state_coexistence",
            ("id", "rule", "heterogeneity_id", "heterogeneity_ids"),
            rules if states else (),
        ),
    ):
        if rows:
            lines += ["#", "loop_", *(f"_{category}.{name}" for name in names)]
            lines += [" ".join(row) for row in rows]
    path.write_text("\n".join(lines) + "\n#\n")
    return path


def kinds(found: dict[str, Any], severity: str = "error") -> set[tuple[str, str]]:
    return {(f["rule"], f["kind"]) for f in found["findings"] if f["severity"] == severity}


def test_a_model_that_keeps_every_rule_passes(tmp_path) -> None:
    file = model_file(tmp_path / "good.cif")
    found = unstill("hierarchy", "validate", file)
    assert found.code == 0
    assert "0 errors, 0 warnings, 0 notes" in found.out
    found = unstill("hierarchy", "validate", file, "--json").json
    assert found["findings"] == []
    assert found["hierarchy"] == "stated"
    assert found["n_states"] == 3
    assert found["n_macrostates"] == 2
    assert found["checked"] == [f"V{n}" for n in range(1, 11)]
    assert found["provenance"]["inputs"][0]["path"] == str(file)


def test_a_file_without_a_hierarchy_is_given_one(tmp_path) -> None:
    found = unstill("hierarchy", "validate", model_file(tmp_path / "m.cif", states=()), "--json")
    assert found.code == 0
    assert found.json["hierarchy"] == "inferred"
    assert kinds(found.json, "note") == {("V4", "unwritten-exclusion")}


@pytest.mark.parametrize(
    ("occupancy", "code", "severity"),
    [("0.40", 0, None), ("0.42", 0, "warning"), ("0.43", 1, "error"), ("0.95", 1, "error")],
)
def test_sums_decide_the_exit_code(tmp_path, occupancy, code, severity) -> None:
    atoms = [(*a[:3], occupancy if a[1] == "B" else a[3], a[4]) for a in ATOMS]
    found = unstill("hierarchy", "validate", model_file(tmp_path / "m.cif", atoms), "--json")
    assert found.code == code
    sums = [f for f in found.json["findings"] if f["rule"] == "V5"]
    assert {f["severity"] for f in sums} == ({severity} if severity else set())
    for finding in sums:
        assert finding["remedy"]
        assert finding["value"] == pytest.approx(0.6 + float(occupancy))
    assert found.json["n_errors"] == sum(f["severity"] == "error" for f in found.json["findings"])


@pytest.mark.parametrize(
    ("states", "rules", "expected"),
    [
        ((*STATES[:2], ("B", "other", ".")), RULES, ("V1", "roots")),
        ((STATES[0], ("A", "one", "B"), ("B", "other", "A")), (), ("V1", "cycle")),
        ((*STATES, ("A", "third", "Base")), RULES, ("V1", "repeated-id")),
        ((*STATES[:2], ("B", "one", "Base")), RULES, ("V1", "repeated-name")),
        ((*STATES[:2], ("B", "other", "Q")), RULES, ("V2", "unknown-parent")),
        (STATES[:2], (), ("V2", "unknown-state")),
        (STATES, (("1", "NOT", "A", "Q"),), ("V2", "broken-rule")),
        (STATES, (("0", "NOT", "A", "B"),), ("V2", "broken-rule")),
        (STATES, (("1", "XOR", "A", "B"),), ("V2", "broken-rule")),
        (STATES, (("1", "NOT", "Base", "A"),), ("V3", "rule-against-tree")),
        (STATES, (("1", "NOT", "A", "Base"),), ("V3", "rule-against-tree")),
        (STATES, (("1", "AND", "A", "B"),), ("V4", "needs-what-it-excludes")),
        (STATES, (("1", "OR", "A", "B"),), ("V3", "cannot-occur")),
    ],
)
def test_hierarchies_that_contradict_themselves_fail(tmp_path, states, rules, expected) -> None:
    file = model_file(tmp_path / "bad.cif", ATOMS, states, rules)
    found = unstill("hierarchy", "validate", file, "--json", "--html", tmp_path / "page.html")
    assert found.code == 1
    assert expected in kinds(found.json)
    assert "error" not in found.json
    assert (tmp_path / "page.html").exists()


def test_an_atom_twice_in_one_state_is_a_finding(tmp_path) -> None:
    file = model_file(tmp_path / "twice.cif", (*ATOMS, ATOMS[1]))
    found = unstill("hierarchy", "validate", file, "--json")
    assert found.code == 1
    (finding,) = found.json["findings"]
    assert finding["kind"] == "no-model"
    assert "twice" in finding["message"]
    assert "A/GLY 1/CA" in finding["message"]
    assert finding["remedy"]


def test_the_page_says_what_the_text_says(tmp_path) -> None:
    atoms = [(*a[:3], "0.70" if a[1] == "A" else a[3], a[4]) for a in ATOMS]
    file = model_file(tmp_path / "m.cif", atoms)
    text = unstill("hierarchy", "validate", file, "--html", tmp_path / "page.html")
    assert text.code == 1
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page
    words = re.sub(r"\s+", " ", unescape(re.sub("<[^>]+>", " ", page)))
    assert "States of m.cif: 1 error" in words
    assert "sum to 1.100 at worst" in words
    assert "sum to 1.100 at worst" in text.out
    assert "to do: scale the occupancies" in text.out
    assert "unstill hierarchy validate" in words


def test_names_in_a_page_are_escaped(tmp_path) -> None:
    bad = "<b>&x"
    atoms = [(*a[:4], bad if a[4] == "A" else a[4]) for a in ATOMS]
    states = (STATES[0], (bad, "one", "Base"), ("B", "other", "Base"))
    file = model_file(tmp_path / "m.cif", atoms, states, ((("1", "NOT", "Base", bad)),))
    assert unstill("hierarchy", "validate", file, "--html", tmp_path / "p.html").code == 1
    page = (tmp_path / "p.html").read_text()
    assert bad not in page
    assert "&lt;b&gt;&amp;x" in page


def test_bad_usage_is_told_from_bad_models(tmp_path) -> None:
    file = model_file(tmp_path / "good.cif")
    assert unstill("hierarchy", "validate", file, "--most", 0).code == 2
    assert unstill("hierarchy", "validate").code == 2
    assert "error" in unstill("hierarchy", "validate", file, "--html", file, "--json").json
    assert "not found" in refused(tmp_path, "hierarchy", "validate", tmp_path / "none.cif")
    cut = tmp_path / "cut.cif"
    cut.write_text(file.read_text()[:700])
    refused(tmp_path, "hierarchy", "validate", cut)


def test_help_has_an_example() -> None:
    assert "unstill hierarchy validate model.cif" in unstill("hierarchy", "validate", "-h").out


# Deposited and refined models


@pytest.fixture(scope="module")
def verdict(unstill_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    known: dict[str, tuple[int, dict[str, Any]]] = {}

    def of(name: str) -> tuple[int, dict[str, Any]]:
        if name not in known:
            file = unstill_data / "altloc" / name
            found = unstill("hierarchy", "validate", file, "--json", "--most", 1000)
            known[name] = (found.code, found.json)
        return known[name]

    return of


@pytest.mark.parametrize("name", ["1vme.cif", "1vme_0.5A_0.5B.cif", "3o5r.cif", "4i39.cif"])
def test_models_without_contradictions_pass(verdict, name) -> None:
    code, found = verdict(name)
    assert kinds(found) == set()
    assert code == 0


@pytest.mark.parametrize(("name", "unavoidable"), [("6b8x.pdb", 11), ("6ni6.pdb", 17)])
def test_clashes_that_populations_force_are_counted(verdict, name, unavoidable) -> None:
    code, found = verdict(name)
    forced = [f for f in found["findings"] if f["kind"] == "forced-clash"]
    assert len(forced) == unavoidable
    assert {f["rule"] for f in forced} == {"V8"}
    assert all(f["value"] > 0.01 for f in forced)
    assert kinds(found) == {("V8", "forced-clash")}
    assert code == 1


def test_the_worst_forced_clash_is_named(verdict) -> None:
    worst = verdict("6b8x.pdb")[1]["findings"][0]
    assert worst["severity"] == "error"
    assert [atom.split(" (")[0] for atom in worst["atoms"]] == [
        "A/ARG 221/NH2 A",
        "A/HOH 548/O B",
    ]
    assert worst["value"] == pytest.approx(0.48 + 0.99 - 1)


def test_bad_sums_of_a_refined_model_fail(verdict) -> None:
    code, found = verdict("qfit_segment.pdb")
    assert code == 1
    above = [f for f in found["findings"] if f["kind"] == "sum-above"]
    errors = [f for f in above if f["severity"] == "error"]
    single = [f for f in found["findings"] if f["kind"] == "occupancy-range"]
    assert sum(f["count"] for f in errors) == 695
    assert sum(f["count"] for f in [*above, *single]) == 716
    assert max(f["value"] for f in errors) == pytest.approx(1.47)


def test_sums_of_two_decimals_of_a_deposited_model_only_warn() -> None:
    package = importlib.util.find_spec("MDAnalysisTests")
    if package is None or package.origin is None:
        pytest.skip("19HC comes with MDAnalysisTests, which is not installed")
    file = Path(package.origin).parent / "data" / "19hc.pdb.gz"
    found = unstill("hierarchy", "validate", file, "--json")
    assert found.code == 0
    (finding,) = [f for f in found.json["findings"] if f["kind"] == "sum-above"]
    assert finding["severity"] == "warning"
    assert finding["count"] == 30
    assert finding["value"] == pytest.approx(1.01)
