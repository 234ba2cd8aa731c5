from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from unstill.errors import OutputError
from unstill.io.atomic import atomic_path


def test_a_finished_file_takes_its_place(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "map.nxs") as temporary:
        assert temporary.suffix == ".nxs"
        temporary.write_text("whole")
        assert not (tmp_path / "map.nxs").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["map.nxs"]


def test_a_failure_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "map.nxs"
    target.write_text("earlier")
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as temporary:
        temporary.write_text("par")
        raise KeyboardInterrupt
    assert target.read_text() == "earlier"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_reported_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="free space"), atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("par")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["missing/map.nxs", "."])
def test_an_impossible_path_is_refused_before_any_work(tmp_path: Path, name: str) -> None:
    reached = False
    with pytest.raises(OutputError), atomic_path(tmp_path / name):
        reached = True
    assert not reached
