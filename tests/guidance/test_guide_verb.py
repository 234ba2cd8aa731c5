from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest
from small_crystal import D_MIN, small_crystal, small_map, write_small
from typer.testing import CliRunner

from unstill.cli.app import complete_app
from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.guidance.protocols import EnsembleState
from unstill.guidance.run import RunOptions
from unstill.guidance.start import starting_model
from unstill.io.conformers import read_multiconformer
from unstill.io.density_ccp4 import write_density_map
from unstill.io.structure_files import read_structure, write_structure
from unstill.maps.density_map import DensityMap
from unstill.scattering.synthesis import Synthesis
from unstill.workflows.guide_map import GuideOptions, guide_map
from unstill.workflows.guide_map.guiding import observable
from unstill.workflows.guide_map.target import read_target


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_small(tmp_path_factory.mktemp("small"))


def unstill(*arguments: str | Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(complete_app(), [str(one) for one in arguments])
    return done.exit_code, done.stdout, done.stderr


def guided(
    target: DensityMap, strength: float | None = 1.0, **changes: Any
) -> tuple[np.ndarray, Any]:
    run = RunOptions(n_members=4, n_levels=8, sigma_max=0.5, **changes)
    result = guide_map(small_crystal(), target, D_MIN, GuideOptions(run=run, strength=strength))
    return result.state.coord, result


def test_the_second_rotamer_is_found_and_the_files_are_whole(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "guided"
    code, text, error = unstill(
        "guide",
        *files,
        "--resolution",
        D_MIN,
        "--ensemble",
        4,
        "--noise",
        0.5,
        "-o",
        out,
        "--json",
    )
    assert code == 0, error
    found = json.loads(text)
    assert found["after"]["work"] > found["before"]["work"]
    assert found["after"]["held_out"] > found["before"]["held_out"]
    assert found["after"]["gap"] < 0.03
    assert found["after"]["bond_rmsd"] < 0.015
    assert found["after"]["chirality_flips"] == 0
    assert set(found["tried"]) == {"0.25", "1", "4"}
    ensemble = read_structure(out / "ensemble.cif")
    assert ensemble.n_members == 4
    assert ensemble.weights.sum() == pytest.approx(1)
    start = small_crystal()
    leu = (ensemble.atoms.res_name == "LEU") & np.isin(ensemble.atoms.atom_name, ["CD1", "CD2"])
    for letter in ("A", "B"):
        rows = (start.atoms.altloc_id == letter) & np.isin(start.atoms.atom_name, ["CD1", "CD2"])
        apart = np.linalg.norm(ensemble.coord[:, leu] - start.coord[0][rows], axis=-1)
        assert apart.mean(axis=-1).min() < 0.6
    # Files say how they came to be.
    for name in ("ensemble.cif", "multiconformer.cif"):
        block = gemmi.cif.read(str(out / name)).sole_block()
        told = json.loads(gemmi.cif.as_string(block.find_value("_unstill_provenance.record")))
        assert told["command"] == "unstill guide"
        assert told["seed"] == 0
        assert {Path(one["path"]).name for one in told["inputs"]} == {one.name for one in files}
    # Chains, numbers, insertion codes and names as they were, in their order.
    kept = np.isin(start.atoms.altloc_id, ["", "A"])
    for name in ("chain_id", "res_id", "ins_code", "res_name", "atom_name", "element", "hetero"):
        np.testing.assert_array_equal(
            ensemble.atoms.get_annotation(name), start.atoms.get_annotation(name)[kept]
        )
    # The residue that has two places in the map, no other, and in their shares.
    assert [(one["res_id"], one["ins_code"]) for one in found["states"]] == [(12, "A")]
    np.testing.assert_allclose(found["states"][0]["shares"], 0.5, atol=0.07)
    collapsed = read_multiconformer(out / "multiconformer.cif")
    split = collapsed.occupancy < 1
    assert set(collapsed.sites.res_name[collapsed.site[split]]) == {"LEU"}
    np.testing.assert_allclose(collapsed.occupancy[split], 0.5, atol=0.07)
    page = (out / "report.html").read_text()
    for part in ("Fit along the chain", "Density and models", "Fit against geometry"):
        assert part in page
    assert not (out / "checkpoint.npz").exists()


def test_strength_zero_and_a_constant_map_leave_the_prior() -> None:
    target = small_map()
    free, _ = guided(target, 0.0)
    again, _ = guided(target, 0.0)
    flat, _ = guided(replace(target, values=np.full(target.shape, 0.4)), 1.0)
    np.testing.assert_array_equal(free, again)
    np.testing.assert_array_equal(flat, free)
    told, _ = guided(target, 1.0)
    assert np.abs(told - free).max() > 0.1


def test_a_map_of_noise_is_refused() -> None:
    target = small_map()
    rng = np.random.default_rng(3)
    noise = replace(target, values=rng.standard_normal(target.shape))
    with pytest.raises(InputError, match="does not stand"):
        guided(noise, 1.0)


@pytest.mark.parametrize("guide", ["dps", "fk"])
def test_other_guides(guide: str) -> None:
    _, result = guided(small_map(), 1.0, guide=guide)
    assert result.after.work > result.before.work - 0.02
    assert result.after.bond_rmsd < 0.015
    assert result.after.flips == 0


def test_map_coefficients_are_a_density(files: tuple[Path, Path], tmp_path: Path) -> None:
    mtz = coefficients(tmp_path / "small.mtz")
    target = read_target(mtz, small_crystal().crystal)
    assert target.d_min == pytest.approx(D_MIN, rel=0.02)
    assert "FWT and PHWT" in target.sentence
    truth = small_map()
    apart = read_target(mtz, truth.crystal, resolution=2.5)
    assert apart.d_min == 2.5
    model = starting_model(small_crystal())
    data = observable(model, target.density, target.d_min, GuideOptions())
    state = EnsembleState(model.atoms.coord, np.ones(1), model.b_factor)
    plain = observable(model, truth, D_MIN, GuideOptions())
    assert data.correlation(state, 2.0) == pytest.approx(plain.correlation(state, 2.0), abs=2e-3)
    refused = {
        "two columns": ("FWT",),
        "neither amplitudes with sigma nor map coefficients": ("PHWT,FWT",),
        "does not have these columns": ("F1,PH1",),
        "residual density": ("DELFWT,PHDELWT",),
    }
    for words, (columns,) in refused.items():
        arguments = (files[0], mtz, "--columns", columns, "-o", tmp_path / "out")
        code, _, error = unstill("guide", *arguments)
        assert code == 1
        assert words in error
    code, _, error = unstill("guide", files[0], mtz, "--resolution", 1.2, "-o", tmp_path / "out")
    assert code == 1
    assert "does not reach that resolution" in error


def coefficients(path: Path) -> Path:
    """Map coefficients of the small map, once as a density and once as a residual."""
    target = small_map()
    synthesis = Synthesis(target.crystal, D_MIN, target.shape)
    f = synthesis.structure_factors(target.values)
    asu = gemmi.ReciprocalAsu(target.crystal.group)
    kept = np.array([asu.is_in(hkl) for hkl in synthesis.index.tolist()])
    kept &= synthesis.index.any(axis=1)
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = target.crystal.group, target.crystal.cell
    mtz.add_dataset("map")
    columns = [synthesis.index[kept]]
    for label in ("FWT", "DELFWT"):
        mtz.add_column(label, "F")
        mtz.add_column({"FWT": "PHWT", "DELFWT": "PHDELWT"}[label], "P")
        columns += [np.abs(f[kept])[:, None], np.degrees(np.angle(f[kept]))[:, None]]
    mtz.set_data(np.concatenate(columns, axis=1).astype(np.float32))
    mtz.write_to_file(str(path))
    return path


@pytest.mark.parametrize("backbone", [False, True])
def test_only_what_is_selected_moves(backbone: bool) -> None:
    run = RunOptions(n_members=3, n_levels=6, sigma_max=0.5, backbone=backbone)
    options = GuideOptions(run=run, strength=1.0, select="resname LEU")
    result = guide_map(small_crystal(), small_map(), D_MIN, options)
    moving = result.model.movable
    start = result.model.atoms.coord[0]
    np.testing.assert_array_equal(
        result.state.coord[:, ~moving], np.broadcast_to(
            start[~moving], result.state.coord[:, ~moving].shape)
    )  # fmt: skip
    assert np.abs(result.state.coord[:, moving] - start[moving]).max() > 0.1
    with pytest.raises(InputError, match="no atom can move"):
        guide_map(small_crystal(), small_map(), D_MIN, replace(options, select="resname HOH"))


def test_an_interrupted_run_goes_on(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = (
        "guide", *files, "--resolution", D_MIN, "--ensemble", 3, "--levels", 6, "--noise", 0.5,
        "--strength", 1, "-o", tmp_path, "--json",
    )  # fmt: skip
    from unstill.cli.guide_checkpoint import GuideCheckpoint

    code, _, error = unstill(*command)
    assert code == 0, error
    whole = read_structure(tmp_path / "ensemble.cif").coord
    keep = GuideCheckpoint.keep
    calls: list[int] = []

    def stop(self: GuideCheckpoint, walk: Any, sigma: float) -> None:
        keep(self, walk, sigma)
        calls.append(walk.n_done)
        if walk.n_done == 3 and len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(GuideCheckpoint, "keep", stop)
    code, _, _ = unstill(*command)
    assert code == 130
    assert (tmp_path / "checkpoint.npz").exists()
    code, _, error = unstill(*command)
    assert code == 0, error
    assert calls == [1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(read_structure(tmp_path / "ensemble.cif").coord, whole)


def test_what_does_not_belong_together_is_told(files: tuple[Path, Path], tmp_path: Path) -> None:
    model, density = files
    target = small_map()
    cases = {
        "resolution of small.ccp4 is missing": (model, density),
        "another unit cell": (
            model, write(tmp_path / "cell.ccp4", DensityMap(
                Crystal((36.0, 26.0, 27.0, 90.0, 100.0, 90.0), "P 1 21 1"), target.values)),
            "--resolution", "2.2",
        ),
        "another space group": (
            model, write(tmp_path / "group.ccp4", DensityMap(
                Crystal(target.crystal.unit_cell, "P 1"), target.values)),
            "--resolution", D_MIN,
        ),
        "upside down": (
            model, write(tmp_path / "minus.ccp4", DensityMap(target.crystal, -target.values)),
            "--resolution", D_MIN,
        ),
        "after a shift of the model by": (
            moved(tmp_path, 0.0, 5.0, 0.0), density, "--resolution", D_MIN,
        ),
        "file not found": (model, tmp_path / "none.ccp4", "--resolution", D_MIN),
        "too coarse": (model, density, "--resolution", "0.6"),
        "has no unit cell": (naked(tmp_path), density, "--resolution", D_MIN),
        "no columns": (model, density, "--resolution", D_MIN, "--columns", "FWT,PHWT"),
    }  # fmt: skip
    for words, arguments in cases.items():
        code, _, error = unstill("guide", *arguments, "-o", tmp_path / "out")
        assert code == 1, words
        assert words in error, (words, error)
        assert "Traceback" not in error
        assert "to do" in error
    # Nothing was begun, so nothing is left.
    assert not (tmp_path / "out").exists()
    code, _, error = unstill("guide", model, density, "-o", tmp_path, "--strength", "much")
    assert code == 2
    assert "give auto" in error


def write(path: Path, density: DensityMap) -> Path:
    write_density_map(density, path)
    return path


def moved(folder: Path, *by: float) -> Path:
    """The model somewhere else, where only a shift of the whole would help."""
    source = small_crystal()
    path = folder / "moved.cif"
    write_structure(source.replace(coord=source.coord + np.array(by)), path)
    return path


def naked(folder: Path) -> Path:
    path = folder / "naked.cif"
    write_structure(small_crystal().replace(crystal=None), path)
    return path


def test_one_conformer_of_each_residue_is_taken() -> None:
    model = starting_model(small_crystal())
    assert set(np.asarray(model.atoms.atoms.altloc_id, dtype=str)) == {"", "A"}
    assert model.atoms.n_atoms == len(model.rows)
    assert not np.isin("HOH", model.atoms.atoms.res_name)
    assert len(model.context) == 1
    np.testing.assert_allclose(model.occupancy, 1.0)
    assert any("other alternate locations" in note for note in model.notes)


def test_the_benchmark_of_two_states(files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "bench"
    command = (
        "benchmark", "guidance", files[0], "-o", out, "--ensemble", 4, "--strengths", "0.5,4",
        "--levels", 8, "--noise", 0.5, "--workers", 2, "--json",
    )  # fmt: skip
    code, text, error = unstill(*command)
    assert code == 0, error
    found = json.loads(text)
    assert [entry["strength"] for entry in found["entries"]] == [0.5, 4]
    for entry in found["entries"]:
        (segment,) = entry["segments"]
        assert (segment["chain"], segment["first"], segment["last"]) == ("Q", "12A", "12A")
        assert entry["chirality_flips"] == 0
        assert entry["bond_rmsd"] < 0.015
        assert entry["rscc_median"] > segment["rscc_start"]
    assert "1VME" in found["not_at_hand"]
    page = (out / "report.html").read_text()
    assert "Fit against geometry" in page
    # What is done is not done again.
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("0*.json")}
    assert len(before) == 2
    code, text, _ = unstill(*command)
    assert code == 0
    assert json.loads(text)["entries"] == found["entries"]
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("0*.json")} == before


def test_a_map_that_ends_before_the_model_is_refused() -> None:
    whole = small_map()
    values = whole.values.copy()
    frac = whole.crystal.fractional(small_crystal().coord[0].astype(float))
    middle = int(np.median(frac[:, 0] % 1) * values.shape[0])
    values[:middle] = np.nan
    with pytest.raises(InputError, match="does not cover the model") as refused:
        guided(DensityMap(whole.crystal, values))
    assert "of chain Q" in str(refused.value)
