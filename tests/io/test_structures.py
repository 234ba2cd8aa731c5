"""Structures: PDB, mmCIF and BinaryCIF, checked against gemmi and by round trips."""

from __future__ import annotations

import gzip
import json
import warnings
from pathlib import Path

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from MDAnalysisTests.datafiles import PDB_full

from unstill.crystal import Crystal
from unstill.ensembles import Ensemble
from unstill.errors import FormatError, InputError, UnstillError, UnstillWarning
from unstill.io import read_structure, write_structure

PDB = """\
CRYST1   20.000   30.000   40.000  90.00 100.00  90.00 P 1 21 1      2
ATOM      1  N  AALA A   1      11.104   6.134  -6.504  0.60 10.00           N1+
ANISOU    1  N  AALA A   1     1000   2000   3000    100   -200    300       N1+
ATOM      2  N  BALA A   1      11.204   6.234  -6.404  0.40 12.00           N
ATOM      3  CA  ALA A   1      11.639   6.071  -5.147  1.00 20.00           C
ATOM      4  D   ALA A   1A     12.000   7.000  -5.000  1.00 20.00           D
HETATM    5 CA    CA B 301       1.000   2.000   3.000  1.00  5.00          CA2+
END
"""

KEYS = (
    "chain_id",
    "res_id",
    "ins_code",
    "res_name",
    "atom_name",
    "altloc_id",
    "element",
    "hetero",
)


def write(tmp_path: Path, text: str, name: str = "x.pdb") -> Path:
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_a_pdb_file_is_read_with_altlocs_anisou_and_deuterium(tmp_path) -> None:
    found = read_structure(write(tmp_path, PDB))
    assert (found.n_members, found.n_atoms) == (1, 5)
    assert found.atoms.altloc_id.tolist() == ["A", "B", "", "", ""]
    assert found.occupancy.tolist() == [0.6, 0.4, 1, 1, 1]
    assert found.element.tolist() == ["N", "N", "C", "D", "CA"]
    assert found.atoms.ins_code.tolist() == ["", "", "", "A", ""]
    assert found.atoms.charge.tolist() == [1, 0, 0, 0, 2]
    assert found.atoms.hetero.tolist() == [False] * 4 + [True]
    assert found.u_aniso is not None
    np.testing.assert_allclose(found.u_aniso[0], [0.1, 0.2, 0.3, 0.01, -0.02, 0.03])
    assert np.isnan(found.u_aniso[1:]).all()
    assert found.crystal == Crystal((20.0, 30.0, 40.0, 90.0, 100.0, 90.0), "P 1 21 1")


def against_gemmi(path: Path) -> None:
    found = read_structure(path)
    structure = gemmi.read_structure(str(path), merge_chain_parts=False)
    atoms = list(structure[0].all())
    assert found.n_members == len(structure)
    np.testing.assert_allclose(found.coord[0], [site.atom.pos.tolist() for site in atoms])
    np.testing.assert_allclose(found.occupancy, [site.atom.occ for site in atoms], atol=1e-6)
    np.testing.assert_allclose(found.b_factor, [site.atom.b_iso for site in atoms], rtol=1e-6)
    assert found.element.tolist() == [site.atom.element.name.upper() for site in atoms]
    assert found.atoms.altloc_id.tolist() == [site.atom.altloc.strip("\0") for site in atoms]
    assert found.atoms.chain_id.tolist() == [site.chain.name for site in atoms]
    assert found.atoms.res_id.tolist() == [site.residue.seqid.num for site in atoms]
    has_u = np.array([site.atom.aniso.nonzero() for site in atoms])
    assert (found.u_aniso is not None) == has_u.any()
    if found.u_aniso is not None:
        expected = np.array([site.atom.aniso.elements_pdb() for site in atoms])
        np.testing.assert_allclose(found.u_aniso[has_u], expected[has_u], atol=1e-6)
    if found.crystal is not None:
        np.testing.assert_allclose(found.crystal.unit_cell, structure.cell.parameters)


def test_a_deposited_file_agrees_with_gemmi(tmp_path) -> None:
    path = tmp_path / "x.pdb"
    path.write_text(Path(PDB_full).read_text())
    against_gemmi(path)


@pytest.mark.parametrize(
    "name",
    ["altloc/1vme.cif", "altloc/2yl0.pdb", "altloc/6ni6.pdb", "altloc/qfit_segment.pdb",
     "altloc/3o5r.cif", "lysozyme/lys_ortho_refmac.pdb", "nmr/1l2y.cif", "snase/4wor.pdb"],
)  # fmt: skip
def test_real_files_agree_with_gemmi(unstill_data, name) -> None:
    against_gemmi(unstill_data / name)


@pytest.mark.parametrize("suffix", [".pdb", ".cif"])
@pytest.mark.parametrize("name", ["altloc/1vme.cif", "altloc/2yl0.pdb", "nmr/1l2y.cif"])
def test_real_files_survive_being_written(unstill_data, tmp_path, name, suffix) -> None:
    found = read_structure(unstill_data / name)
    write_structure(found, tmp_path / f"x{suffix}")
    same_ensemble(read_structure(tmp_path / f"x{suffix}"), found)


def same_ensemble(back: Ensemble, found: Ensemble, *, coord: float = 1e-3) -> None:
    assert back.coord.shape == found.coord.shape
    np.testing.assert_allclose(back.coord, found.coord, atol=0.51 * coord)
    # One row for all members and equal rows mean the same.
    per_atom = (found.n_members, found.n_atoms)
    for name in ("occupancy", "b_factor"):
        first, second = (np.broadcast_to(getattr(e, name), per_atom) for e in (back, found))
        np.testing.assert_allclose(first, second, atol=0.0051)
    assert (back.u_aniso is None) == (found.u_aniso is None)
    if found.u_aniso is not None and back.u_aniso is not None:
        first, second = (np.broadcast_to(e.u_aniso, (*per_atom, 6)) for e in (back, found))
        np.testing.assert_allclose(first, second, atol=0.51e-4)
    assert back.crystal == found.crystal
    for key in KEYS:
        assert back.atoms.get_annotation(key).tolist() == found.atoms.get_annotation(key).tolist()


ensembles = st.builds(
    dict,
    n_members=st.integers(1, 3),
    n_atoms=st.integers(1, 6),
    seed=st.integers(0, 99),
    aniso=st.booleans(),
    crystal=st.sampled_from(
        [None, Crystal((20.0, 30.0, 40.0, 90.0, 100.0, 90.0), "P 1 21 1"),
         Crystal((50.0, 50.0, 90.0, 90.0, 90.0, 120.0), "R 3:H"),
         Crystal((50.0, 50.0, 50.0, 80.0, 80.0, 80.0), "R 3:R")]
    ),
)  # fmt: skip


def some_ensemble(
    n_members: int, n_atoms: int, seed: int, *, aniso: bool, crystal: Crystal | None
) -> Ensemble:
    import biotite.structure

    rng = np.random.default_rng(seed)
    atoms = biotite.structure.AtomArray(n_atoms)
    atoms.set_annotation("chain_id", rng.choice(["A", "B", "AA"], n_atoms))
    atoms.set_annotation("res_id", rng.integers(-20, 60_000, n_atoms))
    atoms.set_annotation("ins_code", rng.choice(["", "C"], n_atoms))
    atoms.set_annotation("res_name", rng.choice(["ALA", "HOH", "HEC"], n_atoms))
    atoms.set_annotation("atom_name", rng.choice(["CA", "O", "HG11", "O5'"], n_atoms))
    atoms.set_annotation("element", rng.choice(["C", "D", "FE"], n_atoms))
    atoms.set_annotation("altloc_id", rng.choice(["", "A", "B"], n_atoms))
    atoms.set_annotation("hetero", rng.random(n_atoms) < 0.5)
    atoms.set_annotation("charge", rng.integers(-2, 3, n_atoms))
    u = rng.uniform(0.05, 0.2, (n_members, n_atoms, 6))
    u[:, rng.random(n_atoms) < 0.4] = np.nan
    if np.isnan(u).all():
        u[:, 0] = 0.1
    return Ensemble(
        atoms,
        rng.uniform(-90, 90, (n_members, n_atoms, 3)),
        occupancy=rng.uniform(0, 1, (n_members, n_atoms)),
        b_factor=rng.uniform(0, 99, n_atoms),
        u_aniso=u if aniso else None,
        crystal=crystal,
    )


@given(arguments=ensembles, suffix=st.sampled_from([".pdb", ".cif"]))
def test_any_ensemble_survives_being_written(tmp_path_factory, arguments, suffix) -> None:
    found = some_ensemble(**arguments)
    path = tmp_path_factory.mktemp("x") / f"x{suffix}"
    write_structure(found, path)
    same_ensemble(read_structure(path), found)
    # gemmi, which knows nothing of us, counts the same atoms in the same models.
    structure = gemmi.read_structure(str(path))
    assert [model.count_atom_sites() for model in structure] == [found.n_atoms] * found.n_members


def test_mmcif_keeps_unequal_weights_and_pdb_warns(tmp_path) -> None:
    found = some_ensemble(3, 2, 0, aniso=False, crystal=None)
    found = found.replace(weights=np.array([0.5, 0.2, 0.3]))
    write_structure(found, tmp_path / "x.cif")
    np.testing.assert_allclose(read_structure(tmp_path / "x.cif").weights, [0.5, 0.2, 0.3])
    with pytest.warns(UnstillWarning, match="weights"):
        write_structure(found, tmp_path / "x.pdb")


def test_bcif_and_gzip_give_the_same_as_mmcif(tmp_path) -> None:
    from biotite.structure.io import pdbx

    found = read_structure(write(tmp_path, PDB))
    write_structure(found, tmp_path / "x.cif")
    text = pdbx.CIFFile.read(str(tmp_path / "x.cif"))
    binary = pdbx.BinaryCIFFile({
        name: pdbx.BinaryCIFBlock({
            key: pdbx.BinaryCIFCategory({
                column: pdbx.BinaryCIFColumn(
                    pdbx.BinaryCIFData(values.as_array(str)),
                    None if values.mask is None else pdbx.BinaryCIFData(values.mask.array),
                )
                for column, values in category.items()
            })
            for key, category in block.items()
        })
        for name, block in text.items()
    })  # fmt: skip
    binary.write(str(tmp_path / "x.bcif"))
    same_ensemble(read_structure(tmp_path / "x.bcif"), found)
    for name in ("x.cif", "x.pdb", "x.bcif"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
        same_ensemble(read_structure(tmp_path / f"{name}.gz"), found)


def test_mmcif_b_tensors_are_turned_into_u(tmp_path) -> None:
    write_structure(read_structure(write(tmp_path, PDB)), tmp_path / "u.cif")
    text = (tmp_path / "u.cif").read_text()
    head, _, tail = text.partition("_atom_site_anisotrop.id")
    rows = tail.replace("_atom_site_anisotrop.U[", "_atom_site_anisotrop.B[")
    (tmp_path / "b.cif").write_text(head + "_atom_site_anisotrop.id" + rows)
    u, b = read_structure(tmp_path / "u.cif"), read_structure(tmp_path / "b.cif")
    np.testing.assert_allclose(b.u_aniso[0], u.u_aniso[0] / (8 * np.pi**2))


@pytest.mark.parametrize(
    "record",
    ["", "CRYST1    1.000    1.000    1.000  90.00  90.00  90.00 P 1           1\n"],
)
def test_files_without_a_crystal_have_none(tmp_path, record) -> None:
    body = PDB.partition("\n")[2]
    assert read_structure(write(tmp_path, record + body)).crystal is None


def test_the_order_of_atoms_is_that_of_the_file_even_where_chains_are_split(tmp_path) -> None:
    line = "ATOM  {:5d}  CA  ALA {}{:4d}    {:8.3f}   0.000   0.000  1.00  0.00           C\n"
    chains = "ABAB"
    text = "".join(line.format(i, chain, i, float(i)) for i, chain in enumerate(chains))
    found = read_structure(write(tmp_path, text))
    assert found.atoms.chain_id.tolist() == list(chains)
    assert found.coord[0, :, 0].tolist() == [0, 1, 2, 3]


def test_models_of_different_atoms_are_refused_with_the_first_difference(tmp_path) -> None:
    line = "ATOM      1  {}  ALA A   1       1.000   0.000   0.000  1.00  0.00           C\n"
    two = "MODEL        1\n{}ENDMDL\nMODEL        2\n{}ENDMDL\n"
    text = two.format(line.format("CA"), line.format("CB"))
    with pytest.raises(FormatError, match=r"model 2: atom_name .*CB.*CA"):
        read_structure(write(tmp_path, text))
    text = two.format(line.format("CA"), line.format("CA") * 2)
    with pytest.raises(FormatError, match="2 atoms, model 1 has 1"):
        read_structure(write(tmp_path, text))


def test_an_unknown_element_names_the_atom(tmp_path) -> None:
    text = PDB.replace("           C\n", "           X\n")
    with pytest.raises(InputError, match=r"unknown element.*'X' at A/ALA 1/CA"):
        read_structure(write(tmp_path, text))


def test_a_coordinate_that_is_not_a_number_names_the_atom(tmp_path) -> None:
    with pytest.raises(InputError, match=r"not finite.*A/ALA 1/CA"):
        read_structure(write(tmp_path, PDB.replace("  11.639", "     nan")))
    with pytest.raises(FormatError, match="cannot be read"):
        read_structure(write(tmp_path, PDB.replace("  11.639", "   1x.63")))


def test_elements_are_told_from_names_where_the_column_is_blank(tmp_path) -> None:
    text = "\n".join(line[:66] if line.startswith(("ATOM", "HETATM")) else line
                     for line in PDB.splitlines() if not line.startswith("ANISOU"))  # fmt: skip
    assert read_structure(write(tmp_path, text + "\n")).element.tolist() == [
        "N", "N", "C", "D", "CA",
    ]  # fmt: skip


def test_virtual_sites_of_water_are_left_out_with_a_warning(tmp_path) -> None:
    line = "HETATM    1 {:4s} HOH A   1       1.000   0.000   0.000  1.00  0.00\n"
    text = "".join(line.format(name) for name in (" O", " H1", " H2", " M"))
    with pytest.warns(UnstillWarning, match="1 virtual sites"):
        found = read_structure(write(tmp_path, text))
    assert found.element.tolist() == ["O", "H", "H"]


def test_a_missing_space_group_is_said(tmp_path) -> None:
    text = PDB.replace("P 1 21 1      2", "")
    with pytest.warns(UnstillWarning, match="P 1 is assumed"):
        found = read_structure(write(tmp_path, text))
    assert found.crystal is not None
    assert found.crystal.space_group == "P 1"


@given(fraction=st.floats(0, 0.999), suffix=st.sampled_from([".pdb", ".cif", ".bcif", ".pdb.gz"]))
def test_a_structure_cut_anywhere_gives_an_unstill_error_or_fewer_atoms(
    tmp_path_factory, fraction, suffix
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    whole = {
        ".pdb": PDB.encode(),
        ".pdb.gz": gzip.compress(PDB.encode()),
        ".cif": _mmcif(folder),
        ".bcif": _mmcif(folder)[::-1],
    }[suffix]
    path = folder / f"x{suffix}"
    path.write_bytes(whole[: int(fraction * len(whole))])
    reference = read_structure(write(folder, PDB))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnstillWarning)
        try:
            found = read_structure(path)
        except UnstillError as error:
            fix = error.fix
        else:
            # Whole lines may be missing without a trace; a number may not lose digits.
            fix = "none"
            n = found.n_atoms
            assert suffix in (".pdb", ".cif")
            np.testing.assert_array_equal(found.coord, reference.coord[:, :n])
            np.testing.assert_array_equal(found.occupancy, reference.occupancy[:n])
            np.testing.assert_array_equal(found.b_factor, reference.b_factor[:n])
    assert fix


def _mmcif(folder: Path) -> bytes:
    write_structure(read_structure(write(folder, PDB, "whole.pdb")), folder / "whole.cif")
    return (folder / "whole.cif").read_bytes()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"chain_id": "ABC"}, "chain names"),
        ({"res_name": "ALAN"}, "residue names"),
        ({"atom_name": "CAXYZ"}, "atom names"),
    ],
)
def test_what_does_not_fit_pdb_columns_is_refused(tmp_path, change, what) -> None:
    found = some_ensemble(1, 2, 0, aniso=False, crystal=None)
    for key, value in change.items():
        found.atoms.set_annotation(key, np.array([value, value]))
    with pytest.raises(InputError, match=f"{what}.*write .cif"):
        write_structure(found, tmp_path / "x.pdb")
    write_structure(found, tmp_path / "x.cif")
    assert read_structure(tmp_path / "x.cif").n_atoms == 2
    assert not (tmp_path / "x.pdb").exists()


def test_far_away_coordinates_do_not_fit_a_pdb_file(tmp_path) -> None:
    found = some_ensemble(1, 2, 0, aniso=False, crystal=None)
    with pytest.raises(InputError, match="coordinates"):
        write_structure(found.replace(coord=found.coord + 10_000.0), tmp_path / "x.pdb")


@pytest.mark.parametrize("name", ["x.cif", "x.pdb"])
def test_a_file_says_how_it_came_to_be_and_reads_as_before(tmp_path: Path, name: str) -> None:
    source = read_structure(write(tmp_path, PDB, "source.pdb"))
    # A line that begins with a semicolon would end a text field of mmCIF.
    told = {"command": "unstill guide it's µ", "parameters": {"text": "a\n;b"}}
    write_structure(source, tmp_path / name, provenance=told)
    text = (tmp_path / name).read_text()
    if name.endswith(".cif"):
        block = gemmi.cif.read_string(text).sole_block()
        record = gemmi.cif.as_string(block.find_value("_unstill_provenance.record"))
        assert json.loads(record) == told
    else:
        assert text.splitlines()[0] == "REMARK 999 UNSTILL COMMAND unstill guide it's ?"
        assert all(len(line) <= 80 for line in text.splitlines())
    back = read_structure(tmp_path / name)
    np.testing.assert_allclose(back.coord, source.coord, atol=1e-3)
    for key in KEYS:
        assert back.atoms.get_annotation(key).tolist() == source.atoms.get_annotation(key).tolist()
