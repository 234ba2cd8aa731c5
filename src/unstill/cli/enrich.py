"""``unstill enrich``: which frames to keep, with held-out proof."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

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
    from unstill.weighting.enrich_result import EnrichResult

TITLES = {
    "members": "read the members",
    "removal": "remove members",
    "null control": "the same with permuted data",
}


class Criterion(StrEnum):
    """What is raised."""

    chi2 = "chi2"
    cc = "cc"


class Stop(StrEnum):
    """What ends the removal."""

    held_out = "held-out"
    fit = "fit"


def register(app: typer.Typer) -> None:
    """Add ``unstill enrich`` to the command line."""
    app.command("enrich")(enrich)


def enrich(
    sums: Sums,
    observed: ObservedMap,
    out: Folder,
    criterion: Annotated[
        Criterion,
        typer.Option(
            help="chi2, the anisotropic parts with their sigma; or cc, total correlation as "
            "published."
        ),
    ] = Criterion.chi2,
    stop: Annotated[
        Stop,
        typer.Option(
            help="held-out, where folds that no fit sees are predicted best; or fit, as long as "
            "the criterion rises."
        ),
    ] = Stop.held_out,
    per_pass: Annotated[
        int | None,
        typer.Option(
            "--per-pass",
            min=1,
            help="Members that go at a time. [default: one, or one in 200 of them]",
        ),
    ] = None,
    fewest: Annotated[
        int, typer.Option("--fewest", min=2, help="Members that are kept in any case.")
    ] = 3,
    holdout: Holdout = 0.1,
    d_min: DMin = None,
    d_max: DMax = None,
    reindex: Reindex = "auto",
    select: Select = "all",
    supercell: Supercell = None,
    blocks: Blocks = 100,
    states: States = None,
    frames: Frames = None,
    members: Members = 50,
    atoms: Atoms = "all",
    null: Null = 20,
    unit_cell: UnitCell = None,
    space_group: SpaceGroup = None,
    seed: Seed = 0,
    workers: Workers = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Choose the frames, or blocks of frames, that a measured diffuse map keeps.

    Removes one after the other, each time the one whose absence agrees best
    with the map, until held-out folds are predicted no better. A tenth of the
    data is seen by no fit and no choice, and a null control with permuted data
    stands beside every gain. To weigh members instead, which finds more and
    costs less, use unstill weigh.

    Example: unstill enrich sums.h5 --observed data.nxs -o enriched
    """
    given = {name: value for name, value in locals().items() if name not in ("as_json", "debug")}
    with Verb("enrich", as_json=as_json, debug=debug) as verb:
        from unstill.parallel import cpu_count
        from unstill.weighting.enrich import EnrichOptions, enrich_prepared
        from unstill.weighting.prepare import prepare
        from unstill.workflows.weigh_report import enrich_page

        files = file_names(out, "enrich", ensemble=bool(frames) or supercell is not None)
        inputs = [path for path in (*sums, observed, states, *(frames or [])) if path]
        check_files(verb, out, files, inputs)
        record = verb.record(given, inputs=inputs, seed=seed)
        n_workers = workers or cpu_count()
        options = EnrichOptions(
            criterion=criterion.value,
            stop=stop.value,
            per_pass=per_pass,
            fewest=fewest,
            holdout=holdout,
            n_null=null,
            seed=seed,
            workers=n_workers,
        )
        labels = read_labels(states)
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
                folder=nearest_folder(out),
                progress=lambda done, total: progress("members", done, total),
            )
            check_labels(labels, ready)
            found = enrich_prepared(ready, options, progress=progress)
        output = Output(verb, files, found, labels, record, opened)
        output.write(
            enrich_page,
            title=f"Members that {observed.name} keeps: {found.n_kept} of {found.n_members}",
            subject=observed.name,
            members=members,
            atoms=chosen,
        )
        _tell(verb, found)
        output.tell()


def _tell(verb: Verb, found: EnrichResult) -> None:
    verb.say(
        f"kept {found.n_kept} of {found.n_members} members, criterion {found.criterion}, stop "
        f"{found.stop}, {found.per_pass} a pass"
    )
    if len(found.null_n_kept):
        verb.say(
            f"permuted data keep {found.null_n_kept.mean():.1f} on average, "
            f"{found.null_n_kept.min()} at least"
        )
    say_agreement(verb, found)
