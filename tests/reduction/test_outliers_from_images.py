"""Crossings of voxels that images show 20 σ too bright or too dark, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from closed_loop import Simulated, paired, reduced, simulate

from unstill.crystal import Crystal
from unstill.reduction.pipeline.crystal_steps import pool_of
from unstill.reduction.pipeline.outcome import Outcome
from unstill.reduction.pipeline.parameters import ReduceParameters
from unstill.reduction.pipeline.run import open_run
from unstill.reduction.scaling.rows import voxel_rows
from unstill.simulation.crossings import wrong_crossings
from unstill.simulation.recipe import Recipe
from unstill.simulation.voxel_truth import voxel_truth

CRYSTAL = Crystal((29.0, 29.0, 37.0, 90, 90, 90), "P 4 2 2")
DIVISIONS = (4, 4, 4)
RECIPE = Recipe(
    detector="small", n_frames=50, phi_step=0.4, median_counts=1250.0, divisions=DIVISIONS,
    outliers=0.01,
)  # fmt: skip
"""Several pixels a voxel and a block."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """The reduction, and for each row what it is, what it was taken for, and its mates."""

    made: Simulated
    found: Outcome
    label: np.ndarray
    taken_for: np.ndarray
    multiplicity: np.ndarray
    counts: np.ndarray


@pytest.fixture(scope="module")
def judgement(tmp_path_factory: pytest.TempPathFactory) -> Judgement:
    folder = tmp_path_factory.mktemp("outliers")
    made = simulate(folder / "images", RECIPE, crystal=CRYSTAL)
    found = reduced(made.expt, folder / "out", until="merge")
    assert found.scale is not None
    run = open_run([made.expt], folder / "out", ReduceParameters())
    rows = next(iter(pool_of(run).slabs()))[1]
    label = np.zeros(len(rows), dtype=np.int8)
    for block in np.unique(rows.block):
        here = rows.block == block
        label[here] = wrong_crossings(made.frames, int(block)).label(rows.index[here])
    sorted_rows = voxel_rows(rows)
    multiplicity = np.zeros(len(rows), dtype=np.int64)
    multiplicity[sorted_rows.source] = sorted_rows.multiplicity()[sorted_rows.voxel]
    return Judgement(
        made, found, label, np.asarray(found.scale.rejected), multiplicity, rows.counts
    )


def test_whole_observations_that_are_wrong_are_found_from_six_mates_on(
    judgement: Judgement,
) -> None:
    wrong, taken = judgement.label, judgement.taken_for
    assert np.median(judgement.counts) >= 1000
    many = judgement.multiplicity >= 6
    for kind in (1, 2):
        these = many & (wrong == kind)
        assert np.count_nonzero(these) > 800
        assert np.mean(taken[these] == kind) >= 0.99, kind
    assert np.mean(taken[wrong == 0] > 0) <= 1e-3
    # Voxels seen few times included.
    tested = (judgement.multiplicity >= 2) & (wrong > 0)
    assert np.mean(taken[tested] > 0) >= 0.98


def test_what_is_left_gives_the_truth_and_its_error(judgement: Judgement) -> None:
    found = judgement.found
    assert found.scale is not None
    assert found.merged is not None
    assert 0.95 <= found.scale.chi2 <= 1.10
    truth = voxel_truth(judgement.made.frames, DIVISIONS)
    off = np.any(truth.index % 4 == 2, axis=1)  # No mask of a reflection reaches there.
    chosen = replace(
        truth,
        index=truth.index[off],
        intensity=truth.intensity[off],
        exposure=truth.exposure[off],
        n_pixels=truth.n_pixels[off],
    )
    intensity, true, exposure = paired(found.merged.map, chosen, n_least=2)
    assert len(intensity) > 8000
    assert np.corrcoef(intensity, true)[0, 1] >= 0.9995
    assert (exposure * intensity).sum() / (exposure * true).sum() == pytest.approx(1, abs=1e-3)
