"""Faults of beamlines are named by ``unstill reduce``, with what to do about them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "reduction"))
from closed_loop import Simulated, simulate
from test_reduce_verb import app

from unstill.crystal import Crystal
from unstill.simulation.faults import Faults, with_distance_error
from unstill.simulation.recipe import Recipe
from unstill.simulation.run import write_simulation
from unstill.simulation.sweeps import WrongBackground, background_frames

RECIPE = Recipe(
    detector="tiny", n_frames=6, phi_step=0.5, mean_counts=10.0, background=0.5, seed=3
)


def reduce(*words: object, until: str = "integrate") -> tuple[int, str, Any]:
    """Exit code, everything that was told, and the answer."""
    run = CliRunner().invoke(app(), ["reduce", *map(str, words), "--until", until, "--json"])
    return run.exit_code, run.stderr, json.loads(run.stdout)


def edited(expt: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Write the geometry with a change beside itself."""
    content = json.loads(expt.read_text())
    change(content)
    path = expt.with_name("changed.expt")
    path.write_text(json.dumps(content))
    return path


def remedy(answer: dict[str, Any]) -> str:
    """Whole message of an error; it must have all three parts."""
    error = answer["error"]
    assert error["what"]
    assert error["found"]
    assert error["fix"]
    return f"{error['what']} | {error['found']} | {error['fix']}"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    return simulate(tmp_path_factory.mktemp("good"), RECIPE, bragg=True)


def test_a_missing_mask_file(good: Simulated, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["imageset"][0]["mask"] = "pixels.mask"

    code, _, answer = reduce(edited(good.expt, change), "-o", tmp_path)
    assert code == 1
    assert "the mask file is missing" in remedy(answer)
    assert "pixels.mask" in remedy(answer)


def test_a_pickled_mask(good: Simulated, tmp_path: Path) -> None:
    (good.expt.parent / "old.pickle").write_bytes(b"\x80\x04K\x01.")

    def change(content: dict[str, Any]) -> None:
        content["imageset"][0]["mask"] = "old.pickle"

    code, _, answer = reduce(edited(good.expt, change), "-o", tmp_path)
    assert code == 1
    assert "a pickled mask is not read" in remedy(answer)
    assert "numpy.save" in remedy(answer)


def test_exposure_times_of_zero(tmp_path: Path) -> None:
    made = simulate(tmp_path, RECIPE, bragg=True)
    for file in (tmp_path / "images").glob("*.cbf"):
        file.write_bytes(file.read_bytes().replace(b"Exposure_time 0.1", b"Exposure_time 0.0"))

    def change(content: dict[str, Any]) -> None:
        for scan in content["scan"]:
            times = scan.get("properties", scan)
            for name in ("exposure_time", "exposure_times"):
                if name in times:
                    times[name] = [0.0] * 6

    code, _, answer = reduce(edited(made.expt, change), "-o", tmp_path / "out")
    assert code == 1
    assert "exposure time" in remedy(answer)
    assert "0 seconds" in remedy(answer)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (WrongBackground(distance=10.0), "measured at another distance"),
        (WrongBackground(wavelength=1.1), "measured at another energy"),
    ],
)
def test_a_background_of_another_setting(
    good: Simulated, tmp_path: Path, wrong: WrongBackground, word: str
) -> None:
    empty = background_frames(good.frames, wrong=wrong)
    written = write_simulation(tmp_path, good.frames, background=empty, truth_divisions=None)
    code, _, answer = reduce(
        good.expt, "--background", written.outputs["background_expt"], "-o", tmp_path / "out"
    )
    assert code == 1
    assert "wrong background" in remedy(answer)
    assert word in remedy(answer)


def test_a_background_with_other_exposure_and_filters_is_scaled(
    good: Simulated, tmp_path: Path
) -> None:
    empty = background_frames(good.frames, wrong=WrongBackground(exposure=2.0, transmission=0.5))
    written = write_simulation(tmp_path, good.frames, background=empty, truth_divisions=None)
    code, told, _ = reduce(
        good.expt, "--background", written.outputs["background_expt"], "-o", tmp_path / "out"
    )
    assert code == 0
    assert "exposed for different times; the background is scaled" in told
    assert "different filters; the background is scaled" in told


def test_a_background_above_the_data(good: Simulated, tmp_path: Path) -> None:
    # Nothing in the files tells that it belongs to a stronger beam.
    strong = replace(RECIPE, background=6.0)
    other = simulate(tmp_path / "other", strong, bragg=True)
    code, told, _ = reduce(good.expt, "--background", other.background, "-o", tmp_path / "out")
    assert code == 0
    assert "the background is higher than the data" in told


def test_two_lattices(tmp_path: Path) -> None:
    recipe = replace(RECIPE, faults=Faults(second_lattice=0.9, second_turn=9.0))
    made = simulate(tmp_path, recipe, bragg=True)
    code, told, _ = reduce(made.expt, "-o", tmp_path / "out", until="peaks")
    assert code == 0
    assert "a second lattice" in told
    assert "index again" in told


def test_a_truncated_data_file(tmp_path: Path) -> None:
    made = simulate(tmp_path, RECIPE, bragg=True, image_format="eiger")
    data = next((tmp_path / "images").glob("*data*.h5"))
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    code, _, answer = reduce(made.expt, "-o", tmp_path / "out")
    assert code == 1
    assert data.name in remedy(answer)


def test_a_missing_data_file(tmp_path: Path) -> None:
    made = simulate(tmp_path, RECIPE, bragg=True, image_format="eiger")
    data = next((tmp_path / "images").glob("*data*.h5"))
    data.unlink()
    code, _, answer = reduce(made.expt, "-o", tmp_path / "out")
    assert code == 1
    assert data.name in remedy(answer)


def test_frames_that_do_not_match_the_scan(good: Simulated, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        for scan in content["scan"]:
            if "properties" in scan:
                scan["properties"]["oscillation"] = [2.0 * i for i in range(6)]
            else:
                scan["oscillation"] = [0.0, 2.0]

    path = edited(good.expt, change)
    code, told, _ = reduce(path, "-o", tmp_path / "a", until="check")
    assert code == 0
    assert "the image headers contradict the scan" in told
    assert "headers 0 to 3 degrees in 6 steps of 0.5" in told
    assert "experiment 0 to 12 degrees in 6 steps of 2" in told
    assert "the headers are believed" in told
    _, told, _ = reduce(path, "--scan", "expt", "-o", tmp_path / "b", until="check")
    assert "the experiment is believed" in told


def test_fewer_images_than_the_scan_has(good: Simulated, tmp_path: Path) -> None:
    images = sorted((good.expt.parent / "images").glob("*.cbf"))[:4]
    words = [word for file in images for word in ("--images", file)]
    code, told, answer = reduce(good.expt, *words, "-o", tmp_path)
    assert code == 0
    assert answer["n_frames"] == 4
    assert "images 1 to 4 only, of 1 to 6" in told


def test_overloads(tmp_path: Path) -> None:
    made = simulate(tmp_path, replace(RECIPE, mean_counts=3e4), bragg=True)
    code, told, answer = reduce(made.expt, "-o", tmp_path / "out")
    assert code == 0
    assert answer["sweeps"][0]["pixels"]["overloaded"] > 0
    assert "is overloaded; " in told
    assert "collect with less flux" in told


def test_a_wrong_detector_distance(tmp_path: Path) -> None:
    frames = simulate(tmp_path / "a", RECIPE, bragg=True).frames
    wrong = with_distance_error(frames.experiment, 8.0)
    written = write_simulation(
        tmp_path, frames, written=wrong, truth_divisions=None, image_format="cbf"
    )
    code, told, _ = reduce(written.outputs["expt"], "-o", tmp_path / "out", until="peaks")
    assert code == 0
    assert "wrong detector distance? The image headers say 200.00 mm" in told
    assert "208.00 mm" in told


TETRAGONAL = Crystal((29.0, 29.0, 37.0, 90, 90, 90), "P 4 2 2")
LONG = Recipe(
    detector="tiny", distance=170.0, n_frames=60, phi_step=1.0, exposure_time=1.0,
    mean_counts=20.0, seed=3,
)  # fmt: skip


@pytest.mark.parametrize(
    ("faults", "says"),
    [
        (Faults(), ""),
        (Faults(decay=0.1), "radiation damage"),
        (Faults(beam_trip=(30,)), "frames 31–31"),
    ],
)
def test_what_the_scaled_observations_show_is_told(
    tmp_path: Path, faults: Faults, says: str
) -> None:
    made = simulate(tmp_path, replace(LONG, faults=faults), crystal=TETRAGONAL)
    code, _, answer = reduce(
        made.expt, "--divisions", 2, 2, 2, "--d-min", 2.2, "-o", tmp_path / "out", until="scale"
    )
    assert code == 0
    (decay,) = answer["decay"]
    assert decay["significant"] == (faults.decay > 0)
    # One second a degree.
    assert decay["rate"] == pytest.approx(faults.decay, abs=0.02)
    assert len(answer["bad_ranges"]) == len(faults.beam_trip)
    told = [text for text in answer["warnings"] if "fades" in text or "do not fit" in text]
    assert len(told) == (1 if says else 0)
    assert says in "".join(told)
