"""``INTEGRATE.LP`` with ``XDS.INP``: a geometry that was refined batch by batch."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from unstill.errors import FormatError, UnstillWarning
from unstill.experiment import Detector, Experiment, Goniometer, Lattice, Scan
from unstill.experiment.lattice import polar
from unstill.experiment.pixels import scattering_vectors
from unstill.experiment.rotation import between, nearest_rotation
from unstill.io.metric_check import checked_metric
from unstill.io.xds_inp import panel_details, read_keywords, xds_images, xds_name, xds_scan
from unstill.io.xds_text import Keywords, parse_numbers, xds_beam, xds_panel
from unstill.io.xds_xparm import beside_of, refuse_segments

_BATCH = re.compile(r"PROCESSING OF IMAGES\s+(\d+)\s*\.\.\.\s*(\d+)")

_FIELDS = {
    "COORDINATES OF UNIT CELL A-AXIS": 3,
    "COORDINATES OF UNIT CELL B-AXIS": 3,
    "COORDINATES OF UNIT CELL C-AXIS": 3,
    "LAB COORDINATES OF ROTATION AXIS": 3,
    "DIRECT BEAM COORDINATES (REC. ANGSTROEM)": 3,
    "DETECTOR ORIGIN (PIXELS) AT": 2,
    "CRYSTAL TO DETECTOR DISTANCE (mm)": 1,
    "LAB COORDINATES OF DETECTOR X-AXIS": 3,
    "LAB COORDINATES OF DETECTOR Y-AXIS": 3,
}
"""Lines of a batch, and how many numbers each holds."""

_GRID = 9
"""Pixels along each axis at which a batch is compared with the mean geometry."""


@dataclass(frozen=True, eq=False)
class _Batch:
    """What XDS refined for some images, one array of 24 numbers in the order of ``_FIELDS``."""

    first: int
    last: int
    values: np.ndarray
    mosaicity: float


def read_integrate(path: Path, *, space_group: str | None = None) -> Experiment:
    """Read the geometry that XDS refined batch by batch.

    An experiment has one beam, detector and rotation axis: the mean of those
    of all batches. The lattice of each batch becomes the one that, with the
    mean geometry, has the same hkl at the same pixels and angles as closely as
    can be (turned as a whole, the cell stays); between the middles of batches it is interpolated.

    Parameters
    ----------
    path
        ``INTEGRATE.LP``; ``XDS.INP`` is read if it lies beside.
    space_group
        In place of the number in the file; the cell must allow it.

    Raises
    ------
    FormatError
        If the file ends before the first batch was refined.
    InputError
        If the cell does not have the symmetry of the space group, or the
        detector has several segments.
    """
    path = Path(path)
    text = path.read_text(encoding="utf-8", errors="replace")
    marks = [match.start() for match in _BATCH.finditer(text)]
    header = Keywords(text[: marks[0]] if marks else text, path)
    batches = [_read_batch(text[i:j], path) for i, j in pairwise([*marks, len(text)])]
    refined = [batch for batch in batches if batch is not None]
    if not refined:
        raise FormatError(
            "INTEGRATE.LP holds no refined batch of images",
            found=f"{len(marks)} batches in {path}",
            fix="run INTEGRATE of XDS to its end, or give XPARM.XDS",
        )
    if len(refined) < len(batches):
        warnings.warn(
            f"{len(batches) - len(refined)} of {len(batches)} batches of {path.name} were not "
            "refined; the lattice is interpolated there",
            UnstillWarning,
            stacklevel=2,
        )
    segments = re.search(r"NUMBER OF DETECTOR SEGMENTS\s+(\d+)", text)
    refuse_segments(int(segments[1]) if segments else 1, path)
    return _experiment(header, refined, path, space_group)


def _read_batch(text: str, path: Path) -> _Batch | None:
    place = _BATCH.search(text)
    assert place is not None
    values: list[float] = []
    for name, n in _FIELDS.items():
        at = text.find(name)
        if at < 0:
            return None
        line = text[at + len(name) :].split("\n", 1)[0]
        values += parse_numbers(line, n, path, name)
    at = text.find("CRYSTAL MOSAICITY (DEGREES)")
    mosaicity = parse_numbers(text[at + 27 :].split("\n", 1)[0], 1, path, "mosaicity")[0]
    return _Batch(int(place[1]), int(place[2]), np.array(values), mosaicity)


def _experiment(
    header: Keywords, batches: list[_Batch], path: Path, space_group: str | None
) -> Experiment:
    beside = beside_of(path, "XDS.INP")
    keywords = header if beside is None else read_keywords(beside)
    if beside is None:
        warnings.warn(
            f"no XDS.INP lies beside {path.name}: the sensor has no thickness, nothing is masked "
            "and the beam is unpolarised",
            UnstillWarning,
            stacklevel=4,
        )
    # What INTEGRATE worked with stands in its own listing, and counts more.
    scan = xds_scan(header)
    details = panel_details(keywords, header.number("X-RAY_WAVELENGTH"))
    group = space_group or str(int(header.number("SPACE_GROUP_NUMBER")))
    mean = np.mean([batch.values for batch in batches], axis=0)
    common = _geometry(header, keywords, mean, scan, details, group)
    checked_metric(common.indexed_lattice, str(path), overridden=space_group is not None)
    images = xds_images(keywords)
    settings, centers = [], []
    for batch in batches:
        start = batch.first - scan.first_image
        stop = min(batch.last - scan.first_image + 1, scan.n_frames)
        part = scan.part(start, stop)
        own = _geometry(header, keywords, batch.values, part, details, group)
        settings.append(_equivalent(own, common))
        centers.append((start + stop) / 2)
    points = _interpolated(np.array(settings), np.array(centers), scan.n_frames)
    drifting = Lattice(
        common.crystal,
        common.indexed_lattice.a_matrix,
        points,
        float(np.median([batch.mosaicity for batch in batches])),
    )
    return common.replace(lattice=drifting, images=images, name=xds_name(images, path))


def _geometry(
    header: Keywords,
    keywords: Keywords,
    values: np.ndarray,
    scan: Scan,
    details: dict[str, Any],
    group: str,
) -> Experiment:
    """Return an experiment with one set of refined values."""
    axes, axis, incident = values[:9].reshape(3, 3), values[9:12], values[12:15]
    (x, y), distance = values[15:17], float(values[17])
    panel = xds_panel(
        size=(int(header.number("NX")), int(header.number("NY"))),
        pixel=(header.number("QX"), header.number("QY")),
        center=(float(x), float(y)),
        distance=distance,
        fast=_vector(values[18:21]),
        slow=_vector(values[21:24]),
        **details,
    )
    return Experiment(
        beam=xds_beam(header.number("X-RAY_WAVELENGTH"), incident.tolist(), keywords),
        detector=Detector((panel,)),
        goniometer=Goniometer(_vector(axis)),
        scan=scan,
        lattice=Lattice.from_axes(axes, group),
    )


def _equivalent(own: Experiment, common: Experiment) -> np.ndarray:
    """Return the setting matrix with which the common geometry comes closest to that of a batch.

    Minimises Σ|Q A h − R(φ)⁻¹ s(x, y)|² over pixels and angles, h what the
    geometry of the batch has there and s what the common one has; Q is a
    rotation: a batch is too thin to tell a shear of the cell from a shift of the beam.
    """
    panel = common.detector.panels[0]
    fast, slow = np.meshgrid(*(np.linspace(0, n, _GRID) for n in panel.image_size))
    there = scattering_vectors(own.beam, own.detector.panels[0], fast, slow).reshape(-1, 3)
    here = scattering_vectors(common.beam, panel, fast, slow).reshape(-1, 3)
    given, wanted = [], []
    for position in (0.0, own.n_frames / 2, float(own.n_frames)):
        given.append(there @ _turn(own, position))
        wanted.append(here @ _turn(common, position, own))
    at, to = np.concatenate(given), np.concatenate(wanted)
    turn = nearest_rotation(to.T @ at)
    rest = np.sqrt(np.mean(np.sum((to - at @ turn.T) ** 2, axis=1)))
    pixels = rest * common.beam.wavelength * panel.distance / panel.pixel_size[0]
    if pixels > 1:
        warnings.warn(
            "beam and detector drift during the sweep by more than an orientation of the crystal "
            f"can make up for: {pixels:.1f} pixels remain",
            UnstillWarning,
            stacklevel=5,
        )
    fitted: np.ndarray = turn @ own.indexed_lattice.a_matrix
    return fitted


def _turn(experiment: Experiment, position: float, clock: Experiment | None = None) -> np.ndarray:
    """Rotation of the goniometer at the angle that an experiment, or another, has there."""
    assert experiment.goniometer is not None
    rotation: np.ndarray = experiment.goniometer.rotation((clock or experiment).phi(position))
    return rotation


def _interpolated(settings: np.ndarray, centers: np.ndarray, n_frames: int) -> np.ndarray:
    """Return settings at the ends of all frames, from those in the middle of batches."""
    at = np.arange(n_frames + 1.0)
    if len(settings) == 1:
        repeated: np.ndarray = np.repeat(settings, n_frames + 1, axis=0)
        return repeated
    at = np.clip(at, centers[0], centers[-1])
    i = np.clip(np.searchsorted(centers, at, side="right") - 1, 0, len(centers) - 2)
    share = (at - centers[i]) / (centers[i + 1] - centers[i])
    u, b = polar(settings)
    part = share[:, None, None]
    matrices: np.ndarray = between(u[i], u[i + 1], share) @ ((1 - part) * b[i] + part * b[i + 1])
    return matrices


def _vector(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
