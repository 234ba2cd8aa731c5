"""The registry: which data sets there are, their hashes, sources and licences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from unstill.errors import InputError


@dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    Parameters
    ----------
    role
        What it is to the program: ``"map"`` or ``"model"``.
    path
        Relative path, under the package, the local folder or the cache.
    sha256, bytes
        Digest (hexadecimal) and size that the file must have.
    embedded
        Whether it comes with the program.
    urls
        Where it can be fetched, in the order to try; empty if embedded.
    source
        Where it came from, for people.
    """

    role: str
    path: str
    sha256: str
    bytes: int
    embedded: bool
    urls: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Dataset:
    """A named data set: what it is, who made it, what may be done with it.

    Parameters
    ----------
    name
        The word to give on the command line.
    title, description
        One line, and a few.
    kind
        ``"measured"`` or ``"simulated"``.
    licence, citation, doi, source
        Terms of use, paper, its DOI, and the upstream address.
    truth
        Parameters that simulated data were made with; ``None`` for measured data.
    files
        The files.
    """

    name: str
    title: str
    description: str
    kind: str
    licence: str
    citation: str
    doi: str
    source: str
    truth: Mapping[str, float] | None
    files: tuple[DataFile, ...]

    @property
    def simulated(self) -> bool:
        """Whether the data were made by a program and not measured."""
        return self.kind == "simulated"

    @property
    def embedded(self) -> bool:
        """Whether all of it comes with the program."""
        return all(file.embedded for file in self.files)

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files)


def list_datasets() -> tuple[Dataset, ...]:
    """All data sets, in the order of the registry.

    Examples
    --------
    >>> [dataset.name for dataset in list_datasets()]
    ['bpti-simulated', 'snase']
    """
    return _registry()


def find_dataset(name: str) -> Dataset:
    """Return the data set of that name.

    Raises
    ------
    InputError
        If there is none; the message lists what there is.
    """
    for dataset in _registry():
        if dataset.name == name:
            return dataset
    raise InputError(
        "there is no data set of that name",
        found=repr(name),
        fix="give one of: " + ", ".join(dataset.name for dataset in _registry()),
    )


@cache
def _registry() -> tuple[Dataset, ...]:
    text = files("unstill.datasets").joinpath("registry.json").read_text(encoding="utf-8")
    return tuple(
        Dataset(
            **{
                **entry,
                "files": tuple(
                    DataFile(**{**file, "urls": tuple(file["urls"])}) for file in entry["files"]
                ),
            }
        )
        for entry in json.loads(text)["datasets"]
    )
