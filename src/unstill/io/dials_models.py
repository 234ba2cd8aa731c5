"""Beam, detector, goniometer and scan of DIALS files, old and new keys."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError, UnstillWarning
from unstill.experiment import Beam, Detector, Goniometer, Panel, Scan
from unstill.experiment.attenuation import sensor_mu
from unstill.experiment.detector import Rectangle
from unstill.experiment.rotation import rotation_about
from unstill.experiment.vectors import unit_vector
from unstill.io.json_node import Node, number_or, placed, text_or


@dataclass(frozen=True, eq=False)
class Turning:
    """A goniometer, and how its setting drifts with the scan where it does."""

    goniometer: Goniometer
    settings: tuple[np.ndarray, ...] = ()


def read_beam(node: Node) -> Beam:
    """Return a beam; one of many wavelengths is refused."""
    if node.child("wavelength") is None and node.child("wavelength_range") is not None:
        node.fail("a beam of many wavelengths cannot be reduced", "a polychromatic beam")
    if (drifting := node.child("s0_at_scan_points")) is not None and drifting.value:
        _tell_of_drift(drifting)
    probe = text_or(node, "probe", "x-ray")
    if probe not in ("x-ray", "xray", ""):
        warnings.warn(
            f"the beam is one of {probe}s; corrections are those of X-rays ({node.where})",
            UnstillWarning,
            stacklevel=2,
        )
    direction = node.child("direction")
    normal = node.child("polarization_normal")
    with placed(node):
        return Beam(
            wavelength=node.need("wavelength").number(),
            direction=_three(direction) if direction else (0.0, 0.0, 1.0),
            polarization_normal=_three(normal) if normal else (0.0, 1.0, 0.0),
            polarization_fraction=number_or(node, "polarization_fraction", 0.999),
            transmission=number_or(node, "transmission", 1.0),
        )


def _tell_of_drift(points: Node) -> None:
    vectors = np.array([point.numbers(3) for point in points.items()])
    along = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    drift = float(np.degrees(np.linalg.norm(along - along.mean(0), axis=1).max()))
    if drift > 1e-4:
        warnings.warn(
            f"the beam drifts by up to {drift:.4f} degrees during the scan; its mean direction "
            f"is used ({points.where})",
            UnstillWarning,
            stacklevel=3,
        )


def read_detector(node: Node, energy: float) -> Detector:
    """Return a detector with all panels in the laboratory frame.

    Parameters
    ----------
    node
        ``detector`` of an experiment list.
    energy
        Of the photons (eV): attenuation is computed where the file names a
        material and a thickness and no attenuation.
    """
    panels = node.need("panels").items()
    frames: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    if (hierarchy := node.child("hierarchy")) is not None:
        _walk(hierarchy, np.eye(3), np.zeros(3), frames, len(panels))
    identity = (np.eye(3), np.zeros(3))
    with placed(node):
        return Detector(
            tuple(
                _read_panel(panel, *frames.get(i, identity), energy)
                for i, panel in enumerate(panels)
            )
        )


def _walk(
    group: Node,
    rotation: np.ndarray,
    shift: np.ndarray,
    frames: dict[int, tuple[np.ndarray, np.ndarray]],
    n_panels: int,
) -> None:
    """Compose the frames of a group and of the groups in it."""
    if (panel := group.child("panel")) is not None:
        number = panel.integer()
        if not 0 <= number < n_panels:
            panel.fail("the detector has no such panel", f"panel {number} of {n_panels}")
        frames[number] = rotation, shift
        return
    own, origin = _frame(group)
    for child in group.members("children"):
        _walk(child, rotation @ own, rotation @ origin + shift, frames, n_panels)


def _frame(group: Node) -> tuple[np.ndarray, np.ndarray]:
    fast, slow, origin = (group.child(key) for key in ("fast_axis", "slow_axis", "origin"))
    if fast is None or slow is None:
        return np.eye(3), np.zeros(3)
    with placed(group):
        f = np.array(unit_vector(fast.numbers(3), "fast_axis"))
        s = np.array(unit_vector(slow.numbers(3), "slow_axis"))
    normal = np.cross(f, s)
    if not np.linalg.norm(normal) > 0:
        group.fail("the axes of a detector group are parallel", f"{f} and {s}")
    matrix = np.column_stack([f, s, normal / np.linalg.norm(normal)])
    return matrix, np.zeros(3) if origin is None else np.array(origin.numbers(3))


def _read_panel(node: Node, rotation: np.ndarray, shift: np.ndarray, energy: float) -> Panel:
    strategy = node.child("px_mm_strategy")
    kind = "" if strategy is None else text_or(strategy, "type")
    parallax = kind.startswith("ParallaxCorrected")
    if kind.startswith("Offset"):
        warnings.warn(
            f"the distortion maps of the detector are not applied ({node.where})",
            UnstillWarning,
            stacklevel=3,
        )
    thickness, mu = number_or(node, "thickness", 0.0), number_or(node, "mu", 0.0)
    if strategy is not None:
        # Files before 2017 hold both in the strategy.
        thickness = thickness or number_or(strategy, "t0", 0.0)
        mu = mu or number_or(strategy, "mu", 0.0)
    material = text_or(node, "material")
    if mu == 0 and thickness > 0 and material:
        mu = _attenuation(node, material, energy)
    offset, size = node.child("raw_image_offset"), node.need("image_size").integers(2)
    with placed(node):
        return Panel(
            origin=_vector(rotation @ np.array(node.need("origin").numbers(3)) + shift),
            fast_axis=_vector(rotation @ np.array(node.need("fast_axis").numbers(3))),
            slow_axis=_vector(rotation @ np.array(node.need("slow_axis").numbers(3))),
            pixel_size=_pair(node.need("pixel_size")),
            image_size=(size[0], size[1]),
            thickness=thickness,
            mu=mu,
            material=material,
            parallax=parallax,
            trusted_range=_trusted(node.child("trusted_range")),
            masked=_masked(node, size),
            gain=number_or(node, "gain", 1.0) or 1.0,
            pedestal=number_or(node, "pedestal", 0.0),
            offset=(0, 0) if offset is None else (lambda o: (o[0], o[1]))(offset.integers(2)),
            name=text_or(node, "name", "Panel"),
        )


def _masked(node: Node, size: tuple[int, ...]) -> tuple[Rectangle, ...]:
    """Rectangles within the panel; DIALS lets them reach beyond it."""
    found = []
    for rectangle in node.members("mask"):
        f0, s0, f1, s1 = rectangle.integers(4)
        inside = (max(f0, 0), max(s0, 0), min(f1, size[0]), min(s1, size[1]))
        if inside[0] < inside[2] and inside[1] < inside[3]:
            found.append(inside)
    return tuple(found)


def _attenuation(node: Node, material: str, energy: float) -> float:
    try:
        return sensor_mu(material, energy)
    except InputError as error:
        warnings.warn(
            f"{error.what}: {material!r} at {node.where}; the sensor is taken to absorb evenly",
            UnstillWarning,
            stacklevel=4,
        )
        return 0.0


def _trusted(node: Node | None) -> tuple[float, float]:
    """Smallest and largest value that counts, both included.

    Until 2022 DIALS left the limits out and wrote −1 for a detector whose
    smallest count is 0; since then both are included. Counts are never
    negative, so that a negative limit means 0 in either case.
    """
    if node is None:
        return 0.0, 2.0**31 - 1
    low, high = node.numbers(2)
    if high <= low:
        # Some formats write (0, 0) where they know nothing.
        return 0.0, 2.0**31 - 1
    return max(low, 0.0), high


def read_goniometer(node: Node) -> Turning:
    """Return a goniometer; several axes become one between two fixed rotations.

    DIALS lists axes from the crystal outwards: those before the scan axis make
    F, those after it S.
    """
    if (axes := node.child("axes")) is not None:
        goniometer = _read_axes(node, axes)
    else:
        fixed, setting = node.child("fixed_rotation"), node.child("setting_rotation")
        with placed(node):
            goniometer = Goniometer(
                _three(node.need("rotation_axis")),
                np.eye(3) if fixed is None else fixed.matrix(),
                np.eye(3) if setting is None else setting.matrix(),
            )
    points = node.members("setting_rotation_at_scan_points")
    return Turning(goniometer, tuple(point.matrix() for point in points))


def _read_axes(node: Node, axes: Node) -> Goniometer:
    directions = [np.array(axis.numbers(3)) for axis in axes.items()]
    angles = node.need("angles").numbers(len(directions))
    scan_axis = node.need("scan_axis").integer()
    if not 0 <= scan_axis < len(directions):
        node.fail("the goniometer has no such scan axis", f"{scan_axis} of {len(directions)}")
    lengths = [float(np.linalg.norm(axis)) for axis in directions]
    if min(lengths) == 0:
        axes.fail("a goniometer axis has no length")
    turns = [
        rotation_about(axis / length, angle)
        for axis, length, angle in zip(directions, lengths, angles, strict=True)
    ]
    fixed, setting = np.eye(3), np.eye(3)
    for turn in turns[:scan_axis]:
        fixed = turn @ fixed
    for turn in turns[scan_axis + 1 :]:
        setting = turn @ setting
    return Goniometer(_vector(directions[scan_axis]), fixed, setting)


def read_scan(node: Node) -> Scan:
    """Return a scan; frames at unequal steps are refused."""
    first, last = node.need("image_range").integers(2)
    n_frames = last - first + 1
    if n_frames < 1:
        node.fail("the scan has no images", f"image_range {first} to {last}")
    properties = node.child("properties")
    if properties is None:
        start, step = node.need("oscillation").numbers(2)
    else:
        start, step = _from_properties(properties, n_frames)
    times = (node if properties is None else properties).child("exposure_time")
    if times is None or not times.value:
        exposure = np.zeros(n_frames)
    else:
        listed = times.value if isinstance(times.value, list) else [times.value]
        exposure = np.array(Node(listed, times.where).numbers())
        if len(exposure) not in (1, n_frames):
            times.fail("each image needs an exposure time", f"{len(exposure)} for {n_frames}")
    _tell_of_valid_ranges(node, first, last)
    with placed(node):
        return Scan(
            n_frames,
            start,
            step,
            number_or(node, "phi_width", step),
            exposure,
            first,
            **{
                flag: found.flag()
                for flag in ("free_origin", "open_ended")
                if (found := node.child(flag)) is not None
            },
        )


def _from_properties(properties: Node, n_frames: int) -> tuple[float, float]:
    if properties.child("time_of_flight") is not None:
        properties.fail("time-of-flight data cannot be reduced", "'time_of_flight'")
    found = properties.child("oscillation")
    if found is None:
        return 0.0, 0.0
    starts = np.array(found.numbers(n_frames))
    if n_frames == 1:
        width = properties.child("oscillation_width")
        return float(starts[0]), 0.0 if width is None else width.numbers()[0]
    steps = np.diff(starts)
    # Angles written to five decimals are equal steps.
    if np.ptp(steps) > 2e-3 * max(abs(float(steps.mean())), 1e-3):
        found.fail("the images are at unequal steps", f"steps {steps.min()} to {steps.max()}")
    return float(starts[0]), float((starts[-1] - starts[0]) / (n_frames - 1))


def _tell_of_valid_ranges(node: Node, first: int, last: int) -> None:
    ranges = node.child("valid_image_ranges")
    for name, valid in () if ranges is None else ranges.entries():
        kept = [part.integers(2) for part in valid.items()]
        n_kept = sum(stop - start + 1 for start, stop in kept)
        if n_kept < last - first + 1:
            warnings.warn(
                f"DIALS kept only the images {list(map(list, kept))} of {first} to {last} "
                f"({name or node.where}); all are used here",
                UnstillWarning,
                stacklevel=3,
            )


def _three(node: Node) -> tuple[float, float, float]:
    x, y, z = node.numbers(3)
    return x, y, z


def _pair(node: Node) -> tuple[float, float]:
    first, second = node.numbers(2)
    return first, second


def _vector(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
