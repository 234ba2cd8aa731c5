"""``unstill diffuse``: frames of a supercell to a diffuse map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unstill.cli.options import Debug, Json, SpaceGroup, UnitCell, Workers, positive
from unstill.cli.outputs import check_map_format, check_outputs
from unstill.cli.progress import progress_bar
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    import numpy as np

    from unstill.diffuse.open_frames import SupercellFrames
    from unstill.maps import IntensityMap
    from unstill.maps.block_sums import BlockSums


class AlignTo(StrEnum):
    """What the drift is measured from."""

    FIRST_FRAME = "first-frame"
    MODEL = "model"


class Table(StrEnum):
    """Form factors."""

    XRAY = "xray"
    ELECTRON = "electron"
    NEUTRON = "neutron"


def register(app: typer.Typer) -> None:
    """Add ``unstill diffuse`` to the command line."""
    app.command("diffuse")(diffuse)


def diffuse(
    model: Annotated[
        Path, typer.Argument(help="Topology of the trajectory, or a file with several models.")
    ],
    trajectories: Annotated[
        list[Path] | None,
        typer.Argument(metavar="TRAJ", help="XTC, TRR, DCD, NetCDF or PDB, in order."),
    ] = None,
    *,
    supercell: Annotated[
        tuple[int, int, int], typer.Option(help="Unit cells along a, b, c of the supercell.")
    ],
    d_min: Annotated[
        float, typer.Option("--d-min", callback=positive, help="High-resolution limit (Å).")
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="The map: .nxs, .mtz, .ccp4, .hkl or .lat.")
    ],
    blocks: Annotated[int, typer.Option(min=1, help="Blocks of consecutive frames.")] = 16,
    blocks_out: Annotated[
        Path | None, typer.Option(help="Write the block sums too (HDF5), for later merging.")
    ] = None,
    bragg_out: Annotated[
        Path | None, typer.Option(help="Write F_calc of the mean unit cell too (MTZ).")
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option(
            help="Write a map of these atoms too: protein, water, or NAME=EXPRESSION. May be "
            "repeated; from two on, the cross term (all minus the parts) is written as well."
        ),
    ] = None,
    stride: Annotated[int, typer.Option(min=1, help="Use every n-th frame.")] = 1,
    weights: Annotated[
        Path | None, typer.Option(help="Text file with one weight a frame.")
    ] = None,
    remove_drift: Annotated[
        bool | None,
        typer.Option(
            "--remove-drift/--no-remove-drift",
            help="Shift frames back by the mean displacement of their Cα atoms. "
            "[default: yes for trajectories, no for models]",
        ),
    ] = None,
    align_to: Annotated[
        AlignTo, typer.Option(help="What the drift is measured from.")
    ] = AlignTo.FIRST_FRAME,
    allow_box_drift: Annotated[
        bool, typer.Option("--allow-box-drift", help="Accept boxes > 0.5 % off the supercell.")
    ] = False,
    symmetrize: Annotated[
        bool,
        typer.Option("--symmetrize/--no-symmetrize", help="Average over the Laue group."),
    ] = True,
    table: Annotated[Table, typer.Option(help="Form factors.")] = Table.XRAY,
    tolerance: Annotated[
        float, typer.Option(help="Relative error of the structure factors.")
    ] = 1e-4,
    chunk: Annotated[int, typer.Option(min=1, help="Frames that are summed at a time.")] = 8,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue a run that was stopped or killed.")
    ] = False,
    workers: Workers = None,
    dask: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler to use instead of --workers.")
    ] = None,
    unit_cell: UnitCell = None,
    space_group: SpaceGroup = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Diffuse map of a simulation of a supercell, or of the models of a file.

    Example: unstill diffuse top.pdb run.xtc --supercell 2 2 2 --d-min 2.5 -o map.nxs
    """
    given = {name: value for name, value in locals().items() if name not in ("as_json", "debug")}
    if min(supercell) < 1:
        raise typer.BadParameter("--supercell needs three positive numbers")
    with Verb("diffuse", as_json=as_json, debug=debug) as verb:
        from unstill.diffuse import diffuse_intensity
        from unstill.diffuse.open_frames import open_frames

        paths = trajectories or []
        inputs = [model, *paths, *([weights] if weights else [])]
        files = _outputs(out, blocks_out, bragg_out, select or [], inputs)
        provenance = verb.record(given, inputs=inputs).as_dict()
        opened = open_frames(
            model, paths, supercell, unit_cell=unit_cell, space_group=space_group, stride=stride
        )
        selections = _selections(opened, select or [])
        _leave_out_cross(verb, files, selections)
        checkpoint = out.with_name(f"{out.name}.checkpoint")
        if checkpoint.exists() and not resume:
            verb.warn(f"starting again, although {checkpoint} could be continued with --resume")
        sums = _stream(
            verb,
            opened,
            checkpoint,
            divisions=supercell,
            d_min=d_min,
            n_blocks=blocks,
            selections=selections,
            weights=_read_weights(weights),
            remove_drift=remove_drift,
            reference=_reference(model, opened, align_to),
            max_box_drift=None if allow_box_drift else 0.005,
            chunk_size=chunk,
            workers=_workers(workers),
            dask=dask,
            resume=resume,
            engine_options={"table": table.value, "tolerance": tolerance},
        )
        main = diffuse_intensity(sums, laue_average=symmetrize)
        verb.result = _summary(verb, sums, main, opened)
        _write_maps(verb, files, sums, main, symmetrize, provenance)
        _write_sums(verb, files, sums, provenance)
        checkpoint.unlink(missing_ok=True)
        _tell(verb)


def _outputs(
    out: Path,
    blocks_out: Path | None,
    bragg_out: Path | None,
    select: list[str],
    inputs: list[Path],
) -> dict[str, Path]:
    """Every file that will be written; fails now if one could not be."""
    from unstill.errors import InputError

    check_map_format(out)
    files = {"map": out}
    parts = [_name_of(text) for text in select]
    for part in [*parts, *(["cross"] if len(parts) > 1 else [])]:
        if f"map_{part}" in files or part == "all":
            raise InputError(
                "the names of selections must differ", found=repr(part), fix="use NAME=EXPRESSION"
            )
        files[f"map_{part}"] = out.with_name(f"{out.stem}_{part}{out.suffix}")
    files |= {name: path for name, path in (("blocks", blocks_out), ("bragg", bragg_out)) if path}
    check_outputs(files.values(), inputs)
    return files


def _name_of(select: str) -> str:
    """File-name part of ``protein`` or ``NAME=EXPRESSION``."""
    import re

    name = select.partition("=")[0].strip()
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "selection"


def _selections(opened: SupercellFrames, select: list[str]) -> dict[str, np.ndarray]:
    from unstill.ensembles.selection import atom_mask

    return {
        _name_of(text): atom_mask(opened.frames.atoms, text.partition("=")[2] or text)
        for text in select
    }


def _leave_out_cross(
    verb: Verb, files: dict[str, Path], selections: dict[str, np.ndarray]
) -> None:
    """Write no cross term of parts that share atoms: these would be subtracted twice."""
    import numpy as np

    if "map_cross" not in files:
        return
    shared = int((np.sum(list(selections.values()), axis=0) > 1).sum())
    if shared:
        del files["map_cross"]
        verb.warn(
            f"no cross term is written, because the selections share {shared} atoms; "
            "select parts that exclude each other"
        )


def _reference(model: Path, opened: SupercellFrames, align_to: AlignTo) -> np.ndarray | None:
    from unstill.diffuse.open_frames import model_coordinates

    return model_coordinates(model, opened.frames) if align_to is AlignTo.MODEL else None


def _read_weights(path: Path | None) -> np.ndarray | None:
    import numpy as np

    from unstill.errors import FormatError

    if path is None:
        return None
    try:
        return np.loadtxt(path, dtype=float, ndmin=1)
    except ValueError as error:
        raise FormatError(
            "the weights cannot be read",
            found=f"{path}: {error}",
            fix="give a text file with one number a line",
        ) from error


def _workers(workers: int | None) -> int:
    from unstill.parallel import cpu_count

    return workers if workers is not None else cpu_count()


def _stream(
    verb: Verb,
    opened: SupercellFrames,
    checkpoint: Path,
    *,
    divisions: tuple[int, int, int],
    d_min: float,
    **options: Any,
) -> BlockSums:
    from unstill.diffuse import stream_block_sums

    try:
        with progress_bar("frames") as progress:
            return stream_block_sums(
                opened.frames,
                divisions,
                d_min,
                crystal=opened.crystal,
                checkpoint=checkpoint,
                keep_checkpoint=True,
                progress=progress,
                **options,
            )
    except KeyboardInterrupt:
        if checkpoint.exists():
            verb.warn("the state was saved; repeat the command with --resume to go on")
        raise


def _summary(
    verb: Verb, sums: BlockSums, main: IntensityMap, opened: SupercellFrames
) -> dict[str, Any]:
    from unstill.diffuse import cc_max
    from unstill.errors import InputError

    ceiling = None
    _, squares, weight, _ = sums.totals("all")
    mean_intensity = float(main.intensity[main.measured].mean())
    if mean_intensity * sums.n_cells < 1e-10 * float(squares.mean()) / weight:
        verb.warn("the frames are all alike: the map holds nothing but rounding errors")
    else:
        try:
            ceiling = cc_max(sums)
        except InputError as error:
            verb.warn(f"CC_max is not known: {error}")
    return {
        "unit_cell": sums.crystal.unit_cell,
        "space_group": sums.crystal.space_group,
        "divisions": sums.divisions,
        "shape": main.grid.shape,
        "d_min": main.d_min,
        "n_points": len(sums.index),
        "n_atoms": opened.frames.n_atoms,
        "n_frames": sums.total_frames,
        "n_blocks": sums.n_blocks,
        "selections": list(sums.selections),
        "mean_intensity": mean_intensity,
        "mean_box": sums.provenance["mean_box"],
        "cc_max": ceiling.split_half if ceiling else None,
        "cc_max_closed_form": ceiling.closed_form if ceiling else None,
        "cc_half": ceiling.cc_half if ceiling else None,
        "n_effective": ceiling.n_effective if ceiling else None,
        "symmetry_kept": None,
    }


def _write_maps(
    verb: Verb,
    files: Mapping[str, Path],
    sums: BlockSums,
    main: IntensityMap,
    symmetrize: bool,
    provenance: Mapping[str, Any],
) -> None:
    from functools import partial

    from unstill.diffuse import cross_intensity, diffuse_intensity
    from unstill.io import write_map

    parts = [name for name in sums.selections if name != "all"]
    maps: dict[str, Callable[[], IntensityMap]] = {"map": lambda: main}
    for part in parts:
        maps[f"map_{part}"] = partial(
            diffuse_intensity, sums, selection=part, laue_average=symmetrize
        )
    if "map_cross" in files:
        maps["map_cross"] = partial(cross_intensity, sums, parts, laue_average=symmetrize)
    for name, make in maps.items():
        found = make()
        write_map(found.replace(provenance={**provenance, **found.provenance}), files[name])
        verb.output(name, files[name])


def _write_sums(
    verb: Verb, files: Mapping[str, Path], sums: BlockSums, provenance: Mapping[str, Any]
) -> None:
    from dataclasses import replace

    from unstill.diffuse import bragg_fold
    from unstill.io import write_block_sums, write_bragg_mtz

    if "blocks" in files:
        recorded = replace(sums, provenance={**provenance, **sums.provenance})
        write_block_sums(recorded, files["blocks"])
        verb.output("blocks", files["blocks"])
    if "bragg" in files:
        fold = bragg_fold(sums)
        verb.result["symmetry_kept"] = fold.symmetry_kept
        write_bragg_mtz(fold.crystal, fold.hkl, fold.f_calc, files["bragg"])
        verb.output("bragg", files["bragg"])


def _tell(verb: Verb) -> None:
    found = verb.result
    verb.say(
        f"{found['n_frames']} frames of {found['n_atoms']} atoms in {found['n_blocks']} blocks, "
        f"{found['n_points']} points to {found['d_min']:.2f} Å"
    )
    if found["cc_max"] is not None:
        verb.say(
            f"CC_max {found['cc_max']:.3f} (anisotropic, halves of the run), "
            f"{found['cc_max_closed_form']:.3f} (spread of the blocks); "
            f"as good as {found['n_effective']:.0f} independent frames"
        )
    if found["symmetry_kept"] is not None:
        verb.say(f"the space group keeps {found['symmetry_kept']:.0%} of the Bragg intensity")
    for name, path in verb.outputs.items():
        verb.say(f"{name}: {path}")
