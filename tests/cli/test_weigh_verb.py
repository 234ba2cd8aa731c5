"""``unstill weigh`` from files to files, and what it says about bad input."""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from two_state_files import (
    FAST,
    N_FRAMES,
    answered,
    measured,
    pick,
    program,
    sums,
    unstill,
    weights,
)
from two_state_files import weigh_words as usual

from unstill.cli.weighed_output import say_agreement
from unstill.io import (
    read_map,
    read_structure,
    read_weights_csv,
    write_block_sums,
    write_map,
)
from unstill.weighting.agreement import Agreement
from unstill.weighting.result import NullRun
from unstill.weighting.verdict import MEANING

KEYS_OF_THE_ISSUE = {
    "cc_work", "cc_free", "cc_uniform", "null", "n_eff_kl", "n_eff", "theta", "iterations",
    "weights_file",
}  # fmt: skip
TRAJECTORY = ("--supercell", 2, 2, 2, "--space-group", "P 21 21 21", "--workers", 1)


@pytest.fixture(scope="module")
def whole(two_states: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, str]:
    """Folder, JSON and stderr of one run with everything, started as a user does."""
    out = tmp_path_factory.mktemp("weigh") / "made" / "here"
    run = program(
        *usual(two_states, "--states", two_states / "states.txt", "--seed", 3, out=out),
        "--workers", 1, "--json",
    )  # fmt: skip
    stdout, stderr = run.communicate(timeout=300)
    assert run.returncode == 0, stderr
    # One object and nothing else: the whole of stdout must parse.
    return out, json.loads(stdout), stderr


@pytest.fixture(scope="module")
def fast(two_states: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run at a given θ, which others are held against."""
    out = tmp_path_factory.mktemp("fast") / "weighed"
    answered(*usual(two_states, *FAST, "--workers", 1, out=out))
    return out


def test_json_has_the_keys_of_the_issue(whole: tuple[Path, Any, str]) -> None:
    _, found, _ = whole
    assert set(found) >= KEYS_OF_THE_ISSUE | {"outputs", "warnings", "provenance", "verdict"}
    for part in (found["cc_work"], found["cc_free"], *found["cc_uniform"].values()):
        assert part["total"] > part["aniso"] > 0.3
    assert set(found["cc_uniform"]) == {"work", "free"}
    assert {"work", "free"} <= set(found["null"])
    assert found["null"]["n_permutations"] == 20
    assert abs(found["null"]["free"]["aniso"]["mean"]) < 0.15
    assert 3 < found["n_eff"] < found["n_eff_kl"] < N_FRAMES
    assert found["theta"] > 0
    assert found["theta_rule"] == "cross-validation"
    assert found["iterations"] > 1
    assert found["verdict"] in MEANING
    assert found["d_min"] == pytest.approx(3.5, abs=0.05)
    assert found["warnings"] == []


def test_the_state_that_the_map_has_more_of_is_found(whole: tuple[Path, Any, str]) -> None:
    _, found, _ = whole
    a, b = found["states"]
    assert (a["label"], b["label"]) == ("A", "B")
    assert (a["prior"], b["prior"]) == pytest.approx((0.5, 0.5))
    assert a["population"] > 0.7
    assert a["population"] + b["population"] == pytest.approx(1, abs=1e-9)
    assert found["cc_free"]["aniso"] > found["cc_uniform"]["free"]["aniso"]


def test_every_file_is_there_and_says_the_same(whole: tuple[Path, Any, str]) -> None:
    out, found, stderr = whole
    names = {"weights.csv", "weighted.nxs", "weigh.json", "report.html"}
    assert {path.name for path in out.iterdir()} == names
    assert {Path(path).name for path in found["outputs"].values()} == names
    assert found["weights_file"] == str(out / "weights.csv")
    table = read_weights_csv(Path(found["weights_file"]))
    assert abs(table.weight.sum() - 1) < 1e-12
    assert (table.weight > 0).all()
    assert table.n_members == N_FRAMES
    assert table.states == ("A", "B")
    assert table.shares[:, 0] @ table.weight == pytest.approx(found["states"][0]["population"])
    assert 1 / np.sum(table.weight**2) == pytest.approx(found["n_eff"])
    assert (table.error > 0).all()
    stored = json.loads((out / "weigh.json").read_text())
    assert {name: found[name] for name in stored} == stored
    page = (out / "report.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html")
    assert MEANING[found["verdict"]] in page
    assert "choose θ" in stderr


def test_sums_with_a_supercell_promise_no_ensemble(two_states: Path, tmp_path: Path) -> None:
    out = tmp_path / "weighed"
    words = usual(two_states, *FAST, "--supercell", 2, 2, 2, "--workers", 1, out=out)
    found = answered(*words)
    assert {Path(path).name for path in found["outputs"].values()} == {
        path.name for path in out.iterdir()
    }


def test_gains_of_permutations_are_told_at_the_correlation_of_the_data() -> None:
    nothing, noise, high = Agreement(0.5, 0.0), Agreement(0.5, 0.12), Agreement(0.95, 0.9)
    null = NullRun((noise,), (noise,), (nothing,), (nothing,), np.array([9.0]), np.zeros(1))
    found = SimpleNamespace(
        n_eff_kl=9.0, n_eff=9.0, n_members=9, null=null, verdict="supported",
        cc_work=high, cc_free=high, uniform_work=high, uniform_free=high, gain_interval=(0.0, 0.1),
    )  # fmt: skip
    said: list[str] = []
    say_agreement(SimpleNamespace(say=lambda line="": said.append(line)), found)  # type: ignore[arg-type]
    expected = np.tanh(np.arctanh(0.9) + np.arctanh(0.12)) - 0.9
    (row,) = (line for line in said if line.split()[:2] == ["free", "aniso"])
    assert float(row.split()[-1]) == pytest.approx(expected, abs=1e-4)


def test_provenance_stands_in_every_output(two_states: Path, whole: tuple[Path, Any, str]) -> None:
    out, found, _ = whole
    record = found["provenance"]
    inputs = {Path(entry["path"]).name: entry["sha256"] for entry in record["inputs"]}
    assert set(inputs) == {"sums.h5", "data.nxs", "states.txt"}
    for name, digest in inputs.items():
        assert hashlib.sha256((two_states / name).read_bytes()).hexdigest() == digest
    assert record["seed"] == 3
    assert record["command"] == "unstill weigh"
    assert {"unstill", "numpy", "scipy", "python"} <= set(record["versions"])
    assert record["parameters"]["holdout"] == 0.1
    assert record["parameters"]["target"] == "chi2"
    assert json.loads((out / "weigh.json").read_text())["provenance"] == record
    notes = read_map(out / "weighted.nxs").provenance
    assert notes["inputs"] == record["inputs"]
    assert notes["seed"] == 3
    assert notes["weigh"]["n_eff"] == found["n_eff"]
    page = (out / "report.html").read_text()
    assert all(digest in page or digest[:12] in page for digest in inputs.values())


def test_the_weighted_map_is_that_of_the_weights(two_states: Path, fast: Path) -> None:
    members, w = sums(), weights(fast)
    exact = w @ members.s2[:, 0] - np.abs(w @ members.s1[:, 0]) ** 2
    found = read_map(fast / "weighted.nxs")
    got = found.intensity[tuple((members.index - np.array(found.grid.start)).T)]
    # Laue mates are averaged, which changes no sum, and the scale is that of the data.
    seen = np.isfinite(got)
    assert seen.mean() > 0.9
    assert np.corrcoef(got[seen], exact[seen])[0, 1] > 0.5
    scale = json.loads((fast / "weigh.json").read_text())["scale"]
    assert got[seen].sum() / (exact[seen].sum() / 8) == pytest.approx(scale, rel=0.02)


def test_the_text_for_people_has_the_gain_and_the_control(
    two_states: Path, tmp_path: Path
) -> None:
    found = unstill(
        *usual(two_states, *FAST, "--states", two_states / "states.csv", out=tmp_path / "o")
    )
    assert found.code == 0, found.err
    for text in ("N_eff", "free aniso", "null control: 20 permutations", "verdict:", "state A:"):
        assert text in found.out
    stored = json.loads((tmp_path / "o" / "weigh.json").read_text())
    assert f"{stored['cc_free']['aniso']:.4f}" in found.out
    assert str(tmp_path / "o" / "report.html") in found.out


def test_labels_as_text_or_table_are_the_same(
    two_states: Path, whole: tuple[Path, Any, str], tmp_path: Path
) -> None:
    # The table stands in reverse order; the labels must not follow the lines.
    found = answered(
        *usual(two_states, *FAST, "--states", two_states / "states.csv", out=tmp_path / "o")
    )
    table = read_weights_csv(tmp_path / "o" / "weights.csv")
    np.testing.assert_array_equal(table.shares, read_weights_csv(whole[0] / "weights.csv").shares)
    assert found["states"][0]["population"] == pytest.approx(table.weight[: N_FRAMES // 2].sum())


def test_frames_as_mtz_files_get_the_weights_of_their_sums(
    two_states: Path, fast: Path, tmp_path: Path
) -> None:
    stack = sorted(two_states.glob("frame_*.mtz"))
    assert len(stack) == N_FRAMES
    found = answered(
        "weigh", *stack, "--observed", two_states / "data.nxs", "-o", tmp_path / "o", *FAST
    )
    np.testing.assert_allclose(weights(tmp_path / "o"), weights(fast), atol=1e-4)
    assert len(found["provenance"]["inputs"]) == N_FRAMES + 1


def test_several_files_of_sums_stay_in_their_order(
    two_states: Path, fast: Path, tmp_path: Path
) -> None:
    half = N_FRAMES // 2
    write_block_sums(pick(sums(), slice(half)), tmp_path / "a.h5")
    write_block_sums(pick(sums(), slice(half, None)), tmp_path / "b.h5")
    again = []
    for order in ("ab", "ba"):
        out = tmp_path / order
        answered(
            "weigh", *(tmp_path / f"{name}.h5" for name in order), "--observed",
            two_states / "data.nxs", "-o", out, *FAST,
        )  # fmt: skip
        again.append(weights(out))
    np.testing.assert_allclose(again[0], weights(fast), atol=2e-3)
    np.testing.assert_allclose(np.roll(again[1], half), again[0], atol=2e-3)
    assert np.ptp(again[0]) > 0.02


def test_a_trajectory_or_its_sums_with_frames_give_one_ensemble(
    two_states: Path, tmp_path: Path
) -> None:
    files = [two_states / "top.pdb", two_states / "run.dcd"]
    made = unstill(
        "diffuse", *files, *TRAJECTORY, "--d-min", 3.5, "--blocks", 10, "--blocks-out",
        tmp_path / "sums.h5", "-o", tmp_path / "map.nxs",
    )  # fmt: skip
    assert made.code == 0, made.err
    common = ["--observed", two_states / "data.nxs", *FAST, "--members", 12]
    direct, later = tmp_path / "direct", tmp_path / "later"
    found = answered("weigh", *files, *TRAJECTORY, "--blocks", 10, "-o", direct, *common)
    behind = [word for path in files for word in ("--frames", path)]
    again = answered("weigh", tmp_path / "sums.h5", *behind, "-o", later, *common)
    assert again["warnings"] == []
    np.testing.assert_allclose(weights(later), weights(direct), atol=1e-9)
    assert found["n_members"] == 10
    assert found["n_frames"] == N_FRAMES
    assert Path(found["outputs"]["ensemble"]) == direct / "ensemble.cif"
    assert (direct / "ensemble.csv").read_text() == (later / "ensemble.csv").read_text()
    ensemble = read_structure(direct / "ensemble.cif")
    rows = (direct / "ensemble.csv").read_text().splitlines()[1:]
    model, frame, weight = np.array([row.split(",") for row in rows], dtype=float).T
    assert 1 < len(rows) <= 12
    np.testing.assert_array_equal(model, np.arange(1, len(rows) + 1))
    np.testing.assert_allclose(ensemble.weights, weight, atol=1e-6)
    np.testing.assert_array_equal(ensemble.frames, frame.astype(int))
    assert weight.sum() == pytest.approx(1)


def test_every_frame_is_a_member_with_no_blocks_and_all_weights_come_back(
    two_states: Path, tmp_path: Path
) -> None:
    out, labels = tmp_path / "o", two_states / "states.txt"
    found = answered(
        "weigh", two_states / "models.pdb", *TRAJECTORY, "--unit-cell", "17,19,23", "--observed",
        two_states / "data.nxs", "--blocks", 0, "--states", labels, "--atoms", "name CA",
        "-o", out, *FAST,
    )  # fmt: skip
    table = read_weights_csv(out / "weights.csv")
    assert found["n_members"] == N_FRAMES
    ensemble = read_structure(out / "ensemble.cif")
    # All frames carry weight, so the ensemble holds them all, each with its own.
    np.testing.assert_array_equal(ensemble.frames, np.arange(N_FRAMES))
    np.testing.assert_allclose(ensemble.weights, table.weight, atol=1e-6)
    assert ensemble.atoms.array_length() == 40
    assert ensemble.crystal is not None
    assert ensemble.crystal.unit_cell == (34, 38, 46, 90, 90, 90)
    first = ensemble.weights[: N_FRAMES // 2].sum()
    assert first == pytest.approx(found["states"][0]["population"], abs=1e-5)


def test_theta_may_be_a_number_or_an_elbow(two_states: Path, fast: Path, tmp_path: Path) -> None:
    given = json.loads((fast / "weigh.json").read_text())
    assert (given["theta"], given["theta_rule"]) == (0.3, "given")
    coarse = ["--d-min", 4.5, "--bootstrap", 0]
    words = usual(two_states, *coarse, out=tmp_path / "o", members="blocks.h5")
    found = answered(*words, "--theta", "l-curve")
    assert found["n_members"] == 10
    assert found["theta_rule"] == "l-curve"
    assert found["theta"] > 0
    assert found["d_min"] > 4.49
    dear = answered(*usual(two_states, "--theta", 30, "--bootstrap", 0, out=tmp_path / "o"))
    assert N_FRAMES > dear["n_eff_kl"] > given["n_eff_kl"] + 3


def test_each_target_is_best_at_what_it_asks_for(two_states: Path, tmp_path: Path) -> None:
    found = {
        target: answered(
            *usual(two_states, "--target", target, out=tmp_path / target),
            "--theta", 0.03, "--bootstrap", 0, "--d-min", 4.2,
        )
        for target in ("chi2", "likelihood", "cc", "cc-aniso", "cross-entropy")
    }  # fmt: skip
    assert {name: one["target"] for name, one in found.items()} == {name: name for name in found}
    best = {
        part: max(found, key=lambda name: found[name]["cc_work"][part])
        for part in ("total", "aniso")
    }
    assert best == {"total": "cc", "aniso": "cc-aniso"}
    for name, one in found.items():
        assert one["cc_work"]["aniso"] > one["cc_uniform"]["work"]["aniso"] + 0.02, name
    sets = [weights(tmp_path / name) for name in found]
    for number, one in enumerate(sets):
        for other in sets[:number]:
            assert np.abs(one - other).max() > 1e-4


def test_adam_finds_nearly_the_same_weights(two_states: Path, fast: Path, tmp_path: Path) -> None:
    found = answered(*usual(two_states, *FAST, "--optimizer", "adam", out=tmp_path / "o"))
    assert found["iterations"] == 500
    assert np.abs(weights(tmp_path / "o") - weights(fast)).max() < 0.01
    assert not np.array_equal(weights(tmp_path / "o"), weights(fast))


def test_the_published_recipe_shows_where_it_goes_wrong(two_states: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    found = unstill(*usual(two_states, "--recipe", "sigmoid-cc", "--d-min", 4.2, out=out))
    assert found.code == 0, found.err
    assert "published recipe: Σw 15 at the start" in found.out
    stored = json.loads((out / "weigh.json").read_text())
    assert stored["recipe"]["sum_at_start"] == N_FRAMES / 2
    assert stored["recipe"]["negative_at_start"] > 0.5
    assert stored["theta_rule"] == "none"
    assert weights(out).sum() == pytest.approx(1, abs=1e-12)


def test_amplitudes_are_told_of_and_count_only_with_a_weight(
    two_states: Path, fast: Path, tmp_path: Path
) -> None:
    bragg = two_states / "bragg.mtz"
    found = [
        answered(*usual(two_states, *FAST, "--bragg", bragg, *more, out=tmp_path / f"{number}"))
        for number, more in enumerate(([], ["--bragg-weight", 0.1]))
    ]
    np.testing.assert_allclose(weights(tmp_path / "0"), weights(fast), atol=1e-12)
    for one in found:
        assert one["bragg"]["n_work"] > 50 > one["bragg"]["n_free"] > 0
        assert 0 < one["bragg"]["r_work"] < one["bragg_uniform"]["r_work"]
    assert found[1]["bragg"]["r_work"] < found[0]["bragg"]["r_work"] - 0.02
    assert len(found[0]["provenance"]["inputs"]) == 3


def test_jax_gives_the_weights_of_numpy(two_states: Path, tmp_path: Path) -> None:
    pytest.importorskip("jax")
    # A dear θ: few steps, hence few shapes to compile.
    dear = ["--theta", 1000, "--bootstrap", 0, "--d-min", 4.5]
    for backend in ("numpy", "jax"):
        words = usual(two_states, *dear, out=tmp_path / backend, members="blocks.h5")
        answered(*words, "--backend", backend)
    moved = [weights(tmp_path / backend) - 1 / 10 for backend in ("numpy", "jax")]
    assert np.abs(moved[0]).max() > 1e-4
    np.testing.assert_allclose(moved[1], moved[0], atol=1e-3 * np.abs(moved[0]).max())


def test_a_loss_of_your_own_is_minimised_and_recorded(two_states: Path, tmp_path: Path) -> None:
    pytest.importorskip("jax")
    loss = tmp_path / "own.py"
    loss.write_text(
        "import jax.numpy as jnp\n"
        "def loss(x, y, weight, s):\n"
        "    w = weight > 0\n"
        "    x = x - (w * x).sum() / w.sum()\n"
        "    y = y - (w * y).sum() / w.sum()\n"
        "    return 1 - (w * x * y).sum() / jnp.sqrt((w * x * x).sum() * (w * y * y).sum())\n"
    )
    given = ["--theta", 1, "--bootstrap", 0, "--d-min", 4.2]
    for name, target in {"own": f"{loss}:loss", "voxels": "cc"}.items():
        answered(*usual(two_states, *given, "--target", target, out=tmp_path / name))
    own, voxels = weights(tmp_path / "own"), weights(tmp_path / "voxels")
    # Orbits instead of voxels count alike: nearly the correlation that has a name.
    assert np.corrcoef(own, voxels)[0, 1] > 0.95
    assert np.ptp(own) > 0.003
    stored = json.loads((tmp_path / "own" / "weigh.json").read_text())
    assert stored["target"] == f"{loss}:loss"
    assert str(loss) in [entry["path"] for entry in stored["provenance"]["inputs"]]


def test_voxels_of_negative_sigma_are_left_out_with_a_word(
    two_states: Path, fast: Path, tmp_path: Path
) -> None:
    whole = measured()
    assert whole.sigma is not None
    few = np.flatnonzero(whole.measured)[::400]
    sigma, mask = whole.sigma.copy(), whole.mask.copy()
    sigma.ravel()[few] = -1.0
    mask.ravel()[few] = True
    write_map(whole.replace(sigma=sigma), tmp_path / "flagged.nxs")
    write_map(whole.replace(mask=mask), tmp_path / "masked.nxs")
    told = {}
    for name in ("flagged", "masked"):
        observed = tmp_path / f"{name}.nxs"
        told[name] = answered(
            "weigh", two_states / "sums.h5", "--observed", observed, "-o", tmp_path / name, *FAST
        )["warnings"]
    assert any("negative sigma" in text for text in told["flagged"])
    assert told["masked"] == []
    np.testing.assert_array_equal(weights(tmp_path / "flagged"), weights(tmp_path / "masked"))


def test_interruption_ends_with_130_and_no_file(two_states: Path, tmp_path: Path) -> None:
    run = program(*usual(two_states, "--bootstrap", 3000, out=tmp_path / "o"), "--json")
    assert run.stderr is not None
    for line in run.stderr:
        if "choose θ" in line:
            break
    run.send_signal(signal.SIGINT)
    stdout, stderr = run.communicate(timeout=120)
    assert run.returncode == 130, stderr
    assert json.loads(stdout)["error"]["what"] == "interrupted"
    assert "Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []


def test_the_number_of_workers_changes_no_digit(
    two_states: Path, fast: Path, tmp_path: Path
) -> None:
    answered(*usual(two_states, *FAST, "--workers", 2, out=tmp_path / "o"))
    for name in ("weights.csv", "weigh.json"):
        one, two = (folder / name for folder in (fast, tmp_path / "o"))
        if name == "weigh.json":
            left, right = (json.loads(path.read_text()) for path in (one, two))
            for found in (left, right):
                del found["provenance"], found["weights_file"]
            assert left == right
        else:
            assert one.read_bytes() == two.read_bytes()


def test_help_has_an_example() -> None:
    found = unstill("weigh", "--help")
    assert found.code == 0
    assert "Example: unstill weigh" in found.out
    for option in ("--observed", "--target", "--theta", "--holdout", "--backend", "--json"):
        assert option in found.out


def test_files_of_an_earlier_run_are_pointed_out(two_states: Path, tmp_path: Path) -> None:
    (tmp_path / "ensemble.cif").write_text("old\n")
    (tmp_path / "enrich.json").write_text("{}\n")
    words = usual(two_states, "--theta", 30, "--bootstrap", 0, out=tmp_path, members="blocks.h5")
    told = answered(*words)["warnings"]
    assert [Path(text.split()[0]).name for text in told] == ["enrich.json", "ensemble.cif"]
    assert answered(*words)["warnings"] == told
