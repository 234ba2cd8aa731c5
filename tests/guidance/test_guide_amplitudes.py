"""``unstill guide`` with measured amplitudes: free ones unseen, R falls, states are found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import gemmi
import numpy as np
import pytest
from small_crystal import CRYSTAL, small_crystal
from typer.testing import CliRunner

from unstill.cli.app import complete_app
from unstill.diffuse.density import ensemble_structure_factors
from unstill.errors import InputError
from unstill.guidance.observables.amplitudes import AmplitudeObservable
from unstill.guidance.observables.likely_density import likely_density
from unstill.guidance.protocols import EnsembleState
from unstill.guidance.start import starting_model
from unstill.io.amplitudes_mtz import read_amplitudes
from unstill.io.structure_files import write_structure
from unstill.scattering.synthesis import Synthesis
from unstill.workflows.guide_map.target import read_target

D_MIN = 1.6


def measured(path: Path, *, free: bool = True, coefficients: bool = False) -> Path:
    """Amplitudes of the small crystal, both rotamers of LEU 12A in it, with 3 % of noise."""
    source = small_crystal()
    synthesis = Synthesis(CRYSTAL, D_MIN)
    asu = gemmi.ReciprocalAsu(CRYSTAL.group)
    kept = np.array([asu.is_in(one) for one in synthesis.index.tolist()])
    kept &= synthesis.index.any(axis=1)
    hkl = synthesis.index[kept]
    f = ensemble_structure_factors(source, synthesis)[kept]
    rng = np.random.default_rng(0)
    size = np.abs(f)
    sigma = 0.03 * size + 0.2
    noisy = np.abs(size + sigma * rng.standard_normal(len(size)))
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = CRYSTAL.group, CRYSTAL.cell
    mtz.add_dataset("small")
    columns = [hkl, noisy[:, None], sigma[:, None]]
    mtz.add_column("F", "F")
    mtz.add_column("SIGF", "Q")
    if free:
        mtz.add_column("FreeR_flag", "I")
        columns.append(rng.integers(0, 12, len(hkl))[:, None])
    if coefficients:
        mtz.add_column("FWT", "F")
        mtz.add_column("PHWT", "P")
        columns += [size[:, None], np.degrees(np.angle(f))[:, None]]
    mtz.set_data(np.concatenate(columns, axis=1).astype(np.float32))
    mtz.write_to_file(str(path))
    return path


def unstill(*arguments: object) -> tuple[int, str, str]:
    found = CliRunner().invoke(complete_app(), [str(one) for one in arguments])
    return found.exit_code, found.stdout, found.stderr


def test_r_free_falls_and_the_second_rotamer_is_found(tmp_path: Path) -> None:
    model = tmp_path / "small.cif"
    write_structure(small_crystal(), model)
    data = measured(tmp_path / "small.mtz")
    out = tmp_path / "out"
    code, text, error = unstill(
        "guide", model, data, "--noise", 0.7, "--ensemble", 6, "-o", out, "--json"
    )
    assert code == 0, error
    found = json.loads(text)
    before, after = found["before"], found["after"]
    assert after["r_free"] < before["r_free"] - 0.005
    assert after["r_work"] < before["r_work"]
    assert after["held_out"] is None
    assert after["bond_rmsd"] < 0.02
    assert after["chirality_flips"] == 0
    assert (12, "A") in [(one["res_id"], one["ins_code"]) for one in found["states"]]
    page = (out / "report.html").read_text()
    assert "R_free" in page


def test_free_reflections_are_in_no_density(tmp_path: Path) -> None:
    observed = read_amplitudes(measured(tmp_path / "small.mtz"))
    model = starting_model(small_crystal())
    data = AmplitudeObservable(observed, model.element, solvent=False)
    state = EnsembleState(model.atoms.coord.astype(float), np.ones(1), model.b_factor)
    lead = likely_density(data, state, sigma_share=0.15)
    hidden = {tuple(hkl) for hkl in observed.hkl[observed.free].tolist()}
    seen = lead.index[np.abs(lead.target_terms) > 1e-9]
    operations = CRYSTAL.group.operations()
    asu = gemmi.ReciprocalAsu(CRYSTAL.group)
    used = {tuple(asu.to_asu(hkl, operations)[0]) for hkl in seen.tolist()}
    assert len(used) > 500
    assert not used & hidden
    # Far from the free ones, the density's terms are those of the data, with the model's phases.
    work, held = lead.agreement(state)
    assert work > 0.9
    assert abs(held) < 0.3


def test_what_a_file_holds_is_chosen_and_told(tmp_path: Path) -> None:
    both = measured(tmp_path / "both.mtz", coefficients=True)
    crystal = small_crystal().crystal
    target = read_target(both, crystal)
    assert target.amplitudes is not None
    assert target.density is None
    assert "of them free" in target.sentence
    assert read_target(both, crystal, columns="FWT,PHWT").amplitudes is None
    coarse = read_target(both, crystal, resolution=2.0)
    assert coarse.amplitudes is not None
    assert CRYSTAL.d(coarse.amplitudes.hkl).min() >= 2.0 - 1e-6
    with pytest.raises(InputError, match="does not reach"):
        read_target(both, crystal, resolution=1.2)


def test_data_that_cannot_judge_or_do_not_belong_are_refused(tmp_path: Path) -> None:
    model = tmp_path / "small.cif"
    write_structure(small_crystal(), model)
    plain = measured(tmp_path / "plain.mtz", free=False)
    code, _, error = unstill("guide", model, plain, "-o", tmp_path / "out")
    assert code == 1
    assert "too few free reflections" in error
    source = small_crystal()
    moved = tmp_path / "moved.cif"
    turned = source.coord[..., [1, 2, 0]] + [3.0, 1.0, 2.0]
    write_structure(source.replace(coord=turned), moved)
    code, _, error = unstill("guide", moved, measured(tmp_path / "s.mtz"), "-o", tmp_path / "out")
    assert code == 1
    assert "does not explain" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.soak
@pytest.mark.skipif("UNSTILL_DATA" not in os.environ, reason="needs UNSTILL_DATA: 1G8A")
def test_r_free_of_1g8a_falls(tmp_path: Path) -> None:
    folder = Path(os.environ["UNSTILL_DATA"]) / "bragg"
    out = tmp_path / "out"
    code, text, error = unstill(
        "guide", folder / "1g8a_refined.pdb", folder / "1g8a.mtz", "-o", out, "--json"
    )
    assert code == 0, error
    found = json.loads(text)
    assert found["after"]["r_free"] < found["before"]["r_free"]
    assert found["after"]["bond_rmsd"] < 0.015
    assert len(found["states"]) > 10
