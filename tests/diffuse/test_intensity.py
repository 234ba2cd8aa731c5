"""Diffuse maps of block sums: units, symmetry, cross terms, errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from moving_atoms import CRYSTAL, DIVISIONS, ArrayFrames, RandomFrames, make_frames

from unstill.crystal import Crystal
from unstill.crystal.half_space import friedel_half
from unstill.diffuse import cross_intensity, diffuse_intensity, stream_block_sums
from unstill.diffuse.intensity import variance
from unstill.diffuse.laue_average import LaueAverage
from unstill.errors import InputError
from unstill.maps.block_sums import BlockSums
from unstill.maps.intensity_map import IntensityMap
from unstill.maps.symmetrize import symmetrize


def sums_of(frames: ArrayFrames | RandomFrames, **options: object) -> BlockSums:
    arguments = {"n_blocks": 6, "chunk_size": 8} | options
    return stream_block_sums(frames, DIVISIONS, 2.5, **arguments)  # type: ignore[arg-type]


def values(found: IntensityMap) -> np.ndarray:
    return found.intensity[found.measured]


def test_the_map_is_in_electrons_squared_per_unit_cell() -> None:
    sums = sums_of(make_frames())
    found = diffuse_intensity(sums, laue_average=False)
    per_supercell = variance(*sums.totals())
    np.testing.assert_allclose(
        found.intensity.ravel()[found.grid.position(sums.index)], per_supercell / 2, rtol=1e-12
    )
    assert found.grid.divisions == DIVISIONS
    assert found.crystal == CRYSTAL


@pytest.mark.parametrize(
    ("space_group", "cell", "divisions"),
    [
        ("P 21 21 21", (11.0, 13.0, 15.0, 90.0, 90.0, 90.0), (2, 1, 3)),
        ("P 41", (12.0, 12.0, 15.0, 90.0, 90.0, 90.0), (2, 2, 1)),
        ("P 61 2 2", (12.0, 12.0, 17.0, 90.0, 90.0, 120.0), (2, 2, 2)),
        ("I 2 3", (14.0, 14.0, 14.0, 90.0, 90.0, 90.0), (2, 2, 2)),
        ("P -1", (11.0, 13.0, 15.0, 80.0, 95.0, 103.0), (1, 2, 1)),
    ],
)
def test_averaging_points_equals_averaging_the_filled_map(
    space_group: str, cell: tuple[float, ...], divisions: tuple[int, int, int]
) -> None:
    crystal = Crystal(cell, space_group)  # type: ignore[arg-type]
    frames = make_frames(6, crystal=crystal, divisions=divisions)
    sums = stream_block_sums(frames, divisions, 3.0, n_blocks=3)
    found = diffuse_intensity(sums)
    expected = symmetrize(diffuse_intensity(sums, laue_average=False))
    np.testing.assert_allclose(values(found), values(expected), rtol=1e-9)
    np.testing.assert_allclose(values(symmetrize(found)), values(found), rtol=1e-9)


def test_friedel_mates_do_not_count_as_independent() -> None:
    crystal = Crystal((12.0, 12.0, 15.0, 90.0, 90.0, 90.0), "P 41")
    index = friedel_half(crystal, 3.0, (2, 2, 2))
    multiplicity = LaueAverage.of(crystal, (2, 2, 2), index).multiplicity
    general = np.all(index != 0, axis=1)
    assert set(multiplicity[general]) == {4}
    on_axis = np.all(index[:, :2] == 0, axis=1) & (index[:, 2] != 0)
    assert set(multiplicity[on_axis]) == {1}


def test_divisions_that_break_the_symmetry_are_refused() -> None:
    crystal = Crystal((12.0, 12.0, 15.0, 90.0, 90.0, 90.0), "P 41")
    frames = make_frames(6, crystal=crystal)
    sums = stream_block_sums(frames, (2, 1, 1), 3.0)
    with pytest.raises(InputError, match="divided differently"):
        diffuse_intensity(sums)
    assert diffuse_intensity(sums, laue_average=False).n_measured > 0


def test_protein_water_and_cross_terms_add_up() -> None:
    frames = make_frames()
    protein = np.arange(24) < 9
    sums = sums_of(frames, selections={"protein": protein, "water": ~protein})
    parts = [values(diffuse_intensity(sums, selection=name)) for name in ("protein", "water")]
    cross = values(cross_intensity(sums))
    np.testing.assert_allclose(sum(parts) + cross, values(diffuse_intensity(sums)), rtol=1e-9)
    assert cross.min() < 0


def test_parts_that_move_apart_from_each_other_have_no_cross_term() -> None:
    still = make_frames(1, sigma=0.0)
    frames = RandomFrames(still.atoms, CRYSTAL, still.coord[0], 0.4, 300)
    protein = np.arange(24) < 9
    sums = sums_of(frames, selections={"protein": protein, "water": ~protein}, remove_drift=False)
    cross = cross_intensity(sums)
    assert cross.sigma is not None
    used = cross.measured & (cross.sigma > 0)
    z = cross.intensity[used] / cross.sigma[used]
    assert abs(z.mean()) < 0.3
    assert z.std() == pytest.approx(1.1, abs=0.35)


def test_sigma_is_the_spread_of_repeated_runs() -> None:
    still = make_frames(1, sigma=0.0)
    runs = []
    for seed in range(12):
        coord = still.coord + 0.4 * np.random.default_rng(seed).normal(size=(60, 24, 3))
        sums = sums_of(ArrayFrames(still.atoms, CRYSTAL, coord), n_blocks=15, remove_drift=False)
        runs.append(diffuse_intensity(sums))
    used = runs[0].measured & (runs[0].s_squared() > 0)
    spread = np.stack([run.intensity[used] for run in runs]).std(axis=0, ddof=1)
    claimed = np.mean([run.sigma[used] for run in runs], axis=0)  # type: ignore[index]
    ratio = np.sqrt(np.mean(claimed**2) / np.mean(spread**2))
    assert ratio == pytest.approx(1.0, abs=0.1)


def test_one_block_has_no_sigma() -> None:
    assert diffuse_intensity(sums_of(make_frames(4), n_blocks=1)).sigma is None


def test_an_unknown_selection_is_refused() -> None:
    with pytest.raises(InputError, match="no such selection"):
        diffuse_intensity(sums_of(make_frames(4)), selection="water")


def test_all_weight_on_one_frame_is_refused() -> None:
    sums = sums_of(make_frames(4), n_blocks=1)
    sums = replace(sums, weight_squared=sums.weight**2)
    with pytest.raises(InputError, match="all the weight on one frame"):
        diffuse_intensity(sums)
