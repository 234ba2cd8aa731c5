"""DIALS reflection tables (``.refl``), read and written without DIALS.

A table is a msgpack array ``["dials::af::reflection_table", 1, {identifiers,
nrows, data: {column: [type, [n, bytes]]}}]`` with little-endian numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from unstill.errors import FormatError, InputError
from unstill.io.atomic import atomic_path
from unstill.io.reading import REMEDY, head, parsing

_TAG = "dials::af::reflection_table"

_TYPES: dict[str, tuple[str, tuple[int, ...]]] = {
    "double": ("<f8", ()),
    "float": ("<f4", ()),
    "int": ("<i4", ()),
    "std::size_t": ("<u8", ()),
    "bool": ("?", ()),
    "vec2<double>": ("<f8", (2,)),
    "vec3<double>": ("<f8", (3,)),
    "mat3<double>": ("<f8", (3, 3)),
    "int6": ("<i4", (6,)),
    "cctbx::miller::index<>": ("<i4", (3,)),
}
"""Numbers of one row and their shape, by the name of the type."""

INDEXED = 1 << 2
"""Bit of ``flags``: the reflection is indexed."""

USED_IN_REFINEMENT = 1 << 3
"""Bit of ``flags``: the reflection took part in the refinement of the geometry."""

STRONG = 1 << 5
"""Bit of ``flags``: the reflection is a strong spot."""


@dataclass(frozen=True, eq=False)
class Reflections:
    """A table of reflections.

    Parameters
    ----------
    columns
        Arrays of one length, by the names that DIALS gives them: ``miller_index``
        ``(n, 3)``, ``xyzobs.px.value`` ``(n, 3)`` (fast, slow, position in
        frames counted from image number 1), ``id`` ``(n,)`` …
    identifiers
        Identifier of the experiment behind every value of ``id``.
    """

    columns: Mapping[str, np.ndarray]
    identifiers: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.columns:
            raise InputError(
                f"the reflections have no column {name!r}",
                found=", ".join(sorted(self.columns)),
                fix="give a table that was indexed or integrated",
            )
        return self.columns[name]


def is_reflection_table(start: bytes) -> bool:
    """Tell a reflection table of any version by the first bytes of the file."""
    return _TAG.encode() in start[:64] or _is_pickle(start)


def read_refl(path: Path) -> Reflections:
    """Read a reflection table; pixels around spots (``shoebox``) are left out.

    Parameters
    ----------
    path
        A ``.refl`` file of DIALS 2 or later.

    Raises
    ------
    FormatError
        If the file is damaged, or is a pickle, which runs the code it holds.
    """
    path = Path(path)
    start = head(path)
    if _is_pickle(start):
        raise FormatError(
            "reflections of DIALS 1 are a pickle, which is not read: it can run any code",
            found=str(path),
            fix="index the images anew, or export the table again with DIALS 2 or later",
        )
    if _TAG.encode() not in start[:64]:
        raise FormatError(
            "this is no DIALS reflection table", found=str(path), fix="give a .refl file"
        )
    import msgpack

    # Whatever msgpack raises on cut bytes is a ValueError.
    with parsing(path, "a DIALS reflection table"):
        tag, version, body = msgpack.unpackb(
            path.read_bytes(), strict_map_key=False, raw=False, unicode_errors="surrogateescape"
        )
        if tag != _TAG or version != 1:
            raise FormatError(
                "this version of the reflection table is unknown",
                found=f"{tag!r} version {version!r} in {path}",
                fix="export it again with a released version of DIALS",
            )
        n_rows, data = int(body["nrows"]), dict(body["data"])
        columns = {
            name: _column(path, name, n_rows, *column)
            for name, column in data.items()
            if column[0] in _TYPES
        }
        identifiers = {int(key): str(value) for key, value in body["identifiers"].items()}
    return Reflections(columns, identifiers)


def write_refl(path: Path, reflections: Reflections) -> None:
    """Write a reflection table that DIALS reads.

    Parameters
    ----------
    path
        Where the file shall stand.
    reflections
        Columns of numbers; ``flags`` and ``panel`` are written without sign,
        as DIALS has them.

    Raises
    ------
    InputError
        If columns differ in length, or have a shape that DIALS has no type for.
    """
    import msgpack

    n_rows = len(reflections)
    data = {
        name: _packed(name, np.asarray(values), n_rows)
        for name, values in sorted(reflections.columns.items())
    }
    body = {
        "identifiers": {int(key): str(value) for key, value in reflections.identifiers.items()},
        "nrows": n_rows,
        "data": data,
    }
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(msgpack.packb([_TAG, 1, body], use_bin_type=True))


def _column(path: Path, name: str, n_rows: int, kind: str, content: Any) -> np.ndarray:
    dtype, shape = _TYPES[kind]
    n, raw = content
    size = int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize
    if n != n_rows or len(raw) != n_rows * size:
        raise FormatError(
            f"the column {name!r} does not have a value a row",
            found=f"{len(raw)} bytes for {n_rows} rows of {size} in {path}",
            fix=REMEDY,
        )
    values = np.frombuffer(raw, dtype=dtype).reshape(n_rows, *shape)
    return values.astype(np.dtype(dtype).newbyteorder("="))


_UNSIGNED = {"flags", "panel"}


def _packed(name: str, values: np.ndarray, n_rows: int) -> list[Any]:
    if len(values) != n_rows:
        raise InputError(
            "the columns of the reflections differ in length",
            found=f"{len(values)} rows in {name!r}, {n_rows} in the first",
            fix="give one value a reflection",
        )
    kind = _kind(name, values)
    raw = np.ascontiguousarray(values, dtype=_TYPES[kind][0]).tobytes()
    return [kind, [n_rows, raw]]


def _kind(name: str, values: np.ndarray) -> str:
    if values.dtype == bool and values.ndim == 1:
        return "bool"
    whole = values.dtype.kind in "iu"
    shape = values.shape[1:]
    if whole and not shape:
        return "std::size_t" if name in _UNSIGNED else "int"
    if whole and shape in ((3,), (6,)):
        return "cctbx::miller::index<>" if shape == (3,) else "int6"
    real = {(): "double", (2,): "vec2<double>", (3,): "vec3<double>", (3, 3): "mat3<double>"}
    if values.dtype.kind == "f" and shape in real:
        return real[shape]
    raise InputError(
        f"the column {name!r} has no type in a reflection table",
        found=f"{values.dtype} of shape {values.shape}",
        fix="give numbers, or vectors of three",
    )


def _is_pickle(start: bytes) -> bool:
    # Protocols 2 and later begin with 0x80; protocol 0 is text that calls a constructor.
    return start[:1] == b"\x80" or start.startswith((b"cdials", b"ccopy_reg", b"(dp"))
