"""Steps that are done once a run: crystals, scales, the map and its figures."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unstill.errors import UnstillWarning
from unstill.io.atomic import atomic_path
from unstill.io.map_files import write_map
from unstill.maps import IntensityMap
from unstill.maps.observations import Observations
from unstill.reduction.crystal_steps import observations_of
from unstill.reduction.merge import merge_observations
from unstill.reduction.merged import Merged
from unstill.reduction.run import Run, remember
from unstill.reduction.scaling.options import ScaleOptions
from unstill.reduction.scaling.scale import ScaleResult, scale_observations
from unstill.reduction.statistics import MergingStatistics, merging_statistics
from unstill.reduction.steps import step_named
from unstill.reduction.sweep_steps import obtain_result, result_of

_MOST_OUTLIERS = 20_000


@dataclass(frozen=True, eq=False)
class Scaled:
    """Scales, and where the observations lie that were left out.

    Parameters
    ----------
    result
        The scales.
    outliers
        Columns of the observations that were left out.
    """

    result: ScaleResult
    outliers: dict[str, np.ndarray]


def scale(run: Run) -> Scaled:
    """Scale the observations of the crystals that were kept."""

    def make() -> Scaled:
        given = dict(vars(run.parameters.scale))
        given["outlier_sigma"] = given["outlier_sigma"] or None
        rows = observations_of(run)
        result = scale_observations(rows, ScaleOptions(**given), seed=run.parameters.seed)
        return Scaled(result, outlier_places(rows, result))

    found: Scaled = obtain_result(run, "scale", -1, make)
    return found


def merge(run: Run) -> Merged:
    """Merge the scaled observations."""

    def make() -> Merged:
        rows, scales = observations_of(run), result_of(run, "scale").result
        factor, offset = scales.model.scale_and_offset(rows)
        return merge_observations(
            rows,
            factor,
            offset,
            keep=scales.rejected == 0,
            error_model=scales.error_model,
            symmetry=run.parameters.merge.symmetry,
            friedel=run.parameters.merge.symmetry,
            seed=run.parameters.seed,
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
        return merged.map
    from unstill.reduction.absolute_step import AbsoluteChoice, on_absolute_scale

    wavelength = run.sweeps[0].experiment.beam.wavelength
    return on_absolute_scale(
        merged.map, AbsoluteChoice(wanted.contents, wanted.compton, wavelength)
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


def outlier_places(rows: Observations, scales: ScaleResult) -> dict[str, np.ndarray]:
    """Where observations were left out, and how far off they were; the worst of too many."""
    out = np.flatnonzero(np.asarray(scales.rejected) > 0)
    off = np.abs(np.nan_to_num(np.asarray(scales.residual)[out]))
    out = np.sort(out[np.argsort(-off, kind="stable")[:_MOST_OUTLIERS]])
    table: dict[str, Any] = {"why": np.asarray(scales.rejected)[out]}
    table["residual"] = np.asarray(scales.residual)[out]
    for column in ("sweep", "panel", "x", "y", "phi", "s", "counts"):
        table[column] = getattr(rows, column)[out]
    table["hkl"] = rows.hkl()[out]
    return table
