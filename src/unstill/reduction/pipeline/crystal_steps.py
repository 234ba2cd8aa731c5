"""Crystals of a run: indexed alike, chosen, and put together in one table of observations."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.reindexing import IDENTITY, ReindexOperator
from unstill.errors import InputError, UnstillWarning
from unstill.maps.observations import Observations, concatenate
from unstill.reduction.crystals.ambiguity import resolve_ambiguity
from unstill.reduction.crystals.crystal_sample import common_part
from unstill.reduction.crystals.crystal_tables import crystal_tables
from unstill.reduction.crystals.crystals import (
    CrystalChoice,
    CrystalOptions,
    CrystalVerdict,
    choose_crystals,
)
from unstill.reduction.crystals.reindex import reindex_observations
from unstill.reduction.merging.row_pool import (
    ROWS_IN_MEMORY,
    DiskRows,
    MemoryRows,
    RowPool,
    write_rows,
)
from unstill.reduction.pipeline.integrate_step import coarse_blocks, sums_of
from unstill.reduction.pipeline.outcome import SweepOutcome
from unstill.reduction.pipeline.run import Run
from unstill.reduction.pipeline.sweep_steps import obtain_result


@dataclass(frozen=True, eq=False)
class CrystalsFound:
    """The crystals of a run.

    Parameters
    ----------
    choice
        Which go on, and why others do not.
    moves
        What brings each crystal to the common indexing.
    of_sweep
        Number of the crystal of each sweep.
    crystal
        Mean cell of those that go on.
    """

    choice: CrystalChoice
    moves: tuple[ReindexOperator, ...]
    of_sweep: tuple[int, ...]
    crystal: Crystal

    @property
    def operators(self) -> tuple[str, ...]:
        """Names of the moves."""
        return tuple(move.name for move in self.moves)

    def sweep_kept(self, sweep: int) -> bool:
        """Whether a sweep goes on."""
        return self.choice.verdicts[self.of_sweep[sweep]].kept


def crystals(run: Run) -> CrystalsFound:
    """Index the crystals alike, and choose those that belong together."""
    found: CrystalsFound = obtain_result(run, "crystals", -1, lambda: _find(run))
    return found


def pool_of(run: Run) -> RowPool:
    """Rows of the crystals that go on, indexed alike: few in memory, many on disk."""
    if "pool" not in run.memo:
        found = crystals(run)
        total = sum(
            sums_of(run, sweep).n_observations
            for sweep in run.sweeps
            if found.sweep_kept(sweep.number)
        )
        if total <= ROWS_IN_MEMORY:
            run.memo["pool"] = MemoryRows(concatenate(list(_blocks(run))))
        else:
            unit = f"rows-{run.keys.of('crystals').digest[:20]}"
            path = run.store.obtain(unit, lambda folder: _sorted(run, folder))
            run.memo["pool"] = DiskRows(path)
    pool: RowPool = run.memo["pool"]
    return pool


def _sorted(run: Run, folder: Path) -> None:
    write_rows(lambda: _blocks(run), folder)


def moved(run: Run, rows: Observations, sweep: int) -> Observations | None:
    """Bring rows of a sweep to the common indexing and cell; ``None`` if it was dropped."""
    found = crystals(run)
    if not found.sweep_kept(sweep):
        return None
    turned = reindex_observations(rows, found.moves[found.of_sweep[sweep]])
    return turned.replace(crystal=found.crystal, sweep_names=run.names)


def judged(sweeps: Sequence[SweepOutcome], found: CrystalsFound) -> tuple[SweepOutcome, ...]:
    """Note which sweeps are in the map."""
    return tuple(
        replace(
            sweep,
            used=found.sweep_kept(number),
            reason=found.choice.verdicts[found.of_sweep[number]].reason,
        )
        for number, sweep in enumerate(sweeps)
    )


def _find(run: Run) -> CrystalsFound:
    of_sweep = _crystal_of_sweep(run)
    n = max(of_sweep) + 1
    first = [of_sweep.index(number) for number in range(n)]
    cells = [run.sweeps[sweep].experiment.crystal for sweep in first]
    names = [run.sweeps[sweep].name for sweep in first]
    _check_groups(cells, names)
    still = (IDENTITY,) * n
    if n == 1:
        rows = sum(sums_of(run, sweep).n_observations for sweep in run.sweeps)
        verdict = CrystalVerdict(names[0], True, "", 0.0, None, rows)
        return CrystalsFound(CrystalChoice((verdict,)), still, of_sweep, cells[0])
    wanted = run.parameters.crystals
    n_rows = [sums_of(run, sweep).n_observations for sweep in run.sweeps]
    blocks = (
        block.replace(crystal=cells[0], sweep_names=run.names)
        for sweep in run.sweeps
        for block in coarse_blocks(run, sweep)
    )
    rows_of = concatenate(list(common_part(blocks, sum(n_rows))))
    tables = crystal_tables(rows_of, crystal_of_sweep=of_sweep)
    moves = still
    if wanted.ambiguity:
        result = resolve_ambiguity(tables, seed=run.parameters.seed)
        moves = tuple(one.operator for one in result.crystals)
        _tell_of_doubt([names[i] for i in result.undecided], n)
        if any(not move.is_identity for move in moves):
            tables = crystal_tables(_indexed(rows_of, moves, of_sweep), crystal_of_sweep=of_sweep)
    options = CrystalOptions(wanted.max_cell_difference, wanted.min_likeness)
    choice = choose_crystals(tables, cells, names=names, options=options)
    all_rows = np.bincount(of_sweep, weights=n_rows).astype(int).tolist()
    choice = replace(
        choice,
        verdicts=tuple(
            replace(verdict, n_rows=number)
            for verdict, number in zip(choice.verdicts, all_rows, strict=True)
        ),
    )
    if not wanted.select:
        kept = tuple(replace(verdict, kept=True, reason="") for verdict in choice.verdicts)
        choice = replace(choice, verdicts=kept)
    _tell_of_dropped(choice)
    return CrystalsFound(choice, moves, of_sweep, _mean([cells[i] for i in choice.kept]))


def _crystal_of_sweep(run: Run) -> tuple[int, ...]:
    """Sweeps that share one setting matrix are of one crystal."""
    numbers: dict[bytes, int] = {}
    found = []
    for sweep in run.sweeps:
        lattice = sweep.experiment.lattice
        assert lattice is not None  # checked when the run was opened
        found.append(numbers.setdefault(lattice.a_matrix.tobytes(), len(numbers)))
    return tuple(found)


def _check_groups(cells: Sequence[Crystal], names: Sequence[str]) -> None:
    groups = {cell.space_group: name for cell, name in zip(cells, names, strict=True)}
    if len(groups) > 1:
        raise InputError(
            "the crystals have different space groups",
            found=", ".join(f"{group} ({name})" for group, name in groups.items()),
            fix="give the one that holds for all with --space-group, or reduce them apart",
        )


def _tell_of_doubt(names: Sequence[str], n: int) -> None:
    if names:
        shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
        warnings.warn(
            f"the indexing of {len(names)} of {n} crystals is in doubt ({shown}): too few "
            "observations in common with the others; measure more of each, or leave them out",
            UnstillWarning,
            stacklevel=3,
        )


def _tell_of_dropped(choice: CrystalChoice) -> None:
    if not choice.dropped:
        return
    shown = [f"{choice.verdicts[i].name} ({choice.verdicts[i].reason})" for i in choice.dropped]
    warnings.warn(
        f"{len(shown)} of {len(choice.verdicts)} crystals do not fit the others and were left "
        f"out: {'; '.join(shown[:3])}{' …' if len(shown) > 3 else ''}; keep all with "
        "select = false in [crystals] of reduce.toml",
        UnstillWarning,
        stacklevel=3,
    )


def _indexed(
    rows: Observations, moves: Sequence[ReindexOperator], of_sweep: Sequence[int]
) -> Observations:
    crystal = np.asarray(of_sweep)[rows.sweep]
    for number, move in enumerate(moves):
        if not move.is_identity:
            rows = reindex_observations(rows, move, rows=crystal == number)
    return rows


def _mean(cells: Sequence[Crystal]) -> Crystal:
    a, b, c, alpha, beta, gamma = np.mean([cell.unit_cell for cell in cells], axis=0).tolist()
    return Crystal((a, b, c, alpha, beta, gamma), cells[0].space_group)


def _blocks(run: Run) -> Iterator[Observations]:
    found = crystals(run)
    for sweep in run.sweeps:
        if not found.sweep_kept(sweep.number):
            continue
        for block in coarse_blocks(run, sweep):
            part = moved(run, block, sweep.number)
            assert part is not None  # kept
            yield part
