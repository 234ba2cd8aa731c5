"""``unstill demo`` and ``unstill datasets`` as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "unstill", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )


def test_demo_writes_report_and_results(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    done = run("demo", "--sections", "indexing", "-o", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["outputs"] == {
        "report": str(folder / "report.html"),
        "results": str(folder / "results.json"),
    }
    assert found["indexing"]["operator"] == "h,k,l"
    assert found["warnings"] == []
    assert len(found["provenance"]["inputs"]) == 2
    assert found["fits"] == {}
    assert found["ensemble"] is None
    written = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert written["indexing"] == found["indexing"]
    assert "unstill demo --dataset bpti-simulated --sections indexing --seed 0" in (
        folder / "report.html"
    ).read_text(encoding="utf-8")


def test_unknown_section_is_bad_usage(tmp_path: Path) -> None:
    done = run("demo", "--sections", "dessert", "-o", str(tmp_path))
    assert done.returncode == 2
    assert (
        "choose from indexing, fit, ensemble, difference, weighting, encoding, guidance, reduction"
        in " ".join(done.stderr.split())
    )


def test_unknown_data_set_lists_the_known_ones(tmp_path: Path) -> None:
    done = run("demo", "--dataset", "nonsense", "-o", str(tmp_path / "out"), "--json")
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert "bpti-simulated, snase" in error["fix"]


def test_output_that_cannot_be_written_fails_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    done = run("demo", "-o", str(tmp_path / "file"))
    assert done.returncode == 1
    assert "a file stands where the output folder should be" in done.stderr
    assert "fit" not in done.stderr.split()


def test_a_demo_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    done = run("demo", "--dataset", "nonsense", "-o", str(tmp_path / "a" / "b"))
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_offline_the_measured_data_say_what_to_do(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PATH": ""}
    environment |= {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = run("datasets", "fetch", "snase", "--json", env=environment)
    assert done.returncode == 1
    error = json.loads(done.stdout)["error"]
    assert "could not be fetched" in error["what"]
    assert "UNSTILL_DATA=DIR" in error["fix"]


def test_datasets_list_names_licence_and_citation() -> None:
    done = run("datasets", "list")
    assert done.returncode == 0
    for text in ("bpti-simulated", "snase", "CC0", "BSD-3", "10.1073/pnas.94.12.6180"):
        assert text in done.stdout
    found = json.loads(run("datasets", "list", "--json").stdout)
    assert [entry["name"] for entry in found["datasets"]] == ["bpti-simulated", "snase"]
    assert found["outputs"] == {}


def test_the_list_of_data_sets_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    found = json.loads(run("datasets", "list", "-o", str(path), "--json").stdout)
    assert found["outputs"] == {"list": str(path)}
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written["datasets"] == found["datasets"]
    assert written["provenance"]["command"] == "unstill datasets list"


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    done = run("datasets", "fetch", "snase", "-o", str(tmp_path / "file" / "sub"))
    assert done.returncode == 1
    assert "a file stands where the output folder should be" in done.stderr


def test_fetched_files_can_be_copied_and_opened(tmp_path: Path) -> None:
    done = run("datasets", "fetch", "bpti-simulated", "-o", str(tmp_path / "here"), "--json")
    assert done.returncode == 0
    paths = json.loads(done.stdout)["outputs"]
    from unstill import read_map, read_structure

    assert read_map(Path(paths["map"])).crystal == read_structure(Path(paths["model"])).crystal


def test_regenerated_map_is_the_embedded_one(tmp_path: Path) -> None:
    done = run("datasets", "regenerate", "-o", str(tmp_path / "map.nxs"), "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["differing_voxels"] == 0
    assert (tmp_path / "map.nxs").exists()


@pytest.mark.parametrize(
    "verb", ["demo", "datasets list", "datasets fetch", "datasets regenerate"]
)
def test_help_shows_an_example(verb: str) -> None:
    done = run(*verb.split(), "--help")
    assert done.returncode == 0
    assert f"unstill {verb.split()[0]}" in done.stdout
    assert "Example:" in done.stdout
