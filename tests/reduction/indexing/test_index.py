"""Indexing as a whole: simulated sweeps and stills, real frames, and what goes wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_sweeps import (
    CENTRED,
    TETRAGONAL,
    TRICLINIC,
    DrawnFrames,
    U,
    drifting,
    joined,
    off,
    seen_spots,
    still,
    sweep,
)

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.experiment import Experiment
from unstill.experiment.rotation import rotation_about
from unstill.io.experiment_files import read_experiments
from unstill.io.frames import open_frames
from unstill.reduction.indexing import (
    IndexOptions,
    geometry_from_headers,
    index_frames,
    index_spots,
)
from unstill.reduction.indexing.index_stills import index_stills
from unstill.reduction.indexing.reflections import centred_frames, reflections_of
from unstill.reduction.indexing.result import IndexResult
from unstill.reduction.indexing.second_lattice import angle_between

# 1 mm, 3 pixels of 0.5 mm, 0.3 degrees of the axis towards the beam and in the detector plane.
WRONG = {"distance": 1.0, "shift_fast": 1.5, "shift_slow": -1.5, "twist": 0.3, "beam": 0.3}


def known(crystal: Crystal, **more: object) -> IndexOptions:
    return IndexOptions(unit_cell=crystal.unit_cell, space_group=crystal.space_group, **more)


def truly_indexed(result: IndexResult, truth: Experiment, hkl: np.ndarray) -> float:
    """Share of spots with the indices of the truth, under one change of indices for all."""
    good = result.indexed
    change, *_ = np.linalg.lstsq(hkl[good].astype(float), result.hkl[good], rcond=None)
    change = np.rint(change)
    assert abs(abs(np.linalg.det(change)) - 1) < 1e-6
    return float((good & np.all(hkl @ change == result.hkl, axis=1)).mean())


@pytest.mark.parametrize(
    ("cell", "crystal"),
    [
        ("known", TRICLINIC),
        ("unknown", CENTRED),
        *(
            pytest.param(cell, crystal, marks=pytest.mark.soak)
            for cell, crystal in (
                ("known", TETRAGONAL),
                ("known", CENTRED),
                ("unknown", TETRAGONAL),
                ("unknown", TRICLINIC),
            )
        ),
    ],
)
def test_a_sweep_with_a_wrong_start_is_indexed(crystal: Crystal, cell: str) -> None:
    truth = sweep(crystal)
    spots, hkl = seen_spots(truth)
    options = known(crystal) if cell == "known" else IndexOptions()
    result = index_spots(off(truth, **WRONG), spots, options=options)
    assert truly_indexed(result, truth, hkl) >= 0.99
    assert max(result.rmsd[:2]) <= 0.2
    assert result.second is None
    if crystal != TRICLINIC:
        np.testing.assert_allclose(
            result.experiment.crystal.unit_cell, crystal.unit_cell, rtol=3e-3
        )


def test_a_drifting_crystal_is_followed() -> None:
    truth = drifting(sweep(), angle=0.6, strain=0.004)
    spots, hkl = seen_spots(truth)
    result = index_spots(off(truth, distance=1.0), spots, options=known(TETRAGONAL, beam_search=0))
    assert truly_indexed(result, truth, hkl) >= 0.99
    assert max(result.rmsd[:2]) < 0.11
    assert result.experiment.lattice is not None
    assert result.experiment.lattice.a_at_scan_points is not None
    static = index_spots(
        off(truth), spots, options=known(TETRAGONAL, scan_varying=False, beam_search=0)
    )
    assert static.experiment.lattice is not None
    assert static.experiment.lattice.a_at_scan_points is None
    assert max(static.rmsd[:2]) > 0.13


def test_drawn_frames_are_indexed() -> None:
    frames = DrawnFrames(sweep(n_frames=30))
    result = index_frames(
        off(frames.experiment, distance=1.0, shift_fast=1.0), frames, options=known(TETRAGONAL)
    )
    assert result.share >= 0.99
    assert max(result.rmsd[:2]) <= 0.2


def test_the_axis_may_turn_the_other_way() -> None:
    truth = sweep()
    spots, hkl = seen_spots(truth)
    start = off(truth)
    backwards = start.replace(goniometer=type(start.goniometer)((-1.0, 0.0, 0.0)))
    options = known(TETRAGONAL, try_reversed_axis=True, beam_search=0)
    result = index_spots(backwards, spots, options=options)
    assert truly_indexed(result, truth, hkl) >= 0.99
    assert result.experiment.goniometer is not None
    assert result.experiment.goniometer.rotation_axis == (1.0, 0.0, 0.0)


def test_a_still_is_indexed() -> None:
    truth = still()
    spots, hkl = seen_spots(truth, d_min=2.0, share=1.0)
    result = index_spots(off(truth), spots, options=known(TETRAGONAL))
    assert truly_indexed(result, truth, hkl) >= 0.95
    assert max(result.rmsd[:2]) <= 0.2


def test_a_second_lattice_is_found_and_measured() -> None:
    turn = rotation_about((0.0, 1.0, 0.0), 33.0)
    first, _ = seen_spots(sweep())
    second, _ = seen_spots(sweep(u_matrix=turn @ U), share=0.25, seed=1)
    result = index_spots(off(sweep()), joined(first, second), options=known(TETRAGONAL))
    assert result.second is not None
    true_share = len(second) / (len(first) + len(second))
    assert result.second.share == pytest.approx(true_share, abs=0.04)
    assert result.second.angle == pytest.approx(33.0, abs=0.3)


def test_the_angle_between_lattices_allows_for_symmetry() -> None:
    truth = sweep()
    assert truth.lattice is not None
    quarter = truth.lattice.a_matrix @ np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    assert angle_between(truth, quarter) == pytest.approx(0, abs=1e-5)
    turned = rotation_about((0, 0, 1), 2.0) @ quarter
    assert angle_between(truth, turned) == pytest.approx(2.0, abs=1e-5)


def test_spots_that_fit_nowhere_are_not_indexed() -> None:
    truth = sweep(n_frames=60)
    spots, _ = seen_spots(truth)
    rng = np.random.default_rng(4)
    strange = spots.select(rng.integers(0, len(spots), 300))
    strange.fast[:] = rng.uniform(5, 250, 300)
    strange.slow[:] = rng.uniform(5, 250, 300)
    result = index_spots(
        off(truth), joined(spots, strange), options=known(TETRAGONAL, beam_search=0)
    )
    assert result.indexed[: len(spots)].mean() >= 0.99
    assert result.indexed[len(spots) :].mean() < 0.1
    assert max(result.rmsd[:2]) < 0.25
    np.testing.assert_array_equal(result.hkl[~result.indexed], 0)


def test_the_result_becomes_a_reflection_table() -> None:
    truth = sweep(n_frames=40)
    spots, _ = seen_spots(truth)
    result = index_spots(off(truth), spots, options=known(TETRAGONAL))
    table = reflections_of([result])
    assert len(table) == len(spots)
    np.testing.assert_array_equal(table["id"], np.where(result.indexed, 0, -1))
    calculated = table["xyzcal.px"][result.indexed]
    observed = table["xyzobs.px.value"][result.indexed]
    judged = result.judged[result.indexed]
    of_judged = np.sqrt(((calculated - observed)[judged] ** 2).mean(axis=0))
    np.testing.assert_allclose(of_judged[:2], result.rmsd[:2])
    assert of_judged[2] == pytest.approx(result.rmsd[2] / 0.5, rel=0.05)


def test_standing_frames_are_written_about_their_angles() -> None:
    scan = sweep().scan
    standing = sweep().replace(scan=type(scan)(3, 5.0, 1.0, 0.0))
    written = centred_frames(standing)
    assert [written.phi(i + 0.5) for i in range(3)] == [5.0, 6.0, 7.0]
    assert centred_frames(sweep()).scan.phi_start == 10.0


def test_too_few_spots_are_refused() -> None:
    spots, _ = seen_spots(sweep(n_frames=4))
    with pytest.raises(InputError, match="too few spots") as raised:
        index_spots(off(sweep()), spots.select(np.arange(5)), options=known(TETRAGONAL))
    assert "5" in str(raised.value.found)


def test_a_wrong_cell_is_refused_with_the_best_share() -> None:
    spots, _ = seen_spots(sweep(n_frames=50))
    wrong = Crystal((33.0, 45.0, 51.0, 90.0, 90.0, 90.0), "P 2 2 2")
    with pytest.raises(InputError, match="explains too few spots") as raised:
        index_spots(off(sweep()), spots, options=known(wrong, beam_search=0))
    assert "%" in str(raised.value.found)
    assert "beam centre" in str(raised.value.found)


def test_spots_without_a_lattice_are_refused() -> None:
    spots, _ = seen_spots(sweep(n_frames=40))
    rng = np.random.default_rng(0)
    spots.fast[:] = rng.uniform(5, 250, len(spots))
    spots.slow[:] = rng.uniform(5, 250, len(spots))
    with pytest.raises(InputError, match="no lattice was found"):
        index_spots(off(sweep()), spots, options=IndexOptions(beam_search=0, max_cell=60.0))


def test_stills_need_a_cell_and_say_which_failed() -> None:
    frames = DrawnFrames(sweep(n_frames=2), d_min=2.2, photons=2000.0)
    start = off(frames.experiment)
    with pytest.raises(InputError, match="known cell"):
        index_stills(start, frames, options=IndexOptions())
    result = index_stills(start, frames, options=known(TETRAGONAL))
    assert sorted(result.indexed) + sorted(result.failed) == [0, 1]
    assert len(result.indexed) >= 1
    for one in result.indexed.values():
        assert one.experiment.is_still
        assert one.share > 0.6


def test_nuclease_frames_are_indexed_as_published(unstill_data: Path) -> None:
    folder = unstill_data / "snase"
    source = open_frames(str(folder / "snc_newhead_#####.img"))
    start = geometry_from_headers(source)
    published = read_experiments(folder / "refined_experiments.json", space_group="P 41")[0]
    crystal = Crystal((48.5, 48.5, 63.4, 90.0, 90.0, 90.0), "P 41")
    result = index_frames(start, source, options=known(crystal))
    assert result.share >= 0.90
    assert result.rmsd[0] < 0.5
    # The camera distorts by a pixel across the rotation axis, whatever the geometry.
    assert result.rmsd[1] < 1.2
    assert published.lattice is not None
    # Taking the headers' angle half a degree later would turn the crystal by as much.
    assert angle_between(result.experiment, published.lattice.a_matrix) < 0.2
    assert result.experiment.detector.panels[0].distance == pytest.approx(
        published.detector.panels[0].distance, rel=0.01
    )
    strong = result.spots.intensity >= np.median(result.spots.intensity)
    assert result.indexed[strong].mean() >= 0.90
