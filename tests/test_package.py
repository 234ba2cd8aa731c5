"""The package as a whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import unstill


def test_every_public_name_loads() -> None:
    for name in unstill.__all__:
        assert getattr(unstill, name) is not None


def test_import_does_not_load_heavy_packages() -> None:
    heavy = ("numpy", "scipy", "numba", "gemmi")
    code = f"import unstill.cli, sys; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_test_files_have_names_of_their_own() -> None:
    # pytest imports them by their bare name: two alike are an error only in a clean checkout.
    names = sorted(path.name for path in Path(__file__).parent.rglob("test_*.py"))
    assert not sorted({name for name in names if names.count(name) > 1})
