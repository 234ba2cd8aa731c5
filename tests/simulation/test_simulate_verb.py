"""``unstill simulate images``: one command to images, geometry and truth."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from unstill.cli import simulate
from unstill.crystal import Crystal, HklGrid
from unstill.errors import UnstillWarning
from unstill.io import write_map
from unstill.io.experiment_files import read_experiments
from unstill.io.frames.open_frames import open_frames
from unstill.maps import IntensityMap
from unstill.simulation.analytic_truth import AnalyticTruth

CELL = ["--unit-cell", "41,41,57", "--space-group", "P 43 21 2", "--detector", "tiny"]


def run(*arguments: str):
    app = typer.Typer()
    simulate.register(app)
    app.callback()(lambda: None)
    return CliRunner().invoke(app, ["simulate", "images", *arguments])


def test_sweep_with_background_and_faults(tmp_path):
    out = tmp_path / "sim"
    options = [
        *CELL, "-o", str(out), "--frames", "4", "--median-counts", "30", "--divisions", "2", "2",
        "2", "--background", "1", "--effects", "--hot-pixels", "2", "--ice", "0.5", "--outliers",
        "0.01", "--beam-trip", "1", "--wrong-background", "exposure=2,transmission=0.5",
        "--format", "eiger", "--seed", "5", "--workers", "2", "--json",
    ]  # fmt: skip
    found = run(*options)
    assert found.exit_code == 0, found.output
    answer = json.loads(found.stdout)
    assert answer["n_frames"] == 4
    assert answer["median_counts"] == pytest.approx(30.0)
    assert answer["wall_s"] > 0
    assert {"truth", "truth_map", "expt", "background_expt", "xparm"} <= set(answer["outputs"])
    with pytest.warns(UnstillWarning, match=r"no XDS\.INP"):
        (steady,) = read_experiments(out / "XPARM.XDS")
    assert answer["provenance"]["seed"] == 5
    (experiment,) = read_experiments(out / "sweep.expt")
    np.testing.assert_allclose(steady.hkl_matrix(0.5), experiment.hkl_matrix(0.5), rtol=1e-4)
    source = open_frames(experiment.images, detector=experiment.detector)
    tripped = [source.read(i)[0].mean() for i in range(4)]
    assert tripped[1] < 0.3 * tripped[0]
    (alone,) = read_experiments(out / "background.expt")
    assert open_frames(alone.images).header(0).exposure_time == pytest.approx(0.2)
    before = {path: path.stat().st_mtime_ns for path in (out / "images").iterdir()}
    assert json.loads(run(*options).stdout)["went_on"] is True
    assert {path: path.stat().st_mtime_ns for path in (out / "images").iterdir()} == before
    other = run(*CELL, "-o", str(out), "--frames", "4", "--json")
    assert other.exit_code == 1
    assert json.loads(other.stdout)["error"]["what"] == "the folder holds another simulation"


@pytest.mark.parametrize(
    "change", [["--count-cutoff", "3"], ["--truth-divisions", "1", "1", "1"], ["--tilt", "0", "1"]]
)
def test_a_folder_goes_on_only_with_the_same_simulation(tmp_path, change):
    options = [*CELL, "--frames", "1", "--no-bragg", "-o", str(tmp_path / "out")]
    assert run(*options).exit_code == 0
    found = run(*options, *change)
    assert found.exit_code == 1
    assert "another simulation" in found.output


def test_the_truth_says_where_everything_was(tmp_path):
    options = ["--frames", "1", "--no-bragg", "--distance-error", "7", "--drift", "0.5"]
    assert run(*CELL, *options, "-o", str(tmp_path)).exit_code == 0
    true = json.loads((tmp_path / "truth.json").read_text())["sweep"]["geometry"]
    (said,) = read_experiments(tmp_path / "sweep.expt")
    assert true["detector"]["panels"][0]["origin"][2] == pytest.approx(-200.0)
    assert said.detector.panels[0].distance == pytest.approx(207.0)
    np.testing.assert_allclose(true["a_matrix"], said.lattice.a_matrix, rtol=1e-9)
    assert len(true["a_at_scan_points"]) == 2


def test_another_seed_is_another_crystal_of_the_same_kind(tmp_path):
    truths = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        options = ["--frames", "1", "--seed", seed, "-o", str(folder)]
        assert run(*CELL, *options).exit_code == 0
        truths.append(json.loads((folder / "truth.json").read_text())["sweep"])
    assert truths[0]["truth"] == truths[1]["truth"]
    assert truths[0]["bragg"] == truths[1]["bragg"]
    first, second = (read_experiments(tmp_path / seed / "sweep.expt")[0] for seed in "12")
    assert not np.allclose(first.lattice.a_matrix, second.lattice.a_matrix)


def test_stills_from_a_map(tmp_path):
    crystal = Crystal((41.0, 41.0, 57.0, 90.0, 90.0, 90.0), "P 43 21 2")
    grid = HklGrid.covering(crystal, 1.3, (1, 1, 1))
    path = tmp_path / "map.nxs"
    write_map(IntensityMap(crystal, grid, AnalyticTruth(crystal).at(grid.hkl())), path)
    found = run(
        "--map", str(path), "--detector", "tiny", "--stills", "3", "--orientation-error", "0.1",
        "--no-bragg", "-o", str(tmp_path / "out"), "--format", "tiff",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    experiments = read_experiments(tmp_path / "out" / "stills.expt")
    assert len(experiments) == 3
    assert len(list((tmp_path / "out" / "images").glob("*.tif"))) == 3
    assert "median observation" in found.output


def test_stills_with_a_background_have_it_measured_too(tmp_path):
    options = ["--stills", "2", "--no-bragg", "--mean-counts", "20", "--background", "2"]
    found = run(*CELL, *options, "-o", str(tmp_path), "--json")
    assert found.exit_code == 0, found.output
    answer = json.loads(found.stdout)
    assert answer["files"][-1].startswith("background/")
    (alone,) = read_experiments(tmp_path / "background.expt")
    stills = read_experiments(tmp_path / "stills.expt")
    empty = open_frames(alone.images)
    rate = np.mean([empty.read(i)[0] for i in range(empty.n_frames)])
    counts = np.mean([open_frames(one.images).read(0)[0] for one in stills])
    # Two photons from air and liquid for every diffuse one.
    assert rate / counts == pytest.approx(2 / 3, rel=0.05)


def test_bragg_peaks_of_a_model(tmp_path):
    lines = ["CRYST1   41.000   41.000   57.000  90.00  90.00  90.00 P 43 21 2     8"]
    rng = np.random.default_rng(1)
    for i, (x, y, z) in enumerate(rng.uniform(0, 20, (30, 3))):
        place = f"{x:8.3f}{y:8.3f}{z:8.3f}"
        lines.append(f"ATOM  {i + 1:5d}  CA  ALA A{i + 1:4d}    {place}  1.00 10.00           C")
    model = tmp_path / "model.pdb"
    model.write_text("\n".join([*lines, "END", ""]))
    found = run(
        "--model", str(model), "--detector", "tiny", "--frames", "2", "-o", str(tmp_path / "o")
    )
    assert found.exit_code == 0, found.output
    truth = json.loads((tmp_path / "o" / "truth.json").read_text())
    assert truth["sweep"]["bragg"]["n"] > 100


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ([], 1, "no crystal to simulate"),
        ([*CELL, "--format", "jpeg"], 2, "--format"),
        ([*CELL, "--phi-step", "0"], 2, "--phi-step"),
        ([*CELL, "--wrong-background", "colour=2"], 2, "--wrong-background"),
        ([*CELL, "--wrong-background", "exposure=2"], 2, "--background"),
        ([*CELL, "--beam-trip", "x"], 2, "--beam-trip"),
        ([*CELL, "--beam-trip", "40"], 2, "--beam-trip"),
        ([*CELL, "--stills", "2", "--drift", "0.1"], 2, "of a sweep"),
        ([*CELL, "--distance-error", "-200"], 2, "--distance-error"),
        ([*CELL[:4], "--detector", "kodak"], 1, "unknown detector"),
        (["--unit-cell", "41,42,57", "--space-group", "P 43 21 2"], 1, "space group"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(tmp_path, options, code, says):
    found = run(*options, "-o", str(tmp_path / "out"))
    assert found.exit_code == code
    assert says in found.output
    assert not (tmp_path / "out").exists()
