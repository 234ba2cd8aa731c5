"""The record that travels with every result."""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("numpy", "scipy", "gemmi", "finufft", "numba", "h5py", "biotite", "mdtraj")


@dataclass(frozen=True)
class Provenance:
    """Versions, command, parameters, input digests and seed of one run.

    Parameters
    ----------
    command
        The verb or function, for example ``"unstill fit"``.
    parameters
        Everything that changes the numbers, defaults included.
    inputs
        One entry a file: path, size and sha256.
    seed
        Seed of the random numbers, ``None`` if none were drawn.
    """

    command: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[Mapping[str, Any]] = ()
    seed: int | None = None

    @classmethod
    def of(
        cls,
        command: str,
        parameters: Mapping[str, Any],
        *,
        inputs: Sequence[Path] = (),
        seed: int | None = None,
    ) -> Provenance:
        """Record a run; reads every input file once to digest it."""
        files = [
            {"path": str(path), "bytes": path.stat().st_size, "sha256": digest_file(path)}
            for path in map(Path, inputs)
        ]
        return cls(command, plain(parameters), files, seed)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form, with the versions that ran."""
        return {
            "program": "unstill",
            "versions": _versions(),
            "command": self.command,
            "parameters": dict(self.parameters),
            "inputs": [dict(entry) for entry in self.inputs],
            "seed": self.seed,
        }


def digest_file(path: Path) -> str:
    """Return the sha256 of a file, hexadecimal, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def plain(value: Any) -> Any:
    """Turn paths, arrays and numpy scalars into what JSON can hold (NaN becomes null)."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        # Arrays and numpy scalars, told apart without importing numpy: the CLI starts with this.
        return plain(value.tolist())
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("unstill", *_PACKAGES):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
