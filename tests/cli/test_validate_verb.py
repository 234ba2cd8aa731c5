"""``unstill validate``: a small crystal whose truth is known, wrong files, a real model."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest
from typer.testing import CliRunner

from unstill.cli.app import complete_app
from unstill.crystal import Crystal
from unstill.diffuse.density import density_of
from unstill.io.density_ccp4 import write_density_map
from unstill.io.structure_files import read_structure
from unstill.maps.density_map import DensityMap

HEAD = """data_two
_cell.length_a 20
_cell.length_b 21
_cell.length_c 22
_cell.angle_alpha 90
_cell.angle_beta 100
_cell.angle_gamma 90
_symmetry.space_group_name_H-M 'P 1 21 1'
loop_
_atom_site.group_PDB
_atom_site.id
_atom_site.type_symbol
_atom_site.label_atom_id
_atom_site.label_alt_id
_atom_site.label_comp_id
_atom_site.label_asym_id
_atom_site.label_seq_id
_atom_site.pdbx_PDB_ins_code
_atom_site.auth_seq_id
_atom_site.auth_asym_id
_atom_site.Cartn_x
_atom_site.Cartn_y
_atom_site.Cartn_z
_atom_site.occupancy
_atom_site.B_iso_or_equiv
_atom_site.pdbx_PDB_model_num
"""
SERINE = """ATOM 1 N N . SER A 1 B 7 X 3.10 4.20 4.90 1.0 20 {0}
ATOM 2 C CA . SER A 1 B 7 X 4.56 4.20 4.90 1.0 20 {0}
ATOM 3 C C . SER A 1 B 7 X 5.10 5.62 4.90 1.0 20 {0}
ATOM 4 O O . SER A 1 B 7 X 4.40 6.60 5.10 1.0 20 {0}
ATOM 5 C CB . SER A 1 B 7 X 5.09 3.46 6.12 1.0 20 {0}
ATOM 6 O OG A SER A 1 B 7 X 6.50 3.50 6.15 0.6 20 {0}
ATOM 7 O OG B SER A 1 B 7 X 4.62 2.12 6.13 0.4 20 {0}
HETATM 8 O O . HOH B . ? 9 W 10.0 12.0 9.0 1.0 25 {0}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.cif"
    path.write_text(HEAD + SERINE.format(1))
    return path


def run(*words: object) -> tuple[int, dict[str, Any], str]:
    result = CliRunner().invoke(complete_app(), ["validate", *map(str, words)])
    answer = json.loads(result.stdout) if result.stdout.startswith("{") else {}
    return result.exit_code, answer, result.stderr if answer else result.output


def _mtz(
    model: Path, path: Path, *, group: str = "P 1 21 1", cell: Any = None, density: bool = False
) -> Path:
    """Amplitudes of the model as gemmi calculates them, with free flags; or coefficients."""
    structure = gemmi.read_structure(str(model))
    structure.spacegroup_hm = "P 1 21 1"
    calculator = gemmi.StructureFactorCalculatorX(structure.cell)
    hkl = gemmi.make_miller_array(structure.cell, gemmi.SpaceGroup("P 1 21 1"), 1.8)
    f = np.array(
        [calculator.calculate_sf_from_model(structure[0], index) for index in hkl.tolist()]
    )
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup(group)
    mtz.set_cell_for_all(cell or structure.cell)
    mtz.add_dataset("d")
    kinds = (
        [("FWT", "F"), ("PHWT", "P")] if density else [("F", "F"), ("SIGF", "Q"), ("FREE", "I")]
    )
    for label, kind in kinds:
        mtz.add_column(label, kind)
    flags = np.random.default_rng(0).integers(0, 20, len(hkl))
    values = (
        [np.abs(f), np.degrees(np.angle(f))]
        if density
        else [np.abs(f), 0.01 * np.abs(f) + 0.1, flags]
    )
    mtz.set_data(np.column_stack([hkl, *values]).astype(np.float32))
    mtz.write_to_file(str(path))
    return path


def test_a_model_without_data(model: Path, tmp_path: Path) -> None:
    code, answer, _ = run(model, "-o", tmp_path / "report", "--json")
    assert code == 0
    assert answer["n_members"] == 1
    assert answer["n_atoms"] == 8
    assert answer["n_residues"] == 2
    assert answer["n_rotamers"] == 2
    assert [state["altloc"] for state in answer["states"]] == ["A", "B"]
    assert [state["occupancy"] for state in answer["states"]] == pytest.approx([0.6, 0.4])
    assert "rscc" not in answer
    # N, C and CB run the other way round CA than in L-serine.
    assert answer["chirality_flips"] == 1
    assert "CA has the wrong hand" in answer["residues"][0]["problems"]
    assert 0 < answer["bond_rmsd"] < 0.1
    assert 0 < answer["angle_rmsz"] < 10
    apart = np.linalg.norm(np.array([6.50, 3.50, 6.15]) - [4.62, 2.12, 6.13])
    spread = np.sqrt(0.6 * 0.4) * apart / np.sqrt(6)
    assert answer["spread"]["rmsf_largest"] == pytest.approx(spread, rel=1e-4)
    page = Path(answer["outputs"]["report"]).read_text()
    assert "Validation of model.cif" in page
    assert "<script" not in page
    table = Path(answer["outputs"]["residues"]).read_text()
    rows = list(csv.DictReader(table.splitlines()))
    assert [(row["chain"], row["number"], row["name"]) for row in rows] == [
        ("X", "7B", "SER"),
        ("W", "9", "HOH"),
    ]


def test_amplitudes_of_gemmi_have_no_residual(model: Path, tmp_path: Path) -> None:
    data = _mtz(model, tmp_path / "data.mtz")
    code, answer, _ = run(model, "--data", data, "--json")
    assert code == 0
    assert answer["r_work"] < 0.005
    assert answer["r_free"] < 0.005
    assert answer["rscc"] > 0.98
    assert answer["columns"] == ["F", "SIGF", "FREE"]
    assert sum(shell["n_work"] + shell["n_free"] for shell in answer["shells"]) == len(
        gemmi.read_mtz_file(str(data)).array
    )
    shifted = tmp_path / "shifted.cif"
    shifted.write_text(HEAD + SERINE.format(1).replace("10.0 12.0 9.0", "13.0 15.0 12.0"))
    code, worse, _ = run(shifted, "--data", data, "--json")
    assert code == 0
    assert worse["r_work"] > answer["r_work"] + 0.05
    water = next(one for one in worse["residues"] if one["name"] == "HOH")
    assert water["rscc"] < 0.8
    assert not [one for one in answer["residues"] if one["rscc"] < 0.8]


def test_coefficients_are_a_density(model: Path, tmp_path: Path) -> None:
    data = _mtz(model, tmp_path / "map.mtz", density=True)
    code, answer, _ = run(model, "--data", data, "--json")
    assert code == 0
    assert answer["rscc"] > 0.999
    assert answer["d_min"] == pytest.approx(1.8, abs=0.01)
    assert "r_work" not in answer
    assert all(state["rscc"] > 0.99 for state in answer["states"])


def test_a_map_and_a_state_that_is_not_in_it(model: Path, tmp_path: Path) -> None:
    only_a = SERINE.format(1).replace("6.15 0.6", "6.15 1.0").replace("6.13 0.4", "6.13 0.0")
    truth = tmp_path / "truth.cif"
    truth.write_text(HEAD + only_a)
    density = density_of(read_structure(truth), 1.8)
    path = tmp_path / "map.ccp4"
    write_density_map(density, path)
    code, answer, _ = run(model, "--data", path, "--resolution", 1.8, "--json")
    assert code == 0
    first, second = answer["states"]
    assert first["rscc"] > 0.9
    assert second["rscc"] < 0.6
    code, _, text = run(model, "--data", path)
    assert code == 1
    assert "--resolution" in text


def test_members_count_by_their_weights(tmp_path: Path) -> None:
    far = SERINE.format(2).replace("10.0 12.0 9.0", "5.2 3.6 6.3")
    path = tmp_path / "ensemble.cif"
    path.write_text(HEAD + SERINE.format(1) + far)
    code, answer, _ = run(path, "--json", "-o", tmp_path / "page.html")
    assert code == 0
    assert answer["n_members"] == 2
    each = [member["clashscore"] for member in answer["members"]]
    assert each[1] > each[0] == 0
    assert answer["clashscore"] == pytest.approx(np.mean(each))
    assert answer["spread"]["n_effective"] == pytest.approx(2)
    assert "Members" in Path(answer["outputs"]["report"]).read_text()
    from unstill.io.structure_files import write_structure

    weighted = tmp_path / "weighted.cif"
    write_structure(read_structure(path).replace(weights=np.array([0.9, 0.1])), weighted)
    code, answer, _ = run(weighted, "--json")
    assert code == 0
    assert answer["clashscore"] == pytest.approx(0.1 * each[1])
    assert answer["spread"]["n_effective"] == pytest.approx(1 / 0.82)


def test_selection_restricts_what_is_judged(model: Path) -> None:
    code, answer, _ = run(model, "--select", "water", "--json")
    assert code == 0
    assert answer["n_residues"] == 1
    assert answer["n_rotamers"] == 0
    assert answer["clashscore"] is None
    code, _, text = run(model, "--select", "chain Q")
    assert code == 1
    assert "error" in text


def test_the_table_for_people(model: Path) -> None:
    code, _, text = run(model)
    assert code == 0
    for word in ("clashscore", "rotamers", "states (altlocs as whole copies)", "RMSF"):
        assert word in text


def _elsewhere(path: Path) -> Path:
    crystal = Crystal((20.0, 21.0, 22.0, 90.0, 100.0, 90.0), "P 1 21 1")
    values = np.full((36, 36, 40), np.nan)
    values[18:20, :2, 20:22] = 1.0
    values[18, 0, 20] = 2.0
    write_density_map(DensityMap(crystal, values), path)
    return path


def test_wrong_files_are_told(model: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes.pdb"
    text.write_text("this is no model\n")
    empty = tmp_path / "empty.cif"
    empty.write_text("data_x\n#\n")
    other = tmp_path / "other.mtz"
    _mtz(model, other, group="P 21 21 2", cell=gemmi.UnitCell(20, 21, 22, 90, 90, 90))
    group = _mtz(model, tmp_path / "group.mtz", group="P 1 2 1")
    bare = tmp_path / "bare.mtz"
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup("P 1 21 1")
    mtz.set_cell_for_all(gemmi.UnitCell(20, 21, 22, 90, 100, 90))
    mtz.set_data(np.array([[1, 1, 1], [2, 1, 1]], dtype=np.float32))
    mtz.write_to_file(str(bare))
    cases: list[tuple[list[object], str]] = [
        ([tmp_path / "none.cif"], "not found"),
        ([text], "notes.pdb"),
        ([empty], "empty.cif"),
        ([tmp_path], "folder"),
        ([model, "--data", tmp_path / "none.mtz"], "not found"),
        ([model, "--data", text], "no data that a model is compared with"),
        ([model, "--data", model], "no data that a model is compared with"),
        ([model, "--data", other], "different unit cells"),
        ([model, "--data", group], "different space groups"),
        ([model, "--data", bare], "amplitudes"),
        ([model, "--data", _elsewhere(tmp_path / "e.ccp4"), "--resolution", 2], "where the model"),
        ([model, "-o", model], "file stands"),
    ]
    for words, message in cases:
        code, answer, output = run(*words, "--json")
        assert code == 1, words
        assert message in answer["error"]["what"] + str(answer["error"]["found"]) + output, words
        assert "Traceback" not in output
        assert "unexpected failure" not in output
    assert run(model, "--resolution", -1)[0] == 2


def test_a_resolution_that_leaves_nothing(model: Path, tmp_path: Path) -> None:
    data = _mtz(model, tmp_path / "data.mtz")
    code, answer, _ = run(model, "--data", data, "--resolution", 50, "--json")
    assert code == 1
    assert "no reflection is left" in answer["error"]["what"]


def test_measured_amplitudes(unstill_data: Path, tmp_path: Path) -> None:
    folder = unstill_data / "bragg"
    code, answer, _ = run(
        folder / "1g8a_refined.pdb", "--data", folder / "1g8a.mtz", "-o", tmp_path, "--json"
    )
    assert code == 0
    # 0.1520 and 0.1846 in the header.
    assert answer["r_work"] == pytest.approx(0.1520, abs=0.005)
    assert answer["r_free"] == pytest.approx(0.1846, abs=0.005)
    assert answer["ramachandran_outliers"] == 0
    assert answer["rotamer_outliers"] < 0.01
    assert answer["rscc_median"] > 0.9
    # The loop of 17 to 22 is the piece that the density explains worst.
    listed = [one["number"] for one in answer["residues"] if one["name"] != "HOH"][:12]
    assert {"17", "19", "21"} <= set(listed)
