"""Experiments as a DIALS experiment list: nested dictionaries with the keys of DIALS 3."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from unstill.errors import UnstillWarning
from unstill.experiment import Beam, Detector, Experiment, Goniometer, ImageSet, Lattice, Scan


def experiment_list(experiments: Sequence[Experiment], folder: Path) -> dict[str, Any]:
    """Return an experiment list, ready to be written as JSON into a folder.

    Models that are the same object in several experiments appear once.
    Relative paths of images become relative to the folder. Keys that DIALS
    does not have (``a_matrix``, ``unit_cell``, ``phi_width``) keep what its own
    keys would round or lose; DIALS ignores them.
    """
    tables: dict[str, list[dict[str, Any]]] = {
        kind: [] for kind in ("imageset", "beam", "detector", "goniometer", "scan", "crystal")
    }
    seen: dict[tuple[str, int], int] = {}

    def index(kind: str, model: Any, write: Callable[[Any], dict[str, Any]]) -> int:
        key = (kind, id(model))
        if key not in seen:
            seen[key] = len(tables[kind])
            tables[kind].append(write(model))
        return seen[key]

    entries = []
    for experiment in experiments:
        entry: dict[str, Any] = {"__id__": "Experiment", "identifier": experiment.identifier}
        entry["beam"] = index("beam", experiment.beam, _beam)
        entry["detector"] = index("detector", experiment.detector, _detector)
        if experiment.goniometer is not None:
            entry["goniometer"] = index("goniometer", experiment.goniometer, _goniometer)
        if experiment.scan is not None:
            entry["scan"] = index("scan", experiment.scan, _scan)
        if experiment.lattice is not None:
            entry["crystal"] = index("crystal", experiment.lattice, _crystal)
        entry["imageset"] = index("imageset", experiment.images, partial(_images, folder))
        entries.append(entry)
    return {
        "__id__": "ExperimentList",
        "experiment": entries,
        **tables,
        "profile": [],
        "scaling_model": [],
    }


def _beam(beam: Beam) -> dict[str, Any]:
    return {
        "__id__": "monochromatic",
        "direction": list(beam.direction),
        "wavelength": beam.wavelength,
        "divergence": 0.0,
        "sigma_divergence": 0.0,
        "polarization_normal": list(beam.polarization_normal),
        "polarization_fraction": beam.polarization_fraction,
        "flux": 0.0,
        "transmission": beam.transmission,
    }


def _detector(detector: Detector) -> dict[str, Any]:
    panels = [
        {
            "name": panel.name,
            "type": "SENSOR_PAD" if panel.thickness else "SENSOR_UNKNOWN",
            "fast_axis": list(panel.fast_axis),
            "slow_axis": list(panel.slow_axis),
            "origin": list(panel.origin),
            "raw_image_offset": list(panel.offset),
            "image_size": list(panel.image_size),
            "pixel_size": list(panel.pixel_size),
            "trusted_range": list(panel.trusted_range),
            "thickness": panel.thickness,
            "material": panel.material,
            "mu": panel.mu,
            "identifier": "",
            "mask": [list(rectangle) for rectangle in panel.masked],
            "gain": panel.gain,
            "pedestal": panel.pedestal,
            "px_mm_strategy": {
                "type": "ParallaxCorrectedPxMmStrategy" if panel.parallax else "SimplePxMmStrategy"
            },
        }
        for panel in detector.panels
    ]
    root = {
        "name": "",
        "type": "",
        "fast_axis": [1.0, 0.0, 0.0],
        "slow_axis": [0.0, 1.0, 0.0],
        "origin": [0.0, 0.0, 0.0],
        "raw_image_offset": [0, 0],
        "image_size": [0, 0],
        "pixel_size": [0.0, 0.0],
        "trusted_range": [0.0, 0.0],
        "thickness": 0.0,
        "material": "",
        "mu": 0.0,
        "identifier": "",
        "mask": [],
        "gain": 1.0,
        "pedestal": 0.0,
        "px_mm_strategy": {"type": "SimplePxMmStrategy"},
        "children": [{"panel": i} for i in range(len(panels))],
    }
    return {"panels": panels, "hierarchy": root}


def _goniometer(goniometer: Goniometer) -> dict[str, Any]:
    return {
        "rotation_axis": list(goniometer.rotation_axis),
        "fixed_rotation": _nine(goniometer.fixed_rotation),
        "setting_rotation": _nine(goniometer.setting_rotation),
    }


def _scan(scan: Scan) -> dict[str, Any]:
    if scan.phi_width != scan.phi_step:
        warnings.warn(
            f"an experiment list cannot say that images {scan.phi_step} degrees apart turn by "
            f"{scan.phi_width}; the step is written",
            UnstillWarning,
            stacklevel=4,
        )
    found: dict[str, Any] = {
        "image_range": [scan.first_image, scan.image_numbers[-1]],
        "batch_offset": 0,
        "oscillation": [scan.phi_start, scan.phi_step],
        "exposure_time": scan.exposure_times.tolist(),
        "epochs": [0.0] * scan.n_frames,
        "valid_image_ranges": {},
    }
    if scan.phi_width != scan.phi_step:
        found["phi_width"] = scan.phi_width
    found |= {flag: True for flag in ("free_origin", "open_ended") if getattr(scan, flag)}
    return found


def _crystal(lattice: Lattice) -> dict[str, Any]:
    axes = np.linalg.inv(lattice.a_matrix)
    found: dict[str, Any] = {
        "__id__": "crystal",
        "real_space_a": axes[0].tolist(),
        "real_space_b": axes[1].tolist(),
        "real_space_c": axes[2].tolist(),
        "space_group_hall_symbol": gemmi.SpaceGroup(lattice.crystal.space_group).hall,
        "unit_cell": list(lattice.crystal.unit_cell),
        "a_matrix": _nine(lattice.a_matrix),
    }
    if lattice.a_at_scan_points is not None:
        found["A_at_scan_points"] = [_nine(matrix) for matrix in lattice.a_at_scan_points]
    if lattice.mosaicity:
        found["mosaicity"] = lattice.mosaicity
    return found


def _images(folder: Path, images: ImageSet) -> dict[str, Any]:
    def moved(path: str) -> str:
        return path_from(folder, path, images.folder)

    more: dict[str, Any] = {
        "mask": moved(images.mask),
        "gain": moved(images.gain),
        "pedestal": moved(images.pedestal),
        "dx": "",
        "dy": "",
        "params": {},
    }
    if images.indices:
        more = {"single_file_indices": list(images.indices)} | more
    if images.paths:
        more = {"images": [moved(path) for path in images.paths]} | more
    if images.template or not images.paths:
        return {"__id__": "ImageSequence", "template": moved(images.template)} | more
    return {"__id__": "ImageSet"} | more


def path_from(folder: Path, path: str, before: str) -> str:
    """Return a path relative to a folder, if it was relative to another one."""
    if not path or Path(path).is_absolute():
        return path
    return os.path.relpath(Path(before) / path, folder)


def _nine(matrix: np.ndarray) -> list[float]:
    return [float(value) for value in np.asarray(matrix).ravel()]
