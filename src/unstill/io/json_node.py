"""A value inside a JSON document that knows where it stands, for errors that say so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from unstill.errors import FormatError, InputError
from unstill.io.reading import REMEDY, parsing

_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}

_BEYOND = 1e300
"""Numbers this large are damage, and their products overflow."""


def read_json(path: Path) -> Node:
    """Read a JSON file.

    Raises
    ------
    FormatError
        If it is no JSON, for example cut short.
    """
    with parsing(path, "JSON"):
        return Node(json.loads(Path(path).read_text(encoding="utf-8")), str(path))


@dataclass(frozen=True)
class Node:
    """A value of a JSON document.

    Parameters
    ----------
    value
        What the document holds there.
    where
        File and path inside the document, for example ``"a.expt: beam[0].wavelength"``.
    """

    value: Any
    where: str

    def child(self, key: str) -> Node | None:
        """Return the value of a key, or ``None`` where it is missing or null."""
        value = self.dictionary().get(key)
        return None if value is None else Node(value, self._path(f".{key}"))

    def need(self, key: str) -> Node:
        """Return the value of a key that must be there."""
        found = self.child(key)
        if found is None:
            self.fail(f"{key!r} is missing")
        return found

    def items(self) -> list[Node]:
        """Return the members of a list."""
        self._must_be(list)
        return [Node(value, self._path(f"[{i}]")) for i, value in enumerate(self.value)]

    def members(self, key: str) -> list[Node]:
        """Return the members of a list under a key; none where it is missing or null."""
        found = self.child(key)
        return [] if found is None else found.items()

    def dictionary(self) -> dict[str, Any]:
        """Return the object itself."""
        self._must_be(dict)
        found: dict[str, Any] = self.value
        return found

    def entries(self) -> Iterator[tuple[str, Node]]:
        """Yield keys and values of an object."""
        for key, value in self.dictionary().items():
            yield key, Node(value, self._path(f".{key}"))

    def number(self) -> float:
        """Return a finite number."""
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)):
            self.fail("a number is needed here")
        # JSON has whole numbers of any length.
        if not abs(self.value) < _BEYOND:
            self.fail("a finite number is needed here")
        return float(self.value)

    def integer(self) -> int:
        """Return a whole number."""
        number = self.number()
        if number != int(number):
            self.fail("a whole number is needed here")
        return int(number)

    def text(self) -> str:
        """Return a text."""
        self._must_be(str)
        return str(self.value)

    def flag(self) -> bool:
        """Return true or false."""
        self._must_be(bool)
        return bool(self.value)

    def numbers(self, n: int | None = None) -> tuple[float, ...]:
        """Return a list of finite numbers, ``n`` of them where that is known."""
        found = tuple(node.number() for node in self.items())
        if n is not None and len(found) != n:
            self.fail(f"{n} numbers are needed here", f"{len(found)}")
        return found

    def integers(self, n: int | None = None) -> tuple[int, ...]:
        """Return a list of whole numbers."""
        found = tuple(node.integer() for node in self.items())
        if n is not None and len(found) != n:
            self.fail(f"{n} whole numbers are needed here", f"{len(found)}")
        return found

    def matrix(self) -> np.ndarray:
        """Return nine numbers, row by row, as a ``(3, 3)`` matrix."""
        return np.array(self.numbers(9)).reshape(3, 3)

    def fail(self, what: str, found: str | None = None) -> NoReturn:
        """Raise ``FormatError`` with the path of this value."""
        shown = found if found is not None else _shortened(self.value)
        raise FormatError(what, found=f"{shown} at {self.where}", fix=REMEDY)

    def _must_be(self, kind: type) -> None:
        if not isinstance(self.value, kind):
            self.fail(f"{_KINDS[kind]} is needed here")

    def _path(self, step: str) -> str:
        return f"{self.where}{step}" if ": " in self.where else f"{self.where}: {step.lstrip('.')}"


@contextmanager
def placed(node: Node) -> Iterator[None]:
    """Add the place in the file to what a core type refuses."""
    try:
        yield
    except FormatError:
        raise
    except InputError as error:
        raise FormatError(
            error.what, found=f"{error.found} at {node.where}", fix=error.fix
        ) from error


def number_or(node: Node, key: str, default: float) -> float:
    """Return the number under a key, or a default where it is missing or null."""
    found = node.child(key)
    return default if found is None else found.number()


def text_or(node: Node, key: str, default: str = "") -> str:
    """Return the text under a key, or a default where it is missing or null."""
    found = node.child(key)
    return default if found is None else found.text()


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
