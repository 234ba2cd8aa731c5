"""``unstill weigh``: which frames explain a diffuse map, with held-out proof."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unstill.cli.map_input import read_map_input
from unstill.cli.member_input import Blocks, Select, Sums, Supercell, known_crystal, open_members
from unstill.cli.options import (
    Debug,
    DMax,
    DMin,
    Json,
    Reindex,
    Seed,
    SpaceGroup,
    UnitCell,
    Workers,
)
from unstill.cli.out_folder import nearest_folder
from unstill.cli.progress import progress_bars
from unstill.cli.verb import Verb
from unstill.cli.weighed_output import (
    Atoms,
    Folder,
    Frames,
    Holdout,
    Members,
    Null,
    ObservedMap,
    Output,
    States,
    check_files,
    check_labels,
    chosen_atoms,
    file_names,
    read_labels,
    say_agreement,
)

if TYPE_CHECKING:
    from unstill.weighting import Options, Target, WeighResult

TITLES = {
    "members": "read the members",
    "theta": "choose θ, for the data and for every permutation",
    "recipe": "follow the published recipe, for the data and for every permutation",
    "bootstrap": "refit the weights to drawn blocks",
}


class Backend(StrEnum):
    """Where the sums over members run."""

    numpy = "numpy"
    jax = "jax"
    torch = "torch"
    cupy = "cupy"


class Optimizer(StrEnum):
    """How weights are searched."""

    lbfgs = "lbfgs"
    adam = "adam"


class Recipe(StrEnum):
    """Maximum entropy, or what was published."""

    maxent = "maxent"
    sigmoid_cc = "sigmoid-cc"


def register(app: typer.Typer) -> None:
    """Add ``unstill weigh`` to the command line."""
    app.command("weigh")(weigh)


def weigh(
    sums: Sums,
    observed: ObservedMap,
    out: Folder,
    target: Annotated[
        str,
        typer.Option(
            "--target",
            help="chi2, likelihood, cc, cc-aniso or cross-entropy; or FILE.py:FUNCTION, a loss "
            "of your own in JAX.",
        ),
    ] = "chi2",
    theta: Annotated[
        str,
        typer.Option(
            "--theta", help="Price of entropy: auto (held-out likelihood), l-curve, or a number."
        ),
    ] = "auto",
    holdout: Holdout = 0.1,
    backend: Annotated[Backend, typer.Option(help="Where the sums run.")] = Backend.numpy,
    optimizer: Annotated[
        Optimizer, typer.Option(help="lbfgs; or adam, as published, for the final fit.")
    ] = Optimizer.lbfgs,
    recipe: Annotated[
        Recipe,
        typer.Option(help="maxent; or sigmoid-cc, the published recipe, to see it go wrong."),
    ] = Recipe.maxent,
    d_min: DMin = None,
    d_max: DMax = None,
    reindex: Reindex = "auto",
    select: Select = "all",
    supercell: Supercell = None,
    blocks: Blocks = 100,
    bragg: Annotated[
        Path | None, typer.Option("--bragg", help="MTZ with measured Bragg amplitudes.")
    ] = None,
    bragg_weight: Annotated[
        float,
        typer.Option(
            "--bragg-weight",
            min=0,
            help="What they count beside the diffuse target; with 0 R and CC are told only.",
        ),
    ] = 0.0,
    states: States = None,
    frames: Frames = None,
    members: Members = 50,
    atoms: Atoms = "all",
    null: Null = 20,
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=0, help="Refits that say how sure weights are.")
    ] = 50,
    force: Annotated[
        bool, typer.Option("--force", help="Accept weights that collapse on a few members.")
    ] = False,
    unit_cell: UnitCell = None,
    space_group: SpaceGroup = None,
    seed: Seed = 0,
    workers: Workers = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Weigh frames, or blocks of frames, against a measured diffuse map.

    Finds normalised weights by maximum entropy. A tenth of the data, in whole
    blocks of reciprocal space, is seen by no fit; a null control with permuted
    data stands beside every gain. A higher total correlation alone is no
    evidence: look at the anisotropic one of the free set.

    Example: unstill weigh sums.h5 --observed data.nxs -o weighed
    """
    given = {name: value for name, value in locals().items() if name not in ("as_json", "debug")}
    with Verb("weigh", as_json=as_json, debug=debug) as verb:
        _check_usage(recipe, bragg, bragg_weight)
        from unstill.io.amplitudes_mtz import read_amplitudes
        from unstill.parallel import cpu_count
        from unstill.weighting.backends import weighting_backend
        from unstill.weighting.prepare import prepare
        from unstill.weighting.weigh import bragg_term, weigh_by_sigmoids, weigh_prepared
        from unstill.workflows.weigh_report import weigh_page

        files = file_names(out, "weigh", ensemble=bool(frames) or supercell is not None)
        own = Path(target.rpartition(":")[0]) if ".py:" in target else None
        inputs = [path for path in (*sums, observed, bragg, states, own, *(frames or [])) if path]
        check_files(verb, out, files, inputs)
        record = verb.record(given, inputs=inputs, seed=seed)
        n_workers = workers or cpu_count()
        options = _options(given, n_workers)
        engine = weighting_backend(backend.value)
        labels = read_labels(states)
        amplitudes = None if bragg is None else read_amplitudes(bragg)
        data = read_map_input(
            observed, unit_cell=unit_cell, space_group=space_group, partner=known_crystal(sums)
        )
        opened = open_members(
            sums,
            data,
            supercell=supercell,
            frames=frames,
            d_min=d_min,
            blocks=blocks,
            select=select,
            unit_cell=unit_cell,
            space_group=space_group,
            workers=n_workers,
        )
        chosen = chosen_atoms(opened, atoms)
        with progress_bars(TITLES) as progress:
            ready = prepare(
                opened.source,
                data,
                d_min=d_min,
                d_max=d_max,
                reindex=reindex,
                backend=engine,
                bragg=amplitudes is not None,
                folder=nearest_folder(out),
                progress=lambda done, total: progress("members", done, total),
            )
            check_labels(labels, ready)
            follow = weigh_by_sigmoids if recipe is Recipe.sigmoid_cc else weigh_prepared
            found = follow(
                ready,
                options,
                bragg=bragg_term(ready, amplitudes, bragg_weight, options),
                progress=progress,
            )
        output = Output(verb, files, found, labels, record, opened)
        output.write(
            weigh_page,
            title=f"Weights of {found.n_members} members against {observed.name}",
            subject=observed.name,
            members=members,
            atoms=chosen,
        )
        _tell(verb, found)
        output.tell()


def _check_usage(recipe: Recipe, bragg: Path | None, bragg_weight: float) -> None:
    if bragg_weight > 0 and bragg is None:
        raise typer.BadParameter("--bragg-weight needs amplitudes: --bragg FILE.mtz")
    if bragg_weight > 0 and recipe is Recipe.sigmoid_cc:
        raise typer.BadParameter("--recipe sigmoid-cc knows no --bragg-weight")


def _options(given: dict[str, Any], workers: int) -> Options:
    from functools import partial

    from unstill.weighting.adam import adam
    from unstill.weighting.objective import lbfgs
    from unstill.weighting.options import Options

    return Options(
        target=_target(given["target"]),
        theta=_theta(given["theta"]),
        holdout=given["holdout"],
        search=partial(adam) if given["optimizer"] is Optimizer.adam else lbfgs(),
        n_null=given["null"],
        n_bootstrap=given["bootstrap"],
        force=given["force"],
        seed=given["seed"],
        workers=workers,
    )


def _target(name: str) -> Target:
    from unstill.weighting.targets import TARGETS, AutodiffTarget

    if name in TARGETS:
        return TARGETS[name]
    if ".py:" in name:
        return AutodiffTarget.from_file(name)
    raise typer.BadParameter(
        f"--target is one of {', '.join(TARGETS)}, or FILE.py:FUNCTION; not {name!r}"
    )


def _theta(text: str) -> Any:
    if text in ("auto", "l-curve"):
        return text
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"--theta is auto, l-curve or a number; not {text!r}") from None


def _tell(verb: Verb, found: WeighResult) -> None:
    import math

    price = "∞ (the prior weights are kept)" if math.isinf(found.theta) else f"{found.theta:.3g}"
    verb.say(
        f"{found.n_members} members of {int(found.n_frames.sum())} frames, target {found.target}, "
        f"θ {price} ({found.theta_rule}), {found.iterations} iterations"
    )
    say_agreement(verb, found)
    if found.recipe is not None:
        verb.say(
            f"published recipe: Σw {found.recipe.sum_at_start:g} at the start, "
            f"{found.recipe.negative_at_start:.0%} of its intensities negative, "
            f"CC {found.recipe.cc_at_start[0]:.3f}"
        )
    if found.bragg is not None and found.bragg_uniform is not None:
        before, after = found.bragg_uniform, found.bragg
        verb.say(
            f"Bragg R work {before.r_work:.3f} → {after.r_work:.3f}, "
            f"free {before.r_free:.3f} → {after.r_free:.3f}"
        )
