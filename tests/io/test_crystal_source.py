"""Who knows the crystal."""

from __future__ import annotations

import pytest

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.io import read_crystal, resolve_crystal, write_map

PDB = """\
CRYST1   48.499   48.499   63.430  90.00  90.00  90.00 P 41          4
ATOM      1  CA  ALA A   1      11.104   6.134  -6.504  1.00 10.00           C
END
"""


def test_nobody_knows() -> None:
    assert resolve_crystal() is None


def test_cell_and_group_by_hand_win_over_everything(tmp_path) -> None:
    (tmp_path / "x.pdb").write_text(PDB)
    found = resolve_crystal("10,20,30,90,95,90", "P 21", tmp_path / "x.pdb")
    assert found == Crystal((10.0, 20.0, 30.0, 90.0, 95.0, 90.0), "P 1 21 1")


def test_the_model_wins_over_the_partner_and_completes_what_is_given(tmp_path, make_map) -> None:
    (tmp_path / "x.pdb").write_text(PDB)
    write_map(make_map(), tmp_path / "p.nxs")
    model, partner = tmp_path / "x.pdb", tmp_path / "p.nxs"
    assert resolve_crystal(None, None, model, partner).space_group == "P 41"
    assert resolve_crystal(None, None, None, partner) == make_map().crystal
    assert resolve_crystal(None, "P 4", model).space_group == "P 4"
    assert resolve_crystal([49.0, 49.0, 63.0], None, model).unit_cell[0] == 49.0


@pytest.mark.parametrize("suffix", [".nxs", ".mtz", ".ccp4", ".hkl"])
def test_every_format_that_holds_a_crystal_tells_it(tmp_path, make_map, suffix) -> None:
    write_map(make_map(), tmp_path / f"p{suffix}")
    assert read_crystal(tmp_path / f"p{suffix}") == make_map().crystal


def test_a_lattice_knows_no_crystal(tmp_path, make_map) -> None:
    write_map(make_map(), tmp_path / "p.lat")
    assert read_crystal(tmp_path / "p.lat") is None


@pytest.mark.parametrize(
    ("cell", "group", "what"),
    [
        ("10,20", None, "cannot be read"),
        ("a,b,c", None, "cannot be read"),
        ("10,20,30,90,90,90", None, "--space-group"),
        (None, "P 21", "--unit-cell"),
        ("10,20,30,90,90,190", "P 1", "no volume"),
        ("10,20,30,90,90,90", "P 99", "unknown space group"),
    ],
)
def test_bad_crystals_are_explained(cell, group, what) -> None:
    with pytest.raises(InputError, match=what):
        resolve_crystal(cell, group)
