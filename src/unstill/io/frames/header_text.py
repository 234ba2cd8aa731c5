"""Headers written as text: the comments of Pilatus CBF and TIFF files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from unstill.experiment import FrameHeader

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_THICKNESS = re.compile(rf"(\w+) sensor,? thickness ({_NUMBER}) m")
_MATERIALS = {"silicon": "Si", "cdte": "CdTe", "gaas": "GaAs", "germanium": "Ge"}


def header_from_comments(text: str, image_size: tuple[int, int] | None = None) -> FrameHeader:
    r"""Read the lines ``# Key value unit`` that Dectris software writes.

    Metres become millimetres. ``Filter_transmission`` is taken as it stands up
    to 1, and as per cent above. ``Count_cutoff`` itself is not trusted: the detector
    writes it for whatever counted more. The first of ``Start_angle``, ``Omega`` and
    ``Phi`` is the rotation angle, the first of ``Angle_increment`` and theirs how
    far it turned.

    Parameters
    ----------
    text
        The header.
    image_size
        Fast and slow, known from elsewhere.

    Examples
    --------
    >>> header_from_comments("# Detector_distance 0.25 m\n# Start_angle 3.5 deg.").distance
    250.0
    """
    lines = [line[1:].strip() for line in text.splitlines() if line.lstrip().startswith("#")]
    said = _key_values(lines)
    thickness = _THICKNESS.search(text)
    transmission = _first(said, "Filter_transmission")
    if transmission is not None and transmission > 1:
        transmission /= 100
    material = thickness[1] if thickness else None
    distance = _first(said, "Detector_distance")
    cutoff = _first(said, "Count_cutoff")
    return FrameHeader(
        phi_start=_first(said, "Start_angle", "Omega", "Phi"),
        phi_width=_first(said, "Angle_increment", "Omega_increment", "Phi_increment"),
        exposure_time=_first(said, "Exposure_time"),
        wavelength=_first(said, "Wavelength"),
        distance=None if distance is None else distance * 1000,
        beam_center=_pair(said.get("Beam_xy")),
        pixel_size=_in_mm(_pair(said.get("Pixel_size"))),
        image_size=image_size,
        transmission=transmission,
        count_cutoff=None if cutoff is None else cutoff - 1,
        thickness=float(thickness[2]) * 1000 if thickness else None,
        material=None if material is None else _MATERIALS.get(material.lower(), material),
        detector=said.get("Detector"),
        timestamp=next((line for line in lines if re.match(r"\d{4}[-/:]", line)), None),
        other=said,
    )


def _key_values(lines: list[str]) -> dict[str, str]:
    said: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(" ")
        if not key[:1].isalpha():
            continue
        said.setdefault(key.rstrip(":="), value.lstrip("= ").strip())
    return said


def _first(said: Mapping[str, str], *keys: str) -> float | None:
    for key in keys:
        found = re.match(_NUMBER, said.get(key, "").lstrip("( "))
        # More digits than a number can have are damage.
        if found and math.isfinite(float(found[0])):
            return float(found[0])
    return None


def _pair(value: str | None) -> tuple[float, float] | None:
    numbers = re.findall(_NUMBER, value or "")
    return (float(numbers[0]), float(numbers[1])) if len(numbers) >= 2 else None


def _in_mm(metres: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if metres is None else (metres[0] * 1000, metres[1] * 1000)
