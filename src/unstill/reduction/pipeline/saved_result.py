"""Any result made of frozen dataclasses and arrays, as one file."""

from __future__ import annotations

import dataclasses
import importlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unstill.errors import InputError
from unstill.io.reading import parsing

_TREE = "tree.json"


def save_result(value: Any, path: Path) -> None:
    """Write dataclasses of unstill, arrays, mappings, sequences, numbers and text.

    The file is an uncompressed ``.npz``: one member an array, and the structure
    as JSON. Nothing in it is code.

    Parameters
    ----------
    value
        What to write.
    path
        The file, ``.npz``.

    Raises
    ------
    InputError
        If something is of another kind.
    """
    arrays: dict[str, np.ndarray] = {}
    tree = _packed(value, arrays)
    text = np.frombuffer(json.dumps(tree, ensure_ascii=False).encode(), dtype=np.uint8)
    with path.open("wb") as stream:
        np.savez(stream, **{_TREE: text}, **arrays)  # type: ignore[arg-type]


def load_result(path: Path) -> Any:
    """Read what :func:`save_result` wrote.

    Raises
    ------
    FormatError
        If the file is damaged, or names a class that unstill does not have.
    """
    with parsing(path, "a result of a step"):
        try:
            with np.load(path, allow_pickle=False) as found:
                return _unpacked(json.loads(bytes(found[_TREE]).decode()), found)
        except (zipfile.BadZipFile, ImportError) as error:
            raise ValueError(str(error)) from error


def _packed(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        # np.float64 is a float; its own type is not kept.
        return value if not isinstance(value, float) else {"float": float(value).hex()}
    if isinstance(value, (np.ndarray, np.generic)):
        return _packed_array(value, arrays)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        content = {
            item.name: _packed(getattr(value, item.name), arrays)
            for item in dataclasses.fields(value)
            if item.init
        }
        kind = type(value)
        return {"class": f"{kind.__module__}:{kind.__qualname__}", "fields": content}
    if isinstance(value, Mapping):
        return {"map": [[_packed(k, arrays), _packed(v, arrays)] for k, v in value.items()]}
    if isinstance(value, (tuple, list, range)):
        kind_name = "list" if isinstance(value, list) else "tuple"
        return {kind_name: [_packed(entry, arrays) for entry in value]}
    raise InputError(
        "a result cannot be kept on disk",
        found=type(value).__name__,
        fix="make it of dataclasses, arrays, numbers and text",
    )


def _packed_array(value: Any, arrays: dict[str, np.ndarray]) -> dict[str, str]:
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise InputError("an array of objects cannot be kept on disk", found=str(array.dtype))
    name = f"a{len(arrays)}"
    arrays[name] = array
    return {"scalar" if isinstance(value, np.generic) else "array": name}


def _unpacked(tree: Any, arrays: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    if "class" in tree:
        content = {name: _unpacked(entry, arrays) for name, entry in tree["fields"].items()}
        return _class(tree["class"])(**content)
    ((kind, content),) = tree.items()
    if kind == "float":
        return float.fromhex(content)
    if kind == "array":
        return arrays[content]
    if kind == "scalar":
        return arrays[content][()]
    if kind == "map":
        return {_unpacked(key, arrays): _unpacked(entry, arrays) for key, entry in content}
    entries = [_unpacked(entry, arrays) for entry in content]
    return entries if kind == "list" else tuple(entries)


def _class(name: str) -> Any:
    module, _, qualname = name.partition(":")
    if not module.startswith("unstill."):
        raise InputError("a result names a foreign class", found=name)
    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise InputError("a result names something else than a dataclass", found=name)
    return found
