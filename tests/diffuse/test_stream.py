"""Streaming block sums: identities, and the same bits however they are computed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moving_atoms import CRYSTAL, DIVISIONS, ArrayFrames, RandomFrames, direct_f, make_frames

from unstill.crystal import Crystal
from unstill.crystal.supercell import supercell
from unstill.diffuse import diffuse_intensity, stream_block_sums
from unstill.diffuse.intensity import variance
from unstill.errors import InputError, UnstillWarning
from unstill.maps.block_sums import BlockSums

D_MIN = 2.5


def sums_of(frames: ArrayFrames | RandomFrames, **options: object) -> BlockSums:
    arguments = {"n_blocks": 4, "chunk_size": 3} | options
    return stream_block_sums(frames, DIVISIONS, D_MIN, **arguments)  # type: ignore[arg-type]


def same_bits(a: BlockSums, b: BlockSums) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("index", "s1", "s2", "weight", "weight_squared", "n_frames")
    )


def form_factor(element: str, stol2: np.ndarray) -> np.ndarray:
    table = gemmi.IT92_get_exact(gemmi.Element(element), 0)
    return np.array([table.calculate_sf(value) for value in stol2])


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2) / np.mean(b**2)))


def test_streaming_equals_the_two_pass_variance_of_a_direct_sum() -> None:
    frames = make_frames()
    sums = sums_of(frames, remove_drift=False, engine_options={"tolerance": 1e-9})
    f = direct_f(frames, sums.index)
    two_pass = np.mean(np.abs(f - f.mean(axis=0)) ** 2, axis=0)
    s1, s2, weight, squared = sums.totals()
    assert relative(variance(s1, s2, weight, squared, unbiased=False), two_pass) <= 1e-6
    np.testing.assert_allclose(s1 / weight, f.mean(axis=0), rtol=1e-6, atol=1e-6)


def test_at_the_default_tolerance_the_map_of_a_direct_sum_is_met_to_1e_3() -> None:
    frames = make_frames()
    sums = sums_of(frames, remove_drift=False)
    f = direct_f(frames, sums.index)
    two_pass = np.var(f, axis=0)
    assert relative(variance(*sums.totals(), unbiased=False), two_pass) <= 1e-3


@given(
    shift=st.tuples(*[st.floats(-40, 40)] * 3),
    seed=st.integers(0, 1000),
    remove_drift=st.booleans(),
)
def test_the_diffuse_map_does_not_depend_on_where_the_crystal_stands(
    shift: tuple[float, float, float], seed: int, remove_drift: bool
) -> None:
    frames = make_frames(6, seed=seed)
    moved = ArrayFrames(frames.atoms, CRYSTAL, frames.coord + np.array(shift))
    first, second = (
        diffuse_intensity(sums_of(case, remove_drift=remove_drift), laue_average=False)
        for case in (frames, moved)
    )
    used = first.measured
    assert relative(second.intensity[used], first.intensity[used]) <= 1e-4


@given(seed=st.integers(0, 1000), largest=st.floats(0, 60))
def test_a_drift_of_the_whole_system_leaves_no_trace(seed: int, largest: float) -> None:
    frames = make_frames(6, seed=seed)
    drifts = np.random.default_rng(seed).uniform(-largest, largest, size=(6, 1, 3))
    drifting = ArrayFrames(frames.atoms, CRYSTAL, frames.coord + drifts)
    first, second = (
        diffuse_intensity(sums_of(case), laue_average=False) for case in (frames, drifting)
    )
    used = first.measured
    assert relative(second.intensity[used], first.intensity[used]) <= 1e-4


def test_a_drift_that_is_left_in_turns_bragg_into_diffuse_intensity() -> None:
    frames = make_frames(12, sigma=0.0)
    drifting = ArrayFrames(
        frames.atoms, CRYSTAL, frames.coord + np.linspace(0, 3, 12)[:, None, None]
    )
    kept = sums_of(drifting, remove_drift=False)
    s1, s2, weight, _ = kept.totals()
    assert np.mean(variance(s1, s2, weight, 0.0, unbiased=False)) > 0.3 * np.mean(s2 / weight)


@given(seed=st.integers(0, 1000))
def test_identical_frames_have_no_diffuse_intensity(seed: int) -> None:
    frames = make_frames(8, sigma=0.0, seed=seed)
    s1, s2, weight, squared = sums_of(frames).totals()
    ratio = variance(s1, s2, weight, squared) / np.maximum(s2 / weight, 1e-30)
    assert ratio.max() <= 1e-6


def test_wrapping_atoms_into_the_box_changes_nothing() -> None:
    frames = make_frames(6)
    cell = supercell(CRYSTAL, DIVISIONS)
    wrapped = cell.cartesian(cell.fractional(frames.coord) % 1.0)
    first, second = (
        diffuse_intensity(sums_of(ArrayFrames(frames.atoms, CRYSTAL, coord)), laue_average=False)
        for coord in (frames.coord, wrapped)
    )
    used = first.measured
    assert relative(second.intensity[used], first.intensity[used]) <= 1e-4


def shell_means(sums: BlockSums, shell: np.ndarray) -> np.ndarray:
    used = shell >= 0
    return np.bincount(shell[used], variance(*sums.totals())[used]) / np.bincount(shell[used])


def test_an_einstein_crystal_follows_its_closed_form_within_three_standard_errors() -> None:
    sigma = 0.35
    still = make_frames(1, n_atoms=40, sigma=0.0)
    frames = RandomFrames(still.atoms, CRYSTAL, still.coord[0], sigma, 400)
    sums = stream_block_sums(
        frames, DIVISIONS, 2.0, n_blocks=40, remove_drift=False, chunk_size=50
    )
    s_squared = supercell(CRYSTAL, DIVISIONS).s_squared(sums.index)
    strength = sum(form_factor(name, s_squared / 4) ** 2 for name in still.atoms.element)
    expected = strength * (1 - np.exp(-4 * np.pi**2 * s_squared * sigma**2))
    edges = np.quantile(s_squared[1:], np.linspace(0, 1, 9))[1:-1]
    shell = np.searchsorted(edges, s_squared)
    shell[0] = -1  # the origin: no intensity, no error
    # Points share the 120 degrees of freedom of 40 atoms, so the error comes from the blocks.
    without = np.stack(
        [shell_means(sums.take(np.delete(np.arange(40), block)), shell) for block in range(40)]
    )
    standard_error = np.sqrt(39 * np.var(without, axis=0))
    closed_form = np.bincount(shell[1:], expected[1:]) / np.bincount(shell[1:])
    deviation = (shell_means(sums, shell) - closed_form) / standard_error
    assert np.abs(deviation).max() <= 3
    assert np.all(standard_error < 0.05 * closed_form)


def test_the_unbiased_form_is_right_where_the_plain_one_is_low() -> None:
    still = make_frames(1, sigma=0.0)
    plain, unbiased, large = [], [], 40
    for run in range(large):
        rng = np.random.default_rng(run)
        coord = still.coord + 0.4 * rng.normal(size=(4, *still.coord.shape[1:]))
        sums = sums_of(ArrayFrames(still.atoms, CRYSTAL, coord), remove_drift=False)
        plain.append(np.mean(variance(*sums.totals(), unbiased=False)))
        unbiased.append(np.mean(variance(*sums.totals())))
    many = RandomFrames(still.atoms, CRYSTAL, still.coord[0], 0.4, 400)
    truth = np.mean(variance(*sums_of(many, remove_drift=False, chunk_size=50).totals()))
    assert np.mean(unbiased) == pytest.approx(truth, rel=0.03)
    assert np.mean(plain) == pytest.approx(0.75 * truth, rel=0.03)


def test_a_weight_of_two_counts_a_frame_twice_and_zero_leaves_it_out() -> None:
    frames = make_frames(6)
    weights = np.array([1.0, 2.0, 0.0, 1.0, 1.0, 1.0])
    repeated = frames.coord[[0, 1, 1, 3, 4, 5]]
    weighted = sums_of(frames, weights=weights).totals()
    twice = sums_of(ArrayFrames(frames.atoms, CRYSTAL, repeated)).totals()
    np.testing.assert_allclose(
        variance(*weighted, unbiased=False), variance(*twice, unbiased=False), rtol=1e-6, atol=1e-6
    )
    # 1 − Σw² of the normalised weights, not 1 − 1/T.
    assert weighted[3] / weighted[2] ** 2 == pytest.approx((weights**2).sum() / weights.sum() ** 2)


def test_disjoint_selections_add_up_to_the_whole() -> None:
    frames = make_frames()
    half = np.arange(24) < 10
    sums = sums_of(frames, selections={"protein": half, "water": ~half})
    assert list(sums.selections) == ["all", "protein", "water"]
    alone = sums_of(frames)
    np.testing.assert_allclose(sums.s1[:, 0], sums.s1[:, 1] + sums.s1[:, 2], rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(sums.s1[:, 0], alone.s1[:, 0], rtol=2e-3, atol=2e-2)


def test_blocks_are_contiguous_in_time_and_differ_by_one_frame_at_most() -> None:
    frames = make_frames(11)
    sums = sums_of(frames)
    assert sums.n_frames.tolist() == [2, 3, 3, 3]
    early = sums_of(ArrayFrames(frames.atoms, CRYSTAL, frames.coord[:2]), n_blocks=1)
    assert np.array_equal(sums.s1[0], early.s1[0])


@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers_gives_the_same_bits(workers: int) -> None:
    frames = make_frames(25)
    half = np.arange(24) < 10
    alone = sums_of(frames, selections={"protein": half})
    assert same_bits(sums_of(frames, selections={"protein": half}, workers=workers), alone)


def test_workers_that_make_their_own_frames_give_the_same_bits() -> None:
    still = make_frames(1, sigma=0.0)
    made_there = RandomFrames(still.atoms, CRYSTAL, still.coord[0], 0.4, 20)
    sent = RandomFrames(still.atoms, CRYSTAL, still.coord[0], 0.4, 20, random_access=False)
    alone = sums_of(sent)
    assert same_bits(sums_of(made_there), alone)
    assert same_bits(sums_of(made_there, workers=2), alone)


def test_a_dask_cluster_gives_the_same_bits() -> None:
    distributed = pytest.importorskip("distributed")
    frames = make_frames(25)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", dashboard_address=None
    ) as cluster:
        found = sums_of(frames, dask=cluster.scheduler_address)
    assert same_bits(found, sums_of(frames))


RUN = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    sys.path.insert(0, {folder!r})
    import numpy as np
    from moving_atoms import make_frames, DIVISIONS
    from unstill.diffuse import stream_block_sums

    def told(done, total):
        print(done, flush=True)
        time.sleep({pause})

    if __name__ == "__main__":
        sums = stream_block_sums(
            make_frames(25), DIVISIONS, 2.5, n_blocks=4, chunk_size=3, workers={workers},
            checkpoint=Path({checkpoint!r}), resume=True, checkpoint_interval=0.0, progress=told,
        )
        np.savez({result!r}, s1=sums.s1, s2=sums.s2, n_frames=sums.n_frames)
    """
)


def test_a_run_killed_with_sigkill_resumes_to_the_same_bits(tmp_path: Path) -> None:
    checkpoint, result = tmp_path / "run.checkpoint", tmp_path / "result.npz"
    script = tmp_path / "run.py"

    def write(pause: float, workers: int) -> None:
        script.write_text(
            RUN.format(
                folder=str(Path(__file__).parent),
                pause=pause,
                workers=workers,
                checkpoint=str(checkpoint),
                result=str(result),
            )
        )

    write(pause=0.3, workers=1)
    first = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    while int(first.stdout.readline()) < 9:
        pass
    deadline = time.monotonic() + 20
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(first.pid, signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert checkpoint.exists()
    assert not result.exists()
    # What a write that was killed leaves behind is cleared away as well.
    (tmp_path / ".run.99999.part.checkpoint").write_bytes(b"half")

    write(pause=0.0, workers=2)
    second = subprocess.run(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, check=True, timeout=60
    )
    assert int(second.stdout.split()[0]) >= 6
    assert [path.name for path in tmp_path.iterdir() if "checkpoint" in path.name] == []
    whole = sums_of(make_frames(25))
    with np.load(result) as resumed:
        for name in ("s1", "s2", "n_frames"):
            assert np.array_equal(resumed[name], getattr(whole, name))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4))
def test_a_run_killed_at_random_until_it_ends_gives_the_same_bits(
    tmp_path: Path, seed: int
) -> None:
    script, result = tmp_path / "run.py", tmp_path / "result.npz"
    script.write_text(
        RUN.format(
            folder=str(Path(__file__).parent),
            pause=0.05,
            workers=1,
            checkpoint=str(tmp_path / "run.checkpoint"),
            result=str(result),
        )
    )
    rng = np.random.default_rng(seed)
    for _ in range(60):
        process = subprocess.Popen([sys.executable, script], stdout=subprocess.DEVNULL)
        try:
            process.wait(timeout=rng.uniform(1.0, 4.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if result.exists():
            break
    whole = sums_of(make_frames(25))
    with np.load(result) as resumed:
        assert np.array_equal(resumed["s1"], whole.s1)
        assert np.array_equal(resumed["s2"], whole.s2)


def test_a_checkpoint_of_another_run_is_refused_with_what_differs(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    frames = make_frames(12)
    sums_of(frames, checkpoint=checkpoint, keep_checkpoint=True)
    with pytest.raises(InputError, match=r"another run; found d_min: 2\.5 there, 2\.4 now"):
        stream_block_sums(
            frames, DIVISIONS, 2.4, n_blocks=4, chunk_size=3, checkpoint=checkpoint, resume=True
        )
    with pytest.raises(InputError, match="drift reference"):
        sums_of(make_frames(12, seed=1), checkpoint=checkpoint, resume=True)
    with pytest.raises(InputError, match="blocks: 4 there, 3 now"):
        sums_of(frames, n_blocks=3, checkpoint=checkpoint, resume=True)


def test_a_finished_state_needs_no_frame_to_be_read_again(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    frames = make_frames(12)
    first = sums_of(frames, checkpoint=checkpoint, keep_checkpoint=True)
    frames.read.clear()
    again = sums_of(frames, checkpoint=checkpoint, resume=True)
    assert same_bits(first, again)
    assert frames.read == [(0, 1)]
    assert not checkpoint.exists()


def test_ctrl_c_leaves_a_checkpoint_from_which_the_bits_are_the_same(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    frames = make_frames(12)

    def stop_at_six(done: int, _: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sums_of(frames, checkpoint=checkpoint, progress=stop_at_six)
    assert checkpoint.exists()
    seen: list[tuple[int, int]] = []
    found = sums_of(
        frames, checkpoint=checkpoint, resume=True, progress=lambda *step: seen.append(step)
    )
    assert seen[0] == (6, 12)
    assert same_bits(found, sums_of(frames))


def test_a_damaged_checkpoint_is_told_apart_from_a_foreign_one(tmp_path: Path) -> None:
    checkpoint = tmp_path / "run.checkpoint"
    checkpoint.write_bytes(b"PK not a state")
    with pytest.raises(ValueError, match="cannot be read"):
        sums_of(make_frames(12), checkpoint=checkpoint, resume=True)


def test_frames_before_a_break_are_used_and_the_break_is_reported() -> None:
    whole = make_frames(20)
    broken = ArrayFrames(whole.atoms, CRYSTAL, whole.coord[:13], announced=20)
    with pytest.warns(UnstillWarning, match=r"frame 13 .* of 20 .* the 13 frames before it"):
        found = sums_of(broken)
    assert found.n_frames.tolist() == [5, 5, 3]
    expected = np.sum(sums_of(ArrayFrames(whole.atoms, CRYSTAL, whole.coord[:13])).s2, axis=0)
    np.testing.assert_allclose(np.sum(found.s2, axis=0), expected, rtol=1e-9)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_coordinate_that_is_not_a_number_is_named_by_its_frame(workers: int) -> None:
    frames = make_frames(12)
    frames.coord[7, 5, 1] = np.nan
    with pytest.raises(InputError, match=r"frame 7 \(counting from 0\), 1 atoms.* position 5"):
        sums_of(frames, workers=workers)


def test_an_unknown_element_is_refused() -> None:
    frames = make_frames(4)
    frames.atoms.element[3] = "QQ"
    with pytest.raises(InputError, match="QQ"):
        sums_of(frames)


def test_one_frame_has_no_variance() -> None:
    with pytest.raises(InputError, match="one configuration is zero; found 1 frame;"):
        sums_of(make_frames(1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": np.ones(3)}, "weights must be 24"),
        ({"weights": -np.ones(24)}, "weights must be 24"),
        ({"weights": np.zeros(24)}, "all zero"),
        ({"occupancy": np.ones(5)}, "occupancy must be"),
        ({"selections": {"a": np.zeros(24, bool)}}, "holds no atoms"),
        ({"selections": {"a": np.ones(3, bool)}}, "does not fit the atoms"),
        ({"chunk_size": 0}, "at least one block"),
        ({"engine_options": {"energy": 12000.0}}, "anomalous"),
    ],
)
def test_what_cannot_be_right_is_refused_before_any_work(
    options: dict[str, object], message: str
) -> None:
    frames = make_frames()
    with pytest.raises(InputError, match=message):
        sums_of(frames, **options)


def test_an_ensemble_brings_its_weights_and_occupancies() -> None:
    from unstill.ensembles import Ensemble

    frames = make_frames(5)
    occupancy = np.where(np.arange(24) < 12, 1.0, 0.5)
    weights = np.array([1.0, 2, 3, 4, 5])
    ensemble = Ensemble(
        frames.atoms, frames.coord, occupancy=occupancy, weights=weights, crystal=CRYSTAL
    )
    found = stream_block_sums(ensemble, DIVISIONS, D_MIN, n_blocks=4, chunk_size=3)
    given = {"occupancy": occupancy, "weights": weights / 15, "remove_drift": False}
    assert same_bits(found, sums_of(frames, **given))
    varying = ensemble.replace(occupancy=np.random.default_rng(0).random((5, 24)))
    with pytest.raises(InputError, match="differ from member to member"):
        stream_block_sums(varying, DIVISIONS, D_MIN)


def test_a_source_without_a_crystal_needs_one() -> None:
    frames = make_frames(4)
    frames.crystal = None  # type: ignore[assignment]
    with pytest.raises(InputError, match="what crystal"):
        sums_of(frames)
    sums = sums_of(frames, crystal=Crystal(CRYSTAL.unit_cell))
    assert sums.crystal.space_group == "P 1"
