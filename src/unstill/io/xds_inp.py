"""``XDS.INP``: what it says of sensor, masks, images and scan."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np

from unstill.errors import UnstillWarning
from unstill.experiment import Experiment, Goniometer, ImageSet, Lattice, Scan
from unstill.experiment.attenuation import sensor_mu
from unstill.experiment.detector import Detector, Rectangle
from unstill.io.metric_check import checked_metric
from unstill.io.xds_text import Keywords, xds_beam, xds_panel


def read_xds_inp(path: Path, *, space_group: str | None = None) -> Experiment:
    """Read ``XDS.INP`` alone: the geometry before refinement.

    The crystal is that of ``UNIT_CELL_A-AXIS`` and its like, if they are there.

    Raises
    ------
    FormatError
        If a keyword that is needed is missing, or has no number.
    InputError
        If the cell does not have the symmetry of the space group.
    """
    path = Path(path)
    keywords = read_keywords(path)
    wavelength = keywords.number("X-RAY_WAVELENGTH")
    fast = keywords.vector("DIRECTION_OF_DETECTOR_X-AXIS", (1.0, 0.0, 0.0))
    slow = keywords.vector("DIRECTION_OF_DETECTOR_Y-AXIS", (0.0, 1.0, 0.0))
    panel = xds_panel(
        size=(int(keywords.number("NX")), int(keywords.number("NY"))),
        pixel=(keywords.number("QX"), keywords.number("QY")),
        center=(keywords.number("ORGX"), keywords.number("ORGY")),
        distance=keywords.number("DETECTOR_DISTANCE"),
        fast=fast,
        slow=slow,
        **panel_details(keywords, wavelength),
    )
    incident = keywords.vector("INCIDENT_BEAM_DIRECTION", (0.0, 0.0, 1.0))
    images = xds_images(keywords)
    return Experiment(
        beam=xds_beam(wavelength, incident, keywords),
        detector=Detector((panel,)),
        goniometer=Goniometer(keywords.vector("ROTATION_AXIS", (1.0, 0.0, 0.0))),
        scan=xds_scan(keywords),
        lattice=_lattice(keywords, space_group),
        images=images,
        name=xds_name(images, path),
    )


def read_keywords(path: Path) -> Keywords:
    """Read the keywords of an XDS file."""
    return Keywords(path.read_text(encoding="utf-8", errors="replace"), path)


def xds_scan(keywords: Keywords) -> Scan:
    """Return the scan of ``DATA_RANGE``; the zero of the angle is arbitrary in XDS."""
    first, last = (int(value) for value in keywords.numbers("DATA_RANGE", 2))
    if last < first:
        keywords.fail("DATA_RANGE= holds no image", f"{first} to {last}")
    step = keywords.number("OSCILLATION_RANGE")
    begin = keywords.number("STARTING_FRAME", float(first))
    angle = keywords.number("STARTING_ANGLE", 0.0)
    return Scan(
        n_frames=last - first + 1,
        phi_start=angle + step * (first - begin),
        phi_step=step,
        first_image=first,
        free_origin=True,
    )


def xds_images(keywords: Keywords) -> ImageSet:
    """Return the images of ``NAME_TEMPLATE_OF_DATA_FRAMES``; ``?`` becomes ``#``."""
    key = "NAME_TEMPLATE_OF_DATA_FRAMES"
    folder = str(keywords.path.parent)
    if key not in keywords:
        return ImageSet(folder=folder)
    words = keywords.text(key).split()
    template = words[0] if words else ""
    if re.search(r"\?+\.(h5|nxs)$", template):
        template = re.sub(r"\?+(\.\w+)$", r"master\1", template)
    return ImageSet(template=template.replace("?", "#"), folder=folder)


def xds_name(images: ImageSet, path: Path) -> str:
    """Name a sweep after its images, or after the folder."""
    if not images.template:
        return path.resolve().parent.name or path.stem
    return images.template.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def panel_details(keywords: Keywords, wavelength: float) -> dict[str, object]:
    """Thickness, material, attenuation, trusted range, gain and masks of the panel."""
    thickness = keywords.number("SENSOR_THICKNESS", 0.0)
    silicon = keywords.number("SILICON", -1.0)
    mu, material = 0.0, ""
    if thickness > 0:
        # SILICON= replaces the attenuation of silicon: it is another material then.
        material = "Si" if silicon < 0 else ""
        mu = silicon if silicon >= 0 else sensor_mu("Si", 12398.419843320026 / wavelength)
    low = keywords.number("MINIMUM_VALID_PIXEL_VALUE", 0.0)
    return {
        "thickness": thickness,
        "material": material,
        "mu": mu,
        "parallax": thickness > 0 and mu > 0,
        "trusted_range": (max(low, 0.0), keywords.number("OVERLOAD", 2.0**31 - 1)),
        "gain": keywords.number("GAIN", 1.0) or 1.0,
        "masked": _masks(keywords),
    }


def _masks(keywords: Keywords) -> tuple[Rectangle, ...]:
    """Untrusted areas as half-open rectangles of array indices.

    XDS leaves the limits out and counts from 1: x₁ < x < x₂ are the array
    columns x₁ to x₂ − 2. An ellipse becomes one rectangle a row.
    """
    nx, ny = int(keywords.number("NX")), int(keywords.number("NY"))
    found = [
        (int(x1), int(y1), int(x2) - 1, int(y2) - 1)
        for x1, x2, y1, y2 in keywords.all_numbers("UNTRUSTED_RECTANGLE", 4)
    ]
    for x1, x2, y1, y2 in keywords.all_numbers("UNTRUSTED_ELLIPSE", 4):
        found += _rows_of_ellipse(x1, x2, y1, y2)
    for key in ("UNTRUSTED_QUADRILATERAL", "EXCLUDE_DATA_RANGE"):
        if key in keywords:
            warnings.warn(
                f"{key}= of {keywords.path.name} is not honoured",
                UnstillWarning,
                stacklevel=4,
            )
    clipped = [(max(a, 0), max(b, 0), min(c, nx), min(d, ny)) for a, b, c, d in found]
    return tuple(one for one in clipped if one[0] < one[2] and one[1] < one[3])


def _rows_of_ellipse(x1: float, x2: float, y1: float, y2: float) -> list[Rectangle]:
    """Pixels within the ellipse that touches the four sides of a rectangle."""
    x0, y0, a, b = (x1 + x2) / 2, (y1 + y2) / 2, abs(x2 - x1) / 2, abs(y2 - y1) / 2
    rows = []
    for y in range(int(np.ceil(y0 - b)), int(np.floor(y0 + b)) + 1):
        half = a * np.sqrt(max(1 - ((y - y0) / b) ** 2, 0.0)) if b else 0.0
        first, last = int(np.ceil(x0 - half)), int(np.floor(x0 + half))
        if first <= last:
            rows.append((first - 1, y - 1, last, y))
    return rows


def _lattice(keywords: Keywords, space_group: str | None) -> Lattice | None:
    keys = [f"UNIT_CELL_{name}-AXIS" for name in "ABC"]
    if not all(key in keywords for key in keys):
        return None
    axes = np.array([keywords.vector(key) for key in keys])
    number = int(keywords.number("SPACE_GROUP_NUMBER", 0.0))
    if not np.linalg.det(axes) or (number == 0 and space_group is None):
        return None
    lattice = Lattice.from_axes(axes, space_group or str(number))
    checked_metric(lattice, str(keywords.path), overridden=space_group is not None)
    return lattice
