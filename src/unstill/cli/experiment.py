"""``unstill experiment``: what a geometry file says, and the same in another format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unstill.cli.options import Debug, Json, Out
from unstill.cli.outputs import check_outputs
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    from unstill.experiment import Experiment


def register(app: typer.Typer) -> None:
    """Add ``unstill experiment`` to the command line."""
    app.command("experiment")(experiment)


def experiment(
    files: Annotated[
        list[Path],
        typer.Argument(help="Geometry files: .expt, .json, XPARM.XDS, XDS.INP, INTEGRATE.LP."),
    ],
    space_group: Annotated[
        str | None,
        typer.Option("--space-group", help="In place of the stored one; the cell must allow it."),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option("--images", help="Pattern of the images, where the stored path is wrong."),
    ] = None,
    out: Out = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Show the geometry of experiments, and convert it.

    -o writes all of them: as a DIALS experiment list (.expt), as a file of
    unstill (.json) or, one sweep of one panel, as XPARM.XDS.

    Example: unstill experiment XDS.INP -o sweep.expt
    """
    with Verb("experiment", as_json=as_json, debug=debug) as verb:
        from unstill.io.experiment_files import read_experiments

        if out is not None:
            check_outputs([out], files)
        record = verb.record(
            {"files": files, "space_group": space_group, "images": images, "out": out},
            inputs=files,
        )
        found = []
        for path in files:
            found += [(path, one) for one in read_experiments(path, space_group=space_group)]
        experiments = [one if images is None else _with_images(one, images) for _, one in found]
        told = [
            {"file": str(path)} | describe(one)
            for (path, _), one in zip(found, experiments, strict=True)
        ]
        verb.result = {"experiments": told}
        for entry in told:
            _say(verb, entry)
        if out is not None:
            _write(out, experiments, record)
            verb.output("experiments", out)


def describe(experiment: Experiment) -> dict[str, Any]:
    """Return what people ask of an experiment, ready for JSON."""
    from unstill.experiment.extent import beam_center, corner_resolution, edge_resolution

    beam, detector, scan = experiment.beam, experiment.detector, experiment.scan
    panel = detector.panels[0]
    center = beam_center(beam, detector)
    found: dict[str, Any] = {
        "name": experiment.name,
        "identifier": experiment.identifier,
        "wavelength": beam.wavelength,
        "energy": beam.energy,
        "polarization_fraction": beam.polarization_fraction,
        "distance": panel.distance,
        "beam_center": None if center is None else list(center[1:]),
        "beam_panel": None if center is None else center[0],
        "n_panels": len(detector.panels),
        "image_size": list(panel.image_size),
        "pixel_size": list(panel.pixel_size),
        "sensor": {"material": panel.material, "thickness": panel.thickness, "mu": panel.mu},
        "parallax": panel.parallax,
        "trusted_range": list(panel.trusted_range),
        "d_min_corner": corner_resolution(beam, detector),
        "d_min_edge": edge_resolution(beam, detector),
        "scan": None,
        "unit_cell": None,
        "space_group": None,
        "drifts": False,
        "images": _images(experiment),
    }
    if scan is not None:
        found["scan"] = {
            "n_frames": scan.n_frames,
            "phi_start": scan.phi_start,
            "phi_step": scan.phi_step,
            "phi_width": scan.phi_width,
            "exposure_time": float(scan.exposure_times[0]),
            "first_image": scan.first_image,
        }
    if experiment.lattice is not None:
        found["unit_cell"] = list(experiment.crystal.unit_cell)
        found["space_group"] = experiment.crystal.space_group
        found["drifts"] = experiment.lattice.a_at_scan_points is not None
    return found


def _images(experiment: Experiment) -> dict[str, Any]:
    """Return where the images should be, and how many of them are there."""
    from unstill.errors import UnstillError
    from unstill.io.frames.open_frames import open_frames
    from unstill.io.sweep_frames import match_frames

    images = experiment.images
    where = images.template or ", ".join(images.paths[:2])
    if not images:
        return {"where": "", "n_found": 0, "missing": "none are named"}
    try:
        matched = match_frames(experiment, open_frames(images))
    except (UnstillError, OSError) as error:
        return {"where": where, "n_found": 0, "missing": str(error)}
    n = 0 if matched is None else matched[1].n_frames
    return {"where": where, "n_found": n, "missing": None if n else "not those of this sweep"}


def _with_images(experiment: Experiment, pattern: str) -> Experiment:
    """Put the images that a pattern matches in place of those that are named."""
    from glob import glob

    from unstill.errors import InputError
    from unstill.experiment import ImageSet

    holds_number = "#" in pattern
    paths = () if holds_number else tuple(sorted(glob(pattern)))  # noqa: PTH207
    if not holds_number and not paths:
        raise InputError("no image matches the pattern", found=repr(pattern), fix="check the path")
    images = ImageSet(
        template=pattern if holds_number else "",
        paths=paths,
        indices=experiment.images.indices,
        mask=experiment.images.mask,
        gain=experiment.images.gain,
        pedestal=experiment.images.pedestal,
    )
    return experiment.replace(images=images)


def _say(verb: Verb, told: dict[str, Any]) -> None:
    size, pixel = told["image_size"], told["pixel_size"]
    panels = "" if told["n_panels"] == 1 else f"{told['n_panels']} panels of "
    center = told["beam_center"]
    edge = told["d_min_edge"]
    verb.say(f"{told['name']}  ({told['file']})")
    verb.say(f"  beam        {told['wavelength']:.5f} Å")
    verb.say(f"  detector    {panels}{size[0]} × {size[1]} pixels of {pixel[0]:g} mm")
    verb.say(f"  distance    {told['distance']:.2f} mm")
    if center is not None:
        where = "" if told["n_panels"] == 1 else f" on panel {told['beam_panel']}"
        verb.say(f"  beam centre {center[0]:.2f}, {center[1]:.2f} pixels{where}")
    limit = "" if edge is None else f", {edge:.2f} Å at the edge"
    verb.say(f"  resolution  {told['d_min_corner']:.2f} Å in the corner{limit}")
    verb.say(f"  scan        {_scan_line(told['scan'])}")
    if told["unit_cell"] is None:
        verb.say("  crystal     not indexed")
    else:
        cell = " ".join(f"{value:.3f}" for value in told["unit_cell"][:3])
        angles = " ".join(f"{value:.2f}" for value in told["unit_cell"][3:])
        drift = ", drifts with the scan" if told["drifts"] else ""
        verb.say(f"  crystal     {cell} Å  {angles}°  {told['space_group']}{drift}")
    images = told["images"]
    if images["n_found"]:
        verb.say(f"  images      {images['n_found']} found: {images['where']}")
    else:
        verb.say(f"  images      none: {images['missing']}")
    verb.say()


def _scan_line(scan: dict[str, Any] | None) -> str:
    if scan is None:
        return "a still"
    exposure = f"{scan['exposure_time']:g} s" if scan["exposure_time"] else "unknown exposure"
    stop = scan["phi_start"] + scan["n_frames"] * scan["phi_step"]
    return (
        f"{scan['n_frames']} frames, {scan['phi_start']:g}° to {stop:g}° "
        f"in steps of {scan['phi_step']:g}°, {exposure}"
    )


def _write(out: Path, experiments: list[Experiment], record: Any) -> None:
    from unstill.errors import InputError

    if out.name.upper().endswith("XPARM.XDS"):
        from unstill.io.xds_xparm import write_xparm

        if len(experiments) > 1:
            raise InputError(
                "XPARM.XDS holds one sweep",
                found=f"{len(experiments)} experiments",
                fix="write an experiment list (.expt)",
            )
        write_xparm(out, experiments[0])
    elif out.suffix == ".expt":
        from unstill.io.dials_expt import write_expt

        write_expt(out, experiments, provenance=record)
    elif out.suffix == ".json":
        from unstill.io.experiment_json import write_experiment_json

        write_experiment_json(out, experiments, provenance=record)
    else:
        raise InputError(
            "the format of the output is unknown",
            found=str(out),
            fix="give a name that ends in .expt, .json or XPARM.XDS",
        )
