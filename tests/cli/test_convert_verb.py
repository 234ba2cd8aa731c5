"""``unstill convert``: both directions through files, and what it says about bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from unstill.cli.app import complete_app
from unstill.ensembles import Ensemble
from unstill.ensembles.multiconformer import recorded_members
from unstill.io import read_multiconformer, read_structure, write_structure
from unstill.io.weights_csv import WeightsTable, write_weights_csv

NAMES = ("N", "CA", "C", "O")


def unstill(*arguments: object) -> Result:
    return CliRunner().invoke(complete_app(), [str(argument) for argument in arguments])


def result_of(done: Result) -> dict[str, Any]:
    """The one JSON object on stdout."""
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def models(n_members: int = 6, n_residues: int = 4, seed: int = 0) -> Ensemble:
    """A short chain; from residue 3 on it is in one of two places."""
    import biotite.structure

    rng = np.random.default_rng(seed)
    atoms = biotite.structure.AtomArray(4 * n_residues)
    atoms.chain_id[:], atoms.res_name[:] = "A", "GLY"
    atoms.res_id = np.repeat(np.arange(n_residues) + 1, 4)
    atoms.atom_name = np.tile(NAMES, n_residues)
    atoms.element = np.tile(["N", "C", "C", "O"], n_residues)
    one = np.array([[0, 0, 0], [1.458, 0, 0], [2.009, 1.42, 0], [1.251, 2.39, 0]])
    chain = np.concatenate([one + k * np.array([3.33, 1.42, 0]) for k in range(n_residues)])
    coord = np.repeat(chain[None], n_members, axis=0)
    coord[np.ix_(np.arange(n_members) % 3 == 0, atoms.res_id >= 3)] += [0, 0, 1.2]
    coord += rng.normal(scale=0.02, size=coord.shape)
    return Ensemble(atoms, coord.round(3))


@pytest.fixture
def ensemble_file(tmp_path: Path) -> Path:
    write_structure(models(), tmp_path / "models.cif")
    return tmp_path / "models.cif"


def test_lossless_and_back(ensemble_file, tmp_path) -> None:
    model, back = tmp_path / "model.cif", tmp_path / "back.cif"
    found = result_of(unstill("convert", ensemble_file, model, "--to", "multiconformer", "--json"))
    assert found["profile"] == "lossless"
    assert found["report"]["rmsd_max"] == 0
    assert found["outputs"] == {"model": str(model)}
    assert found["provenance"]["command"].startswith("unstill convert")
    done = unstill("convert", model, back, "--to", "ensemble", "--members", "recorded", "--json")
    assert result_of(done)["members"]["n_members"] == 6
    np.testing.assert_array_equal(read_structure(back).coord, read_structure(ensemble_file).coord)
    # The categories of the proposal are there, and the ones of the dictionary.
    block = gemmi.cif.read(str(model)).sole_block()
    for item in (
        "_pdbx_heterogeneity_hierarchy.parent",
        "_atom_site.pdbx_heterogeneity_id",
        "_atom_sites_alt.id",
        "_unstill_member.weight",
        "_unstill_member_state.state_id",
        "_unstill_provenance.record",
    ):
        assert len(block.find_values(item)), item


@settings(max_examples=8)
@given(seed=st.integers(0, 1000), n=st.integers(1, 9))
def test_weighted_partial_members_come_back_from_the_file(tmp_path_factory, seed, n) -> None:
    folder = tmp_path_factory.mktemp("w")
    rng = np.random.default_rng(seed)
    lines = []
    ensemble = models(n, seed=seed)
    lacks = rng.random((n, 4)) < 0.2
    lacks[0] = False
    for member in range(n):
        lines.append(f"MODEL     {member + 1:4d}")
        for number, atom in enumerate(ensemble.atoms):
            if lacks[member, atom.res_id - 1]:
                continue
            x, y, z = ensemble.coord[member, number]
            lines.append(
                f"ATOM  {number + 1:5d}  {atom.atom_name:<3s} GLY A{atom.res_id:4d}    "
                f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00 10.00          {atom.element:>2s}"
            )
        lines.append("ENDMDL")
    (folder / "a.pdb").write_text("\n".join([*lines, "END", ""]))
    weights = rng.uniform(0.1, 1, n)
    np.savetxt(folder / "w.txt", weights)
    arguments = ("--to", "multiconformer", "--weights", folder / "w.txt", "--json")
    result_of(unstill("convert", folder / "a.pdb", folder / "m.cif", *arguments))
    back = recorded_members(read_multiconformer(folder / "m.cif"))
    np.testing.assert_allclose(back.weights, weights / weights.sum(), rtol=0, atol=1e-6)
    there = np.broadcast_to(back.occupancy, back.coord.shape[:2]) > 0
    expected = ~lacks[:, np.asarray(back.atoms.res_id) - 1]
    np.testing.assert_array_equal(there, expected)
    np.testing.assert_allclose(back.coord[there], ensemble.coord[there], rtol=0, atol=5e-4)


def test_within_a_bound(ensemble_file, tmp_path) -> None:
    done = unstill(
        "convert",
        ensemble_file,
        tmp_path / "m.cif",
        "--to",
        "multiconformer",
        "--profile",
        "eps",
        "--eps",
        "0.3",
        "--json",
    )
    report = result_of(done)["report"]
    assert report["bound_holds"]
    assert report["rmsd_max"] <= 0.3
    model = read_multiconformer(tmp_path / "m.cif")
    assert {round(state.occupancy, 4) for state in model.states} == {1.0, 0.3333, 0.6667}
    text = unstill(
        "convert",
        ensemble_file,
        tmp_path / "m.cif",
        "--to",
        "multiconformer",
        "--profile",
        "eps",
        "--eps",
        "0.3",
    ).stdout
    assert "the bound is 0.3 Å" in text


def test_flat_conformers_in_a_pdb_file(ensemble_file, tmp_path) -> None:
    done = unstill(
        "convert",
        ensemble_file,
        tmp_path / "m.pdb",
        "--to",
        "multiconformer",
        "--profile",
        "legacy",
        "--labels",
        "1",
    )
    assert done.exit_code == 0, done.output
    assert "population without a letter" in done.stdout
    assert "got no letter" in done.stderr
    model = read_multiconformer(tmp_path / "m.pdb")
    assert {str(one) for one in model.altloc_id} == {"", "A"}
    assert model.occupancy.min() == pytest.approx(0.67)


def test_populations_become_members(tmp_path, ensemble_file) -> None:
    unstill(
        "convert",
        ensemble_file,
        tmp_path / "m.pdb",
        "--to",
        "multiconformer",
        "--profile",
        "legacy",
    )
    done = unstill(
        "convert",
        tmp_path / "m.pdb",
        tmp_path / "e.cif",
        "--to",
        "ensemble",
        "--members",
        "10",
        "--seed",
        "3",
        "--json",
    )
    found = result_of(done)
    assert found["report"]["proven"]
    assert found["provenance"]["seed"] == 3
    back = read_structure(tmp_path / "e.cif")
    assert back.n_members == 10
    moved = back.coord[:, back.atoms.res_id == 4][:, :, 2].mean(axis=1) > 0.6
    # 0.33 of ten members.
    assert moved.sum() == 3
    again = unstill(
        "convert",
        tmp_path / "m.pdb",
        tmp_path / "f.cif",
        "--to",
        "ensemble",
        "--members",
        "10",
        "--seed",
        "3",
        "--json",
    )
    assert result_of(again)["report"]["clashes"] == found["report"]["clashes"]
    np.testing.assert_array_equal(read_structure(tmp_path / "f.cif").coord, back.coord)


@pytest.mark.parametrize("mode", ["maxent", "best"])
def test_other_modes_have_weights(tmp_path, ensemble_file, mode) -> None:
    unstill(
        "convert",
        ensemble_file,
        tmp_path / "m.cif",
        "--to",
        "multiconformer",
        "--profile",
        "eps",
        "--eps",
        "0.3",
    )
    done = unstill(
        "convert",
        tmp_path / "m.cif",
        tmp_path / "e.cif",
        "--to",
        "ensemble",
        "--members",
        "4",
        "--mode",
        mode,
        "--json",
    )
    weights = result_of(done)["members"]["weights"]
    assert sum(weights) == pytest.approx(1)
    np.testing.assert_allclose(read_structure(tmp_path / "e.cif").weights, weights, atol=1e-6)


def test_a_trajectory_with_weights_of_blocks(tmp_path) -> None:
    import mdtraj

    ensemble = models(8)
    write_structure(ensemble.member(0), tmp_path / "top.pdb")
    top = mdtraj.load(str(tmp_path / "top.pdb")).topology
    mdtraj.Trajectory(ensemble.coord / 10, top).save_dcd(str(tmp_path / "run.dcd"))
    table = WeightsTable(
        np.array([4, 4]), np.array([0.5, 0.5]), np.array([0.25, 0.75]), np.array([0.1, 0.1])
    )
    write_weights_csv(table, tmp_path / "w.csv")
    done = unstill(
        "convert",
        tmp_path / "run.dcd",
        tmp_path / "m.cif",
        "--to",
        "multiconformer",
        "--topology",
        tmp_path / "top.pdb",
        "--weights",
        tmp_path / "w.csv",
        "--json",
    )
    result_of(done)
    back = recorded_members(read_multiconformer(tmp_path / "m.cif"))
    np.testing.assert_allclose(back.weights, [0.0625] * 4 + [0.1875] * 4, atol=1e-9)
    np.testing.assert_allclose(back.coord, ensemble.coord, atol=1e-5)
    assert back.frames is not None
    assert back.frames.tolist() == list(range(8))
    strided = unstill(
        "convert",
        tmp_path / "run.dcd",
        tmp_path / "s.cif",
        "--to",
        "multiconformer",
        "--topology",
        tmp_path / "top.pdb",
        "--stride",
        "3",
        "--select",
        "name CA",
    )
    assert strided.exit_code == 0, strided.output
    small = recorded_members(read_multiconformer(tmp_path / "s.cif"))
    assert small.coord.shape == (3, 4, 3)


BAD = [
    (("--members", "0"), 2, "1 to 100000"),
    (("--members", "many"), 2, "recorded"),
    (("--eps", "-1"), 2, "positive"),
    (("--labels", "70"), 2, "labels"),
    (("--profile", "short"), 2, "profile"),
]


@pytest.mark.parametrize(("options", "code", "said"), BAD)
def test_bad_usage(ensemble_file, tmp_path, options, code, said) -> None:
    done = unstill("convert", ensemble_file, tmp_path / "m.cif", "--to", "ensemble", *options)
    assert done.exit_code == code
    assert said in done.stderr
    assert not (tmp_path / "m.cif").exists()


def refused(tmp_path: Path, *arguments: object) -> str:
    """Run what must fail; nothing is written, there is one JSON object, and no traceback."""
    before = sorted(tmp_path.iterdir())
    done = unstill("convert", *arguments, "--json")
    assert done.exit_code == 1, done.output
    error = json.loads(done.stdout)["error"]
    assert error["what"]
    assert error["fix"]
    assert "Traceback" not in done.output
    assert sorted(tmp_path.iterdir()) == before
    return f"{error['what']}; {error['found']}; {error['fix']}"


def test_what_cannot_be_converted(ensemble_file, tmp_path) -> None:
    out, to = tmp_path / "m.cif", ("--to", "multiconformer")
    assert "no members" in refused(
        tmp_path, ensemble_as_one_model(tmp_path), out, "--to", "ensemble", "--members", "recorded"
    )
    assert "without loss" in refused(tmp_path, ensemble_file, tmp_path / "m.pdb", *to)
    assert "suffix" in refused(tmp_path, ensemble_file, tmp_path / "m.xyz", *to)
    assert "replace an input" in refused(tmp_path, ensemble_file, ensemble_file, *to)
    assert "--topology" in refused(tmp_path, trajectory(tmp_path), out, *to)
    for weights, said in (
        ("1\n2\n", "2 weights"),
        ("1\n" * 5 + "-1\n", "1 of them negative"),
        ("nan\n" * 6, "no number"),
        ("0\n" * 6, "sum 0"),
        ("a b\n", "read"),
    ):
        (tmp_path / "w.txt").write_text(weights)
        assert said in refused(tmp_path, ensemble_file, out, *to, "--weights", tmp_path / "w.txt")
    text = ensemble_file.read_text()
    (tmp_path / "cut.cif").write_text(text[: len(text) * 2 // 3].rpartition(" ")[0])
    assert "cut short" in refused(tmp_path, tmp_path / "cut.cif", out, *to)
    (tmp_path / "none.cif").write_text("data_x\n")
    assert "no atoms" in refused(tmp_path, tmp_path / "none.cif", out, *to)
    assert "not found" in refused(tmp_path, tmp_path / "absent.cif", out, *to)


def ensemble_as_one_model(tmp_path: Path) -> Path:
    write_structure(models(1), tmp_path / "one.cif")
    return tmp_path / "one.cif"


def trajectory(tmp_path: Path) -> Path:
    (tmp_path / "x.dcd").write_bytes(b"\x54\x00\x00\x00CORD" + bytes(200))
    return tmp_path / "x.dcd"


def test_altlocs_are_no_ensemble_and_sums_too_large_no_populations(tmp_path) -> None:
    line = (
        "ATOM  {n:5d}  CA {a}GLY A   1    {x:8.3f}   0.000   0.000  {o:4.2f} 10.00           C\n"
    )
    text = "".join(line.format(n=n + 1, a=letter, x=n, o=0.8) for n, letter in enumerate("AB"))
    (tmp_path / "a.pdb").write_text(text + "END\n")
    to = ("--to", "multiconformer")
    assert "--to ensemble" in refused(tmp_path, tmp_path / "a.pdb", tmp_path / "m.cif", *to)
    said = refused(tmp_path, tmp_path / "a.pdb", tmp_path / "m.cif", "--to", "ensemble")
    assert "--renormalise" in said
    done = unstill(
        "convert", tmp_path / "a.pdb", tmp_path / "m.cif", "--to", "ensemble", "--renormalise"
    )
    assert done.exit_code == 0, done.output
    assert "scaled down" in done.stdout


@pytest.mark.parametrize("name", ["6b8x.pdb", "1vme_0.5A_0.5B.cif", "2yl0.pdb"])
def test_deposited_models_become_ensembles(unstill_data, tmp_path, name) -> None:
    done = unstill(
        "convert",
        unstill_data / "altloc" / name,
        tmp_path / "e.cif",
        "--to",
        "ensemble",
        "--members",
        "20",
        "--json",
    )
    report = result_of(done)["report"]
    assert report["proven"]
    assert report["clashes"] >= report["clashes_floor"]
    assert report["max_marginal_error"] <= 1 / 40 + 0.005 + 1e-9
    back = read_multiconformer(tmp_path / "e.cif")
    assert back.members is not None
    assert back.members.n_members == 20
    assert not (back.altloc_id != "").any()
