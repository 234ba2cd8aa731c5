"""Measured images: ten frames of staphylococcal nuclease, against the published map."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from unstill.cli.app import complete_app
from unstill.crystal import Crystal
from unstill.io import read_map
from unstill.maps.compare import compare


def unstill(*words: object) -> dict:
    run = CliRunner().invoke(complete_app(), [*map(str, words), "--json"])
    assert run.exit_code == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def reduced(unstill_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("nuclease")
    found = unstill(
        "reduce", unstill_data / "snase" / "refined_experiments.json",
        "--images", unstill_data / "snase" / "*.img", "--space-group", "P 41",
        "--divisions", 1, 1, 1, "--d-min", 1.6, "--d-max", 15, "-o", out,
    )  # fmt: skip
    return out, found


def test_one_command_makes_a_map_of_them(reduced: tuple[Path, dict]) -> None:
    out, found = reduced
    assert found["n_frames"] == 10
    assert found["cc_half"] > 0.95
    assert found["chi2"] == pytest.approx(1.0, abs=0.25)
    assert (out / "report.html").is_file()
    told = " ".join(found["warnings"])
    # The file says steps of 2 degrees, 28 and 16 images; there are ten, 1 degree apart.
    assert "steps of 1" in told
    assert "steps of 2" in told
    assert "skipped" in told


def test_the_map_agrees_with_the_published_one(
    reduced: tuple[Path, dict], unstill_data: Path
) -> None:
    found = read_map(reduced[0] / "map.nxs")
    crystal = Crystal(found.crystal.unit_cell, "P 41")
    published = read_map(unstill_data / "snase" / "snc_diffuse_reference.lat", crystal=crystal)
    result = compare(published, found, reindex="none", d_min=1.65, d_max=15.0)
    assert result.cc_aniso > 0.58
    assert result.cc_total > 0.98
    outer = [shell.cc_aniso for shell in result.shells if shell.d > 3.5]
    assert np.mean(outer) > 0.75


@pytest.mark.soak
def test_eight_runs_share_one_folder(tmp_path: Path) -> None:
    words = "simulate images --unit-cell 29,33,37,90,90,90 --detector tiny --distance 170"
    program = [sys.executable, "-m", "unstill"]
    frames = ["--frames", "40", "--phi-step", "1", "--exposure", "1", "--mean-counts", "20"]
    group = ["--space-group", "P 21 21 21", "-o", str(tmp_path / "sim")]
    subprocess.run([*program, *words.split(), *frames, *group], check=True, capture_output=True)
    command = [
        *program, "reduce", str(tmp_path / "sim" / "sweep.expt"), "--divisions", "2", "2", "2",
        "--workers", "1", "-o", str(tmp_path / "red"), "--json",
    ]  # fmt: skip
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    answers = [json.loads(run.communicate()[0]) for run in runs]
    assert [run.returncode for run in runs] == [0] * 8
    assert len({(a["observations"], a["cc_half"], a["chi2"]) for a in answers}) == 1
    # One did each step: a second result of the same key would stand beside the first.
    steps = [path for path in (tmp_path / "red" / "steps").iterdir() if path.name[0] != "."]
    assert len({path.name.split("-")[0] for path in steps}) == len(steps)
