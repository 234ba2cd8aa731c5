from __future__ import annotations

import os
from pathlib import Path

import pytest

from unstill.parallel import cpu
from unstill.parallel.cpu import cpu_count
from unstill.parallel.threads import keep_to_one_thread


@pytest.mark.parametrize(
    ("text", "quota"), [("200000 100000", 2.0), ("max 100000", None), ("50000 100000", 0.5)]
)
def test_the_container_quota_is_read(tmp_path: Path, text: str, quota: float | None) -> None:
    (tmp_path / "cpu.max").write_text(text + "\n")
    assert cpu._cgroup_quota(tmp_path) == quota


def test_the_old_cgroup_layout_is_read(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("150000")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000")
    assert cpu._cgroup_quota(tmp_path) == 1.5


def test_a_quota_below_the_visible_processors_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_cgroup_quota", lambda root: 0.5)
    assert cpu_count() == 1
    monkeypatch.setattr(cpu, "_cgroup_quota", lambda root: None)
    assert cpu_count() >= 1


def test_threads_are_one_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    keep_to_one_thread()
    assert os.environ["OMP_NUM_THREADS"] == "1"
    assert os.environ["OPENBLAS_NUM_THREADS"] == "3"
    monkeypatch.delenv("OMP_NUM_THREADS")


def test_a_worker_counts_on_one_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSTILL_CPUS", "1")
    assert cpu_count() == 1
    monkeypatch.setenv("UNSTILL_CPUS", "many")
    assert cpu_count() >= 1
