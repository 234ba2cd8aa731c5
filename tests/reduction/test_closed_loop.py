"""Simulate, reduce, compare with the voxel averages of the truth."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from closed_loop import CRYSTAL, Simulated, digest, paired, reduced, simulate

from unstill.crystal import Crystal
from unstill.crystal.symmetry import map_to_asu
from unstill.experiment import Lattice
from unstill.io import read_map
from unstill.io.image_writers.eiger import EigerWriter
from unstill.maps.observations import concatenate
from unstill.reduction.integration.observation_store import read_block
from unstill.reduction.pipeline import crystal_steps
from unstill.reduction.pipeline.follow import follow_run
from unstill.reduction.pipeline.integrate_step import block_files
from unstill.reduction.pipeline.parameters import ReduceParameters
from unstill.reduction.pipeline.pipeline import reduce_images
from unstill.reduction.pipeline.run import open_run, plan
from unstill.simulation.analytic_truth import AnalyticTruth
from unstill.simulation.frames import SimulatedFrames, flux_for
from unstill.simulation.recipe import Recipe
from unstill.simulation.run import write_still_simulation
from unstill.simulation.stills import make_stills, simulate_stills
from unstill.simulation.voxel_truth import VoxelTruth, voxel_truth

UNMASKED: dict[str, Any] = {"cutoff": 0.0}
SMALL = Recipe(detector="tiny", n_frames=12, phi_step=0.5, mean_counts=20.0, seed=3)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """Twelve small frames in two data files."""
    folder = tmp_path_factory.mktemp("small")
    return simulate(folder, SMALL, bragg=True, image_format="eiger")


@pytest.fixture(scope="module")
def small_map(small: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of its reduction."""
    out = tmp_path_factory.mktemp("small_map")
    reduced(small.expt, out)
    return out


def between_peaks(truth: VoxelTruth, divisions: int) -> VoxelTruth:
    """Voxels that no mask of a reflection touches: half-integer along an axis."""
    half = divisions // 2
    far = np.abs((truth.index + half) % divisions - half).max(axis=1) == half
    return replace(
        truth,
        index=truth.index[far],
        intensity=truth.intensity[far],
        exposure=truth.exposure[far],
        n_pixels=truth.n_pixels[far],
    )


def test_at_high_dose_the_map_is_the_truth(tmp_path: Path) -> None:
    recipe = Recipe(detector="small", n_frames=20, phi_step=0.25, median_counts=2000.0)
    made = simulate(tmp_path, recipe)
    found = reduced(made.expt, tmp_path / "out", until="statistics")
    assert found.merged is not None
    assert found.scale is not None
    truth = between_peaks(voxel_truth(made.frames, (4, 4, 4)), 4)
    intensity, true, exposure = paired(found.merged.map, truth)
    assert len(intensity) > 20000
    assert np.corrcoef(intensity, true)[0, 1] >= 0.9995
    assert (exposure * intensity).sum() / (exposure * true).sum() == pytest.approx(1, abs=1e-3)
    assert 0.95 <= found.scale.chi2 <= 1.10
    assert np.linalg.norm(found.sweeps[0].peaks.shape.center) < 0.01  # type: ignore[union-attr]


def test_at_low_dose_nothing_is_lost_and_nothing_is_biased(tmp_path: Path) -> None:
    recipe = Recipe(
        detector="small", n_frames=40, phi_step=1.0, median_counts=6.0, divisions=(3, 3, 3)
    )
    made = simulate(tmp_path, recipe)
    found = reduced(
        made.expt,
        tmp_path / "out",
        until="merge",
        integrate={"divisions": [3, 3, 3]},
        peaks=UNMASKED,
    )
    assert found.merged is not None
    truth = voxel_truth(made.frames, (3, 3, 3))
    intensity, true, exposure = paired(found.merged.map, truth)
    assert len(intensity) == len(truth.index)
    s = np.sqrt(CRYSTAL.s_squared(truth.index / 3))
    for key, n_bins in ((true, 4), (s, 5)):
        edges = np.quantile(key, np.linspace(0, 1, n_bins + 1))
        bins = np.clip(np.searchsorted(edges, key, side="right") - 1, 0, n_bins - 1)
        ratio = np.bincount(bins, exposure * intensity) / np.bincount(bins, exposure * true)
        assert np.abs(ratio - 1).max() <= 0.005, ratio


def test_bits_depend_neither_on_workers_nor_on_who_worked(
    small: Simulated, small_map: Path, tmp_path: Path
) -> None:
    reduced(small.expt, tmp_path, workers=3, until="map")
    here, there = digest(tmp_path / "steps"), digest(small_map / "steps")
    assert set(here) == set(there)
    changed = [name for name in here if here[name] != there[name]]
    # HDF5 notes no times; maps carry the provenance, which is the same too.
    assert changed == []


def test_bits_do_not_depend_on_whether_rows_fit_into_memory(
    small: Simulated, small_map: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crystal_steps, "ROWS_IN_MEMORY", 1000)
    reduced(small.expt, tmp_path, until="map")
    assert list((tmp_path / "steps").glob("rows-*/slab-*.rows"))
    assert (tmp_path / "map.nxs").read_bytes() == (small_map / "map.nxs").read_bytes()


CHILD = """
import sys, os, time, warnings
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from closed_loop import reduced
from unstill.reduction.pipeline import integrate_step

log, slow, inner = Path(sys.argv[4]), float(sys.argv[5]), integrate_step.integrate_block

def tell(text):
    with log.open("a") as stream:
        stream.write(f"{text} {os.getpid()}\\n")

def told(experiment, source, block, *rest, **more):
    tell(f"begin {block.number}")
    found = inner(experiment, source, block, *rest, **more)
    time.sleep(slow)
    tell(f"end {block.number}")
    return found

integrate_step.integrate_block = told
reduced(Path(sys.argv[2]), Path(sys.argv[3]), until="integrate")
"""


def child(small: Simulated, out: Path, log: Path, slow: float) -> subprocess.Popen[bytes]:
    here = str(Path(__file__).parent)
    words = [here, str(small.expt), str(out), str(log), str(slow)]
    return subprocess.Popen([sys.executable, "-c", CHILD, *words])


def test_a_killed_run_is_taken_over_by_those_beside_it_and_by_the_next(
    small: Simulated, small_map: Path, tmp_path: Path
) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    team = [child(small, out, log, 0.3) for _ in range(2)]
    deadline = time.monotonic() + 120
    while not (log.exists() and log.read_text().count("end") >= 2):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    victim = next(one for one in team if f" {one.pid}\n" in log.read_text())
    os.kill(victim.pid, signal.SIGKILL)
    assert sorted(one.wait(timeout=120) for one in team) == [-signal.SIGKILL, 0]
    ended = [line.split()[1] for line in log.read_text().splitlines() if line.startswith("end")]
    assert set(ended) == {str(number) for number in range(6)}
    # Only what the victim had in its hands was done again.
    assert len(ended) <= 7
    reduced(small.expt, out, until="map")
    assert (out / "map.nxs").read_bytes() == (small_map / "map.nxs").read_bytes()


def test_nothing_is_done_twice_and_a_change_redoes_what_depends_on_it(
    small: Simulated, tmp_path: Path
) -> None:
    reduced(small.expt, tmp_path, until="map")

    def states(**groups: dict[str, Any]) -> dict[str, str]:
        run = open_run([small.expt], tmp_path, ReduceParameters.from_dict(groups))
        return {step.name: step.state for step in plan(run)}

    done = states()
    assert set(done.values()) == {"done", "off"}
    assert done["background"] == done["fine"] == "off"
    changed = states(scale={"b_phi": 2.0})
    assert changed["integrate"] == changed["crystals"] == "done"
    assert changed["scale"] == changed["merge"] == changed["map"] == "stale"
    changed = states(integrate={"divisions": [2, 2, 2]})
    assert (changed["peaks"], changed["integrate"]) == ("done", "stale")
    run = open_run([small.expt], tmp_path, ReduceParameters.from_dict({"merge": {"shells": 7}}))
    why = {step.name: step.why for step in plan(run)}
    assert "merge.shells was 20 and is 7" in why["statistics"]
    assert why["merge"] == ""


def test_a_damaged_block_is_told_of_and_integrated_again(
    small: Simulated, small_map: Path, tmp_path: Path
) -> None:
    reduced(small.expt, tmp_path, until="integrate")
    files = sorted((tmp_path / "steps").glob("integrate-*/frames-*/coarse.h5"))
    assert len(files) == 6
    content = bytearray(files[2].read_bytes())
    content[len(content) // 2] ^= 255
    files[2].write_bytes(content)
    run = open_run([small.expt], tmp_path, ReduceParameters())
    with pytest.warns(match="was damaged"):
        reduce_images(run, until="map")
    assert (tmp_path / "map.nxs").read_bytes() == (small_map / "map.nxs").read_bytes()


def test_a_growing_master_is_followed_to_the_same_map(small: Simulated, tmp_path: Path) -> None:
    def followed(folder: Path, pause: float) -> bytes:
        made = simulate(folder, SMALL, bragg=True, image_format="eiger")
        images = folder / "images"
        for file in images.glob("*"):
            file.unlink()
        frames = made.frames
        writer = EigerWriter(
            images, "sweep", frames.n_frames, frames.shapes[0], frames.header(0),
            frames_per_file=3, phi_step=0.5,
        )  # fmt: skip
        writer.write_master()

        def write() -> None:
            for number in range(frames.n_frames):
                writer.add(frames.read(number)[0])
                time.sleep(pause)

        thread = threading.Thread(target=write)
        if not pause:
            write()
        else:
            for number in range(3):
                writer.add(frames.read(number)[0])
            rest = range(3, frames.n_frames)

            def later() -> None:
                for number in rest:
                    time.sleep(pause)
                    writer.add(frames.read(number)[0])

            thread = threading.Thread(target=later)
            thread.start()
        told: list[str] = []
        run = open_run([made.expt], folder / "out", ReduceParameters(), growing=True)
        run = follow_run(run, idle=60, poll=0.05, tell=told.append)
        found = reduce_images(run, until="merge")
        if pause:
            thread.join()
        assert told[-1].startswith("12 of 12 frames")
        assert found.n_frames == 12
        # A later run without --follow finds what was done.
        again = open_run([made.expt], folder / "out", ReduceParameters())
        assert {s.name: s.state for s in plan(again)}["merge"] == "done"
        merged = next((folder / "out" / "steps").glob("merge-*"))
        return (merged / "result.npz").read_bytes()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        slowly = followed(tmp_path / "slowly", 0.15)
        at_once = followed(tmp_path / "at once", 0.0)
    assert slowly == at_once


def test_a_fine_map_of_several_sweeps_is_the_sum_of_its_parts(tmp_path: Path) -> None:
    dim = replace(SMALL, mean_counts=0.2)
    sweeps = [
        simulate(tmp_path / str(number), replace(dim, phi_start=40.0 * number, seed=3 + number))
        for number in range(2)
    ]
    # One crystal in two orientations: the seed turns it.
    out = tmp_path / "out"
    wanted = {"divisions": [3, 3, 3], "fine": [9, 9, 9]}
    off = {"scale": "off", "outlier_sigma": 0.0}
    expts = [one.expt for one in sweeps]
    found = reduced(expts, out, until="fine", integrate=wanted, scale=off)
    assert found.fine["n_voxels"] > 1000
    fine = read_map(found.outputs["fine"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = open_run(expts, out, ReduceParameters.from_dict({"integrate": wanted, "scale": off}))
    rows = concatenate(
        [
            read_block(path).replace(crystal=CRYSTAL)
            for sweep in run.sweeps
            for path in block_files(run, sweep, "fine.h5")
        ]
    )
    # mmm: the representative has no negative index.
    where, voxel = np.unique(np.abs(rows.index), axis=0, return_inverse=True)
    # Without a relative error all rows weigh as their exposure: ratios of sums.
    assert found.scale is not None
    assert found.scale.error_model.relative == 0
    ratio = np.bincount(voxel.ravel(), rows.counts) / np.bincount(voxel.ravel(), rows.exposure)
    place, inside = np.array(fine.grid.position(where)), fine.grid.contains(where)
    there = fine.intensity.reshape(-1)[place[inside]]
    seen = np.isfinite(there)
    assert seen.sum() == found.fine["n_voxels"]
    np.testing.assert_allclose(there[seen], ratio[inside][seen], rtol=1e-6, atol=1e-9)


def test_crystals_that_were_indexed_otherwise_are_brought_together(tmp_path: Path) -> None:
    crystal = Crystal((29.0, 29.0, 37.0, 90, 90, 90), "P 4")
    expts, frames = [], []
    for number in range(2):
        recipe = replace(SMALL, phi_start=25.0 * number, seed=7 + number)
        folder = tmp_path / str(number)
        true = recipe.experiment(AnalyticTruth(crystal, seed=1))
        assert true.lattice is not None
        a, b, c = np.linalg.inv(true.lattice.a_matrix)
        # k, h, −l: allowed by the lattice of P 4, and another crystal to its intensities.
        other = Lattice.from_axes(np.array([b, a, -c]), "P 4")
        written = true.replace(lattice=other) if number else true
        made = simulate(folder, recipe, crystal=crystal, written=written)
        expts.append(made.expt)
        frames.append(made.frames)
    found = reduced(
        expts,
        tmp_path / "out",
        until="fine",
        integrate={"divisions": [3, 3, 3], "fine": [9, 9, 9]},
        peaks=UNMASKED,
    )
    assert sorted(found.crystals.operators) == ["h,k,l", "k,h,-l"]
    assert len(found.crystals.choice.kept) == 2
    moved = found.crystals.operators.index("k,h,-l")
    fine = read_map(found.outputs["fine"])
    assert found.merged is not None
    for shown, divisions, least in ((found.merged.map, 3, 0.97), (fine, 9, 0.85)):
        sums: list[VoxelTruth] = [voxel_truth(one, (divisions,) * 3) for one in frames]
        truth = sums[0]
        if moved == 0:
            # The other one sets the indexing.
            truth = replace(truth, index=truth.index[:, [1, 0, 2]] * np.array([1, 1, -1]))
            truth = replace(truth, index=map_to_asu(crystal, truth.index, (divisions,) * 3))
        there = shown.grid.contains(truth.index)
        values = shown.intensity.reshape(-1)[shown.grid.position(truth.index[there])]
        seen = np.isfinite(values)
        assert seen.sum() > 500
        assert np.corrcoef(values[seen], truth.intensity[there][seen])[0, 1] > least


def test_two_hundred_stills_merge_to_the_truth(tmp_path: Path) -> None:
    pairs = make_stills(CRYSTAL, 200, detector="tiny", orientation_error=0.05, seed=5)
    truth = AnalyticTruth(CRYSTAL, seed=1)
    flux = flux_for(pairs[0][0], truth, 20.0)
    template = SimulatedFrames(pairs[0][0], truth, flux=flux, seed=5)
    stills = simulate_stills(pairs, template, scale_spread=0.3)
    written = write_still_simulation(tmp_path, stills, truth_divisions=None)
    found = reduced(
        Path(written.outputs["expt"]),
        tmp_path / "out",
        until="merge",
        integrate={"divisions": [2, 2, 2]},
        crystals={"ambiguity": False},
        peaks=UNMASKED,
    )
    assert found.merged is not None
    assert sum(sweep.used for sweep in found.sweeps) >= 198
    # The flux of each still is what scaling has to find.
    parts = [voxel_truth(replace(still.frames, flux=1.0), (2, 2, 2)) for still in stills]
    index, voxel = np.unique(
        np.concatenate([part.index for part in parts]), axis=0, return_inverse=True
    )
    exposure = np.concatenate([part.exposure for part in parts])
    weighted = exposure * np.concatenate([part.intensity for part in parts])
    total = np.bincount(voxel.ravel(), exposure)
    whole = VoxelTruth(
        (2, 2, 2), index, np.bincount(voxel.ravel(), weighted) / total, total, total
    )
    intensity, true, _ = paired(found.merged.map, whole, n_least=3)
    assert len(intensity) > 10000
    assert np.corrcoef(intensity, true)[0, 1] >= 0.98
