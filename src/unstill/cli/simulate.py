"""``unstill simulate``: data of which the truth is known."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unstill.cli.fault_options import frames_of, wrong_background_of
from unstill.cli.options import Debug, Json, Model, Seed, SpaceGroup, UnitCell, Workers, positive
from unstill.cli.out_folder import check_folder, make_folder
from unstill.cli.progress import progress_bars
from unstill.cli.verb import Verb

if TYPE_CHECKING:
    from unstill.crystal import Crystal
    from unstill.simulation.bragg import BraggPeaks
    from unstill.simulation.recipe import Recipe
    from unstill.simulation.run import WrittenSimulation
    from unstill.simulation.sweeps import WrongBackground
    from unstill.simulation.truth import Truth

verbs = typer.Typer(help="Make data of which the truth is known.", no_args_is_help=True)

_FORMATS = ("cbf", "eiger", "tiff")

_BACKGROUND_FRAMES = 20
"""Frames without crystal for stills: their background is better known than one of them."""

_ONE_SWEEP = (40, 0.0, 0.1, 0.0)
"""Frames, phi_start, phi_step and drift where nothing else is said."""


def register(app: typer.Typer) -> None:
    """Add ``unstill simulate`` to the command line."""
    app.add_typer(verbs, name="simulate")


@verbs.command("images")
def images(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for images and geometry.")],
    unit_cell: UnitCell = None,
    space_group: SpaceGroup = None,
    model: Model = None,
    map_path: Annotated[
        Path | None,
        typer.Option("--map", help="Map that scatters. [default: an analytic truth]"),
    ] = None,
    bragg: Annotated[bool, typer.Option(help="Bragg peaks; of --model if it is given.")] = True,
    detector: Annotated[
        str,
        typer.Option(help="pilatus-2m, pilatus-6m, eiger-16m; for tests small, tiny, modular."),
    ] = "pilatus-2m",
    distance: Annotated[float, typer.Option(callback=positive, help="mm.")] = 200.0,
    wavelength: Annotated[float, typer.Option(callback=positive, help="Å.")] = 1.0,
    tilt: Annotated[
        tuple[float, float],
        typer.Option(
            metavar="X Y", help="Detector turned about horizontal and vertical (degrees)."
        ),
    ] = (0.0, 0.0),
    split_panels: Annotated[
        bool, typer.Option(help="One panel a module of the detector.")
    ] = False,
    count_cutoff: Annotated[
        float | None,
        typer.Option(callback=positive, help="Largest count. [default: of the detector]"),
    ] = None,
    frames: Annotated[int, typer.Option(min=1, help="Frames of the sweep.")] = _ONE_SWEEP[0],
    phi_start: Annotated[float, typer.Option(help="Degrees.")] = _ONE_SWEEP[1],
    phi_step: Annotated[float, typer.Option(help="Degrees a frame.")] = _ONE_SWEEP[2],
    exposure: Annotated[float, typer.Option(callback=positive, help="Seconds a frame.")] = 0.1,
    drift: Annotated[
        float, typer.Option(min=0, help="Degrees that the orientation wanders in the sweep.")
    ] = _ONE_SWEEP[3],
    mosaicity: Annotated[float, typer.Option(min=0, help="Degrees.")] = 0.05,
    mean_counts: Annotated[
        float, typer.Option(callback=positive, help="Diffuse photons a pixel and a frame.")
    ] = 1.0,
    median_counts: Annotated[
        float | None,
        typer.Option(
            callback=positive,
            help="Diffuse photons of the median observation, in place of --mean-counts.",
        ),
    ] = None,
    divisions: Annotated[
        tuple[int, int, int],
        typer.Option(
            min=1, metavar="H K L", help="Voxels a reciprocal-lattice vector of observations."
        ),
    ] = (4, 4, 4),
    truth_divisions: Annotated[
        tuple[int, int, int],
        typer.Option(min=1, metavar="H K L", help="The same of the map truth.nxs."),
    ] = (2, 2, 2),
    background: Annotated[
        float,
        typer.Option(
            min=0,
            help="Photons from air and liquid for one diffuse photon; its sweep is written too.",
        ),
    ] = 0.0,
    effects: Annotated[
        bool, typer.Option(help="Scale, absorption, offset and detector response that vary.")
    ] = False,
    image_format: Annotated[
        str, typer.Option("--format", help="cbf, eiger (HDF5) or tiff.")
    ] = "cbf",
    stills: Annotated[
        int, typer.Option(min=0, help="So many stills in random orientations, and no sweep.")
    ] = 0,
    orientation_error: Annotated[
        float, typer.Option(min=0, help="Error of their written orientations (degrees).")
    ] = 0.0,
    distance_error: Annotated[
        float, typer.Option(help="Error of the written distance (mm).")
    ] = 0.0,
    hot_pixels: Annotated[int, typer.Option(min=0)] = 0,
    dead_pixels: Annotated[int, typer.Option(min=0)] = 0,
    zingers: Annotated[float, typer.Option(min=0, max=1e6, help="Struck pixels a frame.")] = 0.0,
    ice: Annotated[
        float, typer.Option(min=0, help="Height of the ice rings, in mean diffuse intensities.")
    ] = 0.0,
    second_lattice: Annotated[float, typer.Option(min=0, help="Share of a second crystal.")] = 0.0,
    decay: Annotated[
        float, typer.Option(min=0, help="Growth of B by radiation damage (Å² a second).")
    ] = 0.0,
    beam_trip: Annotated[
        str, typer.Option(help="Frames, from 0, with a tenth of the beam: 12,13.")
    ] = "",
    outliers: Annotated[
        float,
        typer.Option(min=0, max=0.5, help="Share of too bright, and of too dark observations."),
    ] = 0.0,
    wrong_background: Annotated[
        str, typer.Option(help="As in exposure=2,transmission=0.5,distance=10,wavelength=1.1.")
    ] = "",
    truth_seed: Annotated[
        int, typer.Option(min=0, help="Seed of the truth: crystals of one kind share it.")
    ] = 0,
    workers: Workers = None,
    seed: Seed = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Write detector images of a crystal whose diffuse scattering is known.

    The truth is a map, or a formula with the symmetry of the crystal; Bragg peaks
    come from a model or from Wilson's statistics. Writes images, geometry (.expt,
    XPARM.XDS), the background sweep and the truth. Run again, it goes on. --seed
    turns the crystal and draws the noise; another one gives another crystal of the
    same kind.

    Example: unstill simulate images --unit-cell 79,79,38,90,90,90 --space-group "P 43 21 2" -o sim
    """
    if image_format not in _FORMATS:
        raise typer.BadParameter(f"--format must be one of {', '.join(_FORMATS)}")
    if phi_step == 0:
        raise typer.BadParameter("--phi-step must not be 0; use --stills for stills")
    if stills and (frames, phi_start, phi_step, drift) != _ONE_SWEEP:
        raise typer.BadParameter("--frames, --phi-start, --phi-step and --drift are of a sweep")
    wrong = wrong_background_of(wrong_background)
    if wrong is not None and not background:
        raise typer.BadParameter("--wrong-background needs --background")
    if not 0 < distance + distance_error < float("inf"):
        raise typer.BadParameter("--distance-error leaves no distance")
    tripped = frames_of(beam_trip, frames)
    parameters = {
        name: value
        for name, value in locals().items()
        if name not in ("as_json", "debug", "wrong", "tripped")
    }
    with Verb("simulate images", as_json=as_json, debug=debug) as verb:
        from unstill.parallel import cpu_count
        from unstill.simulation.faults import Faults
        from unstill.simulation.recipe import Recipe

        check_folder(out, ["truth.json"])
        inputs = [path for path in (model, map_path) if path is not None]
        record = verb.record(parameters, inputs=inputs, seed=seed)
        crystal = _crystal(unit_cell, space_group, model, map_path)
        truth = _truth(crystal, map_path, truth_seed)
        faults = Faults(
            hot_pixels=hot_pixels,
            dead_pixels=dead_pixels,
            zingers=zingers,
            ice=ice * _mean_intensity(truth),
            second_lattice=second_lattice,
            decay=decay,
            beam_trip=tripped,
        )
        recipe = Recipe(
            detector=detector,
            distance=distance,
            wavelength=wavelength,
            tilt=tilt,
            split_panels=split_panels,
            count_cutoff=count_cutoff,
            n_frames=frames if not stills else 1,
            phi_start=phi_start,
            phi_step=phi_step,
            exposure_time=exposure,
            drift=drift,
            mosaicity=mosaicity,
            mean_counts=mean_counts,
            median_counts=median_counts,
            divisions=divisions,
            background=background,
            effects=effects,
            outliers=outliers,
            faults=faults,
            seed=seed,
        )
        peaks = _peaks(recipe, truth, model, truth_seed) if bragg else None
        make_folder(out)
        began = time.perf_counter()
        with progress_bars({"images": "images", "background": "background"}) as progress:
            shared: dict[str, Any] = {
                "image_format": image_format,
                "truth_divisions": truth_divisions,
                "workers": workers or cpu_count(),
                "provenance": record,
                "progress": progress,
            }
            if stills:
                written, median = _write_stills(
                    out,
                    recipe,
                    truth,
                    peaks,
                    stills,
                    orientation_error,
                    wrong,
                    distance_error,
                    shared,
                )
            else:
                written, median = _write_sweep(
                    out, recipe, truth, peaks, wrong, distance_error, shared
                )
        _report(verb, written, median, time.perf_counter() - began)


def _write_sweep(
    out: Path,
    recipe: Recipe,
    truth: Truth,
    peaks: BraggPeaks | None,
    wrong: WrongBackground | None,
    distance_error: float,
    shared: dict[str, Any],
) -> tuple[WrittenSimulation, float]:
    from unstill.simulation.dose import median_counts
    from unstill.simulation.faults import with_distance_error
    from unstill.simulation.run import write_simulation
    from unstill.simulation.sweeps import background_frames

    frames = recipe.frames(truth, peaks)
    alone = None if frames.background is None else background_frames(frames, wrong=wrong)
    said = with_distance_error(frames.experiment, distance_error) if distance_error else None
    written = write_simulation(out, frames, background=alone, written=said, **shared)
    return written, median_counts(frames, recipe.divisions)


def _write_stills(
    out: Path,
    recipe: Recipe,
    truth: Truth,
    peaks: BraggPeaks | None,
    n: int,
    orientation_error: float,
    wrong: WrongBackground | None,
    distance_error: float,
    shared: dict[str, Any],
) -> tuple[WrittenSimulation, float]:
    from dataclasses import replace

    from unstill.simulation.dose import median_counts
    from unstill.simulation.faults import with_distance_error
    from unstill.simulation.run import write_still_simulation
    from unstill.simulation.stills import make_stills, simulate_stills
    from unstill.simulation.sweeps import background_frames

    pairs = make_stills(
        truth.crystal,
        n,
        detector=recipe.made_detector(),
        wavelength=recipe.wavelength,
        mosaicity=recipe.mosaicity,
        orientation_error=orientation_error,
        seed=recipe.seed,
    )
    template = replace(recipe.frames(truth, peaks), exposure_time=recipe.exposure_time)
    made = simulate_stills(pairs, template)
    if distance_error:
        made = [
            replace(still, written=with_distance_error(still.written, distance_error))
            for still in made
        ]
    alone = None
    if template.background is not None:
        alone = background_frames(template, n_frames=_BACKGROUND_FRAMES, wrong=wrong)
    written = write_still_simulation(out, made, background=alone, **shared)
    return written, median_counts(made[0].frames, recipe.divisions)


def _report(verb: Verb, written: WrittenSimulation, median: float, wall: float) -> None:
    for name, path in written.outputs.items():
        verb.output(name, path)
    verb.result = {
        "n_frames": written.n_frames,
        "files": list(written.images),
        "truth": str(written.outputs["truth"]),
        "expt": str(written.outputs["expt"]),
        "wall_s": round(wall, 3),
        "s_per_frame": round(written.image_seconds / written.n_frames, 4),
        "median_counts": median,
        "went_on": written.went_on,
    }
    frames = "1 frame" if written.n_frames == 1 else f"{written.n_frames} frames"
    verb.say(f"wrote {frames} in {wall:.1f} s: {written.outputs['expt']}")
    verb.say(f"median observation: {median:.1f} diffuse photons")
    verb.say(f"truth: {written.outputs['truth']}")


def _crystal(
    unit_cell: str | None, space_group: str | None, model: Path | None, map_path: Path | None
) -> Crystal:
    from unstill.errors import UnknownCrystalError
    from unstill.io import resolve_crystal

    found = resolve_crystal(unit_cell, space_group, model, map_path)
    if found is None:
        raise UnknownCrystalError(
            "no crystal to simulate",
            found="neither a unit cell with a space group nor a model or a map",
            fix="give --unit-cell a,b,c,alpha,beta,gamma and --space-group, or --model or --map",
        )
    return found


def _truth(crystal: Crystal, map_path: Path | None, seed: int) -> Truth:
    from unstill.crystal.symmetry import check_metric

    check_metric(crystal)
    if map_path is None:
        from unstill.simulation.analytic_truth import AnalyticTruth

        return AnalyticTruth(crystal, seed=seed)
    from unstill.io import read_map
    from unstill.simulation.map_truth import MapTruth

    return MapTruth(read_map(map_path, crystal=crystal))


def _peaks(recipe: Recipe, truth: Truth, model: Path | None, seed: int) -> BraggPeaks:
    from unstill.simulation.bragg import model_peaks, wilson_peaks
    from unstill.simulation.frames import SimulatedFrames
    from unstill.simulation.truth_record import detector_d_min

    d_min = detector_d_min(SimulatedFrames(recipe.experiment(truth), None))
    shared: dict[str, Any] = {"mosaicity": recipe.mosaicity}
    if model is None:
        return wilson_peaks(truth.crystal, d_min, seed=seed, **shared)
    from unstill.io import read_structure

    atoms = read_structure(model)
    b_factor = atoms.b_factor if atoms.b_factor.ndim == 1 else atoms.b_factor[0]
    occupancy = atoms.occupancy if atoms.occupancy.ndim == 1 else atoms.occupancy[0]
    return model_peaks(
        truth.crystal, atoms.atoms.element, atoms.coord[0], occupancy, b_factor, d_min, **shared
    )


def _mean_intensity(truth: Truth) -> float:
    """Mean diffuse intensity between 4 and 2 Å."""
    import numpy as np

    rng = np.random.default_rng(12)
    directions = rng.normal(size=(500, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    s = directions * rng.uniform(0.25, 0.5, (500, 1))
    return float(np.mean(truth.at(s @ truth.crystal.orthogonalization_matrix)))
