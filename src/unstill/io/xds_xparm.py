"""``XPARM.XDS`` and ``GXPARM.XDS``: one geometry for a whole sweep."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from unstill.errors import FormatError, InputError, UnstillWarning
from unstill.experiment import Detector, Experiment, Goniometer, ImageSet, Lattice, Scan
from unstill.io.atomic import atomic_path
from unstill.io.metric_check import checked_metric
from unstill.io.reading import REMEDY
from unstill.io.xds_inp import panel_details, read_keywords, xds_images, xds_name, xds_scan
from unstill.io.xds_text import Keywords, panel_in_xds, parse_numbers, xds_beam, xds_panel

_LINES = (6, 4, 7, 3, 3, 3, 5, 3, 3, 3, 3, 5, 9)
"""How many numbers stand on the lines after the title."""


def read_xparm(path: Path, *, space_group: str | None = None) -> Experiment:
    """Read ``XPARM.XDS`` or ``GXPARM.XDS``.

    Number of images, template, sensor, masks and polarisation stand in
    ``XDS.INP``; it is read if it lies beside. Without it the images decide how
    many frames there are, and the sensor has no thickness (with a warning).

    Parameters
    ----------
    path
        The file of XDS 2010 or later.
    space_group
        In place of the number in the file; the cell must allow it.

    Raises
    ------
    FormatError
        If lines are missing or hold no numbers.
    InputError
        If the cell does not have the symmetry of the space group, or the
        detector has several segments.
    """
    path = Path(path)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[1:]
    if len(lines) < len(_LINES):
        raise FormatError(
            "XPARM.XDS is cut short",
            found=f"{len(lines) + 1} of {len(_LINES) + 1} lines in {path}",
            fix=REMEDY,
        )
    rows = [
        parse_numbers(line, n, path, f"line {i + 2} of XPARM.XDS")
        for i, (line, n) in enumerate(zip(lines, _LINES, strict=False))
    ]
    refuse_segments(int(rows[6][0]), path)
    beside = beside_of(path, "XDS.INP")
    keywords = None if beside is None else read_keywords(beside)
    return _experiment(rows, path, keywords, space_group)


def _experiment(
    rows: list[tuple[float, ...]], path: Path, keywords: Keywords | None, space_group: str | None
) -> Experiment:
    first, angle, step = int(rows[0][0]), rows[0][1], rows[0][2]
    wavelength = rows[1][0]
    if keywords is None:
        warnings.warn(
            f"no XDS.INP lies beside {path.name}: the sensor has no thickness, the beam is "
            "unpolarised, and the images decide how many frames there are",
            UnstillWarning,
            stacklevel=3,
        )
        scan = Scan(1, angle, step, first_image=first, free_origin=True, open_ended=True)
    else:
        told = xds_scan(keywords)
        start = angle + step * (told.first_image - first)
        scan = replace(told, phi_start=start, phi_step=step, phi_width=step)
    details = {} if keywords is None else panel_details(keywords, wavelength)
    panel = xds_panel(
        size=(int(rows[6][1]), int(rows[6][2])),
        pixel=(rows[6][3], rows[6][4]),
        center=(rows[7][0], rows[7][1]),
        distance=rows[7][2],
        fast=(rows[8][0], rows[8][1], rows[8][2]),
        slow=(rows[9][0], rows[9][1], rows[9][2]),
        **details,
    )
    lattice = Lattice.from_axes(np.array(rows[3:6]), space_group or str(int(rows[2][0])))
    checked_metric(lattice, str(path), overridden=space_group is not None)
    images = ImageSet(folder=str(path.parent)) if keywords is None else xds_images(keywords)
    return Experiment(
        beam=xds_beam(wavelength, rows[1][1:4], keywords),
        detector=Detector((panel,)),
        goniometer=Goniometer((rows[0][3], rows[0][4], rows[0][5])),
        scan=scan,
        lattice=lattice,
        images=images,
        name=xds_name(images, path),
    )


def write_xparm(path: Path, experiment: Experiment) -> None:
    """Write ``XPARM.XDS``.

    A drift of the lattice is left out (with a warning): the setting in the
    middle of the scan is written.

    Raises
    ------
    InputError
        If the experiment is a still, is not indexed, or has several panels.
    """
    scan, goniometer = experiment.scan, experiment.goniometer
    if scan is None or goniometer is None:
        raise InputError(
            "XPARM.XDS describes a crystal that turns",
            found="a still",
            fix="write an experiment list (.expt)",
        )
    refuse_segments(len(experiment.detector.panels), Path(path))
    if experiment.indexed_lattice.a_at_scan_points is not None:
        warnings.warn(
            "XPARM.XDS cannot hold a lattice that drifts; that of the middle of the scan is "
            "written",
            UnstillWarning,
            stacklevel=2,
        )
    with atomic_path(Path(path)) as temporary:
        temporary.write_text("\n".join(_text(experiment, scan, goniometer)) + "\n")


def _text(experiment: Experiment, scan: Scan, goniometer: Goniometer) -> list[str]:
    panel, crystal = experiment.detector.panels[0], experiment.crystal
    rest = goniometer.setting_rotation @ goniometer.fixed_rotation
    axes = np.linalg.inv(rest @ experiment.indexed_lattice.a_at(scan.n_frames / 2))
    center, distance = panel_in_xds(panel)
    nx, ny = panel.image_size
    # The widths are those of XDS, with as many decimals as they hold.
    return [
        " XPARM.XDS    VERSION Jan 31, 2020  BUILT=20200131",
        f"{scan.first_image:6d}{scan.phi_start:14.7f}{scan.phi_step:10.6f}"
        + "".join(f"{value:10.6f}" for value in goniometer.lab_axis),
        f"{experiment.beam.wavelength:15.9f}"
        + "".join(f"{value:15.9f}" for value in experiment.beam.s0),
        f"{crystal.group.number:6d}"
        + "".join(f"{value:12.6f}" for value in crystal.unit_cell[:3])
        + "".join(f"{value:8.3f}" for value in crystal.unit_cell[3:]),
        *("".join(f"{value:15.9f}" for value in axis) for axis in axes),
        f"{1:10d}{nx:10d}{ny:10d}{panel.pixel_size[0]:12.6f}{panel.pixel_size[1]:12.6f}",
        f"{center[0]:15.6f}{center[1]:15.6f}{distance:15.6f}",
        *(
            "".join(f"{value:15.9f}" for value in axis)
            for axis in (panel.fast_axis, panel.slow_axis, panel.normal)
        ),
        f"{1:10d}{1:10d}{nx:10d}{1:10d}{ny:10d}",
        f"{0:8.2f}{0:8.2f}{0:8.2f}" + "".join(f"{value:9.5f}" for value in (1, 0, 0, 0, 1, 0)),
    ]


def refuse_segments(n: int, path: Path) -> None:
    """Refuse a detector of several segments."""
    if n > 1:
        raise InputError(
            "detectors of several segments are not known here in the format of XDS",
            found=f"{n} segments in {path}",
            fix="give or write an experiment list (.expt)",
        )


def beside_of(path: Path, name: str) -> Path | None:
    """Find another file of the same XDS run: in the folder, with the same prefix if any."""
    for own in ("GXPARM.XDS", "XPARM.XDS", "INTEGRATE.LP", "XDS.INP"):
        if path.name.endswith(own):
            found = path.with_name(path.name.removesuffix(own) + name)
            return found if found.is_file() else None
    found = path.with_name(name)
    return found if found.is_file() else None
