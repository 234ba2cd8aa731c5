"""BinaryCIF, biotite and MDAnalysis: altlocs and occupancies are kept."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from biotite.structure.io import pdbx
from conformer_models import CRYSTAL, assert_same, random_models
from hypothesis import given

from unstill.ensembles import Multiconformer
from unstill.errors import FormatError, InputError, MissingExtraError
from unstill.io import read_multiconformer, write_multiconformer
from unstill.io.conformers import from_biotite, from_mdanalysis, to_biotite, to_mdanalysis


def as_bcif(source, target) -> None:
    """Write what an mmCIF file says as BinaryCIF, by biotite."""
    out = pdbx.BinaryCIFFile()
    for name, block in pdbx.CIFFile.read(str(source)).items():
        out[name] = pdbx.BinaryCIFBlock(
            {
                category: pdbx.BinaryCIFCategory(
                    {
                        item: pdbx.BinaryCIFColumn(
                            pdbx.BinaryCIFData(column.as_array(str)),
                            None if column.mask is None else pdbx.BinaryCIFData(column.mask.array),
                        )
                        for item, column in content.items()
                    }
                )
                for category, content in block.items()
            }
        )
    out.write(str(target))


def plain_model(seed: int = 0) -> Multiconformer:
    """Two residues, the second in two places, with a label of two letters."""
    import biotite.structure

    rng = np.random.default_rng(seed)
    atoms = biotite.structure.AtomArray(6)
    atoms.chain_id[:] = "A"
    atoms.res_id = np.array([1, 1, 2, 2, 2, 2])
    atoms.res_name[:] = "GLY"
    atoms.atom_name = np.array(["N", "CA", "N", "CA", "N", "CA"])
    atoms.element = np.array(["N", "C"] * 3)
    atoms.set_annotation("altloc_id", np.array(["", "", "A", "A", "AB", "AB"]))
    atoms.set_annotation("occupancy", np.array([1, 1, 0.7, 0.7, 0.3, 0.3]))
    atoms.set_annotation("b_factor", rng.uniform(5, 40, 6).round(2))
    atoms.coord = rng.uniform(0, 30, (6, 3)).astype(np.float32)
    return from_biotite(atoms, crystal=CRYSTAL)


def test_binary_cif_says_what_text_says(tmp_path) -> None:
    write_multiconformer(plain_model(), tmp_path / "a.cif", provenance={"command": "x"})
    as_bcif(tmp_path / "a.cif", tmp_path / "a.bcif")
    found = read_multiconformer(tmp_path / "a.bcif")
    expected = read_multiconformer(tmp_path / "a.cif")
    assert_same(found, expected)
    write_multiconformer(found, tmp_path / "b.cif")
    assert_same(read_multiconformer(tmp_path / "b.cif"), expected)


@given(model=random_models())
def test_random_models_by_binary_cif(tmp_path_factory, model) -> None:
    folder = tmp_path_factory.mktemp("b")
    write_multiconformer(model.replace(members=None, rules=()), folder / "a.cif")
    try:
        as_bcif(folder / "a.cif", folder / "a.bcif")
    except Exception:  # noqa: BLE001 - biotite refuses some legal tokens; not ours to judge
        return
    found, expected = (read_multiconformer(folder / f"a.{kind}") for kind in ("bcif", "cif"))
    if any(word in "".join(map(str, expected.altloc_id)) for word in "'\"#_$"):
        # biotite keeps quotes of tokens that it does not know to be quoted.
        assert found.n_rows == expected.n_rows
        return
    assert_same(found, expected)


def test_deposited_files_by_binary_cif(unstill_data, tmp_path) -> None:
    as_bcif(unstill_data / "altloc/3o5r.cif", tmp_path / "a.bcif")
    found = read_multiconformer(tmp_path / "a.bcif")
    assert_same(found, read_multiconformer(unstill_data / "altloc/3o5r.cif"))


def test_damaged_binary_cif_is_refused(tmp_path) -> None:
    write_multiconformer(plain_model(), tmp_path / "a.cif")
    as_bcif(tmp_path / "a.cif", tmp_path / "a.bcif")
    content = (tmp_path / "a.bcif").read_bytes()
    for stop in (0, 10, len(content) // 2, len(content) - 3):
        (tmp_path / "b.bcif").write_bytes(content[:stop])
        with pytest.raises(FormatError):
            read_multiconformer(tmp_path / "b.bcif")


def test_by_biotite_and_back() -> None:
    model = plain_model()
    atoms = to_biotite(model)
    assert atoms.altloc_id.tolist() == [".", ".", "A", "A", "AB", "AB"]
    assert atoms.occupancy.tolist() == [1, 1, 0.7, 0.7, 0.3, 0.3]
    assert atoms.state_id.tolist() == ["Base"] * 2 + ["A/2/A"] * 2 + ["A/2/AB"] * 2
    back = from_biotite(atoms, crystal=CRYSTAL)
    assert_same(back, model, coord=1e-5)
    lengths = np.linalg.norm(atoms.box, axis=1)
    np.testing.assert_allclose(lengths, CRYSTAL.unit_cell[:3], rtol=1e-6)


def test_what_biotite_reads_is_what_we_read(tmp_path) -> None:
    write_multiconformer(plain_model(), tmp_path / "a.cif")
    atoms = pdbx.get_structure(
        pdbx.CIFFile.read(str(tmp_path / "a.cif")),
        model=1,
        altloc="all",
        extra_fields=["occupancy", "b_factor"],
    )
    assert_same(from_biotite(atoms, crystal=CRYSTAL), plain_model(), coord=6e-4)


def test_a_stack_is_no_model() -> None:
    import biotite.structure

    atoms = to_biotite(plain_model())
    with pytest.raises(InputError, match="stack"):
        from_biotite(biotite.structure.stack([atoms, atoms]))
    bare = atoms.copy()
    bare.del_annotation("altloc_id")
    with pytest.raises(InputError, match="twice"):
        from_biotite(bare)


def test_by_mdanalysis_and_back(tmp_path) -> None:
    pytest.importorskip("MDAnalysis")
    model = plain_model()
    universe = to_mdanalysis(model)
    assert universe.atoms.altLocs.tolist() == ["", "", "A", "A", "AB", "AB"]
    assert universe.select_atoms("altLoc AB").n_atoms == 2
    assert universe.residues.n_residues == 2
    assert universe.residues[1].atoms.occupancies.tolist() == [0.7, 0.7, 0.3, 0.3]
    np.testing.assert_allclose(universe.dimensions, CRYSTAL.unit_cell)
    assert_same(from_mdanalysis(universe, crystal=CRYSTAL), model, coord=1e-5)


def test_a_pdb_file_that_mdanalysis_reads(tmp_path) -> None:
    mda = pytest.importorskip("MDAnalysis")
    atoms = to_biotite(plain_model())
    atoms.altloc_id = np.array([".", ".", "A", "A", "B", "B"])
    model = from_biotite(atoms[[0, 1, 2, 4, 3, 5]])
    write_multiconformer(model, tmp_path / "a.pdb")
    found = from_mdanalysis(mda.Universe(str(tmp_path / "a.pdb")))
    assert_same(found, model, coord=6e-4)


def test_without_mdanalysis_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "MDAnalysis", None)
    with pytest.raises(MissingExtraError, match="MDAnalysis") as caught:
        to_mdanalysis(plain_model())
    assert "unstill[mdanalysis]" in str(caught.value.fix)
