"""Real structures and maps, where the data are at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unstill.crystal import Crystal
from unstill.diffuse import cc_max, convergence, diffuse_intensity, stream_block_sums
from unstill.diffuse.open_frames import open_frames
from unstill.disorder.liquid_like import LiquidLike
from unstill.disorder.sample import sample
from unstill.disorder.transform import ModelAtoms
from unstill.io import read_map, read_structure

CELL = "40,42,44"


def test_models_and_trajectories_of_one_ensemble_give_one_map(unstill_data: Path) -> None:
    folder = unstill_data / "nmr"
    intensities = []
    for trajectories in ([], [folder / "1l2y.xtc"], [folder / "1l2y.dcd"]):
        opened = open_frames(
            folder / "1l2y.cif", trajectories, (1, 1, 1), unit_cell=CELL, space_group="P 1"
        )
        assert opened.n_frames == 38
        assert opened.crystal == Crystal((40.0, 42.0, 44.0, 90.0, 90.0, 90.0))
        # The trajectories carry a box of 1 Å, which stands for none.
        sums = stream_block_sums(
            opened.frames, (1, 1, 1), 3.0, crystal=opened.crystal, remove_drift=False
        )
        found = diffuse_intensity(sums)
        intensities.append(found.intensity[found.measured])
    for other in intensities[1:]:
        error = np.sqrt(np.mean((other - intensities[0]) ** 2) / np.mean(intensities[0] ** 2))
        assert error < 5e-3  # XTC keeps 0.01 Å


@pytest.mark.soak
def test_a_sampled_supercell_of_snase_nears_the_measured_map(unstill_data: Path) -> None:
    structure = read_structure(unstill_data / "snase" / "4wor.pdb")
    measured = read_map(
        unstill_data / "snase" / "snc_diffuse_reference.lat", crystal=structure.crystal
    )
    model = LiquidLike(ModelAtoms.of(structure))
    frames = sample(model, model.theta(sigma=0.5, gamma=10.0), (2, 2, 2), 160, seed=1)
    sums = stream_block_sums(frames, (2, 2, 2), 2.5, workers=2, remove_drift=False)
    points = convergence(sums, measured)
    cc = [point.cc_aniso for point in points]
    assert cc == sorted(cc)
    assert cc[-1] > 0.70
    ceiling = cc_max(sums)
    assert ceiling.split_half == pytest.approx(ceiling.closed_form, abs=0.02)
    assert 120 < ceiling.n_effective < 200
