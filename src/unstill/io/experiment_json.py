"""Our own experiment files: JSON that holds every field, number by number."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unstill.crystal import Crystal
from unstill.errors import FormatError
from unstill.experiment import (
    Beam,
    Detector,
    Experiment,
    Goniometer,
    ImageSet,
    Lattice,
    Panel,
    Scan,
)
from unstill.io.atomic import atomic_path
from unstill.io.dials_write import path_from
from unstill.io.json_node import Node, placed, read_json
from unstill.io.metric_check import checked_metric
from unstill.provenance import Provenance

FORMAT = "unstill experiments"
VERSION = 1

_PARTS = ("beam", "detector", "goniometer", "scan", "lattice", "images")
"""Models of an experiment; what several experiments share is written once."""


def read_experiment_json(path: Path, *, space_group: str | None = None) -> list[Experiment]:
    """Read an experiment file of unstill.

    Raises
    ------
    FormatError
        With the path inside the document, if a value is missing or of the wrong kind.
    InputError
        If the cell does not have the symmetry of the space group.
    """
    return experiments_of_json(read_json(Path(path)), Path(path), space_group=space_group)


def write_experiment_json(
    path: Path,
    experiments: Sequence[Experiment],
    *,
    provenance: Provenance | None = None,
) -> None:
    """Write an experiment file of unstill; reading it gives the same numbers, bit for bit.

    Relative paths of images become relative to the folder of the file.
    """
    folder = Path(path).parent
    tables: dict[str, list[Any]] = {part: [] for part in _PARTS}
    seen: dict[tuple[str, int], int] = {}
    entries = []
    for experiment in experiments:
        entry: dict[str, Any] = {"name": experiment.name, "identifier": experiment.identifier}
        for part in _PARTS:
            model = getattr(experiment, part)
            if model is None:
                continue
            if (part, id(model)) not in seen:
                seen[part, id(model)] = len(tables[part])
                tables[part].append(_moved(_plain(model), part, folder, experiment.images.folder))
            entry[part] = seen[part, id(model)]
        entries.append(entry)
    document = {"format": FORMAT, "version": VERSION, "experiments": entries, **tables}
    if provenance is not None:
        document["provenance"] = provenance.as_dict()
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")


def is_experiment_json(document: Any) -> bool:
    """Tell whether a JSON document is an experiment file of unstill."""
    return isinstance(document, dict) and document.get("format") == FORMAT


def experiments_of_json(
    root: Node, path: Path, *, space_group: str | None = None
) -> list[Experiment]:
    """Return the experiments of a document that was parsed already."""
    if not is_experiment_json(root.value):
        root.fail(f"this is no experiment file of unstill: no format {FORMAT!r}")
    version = root.need("version").integer()
    if version > VERSION:
        raise FormatError(
            "this experiment file was written by a later version of unstill",
            found=f"version {version} in {path}; this one knows {VERSION}",
            fix="update unstill: pip install -U unstill",
        )
    read: dict[str, Callable[[Node], Any]] = {
        "beam": _beam,
        "detector": _detector,
        "goniometer": _goniometer,
        "scan": _scan,
        "lattice": lambda node: _lattice(node, space_group),
        "images": lambda node: dataclasses.replace(_images(node), folder=str(path.parent)),
    }
    tables = {part: [read[part](node) for node in root.members(part)] for part in _PARTS}
    experiments = []
    for entry in root.need("experiments").items():
        models = {part: _pick(entry, part, tables[part]) for part in _PARTS}
        if models["beam"] is None or models["detector"] is None:
            entry.fail("an experiment needs a beam and a detector")
        models["images"] = models["images"] or ImageSet(folder=str(path.parent))
        texts: dict[str, Any] = {key: _text(entry, key) for key in ("name", "identifier")}
        with placed(entry):
            experiments.append(Experiment(**models, **texts))
    return experiments


def _pick(entry: Node, part: str, table: list[Any]) -> Any:
    index = entry.child(part)
    if index is None:
        return None
    number = index.integer()
    if not 0 <= number < len(table):
        index.fail(f"there is no such {part}", f"{number} of {len(table)}")
    return table[number]


def _plain(value: Any) -> Any:
    """Return dataclasses and arrays as dictionaries and lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def _moved(model: dict[str, Any], part: str, folder: Path, before: str) -> dict[str, Any]:
    """Make relative paths start from the folder of the file."""
    if part != "images":
        return model
    moved = {
        key: path_from(folder, model[key], before)
        for key in ("template", "mask", "gain", "pedestal")
    }
    paths = [path_from(folder, one, before) for one in model["paths"]]
    return model | moved | {"paths": paths, "folder": "."}


def _built(node: Node, cls: Callable[..., Any], readers: dict[str, Callable[[Node], Any]]) -> Any:
    """Build a model from the fields that are there; others keep their defaults."""
    with placed(node):
        fields = {
            name: read(found)
            for name, read in readers.items()
            if (found := node.child(name)) is not None
        }
        try:
            return cls(**fields)
        except TypeError as error:
            node.fail(f"a value is missing: {error}")


def _tuple(n: int | None = None) -> Callable[[Node], tuple[float, ...]]:
    return lambda node: node.numbers(n)


def _whole(n: int | None = None) -> Callable[[Node], tuple[int, ...]]:
    return lambda node: node.integers(n)


def _matrix(node: Node) -> np.ndarray:
    rows = [row.numbers(3) for row in node.items()]
    if len(rows) != 3:
        node.fail("three rows are needed here", f"{len(rows)}")
    return np.array(rows)


def _matrices(node: Node) -> np.ndarray:
    return np.array([_matrix(one) for one in node.items()])


def _text(node: Node, key: str) -> str:
    found = node.child(key)
    return "" if found is None else found.text()


def _beam(node: Node) -> Beam:
    beam: Beam = _built(
        node,
        Beam,
        {
            "wavelength": Node.number,
            "direction": _tuple(3),
            "polarization_normal": _tuple(3),
            "polarization_fraction": Node.number,
            "transmission": Node.number,
        },
    )
    return beam


def _detector(node: Node) -> Detector:
    with placed(node):
        return Detector(tuple(_panel(panel) for panel in node.need("panels").items()))


def _panel(node: Node) -> Panel:
    panel: Panel = _built(
        node,
        Panel,
        {
            "origin": _tuple(3),
            "fast_axis": _tuple(3),
            "slow_axis": _tuple(3),
            "pixel_size": _tuple(2),
            "image_size": _whole(2),
            "thickness": Node.number,
            "mu": Node.number,
            "material": Node.text,
            "parallax": Node.flag,
            "trusted_range": _tuple(2),
            "masked": lambda found: tuple(one.integers(4) for one in found.items()),
            "gain": Node.number,
            "pedestal": Node.number,
            "offset": _whole(2),
            "name": Node.text,
        },
    )
    return panel


def _goniometer(node: Node) -> Goniometer:
    goniometer: Goniometer = _built(
        node,
        Goniometer,
        {
            "rotation_axis": _tuple(3),
            "fixed_rotation": _matrix,
            "setting_rotation": _matrix,
        },
    )
    return goniometer


def _scan(node: Node) -> Scan:
    scan: Scan = _built(
        node,
        Scan,
        {
            "n_frames": Node.integer,
            "phi_start": Node.number,
            "phi_step": Node.number,
            "phi_width": Node.number,
            "exposure_times": lambda found: np.array(found.numbers()),
            "first_image": Node.integer,
            "free_origin": Node.flag,
            "open_ended": Node.flag,
        },
    )
    return scan


def _lattice(node: Node, space_group: str | None) -> Lattice:
    stored: Crystal = _built(
        node.need("crystal"),
        Crystal,
        {"unit_cell": _tuple(6), "space_group": Node.text},
    )
    with placed(node):
        crystal = Crystal(stored.unit_cell, space_group or stored.space_group)
    lattice: Lattice = _built(
        node,
        lambda **fields: Lattice(crystal, **fields),
        {"a_matrix": _matrix, "a_at_scan_points": _matrices, "mosaicity": Node.number},
    )
    checked_metric(lattice, node.where, overridden=space_group is not None)
    return lattice


def _images(node: Node) -> ImageSet:
    images: ImageSet = _built(
        node,
        ImageSet,
        {
            "template": Node.text,
            "paths": lambda found: tuple(one.text() for one in found.items()),
            "indices": _whole(),
            "mask": Node.text,
            "gain": Node.text,
            "pedestal": Node.text,
        },
    )
    return images
