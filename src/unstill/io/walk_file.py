"""A walk on disk: what an interrupted run goes on from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from unstill.io.atomic import atomic_path


def write_walk(path: Path, parts: dict[str, np.ndarray], told: dict[str, Any]) -> None:
    """Write arrays and what they belong to; whole or not at all.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as stream:
        np.savez(stream, told=np.array(json.dumps(told)), **parts)  # type: ignore[arg-type]


def read_walk(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """Read what :func:`write_walk` wrote; ``None`` if there is no file, or a damaged one."""
    try:
        with np.load(Path(path), allow_pickle=False) as stored:
            parts = {name: stored[name] for name in stored.files}
        told = json.loads(str(parts.pop("told")))
    except (OSError, ValueError, KeyError, EOFError):
        return None
    return (parts, told) if isinstance(told, dict) else None
