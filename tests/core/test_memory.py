from __future__ import annotations

from pathlib import Path

import pytest

from unstill.parallel import physical_memory


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_the_limit_of_the_container_counts_where_it_is_the_lower(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("1048576\n")
    assert physical_memory(tmp_path) == 1 << 20


def test_a_container_without_a_limit_has_the_memory_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    assert physical_memory(tmp_path) == physical_memory(tmp_path / "nowhere") > 1 << 20
