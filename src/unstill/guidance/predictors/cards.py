"""What there is to know of a predictor before it is installed: its card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from unstill.errors import InputError

GROUP = "unstill.predictors"
"""Entry points by which other packages offer predictors."""
CONSTRAINTS = Path(__file__).with_name("constraints.txt")
"""Releases that hold for all of them."""


@dataclass(frozen=True)
class Card:
    """A predictor that unstill can speak with.

    Parameters
    ----------
    name, title
        For the command line, and for people.
    role
        ``"prior"``, or ``"packer"`` where it places side chains only.
    licence, source
        Of its code, and where that is.
    requirements
        What pip is asked for.
    bare
        What is installed after that without looking at what it requires, or on which Python:
        packages whose own pins ask for devices or releases that the worker does without.
    module
        What can be imported when it is installed.
    python
        First and last release of Python that it runs on.
    megabytes
        Size of its environment.
    weights
        Name of the file of weights that its authors publish; unstill brings none.
    extra_files
        Option → name of other files or folders that it needs beside its weights.
    options
        Option → what it does, for people.
    worker
        The program that speaks for it.
    """

    name: str
    title: str
    role: str
    licence: str
    source: str
    requirements: tuple[str, ...]
    bare: tuple[str, ...]
    module: str
    python: tuple[str, str]
    megabytes: int
    weights: str
    extra_files: Mapping[str, str]
    options: Mapping[str, str]
    worker: Path


def list_cards() -> tuple[Card, ...]:
    """All predictors: ours by name, then those of other packages that are installed.

    Another package offers one by an entry point of the group ``unstill.predictors``, which names
    a :class:`Card` or the path of a ``card.json`` with its ``worker.py`` beside it. Names of ours
    are ours.

    Raises
    ------
    InputError
        If an entry point offers something else.
    """
    own = _cards()
    known = {card.name for card in own}
    others = [_offered(point) for point in entry_points(group=GROUP)]
    return (*own, *(card for card in others if card.name not in known))


def find_card(name: str) -> Card:
    """Return the card of that name.

    Raises
    ------
    InputError
        If there is none; the message lists what there is.
    """
    for card in list_cards():
        if card.name == name:
            return card
    raise InputError(
        "there is no predictor of that name",
        found=repr(name),
        fix="give one of: " + ", ".join(card.name for card in list_cards()),
    )


def read_card(path: Path) -> Card:
    """Read a ``card.json``; its worker stands beside it.

    Raises
    ------
    InputError
        If an entry is missing or unknown.
    """
    entry = json.loads(path.read_text(encoding="utf-8"))
    try:
        first, last = entry.pop("python")
        requirements = tuple(entry.pop("requirements"))
        bare = tuple(entry.pop("bare", ()))
        role = entry.pop("role", "prior")
        return Card(
            **entry,
            requirements=requirements,
            bare=bare,
            role=role,
            python=(first, last),
            worker=path.with_name("worker.py"),
        )
    except (KeyError, TypeError) as error:
        raise InputError(
            "a card of a predictor is incomplete", found=f"{path}: {error}", fix="complete it"
        ) from error


def _offered(point: EntryPoint) -> Card:
    found = point.load()
    if isinstance(found, Card):
        return found
    if isinstance(found, (str, Path)):
        return read_card(Path(found))
    raise InputError(
        "an entry point offers no predictor",
        found=f"{point.name} = {point.value}, which is a {type(found).__name__}",
        fix="let it name a Card, or the path of a card.json",
    )


@cache
def _cards() -> tuple[Card, ...]:
    return tuple(read_card(path) for path in sorted(Path(__file__).parent.glob("*/card.json")))
