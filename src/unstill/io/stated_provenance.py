"""Provenance inside coordinate files: a category of mmCIF, remarks of PDB."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import gemmi

from unstill.provenance import Provenance

CATEGORY = "unstill_provenance"
"""Of mmCIF, without the leading underscore."""
REMARK = "REMARK 999 UNSTILL"
"""How lines begin that unstill writes into PDB files."""


def provenance_items(provenance: Provenance | Mapping[str, Any]) -> dict[str, str]:
    """Items of the mmCIF category and their tokens: program, command, record (JSON)."""
    record = _record(provenance)
    return {
        "program": "unstill",
        "command": _token(str(record.get("command", ""))),
        "record": _token(json.dumps(record, indent=1, default=str)),
    }


def provenance_lines(provenance: Provenance | Mapping[str, Any]) -> Iterator[str]:
    """Yield remarks of a PDB file: the command, for a whole record does not fit its columns."""
    yield from remark_lines(f"COMMAND {_record(provenance).get('command', '')}")


def remark_lines(text: str) -> Iterator[str]:
    """Yield the lines of a remark; letters that PDB files cannot have become question marks."""
    words = text.encode("ascii", "replace").decode().split()
    line = REMARK
    for word in words:
        if len(line) + 1 + len(word) > 79 and line != REMARK:
            yield line
            line = REMARK
        line = f"{line} {word}"[:80]
    yield line


def _record(provenance: Provenance | Mapping[str, Any]) -> dict[str, Any]:
    return provenance.as_dict() if isinstance(provenance, Provenance) else dict(provenance)


def _token(value: str) -> str:
    # No text field can hold a line that begins with a semicolon.
    return str(gemmi.cif.quote(value.replace("\n;", "\n ;"))) if value else "."
