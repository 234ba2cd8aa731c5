"""JSON files of verbs, in one form."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write an object; NaN becomes null, paths become text.

    Raises
    ------
    OutputError
        If it cannot be written; nothing partial is left.
    """
    import json

    from unstill.io.atomic import atomic_path
    from unstill.provenance.record import plain

    with atomic_path(path) as temporary:
        text = json.dumps(plain(content), indent=2, allow_nan=False, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
