"""A session with ``unstill hierarchy``, and what its commands refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from unstill.cli.app import complete_app
from unstill.io import read_multiconformer

LINE = (
    "{record:6s}{n:5d}  {name:<3s}{alt:1s}{res:3s} A{number:4d}    {x:8.3f}{y:8.3f}{z:8.3f}"
    "{share:6.2f} 10.00          {element:>2s}\n"
)
BACKBONE = {"N": (0, 0), "CA": (1.458, 0), "C": (2.009, 1.42), "O": (1.251, 2.39)}


def unstill(*arguments: object) -> Result:
    return CliRunner().invoke(complete_app(), ["hierarchy", *(str(one) for one in arguments)])


def told(*arguments: object) -> dict[str, Any]:
    """Run with ``--json``; there is one object on stdout and the exit code is 0."""
    done = unstill(*arguments, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["provenance"]["command"].startswith("unstill hierarchy")
    return found


def pdb(*, shift: float = 0.0, ligand: bool = False) -> str:
    """Three residues, the first two in A (0.6) and B (0.4), and two waters in two places."""
    rows = []
    for number in (1, 2, 3):
        for name, (x, y) in BACKBONE.items():
            at = (x + 3.33 * number + shift, y + 1.42 * number)
            for place, (alt, share) in enumerate(
                [("A", 0.6), ("B", 0.4)] if number < 3 else [(" ", 1.0)]
            ):
                rows.append((number, "GLY", name, alt, (*at, 0.5 * place), share))
    # A of one water is beside B of the other, too near for both.
    for number, x, labels in ((101, 40.0, "AB"), (102, 42.3, "BA")):
        for place, alt in enumerate(labels):
            rows.append((number, "HOH", "O", alt, (x, 30.0 + 6.0 * place, 0.0), 0.5))
    if ligand:
        rows.append((201, "LIG", "C1", " ", (60.0, 0.0, 0.0), 1.0))
    text = "CRYST1   80.000   80.000   80.000  90.00  90.00  90.00 P 1           1\n"
    for n, (number, res, name, alt, (x, y, z), share) in enumerate(rows, start=1):
        record = "ATOM" if res == "GLY" else "HETATM"
        text += LINE.format(
            record=record, n=n, name=name, alt=alt, res=res, number=number, x=x, y=y, z=z,
            share=share, element=name[0],
        )  # fmt: skip
    return text + "END\n"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model with a stated hierarchy: chain in A and B, the waters merged."""
    (tmp_path / "model.pdb").write_text(pdb())
    told("infer", tmp_path / "model.pdb", "-o", tmp_path / "model.cif")
    return tmp_path / "model.cif"


def ids(path: Path) -> dict[str, float]:
    return {state.id: state.occupancy for state in read_multiconformer(path).states}


def test_a_session(model, tmp_path) -> None:
    assert ids(model) == {"Base": 1.0, "A": 0.6, "B": 0.4, "C": 0.5, "D": 0.5}
    shown = unstill("show", model)
    assert shown.exit_code == 0
    assert "0.600" in shown.stdout
    assert "A/1-2/A" in shown.stdout
    assert told("show", model)["n_states"] == 5
    steps = [
        ("add", "Open", "--parent", "A", "--occupancy", "0.2"),
        ("rename", "Open", "--id", "Wide", "--name", "wide-open"),
        ("reparent", "Wide", "Base"),
        ("coexist", "add", "Wide", "NOT", "B"),
        ("split", "A", "resid 2", "--id", "A2"),
        ("merge", "A", "A2"),
        ("reassign", "resid 101 and altloc A", "Wide", "--set-occupancy"),
    ]
    at = model
    for number, step in enumerate(steps):
        target = tmp_path / f"{number}.cif"
        name = step[:2] if step[0] == "coexist" else step[:1]
        found = told(*name, at, *step[len(name) :], "-o", target)
        assert found["outputs"]["model"] == str(target)
        at = target
    last = read_multiconformer(at)
    assert [(rule.kind, rule.state, rule.others) for rule in last.rules] == [
        ("NOT", "Wide", ("B",))
    ]
    wide = last.tree.find("Wide")
    assert last.states[wide].name == "wide-open"
    assert last.states[wide].parent == "Base"
    assert (last.state == wide).sum() == 1
    # All that a session changes is the tree: places are those of the first file.
    np.testing.assert_array_equal(last.coord, read_multiconformer(model).coord)
    told("coexist", "remove", at, "1", "-o", tmp_path / "unruled.cif")
    assert read_multiconformer(tmp_path / "unruled.cif").rules == ()
    told("remove", at, "Wide", "--rows", "drop", "-o", tmp_path / "less.cif")
    assert read_multiconformer(tmp_path / "less.cif").n_rows == last.n_rows - 1


def test_implied_rules_are_written_on_request(model, tmp_path) -> None:
    found = told("coexist", "implied", model)
    assert "outputs" in found
    assert found["outputs"] == {}
    told("coexist", "implied", model, "-o", tmp_path / "r.cif")
    rules = read_multiconformer(tmp_path / "r.cif").rules
    assert {(rule.kind, rule.state, rule.others) for rule in rules} == {
        ("NOT", "A", ("B",)), ("NOT", "C", ("D",))
    }  # fmt: skip
    told("infer", tmp_path / "model.pdb", "-o", tmp_path / "s.cif", "--rules")
    assert read_multiconformer(tmp_path / "s.cif").rules == rules


def test_clashes_are_listed_and_acted_on(tmp_path) -> None:
    """The waters as independent states: they clash side by side, so they go crosswise."""
    (tmp_path / "model.pdb").write_text(pdb())
    told("infer", tmp_path / "model.pdb", "-o", tmp_path / "a.cif")
    joined = read_multiconformer(tmp_path / "a.cif")
    # Places side by side (2.3 Å) are A of one and B of the other, so A goes with A.
    water = np.flatnonzero(joined.sites.res_name[joined.site] == "HOH")
    labels: dict[int, set[str]] = {}
    for row in water.tolist():
        labels.setdefault(int(joined.state[row]), set()).add(str(joined.altloc_id[row]))
    assert sorted(map(sorted, labels.values())) == [["A"], ["B"]]
    told("split", tmp_path / "a.cif", "C", "resid 102", "-o", tmp_path / "b.cif")
    told("split", tmp_path / "b.cif", "D", "resid 102", "-o", tmp_path / "c.cif")
    report = tmp_path / "clashes.json"
    found = told("clash", "detect", tmp_path / "c.cif", "-o", report)
    assert found["outputs"]
    entries = json.loads(report.read_text())
    assert entries
    told("clash", "apply", tmp_path / "c.cif", report, "-o", tmp_path / "d.cif")
    assert len(read_multiconformer(tmp_path / "d.cif").states) == len(joined.states)


def test_ground_and_changed_states_of_a_crystal(tmp_path) -> None:
    (tmp_path / "ground.pdb").write_text(pdb())
    (tmp_path / "changed.pdb").write_text(pdb(ligand=True))
    told(
        "merge-states", tmp_path / "ground.pdb", tmp_path / "changed.pdb", "--share", "0.25",
        "-o", tmp_path / "both.cif",
    )  # fmt: skip
    found = read_multiconformer(tmp_path / "both.cif")
    assert ids(tmp_path / "both.cif")["Changed"] == pytest.approx(0.25)
    ligand = found.sites.res_name[found.site] == "LIG"
    assert found.occupancy[ligand].tolist() == [0.25]
    chain = found.sites.res_name[found.site] == "GLY"
    sums = np.bincount(found.site[chain], found.occupancy[chain])
    np.testing.assert_allclose(sums[sums > 0], 1.0, atol=1e-6)
    assert unstill("validate", tmp_path / "both.cif").exit_code == 0


FIT = """
loop_
_chem_comp.id
_chem_comp.name
GLY GLYCINE
HOH WATER
{more}
#
_refine.ls_R_factor_R_free 0.21
#
_exptl.method 'X-RAY DIFFRACTION'
"""


def test_joined_files_keep_what_still_holds_and_say_what_does_not(tmp_path) -> None:
    for name, ligand, more in (("g", False, ""), ("c", True, "LIG 'A LIGAND'")):
        (tmp_path / f"{name}.pdb").write_text(pdb(ligand=ligand))
        told("infer", tmp_path / f"{name}.pdb", "-o", tmp_path / f"{name}.cif")
        text = (tmp_path / f"{name}.cif").read_text()
        (tmp_path / f"{name}.cif").write_text(text + FIT.format(more=more))
    both = tmp_path / "both.cif"
    found = told(
        "merge-states", tmp_path / "g.cif", tmp_path / "c.cif", "--share", "0.25", "-o", both
    )
    text = both.read_text()
    assert "_refine." not in text
    assert "'X-RAY DIFFRACTION'" in text
    assert "LIG 'A LIGAND'" in text
    assert len(found["lost"]) == 2
    assert "refine" in found["lost"][0]
    assert "changed model" in found["lost"][1]
    assert [f"not kept: {lost}" for lost in found["lost"]] == found["warnings"]
    # Labels of the ligand are its own, and the file says how it was made.
    ligand = [line for line in text.splitlines() if " LIG " in line and "HETATM" in line]
    assert len(ligand) == 1
    assert ligand[0].split()[-1] == "Changed"
    assert "merge-states" in text


def test_in_place_or_elsewhere(model) -> None:
    before = model.read_bytes()
    for options in ((), ("--in-place", "-o", model.with_name("x.cif"))):
        done = unstill("add", model, "X", *options)
        assert done.exit_code == 1
        assert "-o" in done.stderr
    done = unstill("add", model, "X", "-o", model)
    assert done.exit_code == 1
    assert "--in-place" in done.stderr or "replace an input" in done.stderr
    assert model.read_bytes() == before
    told("add", model, "X", "--in-place")
    assert "X" in ids(model)


REFUSED = [
    (("add", "{m}", "A"), "A"),
    (("remove", "{m}", "Base", "--rows", "drop"), "root"),
    (("rename", "{m}", "Nobody", "--id", "X"), "no such state"),
    (("reparent", "{m}", "A", "B"), "more copies"),
    (("merge", "{m}", "A", "B"), "A"),
    (("split", "{m}", "A", "resid 77"), "77"),
    (("reassign", "{m}", "resid 1 and altloc A", "B"), "B"),
    (("coexist", "add", "{m}", "Base", "NOT", "A"), "Base"),
    (("coexist", "add", "{m}", "A", "AND", "B"), "A"),
    (("coexist", "remove", "{m}", "9"), "no such rule"),
]


@pytest.mark.parametrize(("arguments", "said"), REFUSED)
def test_what_is_refused_leaves_no_file(model, tmp_path, arguments, said) -> None:
    before = sorted(tmp_path.iterdir())
    filled = [one.replace("{m}", str(model)) for one in arguments]
    done = unstill(*filled, "-o", tmp_path / "out.cif", "--json")
    assert done.exit_code == 1, done.output
    error = json.loads(done.stdout)["error"]
    assert said in f"{error['what']} {error['found']} {error['fix']}"
    assert error["fix"]
    assert sorted(tmp_path.iterdir()) == before


def test_bad_usage(model) -> None:
    for arguments in (("add", model), ("add", model, "X", "--kind", "odd"), ("fly", model),
                      ("coexist", "add", model, "A", "XOR", "B", "-o", "x.cif")):  # fmt: skip
        assert unstill(*arguments).exit_code == 2


def test_files_that_are_none(tmp_path) -> None:
    (tmp_path / "bad.cif").write_text("data_x\nloop_\n_atom_site.id\n1\n2 3 '")
    for name in ("bad.cif", "absent.cif"):
        done = unstill("infer", tmp_path / name, "-o", tmp_path / "out.cif")
        assert done.exit_code == 1
        assert "Traceback" not in done.output
        assert not (tmp_path / "out.cif").exists()


def test_every_command_has_an_example() -> None:
    for name in ("infer", "show", "validate", "add", "remove", "rename", "reparent", "merge",
                 "split", "reassign", "merge-states", "report"):  # fmt: skip
        assert "Example: unstill hierarchy" in unstill(name, "--help").stdout, name
    for pair in (("coexist", "add"), ("coexist", "remove"), ("coexist", "implied"),
                 ("clash", "detect"), ("clash", "apply")):  # fmt: skip
        assert "Example: unstill hierarchy" in unstill(*pair, "--help").stdout, pair
