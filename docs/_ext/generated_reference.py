"""Write the API and CLI reference from the code, before Sphinx reads the pages."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import unstill

QUOTED = re.compile(r"(``[^`]+``|:\w+:`[^`]+`|`[^`]+`)")

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("builder-inited", _generate)
    app.connect("autodoc-process-docstring", _keep_bars)
    return {"parallel_read_safe": True}


def _keep_bars(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Let |F|² mean a modulus: reStructuredText would look for a substitution."""
    indent: int | None = None
    for number, line in enumerate(lines):
        depth = len(line) - len(line.lstrip())
        if line.strip() and indent is not None and depth <= indent:
            indent = None
        if indent is None and not line.lstrip().startswith(">>>"):
            pieces = QUOTED.split(line)
            pieces[::2] = [piece.replace("|", r"\|") for piece in pieces[::2]]
            lines[number] = "".join(pieces)
        if indent is None and (line.lstrip().startswith(".. math::") or line.endswith("::")):
            indent = depth


def _generate(app: Sphinx) -> None:
    folder = Path(app.srcdir) / "reference" / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "cli.md", cli_page())
    rooms = api_pages()
    for name, text in rooms.items():
        _write(folder / f"{name}.rst", text)
    entries = "\n".join(rooms)
    _write(folder / "api.md", f"# Python API\n\n```{{toctree}}\n:maxdepth: 1\n\n{entries}\n```\n")


def _write(path: Path, text: str) -> None:
    # Unchanged pages keep their time stamp, so that a second build is quick.
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def api_pages() -> dict[str, str]:
    """One page a room, one section a module."""
    pages = {}
    for room in sorted(pkgutil.iter_modules(unstill.__path__), key=lambda found: found.name):
        if room.name in {"cli", "__main__"}:
            continue
        name = f"unstill.{room.name}"
        modules = [name, *_submodules(name)] if room.ispkg else [name]
        title = f"{name}\n{'=' * len(name)}\n\n"
        pages[room.name] = title + "\n".join(_section(module, name) for module in modules)
    return pages


def _submodules(package: str) -> list[str]:
    paths = importlib.import_module(package).__path__
    return [
        found.name
        for found in pkgutil.walk_packages(paths, f"{package}.")
        if not found.name.rpartition(".")[2].startswith("_")
    ]


def _section(module: str, room: str) -> str:
    title = "" if module == room else f"{module}\n{'-' * len(module)}\n\n"
    if hasattr(importlib.import_module(module), "__path__"):
        # Re-exported names are documented once, in the module that defines them.
        return f"{title}.. automodule:: {module}\n   :no-members:\n\n"
    return f"{title}.. automodule:: {module}\n\n"


def cli_page() -> str:
    """Every verb with its help text, as the program prints it."""
    from unstill.cli.app import command_help

    parts = ["# Command line", "", "Generated from the program itself.", ""]
    for name, text in command_help().items():
        parts += [f"## `{name}`", "", "```text", text.rstrip(), "```", ""]
    return "\n".join(parts)
