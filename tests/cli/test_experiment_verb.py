"""``unstill experiment``: what it shows, and what it converts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from unstill.cli.experiment import register
from unstill.crystal import Crystal
from unstill.errors import UnstillWarning
from unstill.experiment import (
    Beam,
    Detector,
    Experiment,
    Goniometer,
    ImageSet,
    Lattice,
    Panel,
    Scan,
)
from unstill.io.dials_expt import write_expt
from unstill.io.experiment_files import read_experiments

KEYS = {
    "file", "name", "identifier", "wavelength", "energy", "polarization_fraction", "distance",
    "beam_center", "beam_panel", "n_panels", "image_size", "pixel_size", "sensor", "parallax",
    "trusted_range", "d_min_corner", "d_min_edge", "scan", "unit_cell", "space_group", "drifts",
    "images",
}  # fmt: skip


def unstill(*arguments: object) -> Result:
    app = typer.Typer()
    # An app of one command would take its name as an argument.
    app.callback()(lambda: None)
    register(app)
    return CliRunner().invoke(app, ["experiment", *map(str, arguments)])


def answer(*arguments: object) -> dict[str, Any]:
    found = unstill(*arguments, "--json")
    assert found.exit_code == 0, found.stderr
    parsed: dict[str, Any] = json.loads(found.stdout)
    return parsed


@pytest.fixture
def geometry(tmp_path: Path) -> Path:
    panel = Panel((-10.0, 10.0, -100.0), (1, 0, 0), (0, -1, 0), (0.1, 0.1), (300, 250))
    crystal = Crystal((48.4, 48.4, 63.3, 90.0, 90.0, 90.0), "P 4")
    sweep = Experiment(
        Beam(1.0),
        Detector((panel,)),
        Goniometer(),
        Scan(10, 5.0, 0.5, exposure_times=np.full(10, 0.2)),
        Lattice.oriented(crystal, np.eye(3)),
        ImageSet("img/a_###.cbf"),
        name="a_### 1-10",
    )
    still = Experiment(Beam(1.1), Detector((panel, panel)))
    path = tmp_path / "two.expt"
    write_expt(path, [sweep, still])
    return path


def test_every_experiment_is_shown(geometry: Path) -> None:
    found = answer(geometry)
    sweep, still = found["experiments"]
    assert set(sweep) == set(still) == KEYS
    assert sweep["beam_center"] == pytest.approx([100, 100])
    assert sweep["scan"]["n_frames"] == 10
    assert sweep["space_group"] == "P 4"
    assert sweep["images"]["n_found"] == 0
    assert still["scan"] is None
    assert still["unit_cell"] is None
    text = unstill(geometry).stdout
    for part in ("100.00, 100.00 pixels", "10 frames, 5° to 10° in steps of 0.5°, 0.2 s", "P 4"):
        assert part in text
    for part in ("a still", "not indexed", "2 panels of 300 × 250"):
        assert part in text


@pytest.mark.parametrize("name", ["out.expt", "out.json"])
def test_files_are_converted(geometry: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    found = answer(geometry, "-o", out, "--space-group", "P 41")
    assert found["outputs"]["experiments"] == str(out)
    sweep, still = read_experiments(out)
    assert sweep.crystal.space_group == "P 41"
    assert still.lattice is None
    provenance = json.loads(out.read_text())["provenance"]
    assert provenance["command"] == "unstill experiment"


def test_one_sweep_becomes_xparm(geometry: Path, tmp_path: Path) -> None:
    sweep = read_experiments(geometry)[0]
    alone = tmp_path / "one.expt"
    write_expt(alone, [sweep])
    out = tmp_path / "XPARM.XDS"
    answer(alone, "-o", out)
    with pytest.warns(UnstillWarning, match=r"no XDS.INP"):
        (found,) = read_experiments(out)
    np.testing.assert_allclose(found.setting(0.0), sweep.setting(0.0), atol=1e-9)
    refused = unstill(geometry, "-o", tmp_path / "new_XPARM.XDS")
    assert refused.exit_code == 1
    assert "holds one sweep" in refused.stderr


def test_images_can_be_said_to_be_elsewhere(geometry: Path, tmp_path: Path) -> None:
    refused = unstill(geometry, "--images", tmp_path / "none_*.cbf")
    assert refused.exit_code == 1
    assert "no image matches" in refused.stderr


def test_bad_input_is_refused_in_three_parts(geometry: Path, tmp_path: Path) -> None:
    wrong = unstill(geometry, "--space-group", "P 61")
    assert wrong.exit_code == 1
    assert "does not have the symmetry" in wrong.stderr
    unknown = unstill(geometry, "-o", tmp_path / "out.txt")
    assert unknown.exit_code == 1
    assert "format of the output" in unknown.stderr
    same = unstill(geometry, "-o", geometry)
    assert "replace an input" in same.stderr
    missing = unstill(tmp_path / "nothing.expt")
    assert missing.exit_code == 1
    assert "not found" in missing.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["two.expt"]


def test_real_images_are_found(unstill_data: Path) -> None:
    folder = unstill_data / "snase"
    found = answer(
        folder / "refined_experiments.json",
        "--images",
        folder / "snc_newhead_*.img",
        "--space-group",
        "P 41",
    )
    first, second = found["experiments"]
    assert first["images"]["n_found"] == 10
    assert second["images"]["n_found"] == 0
    assert any("images 1 to 10 only" in warning for warning in found["warnings"])
