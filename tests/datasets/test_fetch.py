"""Where data sets come from, and what happens when they cannot be had."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from unstill.datasets import DataFile, Dataset, fetch, find_dataset, list_datasets
from unstill.datasets import fetch as _fetch_function
from unstill.errors import InputError, UnstillWarning
from unstill.provenance import digest_file

CONTENT = b"a small file\n"


def toy(url: str, content: bytes = CONTENT) -> Dataset:
    file = DataFile(
        role="map",
        path="toy/file.bin",
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
        embedded=False,
        urls=(url,),
        source="a test",
    )
    return Dataset("toy", "Toy", "A toy", "measured", "CC0", "nobody", "", "", None, (file,))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "upstream"
    folder.mkdir()
    (folder / "file.bin").write_bytes(CONTENT)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/file.bin"
        running.shutdown()


@pytest.fixture(autouse=True)
def _no_local_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNSTILL_DATA", raising=False)


def use(monkeypatch: pytest.MonkeyPatch, dataset: Dataset) -> None:
    module = __import__(_fetch_function.__module__, fromlist=["find_dataset"])
    monkeypatch.setattr(module, "find_dataset", lambda name: dataset)


def test_embedded_data_have_the_registered_hashes_and_sizes() -> None:
    found = fetch("bpti-simulated")
    for file in found.dataset.files:
        assert found.origins[file.role] == "embedded"
        assert found.paths[file.role].stat().st_size == file.bytes
        assert digest_file(found.paths[file.role]) == file.sha256
    assert found.dataset.bytes < 400_000


def test_every_data_set_states_source_licence_and_hashes() -> None:
    for dataset in list_datasets():
        assert dataset.licence
        assert dataset.citation
        assert dataset.source.startswith("https://")
        assert dataset.simulated == (dataset.truth is not None)
        for file in dataset.files:
            assert len(file.sha256) == 64
            assert file.bytes > 0
            assert file.embedded or all(url.startswith("https://") for url in file.urls)
            assert file.embedded or file.urls


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="bpti-simulated, snase"):
        find_dataset("nonsense")


def test_a_file_is_fetched_once_and_then_taken_from_the_cache(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, toy(server))
    first = fetch("toy", cache=tmp_path / "cache")
    assert first.origins["map"] == server
    assert first.paths["map"].read_bytes() == CONTENT
    assert fetch("toy", cache=tmp_path / "cache").origins["map"] == "cache"


def test_a_local_folder_goes_before_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, toy("http://127.0.0.1:9/nothing"))
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "file.bin").write_bytes(CONTENT)
    monkeypatch.setenv("UNSTILL_DATA", str(tmp_path))
    found = fetch("toy", cache=tmp_path / "cache")
    assert found.origins["map"] == "local folder"
    assert found.paths["map"] == tmp_path / "toy" / "file.bin"


def test_a_wrong_file_in_the_local_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, toy("http://127.0.0.1:9/nothing"))
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "file.bin").write_bytes(b"something else")
    with pytest.raises(InputError, match="not the registered one") as raised:
        fetch("toy", folder=tmp_path)
    assert raised.value.fix is not None
    assert "UNSTILL_DATA" in raised.value.fix


def test_a_changed_upstream_file_is_refused_and_not_kept(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, toy(server, content=b"what it used to be"))
    with pytest.raises(InputError, match="sha256 differs"):
        fetch("toy", cache=tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("file.bin"))


def test_offline_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, toy("http://127.0.0.1:9/nothing"))
    with pytest.raises(InputError, match="could not be fetched") as raised:
        fetch("toy", cache=tmp_path / "cache")
    assert raised.value.fix is not None
    assert "toy/file.bin" in raised.value.fix
    assert "UNSTILL_DATA=DIR" in raised.value.fix


def test_offline_tells_the_reason_and_not_the_layers_around_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "http://127.0.0.1:9/nothing"
    use(monkeypatch, toy(address))
    with pytest.raises(InputError) as raised:
        fetch("toy", cache=tmp_path / "cache")
    assert raised.value.found is not None
    assert raised.value.found.startswith(f"{address}: Failed to establish a new connection")
    assert "Connection refused" in raised.value.found


def test_a_local_folder_that_is_none_is_told(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, toy(server))
    monkeypatch.setenv("UNSTILL_DATA", str(tmp_path / "nonsense"))
    with pytest.warns(UnstillWarning, match="UNSTILL_DATA names no folder"):
        assert fetch("toy", cache=tmp_path / "cache").origins["map"] == server


def test_a_damaged_file_in_the_cache_is_fetched_again(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, toy(server))
    path = fetch("toy", cache=tmp_path / "cache").paths["map"]
    path.write_bytes(b"damaged")
    found = fetch("toy", cache=tmp_path / "cache")
    assert found.origins["map"] == server
    assert found.paths["map"].read_bytes() == CONTENT


def test_real_data_have_the_registered_hashes(unstill_data: Path) -> None:
    found = fetch("snase", folder=unstill_data)
    assert set(found.origins.values()) == {"local folder"}
