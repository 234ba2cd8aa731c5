from __future__ import annotations

from pathlib import Path

import pytest
from two_state_files import write_files


@pytest.fixture(scope="session")
def two_states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of files of a crystal that knows two states; see ``two_state_files.py``."""
    return write_files(tmp_path_factory.mktemp("two_states"))
