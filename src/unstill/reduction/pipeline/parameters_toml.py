"""Parameters of a reduction as a TOML file, with what each one means."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from unstill.errors import FormatError, InputError
from unstill.io.atomic import atomic_path
from unstill.reduction.pipeline.parameters import ReduceParameters


def write_parameters(
    parameters: ReduceParameters, path: Path, *, heading: Sequence[str] = ()
) -> None:
    """Write every parameter with its meaning and unit.

    Parameters
    ----------
    parameters
        What to write; ``None`` becomes a comment, as TOML has no empty value.
    path
        The file.
    heading
        Lines of comment above.

    Raises
    ------
    OutputError
        If it cannot be written; nothing partial is left.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(parameters_text(parameters, heading), encoding="utf-8")


def parameters_text(parameters: ReduceParameters, heading: Sequence[str] = ()) -> str:
    """TOML of all parameters.

    Examples
    --------
    >>> print(parameters_text(ReduceParameters()).splitlines()[0])
    seed = 0  # of the random halves
    """
    lines = [f"# {line}".rstrip() for line in heading]
    tables = []
    for item in fields(parameters):
        value = getattr(parameters, item.name)
        if hasattr(value, "__dataclass_fields__"):
            about = [
                f"# {line.strip()}".rstrip() for line in (value.__doc__ or "").strip().split("\n")
            ]
            tables += ["", f"[{item.name}]", *about]
            tables += [_line(entry, getattr(value, entry.name)) for entry in fields(value)]
        else:
            lines.append(_line(item, value))
    return "\n".join([*lines, *tables]) + "\n"


def read_parameters(path: Path) -> ReduceParameters:
    """Read what :func:`write_parameters` wrote, or any part of it.

    Raises
    ------
    FormatError
        If the file is no TOML.
    InputError
        If the file is missing, a key is unknown or a value of the wrong kind.
    """
    try:
        with path.open("rb") as stream:
            found = tomllib.load(stream)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FormatError(
            f"{path.name} is no TOML", found=f"{path}: {error}", fix="see the line that is named"
        ) from error
    except OSError as error:
        raise InputError(
            "the parameters cannot be read",
            found=f"{path}: {error.strerror}",
            fix="check --config",
        ) from error
    return ReduceParameters.from_dict(found, source=str(path))


def _line(item: Any, value: Any) -> str:
    meaning, unit = item.metadata["meaning"], item.metadata["unit"]
    note = f"{meaning} ({unit})" if unit else meaning
    if value is None:
        return f"# {item.name} =   # {note}; not set"
    return f"{item.name} = {_toml(value)}  # {note}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    if isinstance(value, float):
        return repr(value) if value == value and abs(value) != float("inf") else "nan"
    # JSON's escapes are those of basic strings in TOML, but for characters that need none.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
