"""Which pixel value stands for how many photons: what headers and files say of it."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from unstill.errors import InputError, UnstillWarning
from unstill.experiment import Detector, Experiment, FrameHeader, Panel
from unstill.io.pixel_arrays import read_pixel_array

_NEUTRAL = {"gain": 1.0, "pedestal": 0.0}
"""What a geometry says that does not know; photons = (value − pedestal) / gain."""


def with_photon_values(experiment: Experiment, header: FrameHeader) -> Experiment:
    """Take gain and pedestal from files that the experiment names, or from an image header.

    A panel that says something other than gain 1 or pedestal 0 keeps it. Otherwise
    a file that is named counts first, then the header; a change by the header is
    told with both values.

    Parameters
    ----------
    experiment
        As the geometry file says.
    header
        Of its first image.

    Raises
    ------
    InputError
        If a file that is named is missing, holds different values within a panel,
        or a value is impossible.
    FormatError
        If such a file cannot be read.
    """
    detector = experiment.detector
    for name, neutral in _NEUTRAL.items():
        file = getattr(experiment.images, name)
        told = getattr(header, name)
        if file:
            detector = _from_file(detector, name, Path(experiment.images.folder) / file)
        elif told is not None and told != neutral and _all_say(detector, name, neutral):
            _check(name, told, "the header of the first image")
            warnings.warn(
                f"the image headers give a {name} of {told:g} and the experiment {neutral:g}, "
                f"which stands for unknown; {told:g} is taken",
                UnstillWarning,
                stacklevel=3,
            )
            values = (told,) * len(detector.panels)
            detector = _with(detector, name, values)
    return experiment if detector is experiment.detector else experiment.replace(detector=detector)


def _from_file(detector: Detector, name: str, path: Path) -> Detector:
    """Take one value a panel from a file with one value a pixel."""
    values = []
    for panel, pixels in zip(detector.panels, read_pixel_array(path, detector, name), strict=True):
        low, high = float(np.min(pixels)), float(np.max(pixels))
        if low != high:
            raise InputError(
                f"a {name} that differs from pixel to pixel is not applied here",
                found=f"{low:g} to {high:g} on {panel.name} in {path}",
                fix=f"correct the images with it, and take its name out of the experiment; "
                f"or give one {name} in each panel",
            )
        _check(name, low, str(path))
        said = float(getattr(panel, name))
        values.append(low if said == _NEUTRAL[name] else said)
    return _with(detector, name, tuple(values))


def _check(name: str, value: float, where: str) -> None:
    if not np.isfinite(value) or (name == "gain" and value <= 0):
        raise InputError(
            f"the {name} is impossible",
            found=f"{value} in {where}",
            fix=f"write the right {name} into the panels of the experiment file",
        )


def _all_say(detector: Detector, name: str, value: float) -> bool:
    return all(getattr(panel, name) == value for panel in detector.panels)


def _with(detector: Detector, name: str, values: tuple[float, ...]) -> Detector:
    panels: tuple[Panel, ...] = tuple(
        replace(panel, **{name: value})  # type: ignore[arg-type]
        for panel, value in zip(detector.panels, values, strict=True)
    )
    return Detector(panels)
