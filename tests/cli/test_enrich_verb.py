"""``unstill enrich`` from files to files, and what it says about bad input."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from two_state_files import N_FRAMES, answered, pick, program, refused, sums, unstill

from unstill.io import read_map, read_structure, read_weights_csv, write_block_sums
from unstill.weighting.verdict import MEANING

KEYS = {
    "cc_work", "cc_free", "cc_uniform", "null", "n_eff_kl", "n_eff", "weights_file", "n_kept",
    "kept", "removed", "null_n_kept", "criterion", "stop", "per_pass", "trace", "verdict",
    "outputs", "warnings", "provenance",
}  # fmt: skip


def usual(folder: Path, *more: object, out: Path) -> list[object]:
    return ["enrich", folder / "sums.h5", "--observed", folder / "data.nxs", "-o", out, *more]


@pytest.fixture(scope="module")
def whole(two_states: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, str]:
    """Folder, JSON and stderr of one run with everything, started as a user does."""
    out = tmp_path_factory.mktemp("enrich") / "made" / "here"
    run = program(
        *usual(two_states, "--states", two_states / "states.txt", out=out),
        "--workers", 1, "--json",
    )  # fmt: skip
    stdout, stderr = run.communicate(timeout=300)
    assert run.returncode == 0, stderr
    return out, json.loads(stdout), stderr


def test_json_tells_who_was_kept_and_what_that_is_worth(whole: tuple[Path, Any, str]) -> None:
    _, found, stderr = whole
    assert set(found) >= KEYS
    assert 3 <= found["n_kept"] < N_FRAMES
    assert len(found["kept"]) == found["n_kept"]
    assert sorted(found["kept"] + found["removed"]) == list(range(N_FRAMES))
    assert len(found["null_n_kept"]) == found["null"]["n_permutations"] == 20
    # Without features the held-out folds ask for no removal.
    assert np.mean(found["null_n_kept"]) > 0.9 * N_FRAMES
    assert found["n_eff"] == pytest.approx(found["n_kept"])
    assert (found["criterion"], found["stop"], found["per_pass"]) == ("chi2", "held-out", 1)
    assert found["cc_work"]["aniso"] > found["cc_uniform"]["work"]["aniso"] + 0.02
    assert found["trace"]["n_kept"][0] == N_FRAMES
    assert found["verdict"] in MEANING
    assert "remove members" in stderr


def test_members_of_the_rarer_state_go_first(whole: tuple[Path, Any, str]) -> None:
    _, found, _ = whole
    a = found["states"][0]
    assert (a["label"], a["prior"]) == ("A", 0.5)
    assert a["population"] > 0.6
    gone = np.array(found["removed"])
    assert (gone >= N_FRAMES // 2).mean() > 0.6


def test_every_file_is_there_and_removed_members_weigh_nothing(
    two_states: Path, whole: tuple[Path, Any, str]
) -> None:
    out, found, _ = whole
    names = {"weights.csv", "weighted.nxs", "enrich.json", "report.html"}
    assert {path.name for path in out.iterdir()} == names
    assert {Path(path).name for path in found["outputs"].values()} == names
    table = read_weights_csv(Path(found["weights_file"]))
    assert abs(table.weight.sum() - 1) < 1e-12
    np.testing.assert_array_equal(np.flatnonzero(table.weight == 0), np.sort(found["removed"]))
    np.testing.assert_allclose(table.weight[found["kept"]], 1 / found["n_kept"])
    stored = json.loads((out / "enrich.json").read_text())
    assert {name: found[name] for name in stored} == stored
    notes = read_map(out / "weighted.nxs").provenance
    assert notes["command"] == "unstill enrich"
    assert notes["enrich"]["kept"] == found["kept"]
    inputs = {Path(entry["path"]).name for entry in notes["inputs"]}
    assert inputs == {"sums.h5", "data.nxs", "states.txt"}
    page = (out / "report.html").read_text()
    assert f"data.nxs keeps: {found['n_kept']} of {N_FRAMES}" in page


def test_the_text_for_people_says_how_many_of_how_many(two_states: Path, tmp_path: Path) -> None:
    words = ["--criterion", "cc", "--stop", "fit", "--per-pass", 2, "--fewest", 20]
    found = unstill(*usual(two_states, *words, out=tmp_path / "o"))
    assert found.code == 0, found.err
    stored = json.loads((tmp_path / "o" / "enrich.json").read_text())
    assert 20 <= stored["n_kept"] < N_FRAMES
    assert (stored["criterion"], stored["stop"], stored["per_pass"]) == ("cc", "fit", 2)
    assert f"kept {stored['n_kept']} of {N_FRAMES} members, criterion cc, stop fit" in found.out
    for text in ("permuted data keep", "free aniso", "null control: 20 permutations", "verdict:"):
        assert text in found.out
    # As published: the total correlation of what was fitted never falls.
    fit = np.array(stored["trace"]["fit"])
    assert (np.diff(fit) > 0).all()
    assert stored["cc_work"]["total"] > stored["cc_uniform"]["work"]["total"]


def test_a_trajectory_gives_the_ensemble_of_those_that_are_kept(
    two_states: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o"
    found = answered(
        "enrich", two_states / "top.pdb", two_states / "run.dcd", "--supercell", 2, 2, 2,
        "--space-group", "P 21 21 21", "--observed", two_states / "data.nxs", "--blocks", 15,
        "--stop", "fit", "--workers", 1, "-o", out,
    )  # fmt: skip
    assert found["n_members"] == 15
    assert found["n_kept"] < 15
    ensemble = read_structure(out / "ensemble.cif")
    frames = [2 * member + k for member in found["kept"] for k in (0, 1)]
    np.testing.assert_array_equal(ensemble.frames, frames)
    by_frame = read_weights_csv(out / "weights.csv").frame_weights()
    np.testing.assert_allclose(ensemble.weights, by_frame[frames], atol=1e-6)
    rows = (out / "ensemble.csv").read_text().splitlines()
    assert rows[0] == "model,frame,weight"
    assert len(rows) == len(frames) + 1


def test_the_number_of_workers_changes_no_digit(
    two_states: Path, whole: tuple[Path, Any, str], tmp_path: Path
) -> None:
    found = answered(
        *usual(two_states, "--states", two_states / "states.txt", out=tmp_path / "o"),
        "--workers", 2,
    )  # fmt: skip
    for key in KEYS - {"outputs", "provenance", "weights_file"}:
        assert found[key] == whole[1][key], key
    one, two = whole[0] / "weights.csv", tmp_path / "o" / "weights.csv"
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    "words",
    [
        ["--criterion", "banana"],
        ["--stop", "banana"],
        ["--fewest", "1"],
        ["--per-pass", "0"],
        ["--null", "5"],
        ["--backend", "jax"],
        ["--theta", "1"],
    ],
)
def test_bad_usage_exits_with_two_and_makes_nothing(
    two_states: Path, tmp_path: Path, words: list[str]
) -> None:
    found = unstill(*usual(two_states, out=tmp_path / "o"), *words)
    assert found.code == 2
    assert found.out == ""
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--fewest", N_FRAMES], "too few members"),
        (["--holdout", 0], "held-out data is out of range"),
        (["--d-min", 6, "--d-max", 4], "not below"),
        (["--select", "protein"], "no such selection"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    two_states: Path, tmp_path: Path, words: list[object], says: str
) -> None:
    assert says in refused(tmp_path, *usual(two_states, *words, out=tmp_path / "o"))


def test_too_few_or_damaged_members_are_refused(two_states: Path, tmp_path: Path) -> None:
    content = (two_states / "sums.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[: len(content) // 2])
    (tmp_path / "short.txt").write_text("A\n" * 7)
    write_block_sums(pick(sums(), slice(1)), tmp_path / "one.h5")
    write_block_sums(pick(sums(), slice(3)), tmp_path / "three.h5")
    write_block_sums(pick(sums(), slice(8)), tmp_path / "eight.h5")
    for name, more, says in (
        ("cut.h5", [], "cannot be read"),
        ("one.h5", [], "at least two members"),
        ("three.h5", [], "too few members"),
        ("eight.h5", ["--states", tmp_path / "short.txt"], "7 labels for 8 frames"),
        ("gone.h5", [], "file not found"),
    ):
        told = refused(
            tmp_path, "enrich", tmp_path / name, "--observed", two_states / "data.nxs",
            "-o", tmp_path / "o", *more,
        )  # fmt: skip
        assert says in told, name


def test_interruption_ends_with_130_and_no_file(two_states: Path, tmp_path: Path) -> None:
    run = program(*usual(two_states, "--null", 500, out=tmp_path / "o"), "--json")
    assert run.stderr is not None
    for line in run.stderr:
        if "permuted" in line:
            break
    run.send_signal(signal.SIGINT)
    stdout, stderr = run.communicate(timeout=120)
    assert run.returncode == 130, stderr
    assert json.loads(stdout)["error"]["what"] == "interrupted"
    assert "Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []


def test_help_has_an_example() -> None:
    found = unstill("enrich", "--help")
    assert found.code == 0
    assert "Example: unstill enrich" in found.out
