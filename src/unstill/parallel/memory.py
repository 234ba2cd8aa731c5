"""How much memory this process may ever have."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_UNKNOWN = 1 << 62


def physical_memory(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes of memory: the least of what the machine has and what the container may use.

    Parameters
    ----------
    root
        Where the kernel tells the limits of the container.

    Returns
    -------
    int
        Very large where the system does not say.
    """
    limits = [_UNKNOWN]
    with suppress(AttributeError, ValueError, OSError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        # Cgroup v2 writes "max" for no limit.
        with suppress(OSError, ValueError):
            limits.append(int((root / name).read_text()))
    return min(limit for limit in limits if limit > 0)
