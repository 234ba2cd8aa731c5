"""DIALS experiment lists (``.expt``, older ``.json``), read and written without DIALS."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from unstill.errors import FormatError
from unstill.experiment import Detector, Experiment, ImageSet, Lattice, Scan
from unstill.io.atomic import atomic_path
from unstill.io.dials_crystal import read_lattice
from unstill.io.dials_models import (
    Turning,
    read_beam,
    read_detector,
    read_goniometer,
    read_scan,
)
from unstill.io.dials_write import experiment_list
from unstill.io.json_node import Node, placed, read_json, text_or
from unstill.provenance import Provenance

_Model = TypeVar("_Model")


def read_expt(path: Path, *, space_group: str | None = None) -> list[Experiment]:
    """Read a DIALS experiment list.

    Keys of all versions are known: image sweeps and image sequences, scans
    with and without ``properties``, detectors with and without a hierarchy,
    goniometers of one and several axes, crystals that drift with the scan.
    Unknown keys are ignored. Models that several experiments share are shared.

    Parameters
    ----------
    path
        An ``.expt`` file, or a ``.json`` of earlier versions.
    space_group
        In place of the stored one; the cell must allow it.

    Raises
    ------
    FormatError
        With the path inside the document, if a value is missing or of the
        wrong kind, or an experiment points to a model that is not there.
    InputError
        If the cell does not have the symmetry of the space group.
    """
    return experiments_of(read_json(Path(path)), Path(path), space_group=space_group)


def write_expt(
    path: Path,
    experiments: Sequence[Experiment],
    *,
    provenance: Provenance | None = None,
) -> None:
    """Write a DIALS experiment list, with the keys of DIALS 3.

    Reading the file gives the same experiments, number by number.

    Parameters
    ----------
    path
        Where the file shall stand.
    experiments
        Any number; models that are the same object are written once.
    provenance
        How they came to be, stored under a key that DIALS ignores.
    """
    document = experiment_list(experiments, Path(path).parent)
    if provenance is not None:
        document["provenance"] = provenance.as_dict()
    with atomic_path(Path(path)) as temporary:
        temporary.write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")


def is_experiment_list(document: Any) -> bool:
    """Tell whether a JSON document is an experiment list."""
    return isinstance(document, dict) and (
        document.get("__id__") == "ExperimentList" or "experiment" in document
    )


def experiments_of(root: Node, path: Path, *, space_group: str | None = None) -> list[Experiment]:
    """Return the experiments of a document that was parsed already."""
    entries = root.need("experiment").items()
    if not entries:
        raise FormatError(
            "the experiment list is empty", found=str(path), fix="give a file with experiments"
        )
    models = _Models(root, space_group)
    return [models.experiment(entry, path, i) for i, entry in enumerate(entries)]


class _Models:
    """Models of a document, each built once however many experiments share it."""

    def __init__(self, root: Node, space_group: str | None) -> None:
        self._root = root
        self._space_group = space_group
        self._built: dict[tuple[object, ...], Any] = {}

    def experiment(self, entry: Node, path: Path, number: int) -> Experiment:
        beam_node = self._model(entry, "beam")
        detector_node = self._model(entry, "detector")
        if beam_node is None or detector_node is None:
            entry.fail(
                "an experiment needs a beam and a detector",
                "no beam" if beam_node is None else "no detector",
            )
        beam = self._once(beam_node, read_beam)
        detector: Detector = self._once(
            detector_node, lambda node: read_detector(node, beam.energy), beam.energy
        )
        scan_node = self._model(entry, "scan")
        turn_node = self._model(entry, "goniometer")
        crystal_node = self._model(entry, "crystal")
        scan: Scan | None = None if scan_node is None else self._once(scan_node, read_scan)
        turning: Turning | None = (
            None if turn_node is None else self._once(turn_node, read_goniometer)
        )
        if scan is not None and turning is None:
            # A still that was recorded with an exposure time.
            if scan.phi_step:
                entry.fail("a scan that turns needs a goniometer", "none")
            scan = None
        drifts = turning is not None and len(turning.settings) > 0
        lattice: Lattice | None = None
        if crystal_node is not None:
            lattice = self._once(
                crystal_node,
                lambda node: read_lattice(node, turning, scan, self._space_group),
                *((id(scan), id(turning)) if drifts else ()),
            )
        images = self._images(entry, path)
        with placed(entry):
            return Experiment(
                beam=beam,
                detector=detector,
                goniometer=None if turning is None else turning.goniometer,
                scan=scan,
                lattice=lattice,
                images=images,
                name=_name(images, scan, path, number),
                identifier=text_or(entry, "identifier"),
            )

    def _model(self, entry: Node, kind: str) -> Node | None:
        """Find the model of a kind that an experiment, or its image set, points to."""
        index = entry.child(kind)
        if index is None and kind != "imageset" and (images := self._model(entry, "imageset")):
            # Lists before 2019 may name the models in the image set only.
            index = images.child(kind)
        if index is None:
            return None
        number, models = index.integer(), self._root.members(kind)
        if not 0 <= number < len(models):
            index.fail(f"there is no such {kind}", f"{number} of {len(models)}")
        return None if models[number].value is None else models[number]

    def _once(self, node: Node, build: Callable[[Node], _Model], *more: object) -> _Model:
        key = (node.where, *more)
        if key not in self._built:
            self._built[key] = build(node)
        found: _Model = self._built[key]
        return found

    def _images(self, entry: Node, path: Path) -> ImageSet:
        node = self._model(entry, "imageset")
        if node is None:
            return ImageSet(folder=str(path.parent))
        return self._once(node, lambda found: _image_set(found, path))


def _image_set(node: Node, path: Path) -> ImageSet:
    return ImageSet(
        template=text_or(node, "template") or text_or(node, "master"),
        paths=tuple(item.text() for item in node.members("images")),
        indices=tuple(item.integer() for item in node.members("single_file_indices")),
        mask=text_or(node, "mask"),
        gain=text_or(node, "gain"),
        pedestal=text_or(node, "pedestal"),
        folder=str(path.parent),
    )


def _name(images: ImageSet, scan: Scan | None, path: Path, number: int) -> str:
    """Name a sweep after its files, which people know, and not after a number."""
    file = images.template or (images.paths[0] if images.paths else "")
    if not file:
        return f"{path.stem} {number + 1}"
    stem = file.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]
    if scan is not None:
        return f"{stem} {scan.first_image}-{scan.image_numbers[-1]}"
    return f"{stem} {images.indices[0] + 1 if images.indices else number + 1}"
