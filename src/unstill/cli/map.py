"""``unstill map``: what a map holds, and the operations on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unstill.cli.json_file import write_json
from unstill.cli.map_input import Divisions, read_map_input
from unstill.cli.options import (
    Debug,
    DMax,
    DMin,
    Json,
    Model,
    Out,
    Reindex,
    Seed,
    SpaceGroup,
    UnitCell,
)
from unstill.cli.outputs import check_map_format, check_outputs
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    from unstill.maps import IntensityMap
    from unstill.maps.slices import Axis

verbs = typer.Typer(help="Describe, convert and transform intensity maps.", no_args_is_help=True)

MapPath = Annotated[Path, typer.Argument(metavar="MAP", help="A map in any format.")]
OutMap = Annotated[
    Path,
    typer.Option("-o", "--out", help="Where to write; the suffix names the format (.nxs, .mtz)."),
]
Weights = Annotated[str, typer.Option("--weights", help="equal, or sigma for 1/sigma squared.")]


def register(app: typer.Typer) -> None:
    """Add ``unstill map`` to the command line."""
    app.add_typer(verbs, name="map")


@verbs.command("info")
def info(
    path: MapPath,
    unit_cell: UnitCell = None,
    space_group: SpaceGroup = None,
    model: Model = None,
    divisions: Divisions = None,
    out: Out = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what a map holds: cell, symmetry, grid, voxels; -o writes JSON.

    Example: unstill map info data.nxs
    """
    with Verb("map info", as_json=as_json, debug=debug) as verb:
        if out is not None:
            check_outputs([out], [path])
        full = _read(verb, path, unit_cell, space_group, model, divisions, out=out)
        grid = full.grid
        verb.result = {
            "unit_cell": full.crystal.unit_cell,
            "space_group": full.crystal.space_group,
            "shape": grid.shape,
            "divisions": grid.divisions,
            "d_min": full.d_min,
            "n_measured": full.n_measured,
            "masked": grid.size - full.n_measured,
        }
        ranges = (f"{axis[0]:g}..{axis[-1]:g}" for axis in grid.axes())
        cell = " ".join(f"{value:g}" for value in full.crystal.unit_cell)
        verb.say(f"cell         {cell}")
        verb.say(f"space group  {full.crystal.space_group} (Laue {full.crystal.laue_group})")
        verb.say(f"hkl          {'  '.join(ranges)}")
        verb.say(f"grid         {grid.shape}, divisions {grid.divisions}")
        verb.say(f"d_min        {full.d_min:.2f} Å")
        verb.say(f"voxels       {full.n_measured} usable, {grid.size - full.n_measured} masked")
        if out is not None:
            write_json(out, verb.result | {"provenance": full.provenance})
            verb.output("info", out)


@verbs.command("convert")
def convert(
    path: MapPath,
    out: OutMap,
    unit_cell: UnitCell = None,
    space_group: SpaceGroup = None,
    model: Model = None,
    divisions: Divisions = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write a map in another format.

    Example: unstill map convert snc.lat --model 4wor.pdb -o snc.nxs
    """
    with Verb("map convert", as_json=as_json, debug=debug) as verb:
        full = _read(verb, path, unit_cell, space_group, model, divisions, out=out)
        _write(verb, full, out)


@verbs.command("symmetrize")
def symmetrize(
    path: MapPath,
    out: OutMap,
    weights: Weights = "equal",
    expand: Annotated[
        bool, typer.Option("--expand", help="Enlarge the box to hold all symmetry mates.")
    ] = False,
    unit_cell: UnitCell = None,
    space_group: SpaceGroup = None,
    model: Model = None,
    divisions: Divisions = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Average a map over its Laue group; --space-group declares another symmetry.

    Example: unstill map symmetrize md.nxs --space-group "P 41" -o averaged.nxs
    """
    with Verb("map symmetrize", as_json=as_json, debug=debug) as verb:
        from unstill.maps.symmetrize import symmetrize as average

        chosen = _weights(weights)
        full = _read(
            verb, path, unit_cell, space_group, model, divisions,
            out=out, weights=weights, expand=expand,
        )  # fmt: skip
        averaged = average(full, weights=chosen, expand=expand)
        verb.say(f"averaged over the Laue group {full.crystal.laue_group}")
        _write(verb, averaged, out)


@verbs.command("mask-bragg")
def mask_bragg(
    path: MapPath,
    out: OutMap,
    radius: Annotated[
        float, typer.Option("--radius", min=0, help="Mask up to this distance too (1/Å).")
    ] = 0.0,
    unit_cell: UnitCell = None,
    space_group: SpaceGroup = None,
    model: Model = None,
    divisions: Divisions = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Mask integer hkl, and what lies within a radius of them.

    Example: unstill map mask-bragg data.nxs --radius 0.005 -o masked.nxs
    """
    with Verb("map mask-bragg", as_json=as_json, debug=debug) as verb:
        from unstill.maps.bragg import mask_bragg as mask

        full = _read(verb, path, unit_cell, space_group, model, divisions, out=out, radius=radius)
        masked = mask(full, radius)
        n_new = int((masked.mask & ~full.mask).sum())
        verb.say(f"masked {n_new} more of {full.n_measured} usable voxels")
        _write(verb, masked, out)
        verb.result["n_newly_masked"] = n_new


@verbs.command("resample")
def resample(
    path: MapPath,
    out: OutMap,
    to: Annotated[
        tuple[int, int, int],
        typer.Option("--divisions", min=1, metavar="H K L", help="New, coarser divisions."),
    ],
    weights: Weights = "equal",
    min_coverage: Annotated[
        float,
        typer.Option("--min-coverage", min=0, max=1, help="Share of the box that must be usable."),
    ] = 0.5,
    mask_negative: Annotated[
        bool,
        typer.Option("--mask-negative", help="Leave out negative voxels (biases weak ones up)."),
    ] = False,
    unit_cell: UnitCell = None,
    space_group: SpaceGroup = None,
    model: Model = None,
    divisions: Divisions = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Average a map onto coarser divisions, for example from 4 to 2.

    Example: unstill map resample masked.nxs --divisions 2 2 2 -o coarse.nxs
    """
    with Verb("map resample", as_json=as_json, debug=debug) as verb:
        from unstill.maps.resample import resample as coarsen

        chosen = _weights(weights)
        full = _read(
            verb, path, unit_cell, space_group, model, divisions,
            out=out, to=to, weights=weights, min_coverage=min_coverage,
            mask_negative=mask_negative,
        )  # fmt: skip
        if mask_negative:
            verb.warn("masking negative voxels cuts the noise on one side and raises weak voxels")
        coarser = coarsen(
            full, to, weights=chosen, min_coverage=min_coverage, mask_negative=mask_negative
        )
        verb.say(f"divisions {full.grid.divisions} to {coarser.grid.divisions}")
        _write(verb, coarser, out)


@verbs.command("difference")
def difference(
    a: Annotated[Path, typer.Argument(help="A map.")],
    b: Annotated[Path, typer.Argument(help="The map to subtract; A is put on its scale.")],
    out: OutMap,
    z_out: Annotated[
        Path | None, typer.Option("--z-out", help="Where to write difference over sigma.")
    ] = None,
    reindex: Reindex = "auto",
    d_min: DMin = None,
    d_max: DMax = None,
    bootstrap: Annotated[int, typer.Option("--bootstrap", min=2, help="Draws of blocks.")] = 200,
    seed: Seed = 0,
    unit_cell: UnitCell = None,
    space_group: SpaceGroup = None,
    model: Model = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Subtract two maps, scaled on their isotropic curves, with the uncertainty.

    Example: unstill map difference ligand.nxs apo.nxs -o delta.nxs --z-out z.nxs
    """
    with Verb("map difference", as_json=as_json, debug=debug) as verb:
        from unstill.maps.compare import compare
        from unstill.maps.difference import difference as subtract

        parameters = {
            "a": a, "b": b, "reindex": reindex, "d_min": d_min, "d_max": d_max,
            "bootstrap": bootstrap, "unit_cell": unit_cell, "space_group": space_group,
            "model": model, "out": out, "z_out": z_out,
        }  # fmt: skip
        inputs = [given for given in (a, b, model) if given is not None]
        written = [given for given in (out, z_out) if given is not None]
        for given in written:
            check_map_format(given)
        check_outputs(written)
        record = verb.record(parameters, inputs=inputs, seed=seed)
        known: Any = {"unit_cell": unit_cell, "space_group": space_group, "model": model}
        first = read_map_input(a, **known, partner=b)
        second = read_map_input(b, **known, partner=a)
        agreement = compare(first, second, reindex=reindex, d_min=d_min, d_max=d_max)
        found = subtract(
            first, agreement.reindexed, d_min=d_min, d_max=d_max, n_bootstrap=bootstrap, seed=seed
        )
        verb.result = {
            "scale": found.scale,
            "scale_sigma": found.scale_sigma,
            "rms_ratio": found.rms_ratio,
            "rms_ratio_sigma": found.rms_ratio_sigma,
            "noise": found.noise,
            "n_voxels": found.map.n_measured,
            "operator": agreement.operator,
            "cc_aniso": agreement.cc_aniso,
        }
        verb.say(f"scale           {found.scale:.4g} ± {found.scale_sigma:.2g}")
        verb.say(f"rms Δ/rms aniso {found.rms_ratio:.3f} ± {found.rms_ratio_sigma:.2g}")
        verb.say(f"indexing of B   {agreement.operator}")
        provenance = record.as_dict()
        _save(verb, "map", found.map.replace(provenance=provenance), out)
        if z_out is not None:
            _save(verb, "z", found.z.replace(provenance=provenance), z_out)


@verbs.command("slice")
def slice_(
    path: MapPath,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Where to write: .png, .svg, .pdf or .csv.")
    ],
    plane: Annotated[str, typer.Option("--plane", help="h, k or l = value.")] = "l=0",
    anisotropic: Annotated[
        bool, typer.Option("--anisotropic", help="Take off the isotropic curve first.")
    ] = False,
    unit_cell: UnitCell = None,
    space_group: SpaceGroup = None,
    model: Model = None,
    divisions: Divisions = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Draw a plane of a map, or list it as a table.

    Example: unstill map slice data.nxs --plane l=0.5 --anisotropic -o half.png
    """
    with Verb("map slice", as_json=as_json, debug=debug) as verb:
        normal, value = _plane(plane)
        if out.suffix.lower() not in (".csv", ".png", ".svg", ".pdf"):
            raise typer.BadParameter("--out must end in .png, .svg, .pdf or .csv")
        check_outputs([out], [path])
        from unstill.io.plane_csv import write_plane_csv
        from unstill.maps.isotropic import split_isotropic
        from unstill.maps.slices import extract_plane
        from unstill.report.plane_image import write_plane_image

        full = _read(
            verb, path, unit_cell, space_group, model, divisions,
            out=out, plane=plane, anisotropic=anisotropic,
        )  # fmt: skip
        if anisotropic:
            full = split_isotropic(full).anisotropic
        cut = extract_plane(full, normal, value)
        if out.suffix.lower() == ".csv":
            write_plane_csv(cut, out)
        else:
            write_plane_image(cut, out, signed=anisotropic)
        verb.output("slice", out)
        verb.result = {
            "plane": {cut.normal: cut.value},
            "shape": cut.intensity.shape,
            "angle": cut.angle,
        }
        verb.say(f"wrote {out}")


def _read(
    verb: Verb,
    path: Path,
    unit_cell: str | None,
    space_group: str | None,
    model: Path | None,
    divisions: tuple[int, int, int] | None,
    **parameters: object,
) -> IntensityMap:
    """Record the run, then read; the map carries the record from here on."""
    shared = {
        "map": path,
        "unit_cell": unit_cell,
        "space_group": space_group,
        "model": model,
        "file_divisions": divisions,
    }
    inputs = [given for given in (path, model) if given is not None]
    record = verb.record(shared | parameters, inputs=inputs)
    full = read_map_input(
        path, unit_cell=unit_cell, space_group=space_group, model=model, divisions=divisions
    )
    earlier = {"before": dict(full.provenance)} if full.provenance else {}
    return full.replace(provenance=record.as_dict() | earlier)


def _write(verb: Verb, full: IntensityMap, out: Path) -> None:
    _save(verb, "map", full, out)
    verb.result = {
        "shape": full.grid.shape,
        "divisions": full.grid.divisions,
        "n_measured": full.n_measured,
    }


def _save(verb: Verb, name: str, full: IntensityMap, out: Path) -> None:
    from unstill.io import write_map

    write_map(full, out)
    verb.output(name, out)
    verb.say(f"wrote {out}: {full.n_measured} usable voxels of {full.grid.size}")


def _weights(name: str) -> Any:
    if name not in ("equal", "sigma"):
        raise typer.BadParameter(f"--weights must be equal or sigma, not {name!r}")
    return name


def _plane(text: str) -> tuple[Axis, float]:
    name, _, number = text.replace(" ", "").partition("=")
    try:
        value = float(number)
    except ValueError:
        value = float("nan")
    if name not in ("h", "k", "l") or not abs(value) < float("inf"):
        raise typer.BadParameter(f"--plane must look like l=0.5, not {text!r}")
    normal: Any = name
    return normal, value
