"""The scratch file of members that do not fit into memory."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

from unstill.errors import OutputError
from unstill.weighting.scratch import Scratch


def resident() -> int:
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def test_what_was_written_is_read_after_it_was_let_go(tmp_path: Path) -> None:
    scratch = Scratch(1 << 20, tmp_path)
    numbers = scratch.array("float32")
    numbers[:] = np.arange(len(numbers))
    scratch.release()
    np.testing.assert_array_equal(scratch.array("float32"), np.arange(len(numbers)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux to see its memory")
def test_pages_are_given_back(tmp_path: Path) -> None:
    scratch = Scratch(1 << 28, tmp_path)
    gc.collect()
    before = resident()
    scratch.array("float64")[:] = 1.0
    filled = resident()
    scratch.release()
    after = resident()
    assert filled - before > 0.9 * (1 << 28)
    assert after - before < 0.2 * (1 << 28)


def test_a_disk_without_room_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be made"):
        Scratch(1 << 60, tmp_path)
    assert list(tmp_path.iterdir()) == []
