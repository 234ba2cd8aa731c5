"""What ``unstill weigh`` refuses: bad maps, members, options and folders, each with its word."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from two_state_files import (
    FAST,
    N_FRAMES,
    answered,
    measured,
    pick,
    refused,
    sums,
    unstill,
    weights,
)
from two_state_files import weigh_words as usual

from unstill.crystal import Crystal, HklGrid
from unstill.diffuse.laue_average import LaueAverage
from unstill.io import write_block_sums, write_map
from unstill.maps import IntensityMap, map_from_points


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def loss(:\n", "does not run"),
        ("def other(x, y, weight, s):\n    return x.sum()\n", "no such function"),
        ("def loss(x):\n    return x.sum()\n", "cannot differentiate"),
        ("def loss(x, y, weight, s):\n    return x\n", "cannot differentiate"),
    ],
)
def test_a_loss_of_your_own_that_is_none_is_refused(
    two_states: Path, tmp_path: Path, text: str, says: str
) -> None:
    if importlib.util.find_spec("jax") is None and says == "cannot differentiate":
        pytest.skip("needs jax")
    (tmp_path / "own.py").write_text(text)
    told = refused(
        tmp_path,
        *usual(two_states, *FAST, "--target", f"{tmp_path}/own.py:loss", out=tmp_path / "o"),
    )
    assert says in told


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_a_backend_that_is_not_installed_is_named_with_the_line_to_type(
    two_states: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setitem(sys.modules, backend, None)
    told = refused(tmp_path, *usual(two_states, "--backend", backend, out=tmp_path / "o"))
    assert f"pip install 'unstill[{backend}]'" in told


@pytest.mark.parametrize(
    "words",
    [
        ["--target", "banana"],
        ["--theta", "banana"],
        ["--null", "5"],
        ["--backend", "banana"],
        ["--recipe", "banana"],
        ["--optimizer", "banana"],
        ["--seed", "-1"],
        ["--members", "0"],
        ["--blocks", "-1"],
        ["--d-min", "nan"],
        ["--d-max", "-3"],
        ["--bragg-weight", "1"],
        ["--bragg-weight", "-1"],
        ["--bragg-weight", "1", "--bragg", "b.mtz", "--recipe", "sigmoid-cc"],
        ["--supercell", "2", "2"],
        ["--banana"],
    ],
)
def test_bad_usage_exits_with_two_and_makes_nothing(
    two_states: Path, tmp_path: Path, words: list[str]
) -> None:
    found = unstill(*usual(two_states, out=tmp_path / "o"), *words)
    assert found.code == 2
    assert found.out == ""
    assert not (tmp_path / "o").exists()


def test_what_is_needed_must_be_given(two_states: Path, tmp_path: Path) -> None:
    sums_file, data = two_states / "sums.h5", two_states / "data.nxs"
    assert unstill("weigh", "--observed", data, "-o", tmp_path / "o").code == 2
    assert unstill("weigh", sums_file, "-o", tmp_path / "o").code == 2
    assert unstill("weigh", sums_file, "--observed", data).code == 2


def with_sigma(value: float) -> IntensityMap:
    whole = measured()
    assert whole.sigma is not None
    return whole.replace(sigma=np.full_like(whole.sigma, value))


def only(n: int) -> IntensityMap:
    """Hardly anything measured."""
    whole = measured()
    mask = np.ones(whole.grid.shape, dtype=bool)
    mask[np.unravel_index(np.flatnonzero(whole.measured)[:: whole.grid.size // n], mask.shape)] = 0
    return whole.replace(mask=mask)


def in_cell(a: float) -> IntensityMap:
    return measured().replace(crystal=Crystal((a, 19.0, 23.0, 90.0, 90.0, 90.0), "P 21 21 21"))


def divided(n: int) -> IntensityMap:
    whole = measured()
    return whole.replace(grid=HklGrid(whole.grid.start, whole.grid.shape, (n, n, n)))


BAD_MAPS: dict[str, tuple[Callable[[], IntensityMap], str]] = {
    "another crystal": (lambda: in_cell(20.0), "wrong cell"),
    "finer divisions": (lambda: divided(4), "points that the members do not have"),
    "thirds": (lambda: divided(3), "points that the members do not have"),
    "masked": (lambda: measured().replace(mask=np.ones(measured().grid.shape, bool)), "masked"),
    "few voxels": (lambda: only(90), "too few"),
    "nothing but NaN": (
        lambda: measured().replace(intensity=np.full(measured().grid.shape, np.nan)),
        "masked everywhere",
    ),
    "sigma NaN": (lambda: with_sigma(np.nan), "masked everywhere"),
    "sigma 0": (lambda: with_sigma(0.0), "positive sigma"),
    "sigma below 0": (lambda: with_sigma(-1.0), "masked everywhere"),
    "flat": (
        lambda: measured().replace(intensity=np.full(measured().grid.shape, 7.0)),
        "no anisotropic part",
    ),
    "flat without sigma": (
        lambda: measured().replace(intensity=np.full(measured().grid.shape, 7.0), sigma=None),
        "no anisotropic part",
    ),
    "another symmetry": (
        lambda: measured().replace(crystal=Crystal((17.0, 19.0, 23.0, 90.0, 90.0, 90.0), "P 41")),
        "different symmetry",
    ),
}


@pytest.mark.parametrize("name", BAD_MAPS)
def test_a_map_that_cannot_be_weighed_against_is_refused(
    two_states: Path, tmp_path: Path, name: str
) -> None:
    make, says = BAD_MAPS[name]
    write_map(make(), tmp_path / "bad.nxs")
    told = refused(
        tmp_path,
        "weigh", two_states / "sums.h5", "--observed", tmp_path / "bad.nxs", "-o", tmp_path / "o",
        *FAST,
    )  # fmt: skip
    assert says in told


def nan_member() -> Any:
    whole = sums()
    s1 = whole.s1.copy()
    s1[7, 0, 5] = np.nan
    return replace(whole, s1=s1)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: pick(sums(), slice(1)), "at least two members"),
        (nan_member, "member 7"),
        (lambda: pick(sums(), np.zeros(8, dtype=int)), "all the same"),  # type: ignore[arg-type]
    ],
)
def test_members_that_cannot_be_weighed_are_refused(
    two_states: Path, tmp_path: Path, make: Callable[[], Any], says: str
) -> None:
    write_block_sums(make(), tmp_path / "bad.h5")
    told = refused(
        tmp_path,
        "weigh", tmp_path / "bad.h5", "--observed", two_states / "data.nxs", "-o", tmp_path / "o",
        *FAST,
    )  # fmt: skip
    assert says in told


def test_files_that_are_no_members_are_refused(two_states: Path, tmp_path: Path) -> None:
    content = (two_states / "sums.h5").read_bytes()
    (tmp_path / "empty.h5").write_bytes(b"")
    (tmp_path / "cut.h5").write_bytes(content[: len(content) // 2])
    (tmp_path / "hurt.h5").write_bytes(content[:2000] + bytes(600) + content[2600:])
    (tmp_path / "text.h5").write_text("no sums\n")
    frame = two_states / "frame_00.mtz"
    for files, says in (
        (["empty.h5"], "is empty"),
        (["cut.h5"], "cannot be read"),
        (["hurt.h5"], "cannot be read"),
        (["text.h5"], "--supercell"),
        (["gone.h5"], "file not found"),
        (["."], "a folder stands"),
        ([two_states / "data.nxs"], "is not an unstill block-sums file"),
        ([two_states / "sums.h5", frame], "different kinds"),
        ([two_states / "sums.h5", two_states / "sums.h5"], "given twice"),
        ([frame, frame], "given twice"),
        ([frame], "at least two members"),
        ([two_states / "top.pdb", two_states / "run.dcd"], "--supercell"),
    ):
        told = refused(
            tmp_path, "weigh", *(tmp_path / file for file in files), "--observed",
            two_states / "data.nxs", "-o", tmp_path / "o", *FAST,
        )  # fmt: skip
        assert says in told, files


def test_sums_are_no_map_and_structure_factors_are_none_either(
    two_states: Path, tmp_path: Path
) -> None:
    for observed, says in (
        ("sums.h5", "intensity-map"),
        ("frame_00.mtz", "no intensities"),
        ("gone.nxs", "file not found"),
        (".", "a folder stands"),
        ("states.txt", "no map that unstill can read"),
    ):
        told = refused(
            tmp_path, "weigh", two_states / "sums.h5", "--observed", two_states / observed,
            "-o", tmp_path / "o", *FAST,
        )  # fmt: skip
        assert says in told, observed


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--holdout", 0], "held-out data is out of range"),
        (["--holdout", 1], "held-out data is out of range"),
        (["--holdout", "nan"], "held-out data is out of range"),
        (["--holdout", 0.001], "too few points"),
        (["--theta", -1], "price of entropy"),
        (["--theta", "inf"], "price of entropy"),
        (["--d-min", 6, "--d-max", 4], "not below"),
        (["--d-min", 9], "share too little"),
        (["--select", "protein"], "no such selection"),
        (["--supercell", 3, 2, 2], "another supercell"),
        (["--reindex", "banana"], "not a reindexing operator"),
        (["--reindex", "l,h,k"], "wrong cell"),
        (["--space-group", "banana"], "unknown space group"),
        (["--unit-cell", "1,2,3"], "wrong cell"),
        (["--bragg", "sums.h5"], "cannot be read as an MTZ file"),
        (["--bragg", "frame_00.mtz"], "no amplitudes with sigma"),
        (["--states", "short.txt"], "29 labels for 30 frames"),
        (["--frames", "top.pdb", "--frames", "short.dcd"], "3 frames, 30 in 30 members"),
        (["--frames", "states.txt"], "no structure"),
        (["--frames", "models.pdb", "--unit-cell", "17,19,23", "--atoms", "banana"], "selection"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_the_work(
    two_states: Path, tmp_path: Path, words: list[object], says: str
) -> None:
    short = "\n".join(["A"] * (N_FRAMES - 1)) + "\n"
    (tmp_path / "short.txt").write_text(short)
    (tmp_path / "short.dcd").write_bytes((two_states / "run.dcd").read_bytes()[:5000])
    places = {
        word: next(
            (
                folder / str(word)
                for folder in (tmp_path, two_states)
                if (folder / str(word)).is_file()
            ),
            word,
        )
        for word in words
    }
    told = refused(
        tmp_path, *usual(two_states, *FAST, *(places[word] for word in words), out=tmp_path / "o")
    )
    assert says in told
    # Nothing was fitted before it was noticed.
    assert "refit" not in told
    assert "choose" not in told


def two_frame_map() -> IntensityMap:
    """What two frames and no others would give."""
    members = sums()
    w = np.zeros(N_FRAMES)
    w[[4, 21]] = 0.5
    exact = w @ members.s2[:, 0] - np.abs(w @ members.s1[:, 0]) ** 2
    average = LaueAverage.of(members.crystal, members.divisions, members.index)(exact) / 8
    sigma = np.full(len(exact), 0.01 * np.std(average))
    return map_from_points(members.crystal, members.divisions, members.index, average, sigma)


def test_weights_that_collapse_are_refused_and_may_be_forced(
    two_states: Path, tmp_path: Path
) -> None:
    write_map(two_frame_map(), tmp_path / "two.nxs")
    words: list[object] = [
        "weigh", two_states / "sums.h5", "--observed", tmp_path / "two.nxs", "-o", tmp_path / "o",
        "--theta", 0.01, "--bootstrap", 0,
    ]  # fmt: skip
    told = refused(tmp_path, *words)
    assert "collapsed" in told
    assert "--force" in told
    found = answered(*words, "--force")
    assert found["n_eff"] < 3
    assert any("collapsed" in text for text in found["warnings"])
    np.testing.assert_array_equal(np.sort(np.argsort(weights(tmp_path / "o"))[-2:]), [4, 21])


def test_a_folder_that_takes_no_files_is_refused_before_the_work(
    two_states: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way\n")
    (tmp_path / "taken" / "report.html").mkdir(parents=True)
    for out, says in (
        (tmp_path / "file", "a file stands"),
        (tmp_path / "file" / "below", "a file stands"),
        (tmp_path / "taken", "is a folder"),
    ):
        assert says in refused(tmp_path, *usual(two_states, *FAST, out=out))


def test_an_input_is_never_replaced(two_states: Path, tmp_path: Path) -> None:
    (tmp_path / "weighted.nxs").write_bytes((two_states / "data.nxs").read_bytes())
    told = refused(
        tmp_path, "weigh", two_states / "sums.h5", "--observed", tmp_path / "weighted.nxs",
        "-o", tmp_path, *FAST,
    )  # fmt: skip
    assert "would replace an input" in told
    assert (tmp_path / "weighted.nxs").read_bytes() == (two_states / "data.nxs").read_bytes()
