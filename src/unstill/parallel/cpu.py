"""How many processors this process may really use."""

from __future__ import annotations

import math
import os
from pathlib import Path


def cpu_count() -> int:
    """Processors that may be used: the least of affinity mask, cgroup quota and UNSTILL_CPUS.

    Workers of :func:`unstill.parallel.ordered_map` have ``UNSTILL_CPUS=1``: processes share the
    processors already.

    Returns
    -------
    int
        At least 1.
    """
    available = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    )
    quota = _cgroup_quota(Path("/sys/fs/cgroup"))
    limit = min(available or 1, math.ceil(quota)) if quota else (available or 1)
    asked = os.environ.get("UNSTILL_CPUS", "")
    if asked.isdecimal():
        limit = min(limit, int(asked))
    return max(1, limit)


def _cgroup_quota(root: Path) -> float | None:
    """CPU quota in processors, from cgroup v2 or v1; ``None`` if unlimited."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        number = int((root / "cpu/cpu.cfs_quota_us").read_text())
        period_us = int((root / "cpu/cpu.cfs_period_us").read_text())
        return None if number <= 0 else number / period_us
    except (OSError, ValueError):
        return None
