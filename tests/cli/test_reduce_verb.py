"""``unstill reduce`` as a user runs it: files in, map and report out, refusals with remedies."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "reduction"))
from closed_loop import Simulated, simulate

from unstill.cli.app import complete_app
from unstill.io import read_map
from unstill.simulation.recipe import Recipe

KEYS_OF_THE_ISSUE = {
    "n_frames", "n_pixels", "observations", "resolution", "cc_half", "cc_friedel", "chi2",
    "rejected", "wall_s", "cpu_s", "peak_rss_mb", "outputs",
}  # fmt: skip
RECIPE = Recipe(
    detector="tiny", n_frames=12, phi_step=0.5, mean_counts=20.0, background=0.5, seed=3
)


def app() -> typer.Typer:
    made = complete_app()
    if not any(command.name == "reduce" for command in made.registered_commands):
        from unstill.cli import reduce

        reduce.register(made)
    return made


def unstill(*words: object) -> Any:
    return CliRunner().invoke(app(), ["reduce", *map(str, words)])


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    return simulate(tmp_path_factory.mktemp("sweep"), RECIPE, bragg=True)


@pytest.fixture(scope="module")
def whole(sweep: Simulated, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    out = tmp_path_factory.mktemp("whole") / "made" / "here"
    run = unstill(
        sweep.expt, "--background", sweep.background, "--fine", 9, 9, 9, "--divisions", 3, 3, 3,
        "-o", out, "--workers", 2, "--seed", 4, "--json",
    )  # fmt: skip
    assert run.exit_code == 0, run.stderr
    return out, json.loads(run.stdout)


def test_it_answers_with_what_was_promised(whole: tuple[Path, Any], sweep: Simulated) -> None:
    out, found = whole
    assert set(found) >= KEYS_OF_THE_ISSUE
    assert found["n_frames"] == 12
    assert found["n_pixels"] == 12 * 128 * 128
    assert set(found["rejected"]) >= {"bright", "dark"}
    assert 0.5 < found["cc_half"] <= 1
    assert 0.9 < found["chi2"] < 1.1
    assert found["peak_rss_mb"] > 50
    assert found["wall_s"] > 0
    assert found["statistics"]["shells"]
    assert found["sweeps"][0]["peaks"]["n_peaks"] > 40
    made = read_map(Path(found["outputs"]["map"]))
    assert made.grid.divisions == (3, 3, 3)
    assert made.provenance["parameters"]["integrate"]["fine"] == [9, 9, 9]
    assert made.provenance["seed"] == 4
    assert read_map(Path(found["outputs"]["fine"])).grid.divisions == (9, 9, 9)
    for name in ("map", "map_mtz", "map_ccp4", "fine", "report", "parameters", "summary"):
        assert Path(found["outputs"][name]).is_file(), name
    summary = json.loads((out / "summary.json").read_text())
    assert summary["cc_half"] == found["cc_half"]


def test_the_report_holds_its_figures_and_no_empty_one(whole: tuple[Path, Any]) -> None:
    page = (whole[0] / "report.html").read_text()
    for title in (
        "Agreement by resolution", "The map", "Scales", "Outliers", "Frames", "Bragg peaks",
        "Background", "Provenance",
    ):  # fmt: skip
        assert title in page
    figures = re.findall(r"<figure>.*?</figure>", page, re.DOTALL)
    assert len(figures) >= 6
    for figure in figures:
        assert "How to read it." in figure
        assert "<path" in figure or "<image" in figure
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    # Identifiers of different figures must not meet.
    names = re.findall(r' id="([^"]+)"', page)
    assert len(names) == len(set(names))


def test_a_second_run_finds_everything_and_says_the_same(
    whole: tuple[Path, Any], sweep: Simulated
) -> None:
    out, first = whole
    before = (out / "map.nxs").read_bytes()
    words = ["--background", sweep.background, "--config", out / "reduce.toml", "-o", out]
    planned = unstill(sweep.expt, *words, "--plan", "--json")
    states = {step["name"]: step["state"] for step in json.loads(planned.stdout)["plan"]}
    assert set(states.values()) == {"done"}
    again = json.loads(unstill(sweep.expt, *words, "--json").stdout)
    for name in ("cc_half", "chi2", "observations", "rejected", "statistics"):
        assert again[name] == first[name]
    assert (out / "map.nxs").read_bytes() == before


def test_steps_one_by_one(sweep: Simulated, tmp_path: Path) -> None:
    words = [sweep.expt, "-o", tmp_path]
    early = unstill(*words, "--only", "scale")
    assert early.exit_code == 1
    assert "needs crystals, which is not done" in early.stderr
    assert "--until scale" in early.stderr
    peaks = json.loads(unstill(*words, "--until", "peaks", "--json").stdout)
    assert peaks["steps"] == ["check", "peaks"]
    assert peaks["cc_half"] is None
    assert "report" not in peaks["outputs"]
    text = unstill(*words, "--plan").stdout
    assert re.search(r"peaks +done", text)
    assert re.search(r"integrate +to do +12 frames, 0 Mpx", text)
    assert re.search(r"background +off +no background was given", text)
    unstill(*words, "--until", "crystals")
    one = json.loads(unstill(*words, "--only", "scale", "--json").stdout)
    assert one["chi2"] is not None


def test_one_answer_however_many_divisions_are_meant(sweep: Simulated, tmp_path: Path) -> None:
    run = unstill(sweep.expt, "--divisions", 4, 4, "-o", tmp_path)
    assert run.exit_code == 2
    run = unstill(sweep.expt, "--scale", "b,x", "-o", tmp_path, "--plan")
    assert run.exit_code == 2
    assert "--scale takes a, b, c, d" in run.stderr
    run = unstill(sweep.expt, "--until", "map", "--only", "map", "-o", tmp_path)
    assert run.exit_code == 2
    # What the shell makes of a pattern without quotes.
    run = unstill(sweep.expt, "--images", "a_1.cbf", "a_2.cbf", "-o", tmp_path)
    assert run.exit_code == 2
    assert "in quotes" in run.stderr


def test_images_stand_elsewhere(sweep: Simulated, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in sorted((sweep.expt.parent / "images").glob("*.cbf")):
        (moved / file.name).write_bytes(file.read_bytes())
    expt = tmp_path / "elsewhere" / "sweep.expt"
    expt.parent.mkdir()
    expt.write_text(sweep.expt.read_text().replace("images/", "gone/"))
    lost = unstill(expt, "-o", tmp_path / "a", "--plan")
    assert lost.exit_code == 1
    assert "no experiment has images" in lost.stderr
    assert "--images GLOB" in lost.stderr
    found = unstill(expt, "--images", moved / "*.cbf", "-o", tmp_path / "b", "--plan", "--json")
    assert found.exit_code == 0, found.stderr
    assert json.loads(found.stdout)["n_frames"] > 0


def test_several_sweeps_of_one_crystal_share_a_map(sweep: Simulated, tmp_path: Path) -> None:
    other = simulate(tmp_path / "other", replace(RECIPE, phi_start=30.0), bragg=True)
    run = unstill(
        sweep.expt, other.expt, "--background", sweep.background, "--divisions", 3, 3, 3,
        "-o", tmp_path / "out", "--json",
    )  # fmt: skip
    assert run.exit_code == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["n_frames"] == 24
    assert [one["used"] for one in found["sweeps"]] == [True, True]
    assert len({one["name"] for one in found["sweeps"]}) == 2


PROGRAM = """
import sys, time
from unstill.cli import app as frame
from unstill.cli import reduce as verb
from unstill.reduction.pipeline import integrate_step

frame.VERBS["reduce"] = "unstill.cli.reduce"
inner = integrate_step.integrate_block

def slowly(*words, **more):
    time.sleep(0.3)
    return inner(*words, **more)

integrate_step.integrate_block = slowly
sys.argv = ["unstill", *sys.argv[1:]]
frame.main()
"""


def test_ctrl_c_leaves_what_can_go_on(sweep: Simulated, tmp_path: Path) -> None:
    words = ["reduce", str(sweep.expt), "-o", str(tmp_path), "--json", "--workers", "2"]
    run = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("steps/integrate-*/frames-*"))) < 2:
        assert time.monotonic() < deadline
        assert run.poll() is None
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    stdout, stderr = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "interrupted" in stderr
    assert "Traceback" not in stderr
    assert json.loads(stdout)["error"]["what"] == "interrupted"
    done = len(list(tmp_path.glob("steps/integrate-*/frames-*")))
    assert 2 <= done < 6
    assert not list(tmp_path.glob("steps/**/*.part"))
    assert not list(tmp_path.glob("steps/**/*.lock"))
    planned = json.loads(unstill(sweep.expt, "-o", tmp_path, "--plan", "--json").stdout)
    step = next(one for one in planned["plan"] if one["name"] == "integrate")
    assert step["n_frames"] == 12 - 2 * done
    assert unstill(sweep.expt, "-o", tmp_path, "--until", "integrate").exit_code == 0


def test_following_goes_through_the_verb(tmp_path: Path) -> None:
    made = simulate(tmp_path, RECIPE, bragg=True, image_format="eiger")
    run = unstill(
        made.expt, "--follow", "--idle", 5, "-o", tmp_path / "out", "--until", "scale", "--json"
    )
    assert run.exit_code == 0, run.stderr
    assert re.search(r"12 of 12 frames, \d+ observations, completeness .* CC1/2", run.stderr)
    assert json.loads(run.stdout)["chi2"] is not None
