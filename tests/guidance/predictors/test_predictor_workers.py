"""What runs in a predictor's own Python imports nothing of ours."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import unstill.guidance.predictors

FOLDER = Path(unstill.guidance.predictors.__file__).parent
SHARED = [FOLDER / "wire.py", FOLDER / "worker_main.py"]
WORKERS = sorted(FOLDER.glob("*/worker.py"))


def imported(tree: ast.AST) -> set[str]:
    """First names of all packages that are imported anywhere below."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports cannot work by path"
            assert node.module is not None
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.name)
def test_the_shared_part_needs_the_standard_library_and_numpy(path: Path) -> None:
    assert imported(ast.parse(path.read_text())) <= sys.stdlib_module_names | {"numpy"}


@pytest.mark.parametrize("path", WORKERS, ids=lambda path: path.parent.name)
def test_a_worker_imports_its_predictor_only_when_it_is_asked(path: Path) -> None:
    tree = ast.parse(path.read_text())
    allowed = sys.stdlib_module_names | {"numpy"}
    assert "unstill" not in imported(tree)
    at_import = [
        node for node in tree.body if not isinstance(node, (ast.FunctionDef, ast.ClassDef))
    ]
    assert imported(ast.Module(at_import, [])) <= allowed
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            direct = [inner for inner in node.body if not isinstance(inner, ast.FunctionDef)]
            assert imported(ast.Module(direct, [])) <= allowed


@pytest.mark.parametrize("path", WORKERS, ids=lambda path: path.parent.name)
def test_a_worker_folder_is_no_package(path: Path) -> None:
    # As a package it would be imported, documented and type-checked where its predictor is not.
    assert not (path.parent / "__init__.py").exists()
