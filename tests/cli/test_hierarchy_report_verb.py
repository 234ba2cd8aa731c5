"""``unstill hierarchy report``: the folder, its refusals, and a deposited model."""

from __future__ import annotations

import json
from pathlib import Path

import gemmi
import pytest
from two_state_files import answered, refused, unstill

from unstill.workflows.heterogeneity_report import FILES

MODEL = """data_model
loop_
_atom_site.group_PDB
_atom_site.id
_atom_site.type_symbol
_atom_site.label_atom_id
_atom_site.label_alt_id
_atom_site.label_comp_id
_atom_site.label_asym_id
_atom_site.label_seq_id
_atom_site.Cartn_x
_atom_site.Cartn_y
_atom_site.Cartn_z
_atom_site.occupancy
_atom_site.B_iso_or_equiv
_atom_site.auth_seq_id
_atom_site.auth_asym_id
_atom_site.pdbx_PDB_model_num
ATOM 1 N N  . GLY A 1 0.00 0.00 0.00 1.00 10.0 1 A 1
ATOM 2 C CA A GLY A 1 1.46 0.00 0.00 0.60 10.0 1 A 1
ATOM 3 C CA B GLY A 1 1.46 0.20 0.00 0.40 10.0 1 A 1
ATOM 4 C C  . GLY A 1 2.00 1.42 0.00 1.00 10.0 1 A 1
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.cif"
    path.write_text(MODEL)
    return path


def test_a_folder_is_made_and_every_file_is_named(model, tmp_path) -> None:
    out = tmp_path / "deep" / "report"
    found = answered("hierarchy", "report", model, "-o", out)
    assert {name: Path(path).name for name, path in found["outputs"].items()} == FILES
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES.values())
    assert found["n_states"] == 3
    assert found["n_errors"] == 0
    assert any("states no hierarchy" in text for text in found["warnings"])
    page = (out / "report.html").read_text()
    assert "Heterogeneity of model.cif" in page
    assert found["provenance"]["inputs"][0]["sha256"] in page


def test_what_cannot_be_written_is_refused_before_the_work(model, tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    refused(tmp_path, "hierarchy", "report", model, "-o", tmp_path / "file")
    copies = tmp_path / "copies.cif"
    copies.write_text(MODEL)
    told = refused(tmp_path, "hierarchy", "report", copies, "-o", tmp_path)
    assert "replace an input" in told
    assert copies.read_text() == MODEL
    refused(tmp_path, "hierarchy", "report", tmp_path / "none.cif", "-o", tmp_path / "r")


def test_bad_usage_is_told(model, tmp_path) -> None:
    assert unstill("hierarchy", "report", model).code == 2
    assert unstill("hierarchy", "report", model, "-o", tmp_path, "--copies", 0).code == 2
    assert "unstill hierarchy report model.cif -o" in unstill("hierarchy", "report", "-h").out


def test_a_deposited_model(unstill_data, tmp_path) -> None:
    found = answered(
        "hierarchy", "report", unstill_data / "altloc" / "6b8x.pdb", "-o", tmp_path / "r"
    )
    assert found["n_errors"] == 11
    page = (tmp_path / "r" / "report.html").read_text()
    assert "ARG 221/NH2" in page
    assert len(page) < 600_000
    copies = gemmi.read_structure(found["outputs"]["copies"])
    assert len(copies) == 3
    spec = json.loads(Path(found["outputs"]["molstar"]).read_text())
    assert spec["root"]["kind"] == "root"
