"""Fuzz the readers by coverage: ``python atheris_harness.py -runs=100000 CORPUS``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["unstill.io"]):
    from test_fuzzed_files import read_damaged, seeds

KINDS = ("cif", "pdb", "bcif")


def one_input(data: bytes) -> None:
    if data:
        kind = KINDS[data[0] % len(KINDS)]
        read_damaged(kind, data[1:], FOLDER / f"x.{kind}")


if __name__ == "__main__":
    FOLDER = Path(tempfile.mkdtemp())
    corpus = Path(sys.argv[-1])
    for number, (kind, content) in enumerate(seeds(FOLDER)):
        (corpus / f"seed{number}").write_bytes(bytes([KINDS.index(kind)]) + content)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
