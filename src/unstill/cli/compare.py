"""``unstill compare``: how well two maps agree, under which indexing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unstill.cli.json_file import write_json
from unstill.cli.map_input import read_map_input
from unstill.cli.options import Debug, DMax, DMin, Json, Model, Out, Reindex, SpaceGroup, UnitCell
from unstill.cli.outputs import check_outputs
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    from unstill.maps import IntensityMap
    from unstill.maps.compare import Comparison
    from unstill.provenance import Provenance


def register(app: typer.Typer) -> None:
    """Add ``unstill compare`` to the command line."""
    app.command("compare")(compare)


def compare(
    a: Annotated[Path, typer.Argument(help="A map: measured, or of a model.")],
    b: Annotated[Path, typer.Argument(help="The other map; this one is reindexed.")],
    reindex: Reindex = "auto",
    d_min: DMin = None,
    d_max: DMax = None,
    shells: Annotated[int, typer.Option("--shells", min=1, help="Resolution shells.")] = 20,
    blocks: Annotated[
        Path | None,
        typer.Option("--blocks", help="Block sums behind B; they give the ceiling of the CC."),
    ] = None,
    unit_cell: UnitCell = None,
    space_group: SpaceGroup = None,
    model: Model = None,
    out: Out = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare two maps: total, anisotropic and per-shell correlation.

    The anisotropic correlation is the one to judge by: the total one follows
    the isotropic decay and hardly notices a wrong indexing. A map without cell
    or symmetry takes those of the other. -o writes everything as JSON.

    Example: unstill compare data.nxs model.nxs --reindex auto --d-min 1.6
    """
    with Verb("compare", as_json=as_json, debug=debug) as verb:
        from unstill.maps.bragg_profile import bragg_profile
        from unstill.maps.compare import compare as compare_maps

        inputs = [path for path in (a, b, blocks, model) if path is not None]
        if out is not None:
            check_outputs([out], inputs)
        record = verb.record(
            {
                "a": a,
                "b": b,
                "reindex": reindex,
                "d_min": d_min,
                "d_max": d_max,
                "shells": shells,
                "blocks": blocks,
                "unit_cell": unit_cell,
                "space_group": space_group,
                "model": model,
            },
            inputs=inputs,
        )
        known: Any = {"unit_cell": unit_cell, "space_group": space_group, "model": model}
        first = read_map_input(a, **known, partner=b)
        second = read_map_input(b, **known, partner=a)
        _tell_of_laue_classes(verb, first, second)
        found = compare_maps(
            first,
            second,
            reindex=reindex,
            d_min=d_min,
            d_max=d_max,
            n_shells=shells,
            ceiling_b=_ceiling(blocks, first, d_min or max(first.d_min, second.d_min), d_max),
        )
        verb.result = found.as_dict()
        _say(verb, found)
        if out is not None:
            profile = bragg_profile(first, found.reindexed, d_min=d_min, d_max=d_max)
            _write(out, found, [vars(part) for part in profile], record)
            verb.output("comparison", out)


def _tell_of_laue_classes(verb: Verb, a: IntensityMap, b: IntensityMap) -> None:
    if a.crystal.laue_group != b.crystal.laue_group:
        verb.warn(
            f"the Laue classes differ: {a.crystal.laue_group} ({a.crystal.space_group}) and "
            f"{b.crystal.laue_group} ({b.crystal.space_group}); symmetrise the lower one to gain "
            "from averaging"
        )


def _ceiling(
    blocks: Path | None, compared: IntensityMap, d_min: float, d_max: float | None
) -> float | None:
    """Ceiling at the points that are compared: noise differs with resolution and between them."""
    if blocks is None:
        return None
    from unstill.diffuse.cc_max import cc_max
    from unstill.io.block_sums_file import read_block_sums
    from unstill.maps.thin_out import thin_out_sums

    sums = thin_out_sums(read_block_sums(blocks), compared.grid.divisions)
    return cc_max(sums, d_min=d_min, d_max=d_max).split_half


def _say(verb: Verb, found: Comparison) -> None:
    ceiling = "" if found.cc_max is None else f"  (at most {found.cc_max:.3f} by the noise)"
    verb.say(f"CC anisotropic  {found.cc_aniso:.3f}{ceiling}")
    verb.say(f"CC total        {found.cc_total:.3f}")
    verb.say(f"voxels          {found.n_voxels}")
    others = [c for c in found.candidates if c.operator.name != found.operator]
    against = "".join(f", {c.operator.name} gives {c.cc_aniso:.3f}" for c in others)
    verb.say(f"indexing of B   {found.operator}{against}")
    verb.say()
    verb.say("  d (Å)   CC aniso   voxels")
    for shell in found.shells:
        verb.say(f"{shell.d:7.2f}{shell.cc_aniso:11.3f}{shell.n:9d}")


def _write(
    out: Path, found: Comparison, profile: list[dict[str, Any]], record: Provenance
) -> None:
    whole = found.as_dict() | {
        "margin": found.margin,
        "bragg_distance": profile,
        "provenance": record.as_dict(),
    }
    write_json(out, whole)
