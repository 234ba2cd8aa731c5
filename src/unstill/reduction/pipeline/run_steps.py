"""Steps that are done once a run: crystals, scales, the map and its figures."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unstill.errors import UnstillWarning
from unstill.io.atomic import atomic_path
from unstill.io.map_files import write_map
from unstill.maps import IntensityMap
from unstill.maps.observations import Observations
from unstill.reduction.merging.map_size import fitting_map
from unstill.reduction.merging.merge_pool import merge_pool
from unstill.reduction.merging.merged import Merged
from unstill.reduction.merging.statistics import MergingStatistics, merging_statistics
from unstill.reduction.pipeline.crystal_steps import pool_of
from unstill.reduction.pipeline.run import Run, remember
from unstill.reduction.pipeline.scale_findings import find_decay, tell
from unstill.reduction.pipeline.steps import step_named
from unstill.reduction.pipeline.sweep_steps import obtain_result, result_of
from unstill.reduction.scaling.damage import Decay
from unstill.reduction.scaling.options import ScaleOptions
from unstill.reduction.scaling.scale import ScaleResult, scale_pool

_MOST_OUTLIERS = 20_000


@dataclass(frozen=True, eq=False)
class Scaled:
    """Scales, and where the observations lie that were left out.

    Parameters
    ----------
    result
        The scales.
    outliers
        Columns of the observations that were left out; the worst of too many.
    left_out
        ``(n, 6)`` sweep, block, panel and voxel of all of them.
    decay
        Of each sweep that is long enough.
    """

    result: ScaleResult
    outliers: dict[str, np.ndarray]
    left_out: np.ndarray
    decay: tuple[Decay, ...] = ()


def scale(run: Run) -> Scaled:
    """Scale the observations of the crystals that were kept."""

    def make() -> Scaled:
        given = dict(vars(run.parameters.scale))
        given["outlier_sigma"] = given["outlier_sigma"] or None
        seen: list[dict[str, np.ndarray]] = []
        pool = pool_of(run)
        result = scale_pool(
            pool,
            ScaleOptions(**given),
            seed=run.parameters.seed,
            watch=lambda rows, why, off: seen.append(_left_out(rows, why, off)),
        )
        table = {name: np.concatenate([part[name] for part in seen]) for name in seen[0]}
        names = [table[name] for name in ("sweep", "block", "panel")]
        left_out = np.column_stack([*names, table["index"]]).astype(np.int32)
        # In an order that does not depend on how the rows were cut.
        order = np.lexsort((*left_out.T, -np.abs(np.nan_to_num(table["residual"]))))
        worst = {name: column[order[:_MOST_OUTLIERS]] for name, column in table.items()}
        decay = find_decay(pool, result, run.parameters.seed)
        tell(run, result, decay)
        return Scaled(result, worst, left_out, decay)

    found: Scaled = obtain_result(run, "scale", -1, make)
    return found


def merge(run: Run) -> Merged:
    """Merge the scaled observations."""

    def make() -> Merged:
        scales = result_of(run, "scale").result
        return merge_pool(
            pool_of(run),
            scales.model.scale_and_offset,
            rejected=scales.rejected,
            error_model=scales.error_model,
            symmetry=run.parameters.merge.symmetry,
            friedel=run.parameters.merge.symmetry,
            seed=run.parameters.seed,
            scratch=run.folder / "steps",
        )

    found: Merged = obtain_result(run, "merge", -1, make)
    return found


def statistics(run: Run) -> MergingStatistics:
    """Judge the map, shell by shell."""

    def make() -> MergingStatistics:
        frames = run.parameters.frames
        return merging_statistics(
            result_of(run, "merge"),
            d_min=frames.d_min,
            d_max=frames.d_max,
            n_shells=run.parameters.merge.shells,
        )

    found: MergingStatistics = obtain_result(run, "statistics", -1, make)
    return found


def final_map(run: Run) -> IntensityMap:
    """Return the merged map, on the absolute scale if that is wanted."""
    merged: Merged = result_of(run, "merge")
    wanted = run.parameters.map
    if not (wanted.absolute or wanted.compton):
        return fitting_map(merged)
    from unstill.reduction.pipeline.absolute_step import AbsoluteChoice, on_absolute_scale

    wavelength = run.sweeps[0].experiment.beam.wavelength
    return on_absolute_scale(
        fitting_map(merged), AbsoluteChoice(wanted.contents, wanted.compton, wavelength)
    )


def write_maps(run: Run, name: str, make: Callable[[], IntensityMap]) -> Path:
    """Write a map in all wanted formats into the store; returns the folder."""
    key = run.keys.of(name)
    formats = run.parameters.map.formats

    def write(folder: Path) -> None:
        found = make()
        labelled = found.replace(provenance={**run.provenance, "merging": found.provenance})
        with warnings.catch_warnings():
            # What other formats cannot hold stands in the first, which is beside them.
            warnings.simplefilter("ignore", UnstillWarning)
            for suffix in formats:
                write_map(labelled, folder / f"{name}{suffix}")

    return run.store.obtain(key.folder, write, about={"key": key.digest, "step": name})


def publish(run: Run, name: str, folder: Path) -> Mapping[str, Path]:
    """Copy finished files from the store to where people look for them."""
    published = {}
    for file in sorted(folder.glob(f"{name}.*")):
        target = run.folder / file.name
        with atomic_path(target) as temporary:
            shutil.copyfile(file, temporary)
        first = file.suffix == run.parameters.map.formats[0]
        published[name if first else f"{name}_{file.suffix[1:]}"] = target
    remember(run, step_named(name), -1)
    return published


def _left_out(rows: Observations, why: np.ndarray, residual: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of the observations that are left out, and how far off they are."""
    out = np.flatnonzero(np.asarray(why) > 0)
    table: dict[str, np.ndarray] = {"why": np.asarray(why)[out], "residual": residual[out]}
    for column in ("sweep", "block", "panel", "index", "x", "y", "phi", "s", "counts"):
        table[column] = getattr(rows, column)[out]
    table["hkl"] = rows.hkl()[out]
    return table
