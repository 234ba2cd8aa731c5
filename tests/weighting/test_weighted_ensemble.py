"""Ensembles of a few frames that stand for a weighted simulation."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import biotite.structure
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.crystal import Crystal
from unstill.crystal.supercell import supercell
from unstill.diffuse import stream_block_sums
from unstill.diffuse.open_frames import SupercellFrames
from unstill.ensembles import Ensemble, Trajectory
from unstill.errors import InputError
from unstill.io import read_structure, write_structure
from unstill.weighting.states import state_populations
from unstill.weighting.weighted_ensemble import (
    MemberRow,
    member_rows,
    representatives,
    weighted_ensemble,
)

CRYSTAL = Crystal((17.0, 19.0, 23.0, 90.0, 104.0, 90.0), "P 1 21 1")
DIVISIONS = (2, 1, 1)
CELL = supercell(CRYSTAL, DIVISIONS)
N_ATOMS = 12


@dataclass
class Recorded:
    """Frames in memory that remember which of them were read, and how many were held."""

    coord: np.ndarray
    box: np.ndarray | None = None
    read: list[int] = field(default_factory=list)

    @property
    def n_atoms(self) -> int:
        return self.coord.shape[1]

    @property
    def n_frames(self) -> int:
        return len(self.coord)

    def open(self) -> Recorded:
        return self

    def __enter__(self) -> Recorded:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def frame(self, number: int) -> tuple[np.ndarray, np.ndarray | None]:
        self.read.append(number)
        return self.coord[number], None if self.box is None else self.box[number]

    def fingerprint(self) -> dict[str, Any]:
        return {}


def atoms() -> biotite.structure.AtomArray:
    array = biotite.structure.AtomArray(N_ATOMS)
    array.element = np.array(["C", "N", "O", "H"] * (N_ATOMS // 4))
    array.atom_name = np.array(["CA", "N", "O", "H"] * (N_ATOMS // 4))
    array.res_name = np.full(N_ATOMS, "GLY")
    array.chain_id = np.full(N_ATOMS, "A")
    array.res_id = np.repeat(np.arange(1, N_ATOMS // 4 + 1), 4)
    return array


def fractions(n_frames: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random((N_ATOMS, 3)) + 0.02 * rng.normal(size=(n_frames, N_ATOMS, 3))


def opened(n_frames: int, seed: int = 0) -> tuple[SupercellFrames, Recorded]:
    file = Recorded(CELL.cartesian(fractions(n_frames, seed)))
    return SupercellFrames(Trajectory(atoms(), [file]), CRYSTAL), file


def ones(n: int) -> np.ndarray:
    return np.ones(n, dtype=int)


@given(seed=st.integers(0, 10_000), n_frames=st.integers(1, 200), n=st.integers(1, 60))
def test_every_stretch_of_time_keeps_its_weight_to_one_part_in_n(seed, n_frames, n) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(n_frames, 0.2)) * (rng.random(n_frames) > 0.3)
    weights[0] += 1e-3
    weights /= weights.sum()
    frames, chosen, _ = representatives(weights, n)
    assert len(frames) <= n
    assert (np.diff(frames) > 0).all()
    assert (weights[frames] > 0).all()
    assert chosen.sum() == pytest.approx(1, abs=1e-12)
    kept = np.zeros(n_frames)
    kept[frames] = chosen
    assert np.abs(np.cumsum(kept) - np.cumsum(weights)).max() <= 0.5 / n + 1e-9
    if np.count_nonzero(weights > 1e-12 * weights.max()) <= n:
        np.testing.assert_allclose(kept, weights, atol=1e-11)
    else:
        np.testing.assert_allclose(chosen * n, np.round(chosen * n), atol=1e-9)


@pytest.mark.parametrize("n", [7, 20, 50])
def test_populations_of_states_survive_resampling(n: int) -> None:
    state = np.repeat(["A", "B"], [60, 140])
    weights = np.random.default_rng(3).dirichlet(np.full(200, 0.5))
    before = state_populations(state, weights, np.full(200, 1 / 200), ones(200))
    source, _ = opened(200)
    found = weighted_ensemble(source, DIVISIONS, weights, ones(200), n_members=n)
    for one in before:
        kept = found.weights[state[found.frames] == one.label].sum()
        assert kept == pytest.approx(one.population, abs=1 / n)
        assert kept != one.prior


def test_frames_are_read_once_in_order_and_no_others() -> None:
    source, file = opened(300)
    weights = np.zeros(300)
    weights[100:] = np.random.default_rng(4).dirichlet(np.full(200, 0.3))
    found = weighted_ensemble(source, DIVISIONS, weights, ones(300), n_members=30)
    # Frame 0 is where the drift is measured from.
    assert file.read == [0, *found.frames.tolist()]
    assert len(found.frames) == found.n_members <= 30
    assert found.frames.min() >= 100
    np.testing.assert_allclose(np.round(found.weights * 30), found.weights * 30, atol=1e-9)
    assert found.provenance["frames_chosen"] == "systematic resampling along time at 30 points"
    assert found.provenance["n_frames"] == 300


def test_few_frames_are_all_kept_without_those_that_weigh_nothing() -> None:
    source, file = opened(10)
    weights = np.array([0.0, 0.2, 1e-14, 0.1, 0, 0, 0.3, 0.1, 0.1, 0.2])
    found = weighted_ensemble(source, DIVISIONS, weights, ones(10), remove_drift=False)
    assert found.frames.tolist() == [1, 3, 6, 7, 8, 9] == file.read
    np.testing.assert_allclose(found.weights, [0.2, 0.1, 0.3, 0.1, 0.1, 0.2], rtol=1e-12)
    np.testing.assert_allclose(found.coord, file.coord[found.frames], atol=1e-5)
    assert found.crystal == CELL
    assert "all 6 frames" in found.provenance["frames_chosen"]


def test_frames_of_a_block_share_its_weight() -> None:
    source, _ = opened(12)
    blocks = np.array([0.6, 0.0, 0.4])
    found = weighted_ensemble(source, DIVISIONS, blocks, np.array([3, 4, 5]))
    assert found.frames.tolist() == [0, 1, 2, 7, 8, 9, 10, 11]
    np.testing.assert_allclose(found.weights, [0.2] * 3 + [0.08] * 5, rtol=1e-12)


def test_models_of_a_file_share_by_their_own_weights_and_keep_what_they_have() -> None:
    rng = np.random.default_rng(5)
    models = Ensemble(
        atoms(),
        CELL.cartesian(fractions(4)),
        b_factor=rng.uniform(5, 30, (4, N_ATOMS)),
        weights=np.array([1.0, 3.0, 2.0, 2.0]),
        crystal=CELL,
        provenance={"source": "models.cif"},
    )
    source = SupercellFrames(models, CRYSTAL)
    found = weighted_ensemble(source, DIVISIONS, np.array([0.8, 0.2]), np.array([2, 2]))
    np.testing.assert_allclose(found.weights, [0.2, 0.6, 0.1, 0.1], rtol=1e-12)
    np.testing.assert_array_equal(found.b_factor, models.b_factor)
    np.testing.assert_array_equal(found.coord, models.coord)
    assert found.provenance["source"] == "models.cif"
    few = weighted_ensemble(source, DIVISIONS, np.array([0.8, 0.2]), np.array([2, 2]), n_members=2)
    assert few.frames.tolist() == [1, 2] or few.frames.tolist() == [1]
    np.testing.assert_array_equal(few.b_factor, models.b_factor[few.frames])


def test_a_breathing_box_and_a_drift_do_not_come_along() -> None:
    rng = np.random.default_rng(6)
    frac = fractions(8)
    size = 1 + rng.uniform(-0.004, 0.004, size=8)
    vectors = size[:, None, None] * CELL.orthogonalization_matrix.T
    moved = frac + rng.normal(size=(8, 1, 3)) * 0.6
    file = Recorded(np.einsum("tax,txy->tay", moved, vectors), vectors)
    source = SupercellFrames(Trajectory(atoms(), [file]), CRYSTAL)
    found = weighted_ensemble(source, DIVISIONS, np.ones(8), ones(8))
    with pytest.raises(InputError, match="away from the supercell"):
        weighted_ensemble(source, DIVISIONS, np.ones(8), ones(8), max_box_drift=1e-4)
    # Where the reference atoms of the first frame stand, the others stand on average.
    back = CELL.fractional(found.coord.astype(float))
    ca = np.arange(N_ATOMS) % 4 == 0
    assert np.ptp(moved[:, 0], axis=0).max() > 1
    np.testing.assert_allclose(back[0], moved[0], atol=1e-5)
    np.testing.assert_allclose(
        back[:, ca].mean(axis=1), np.repeat(moved[:1, ca].mean(axis=1), 8, axis=0), atol=1e-5
    )
    internal = frac - frac[:, ca].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(back - back[:, ca].mean(axis=1, keepdims=True), internal, atol=1e-5)


def test_the_file_of_the_ensemble_scatters_as_the_weighted_simulation(tmp_path: Path) -> None:
    source, _ = opened(20)
    weights = np.random.default_rng(7).dirichlet(np.ones(20))
    assert isinstance(source.frames, Trajectory)
    whole = stream_block_sums(
        source.frames, DIVISIONS, 3.0, crystal=CRYSTAL, weights=weights, n_blocks=1
    )
    write_structure(weighted_ensemble(source, DIVISIONS, weights, ones(20)), tmp_path / "e.cif")
    back = read_structure(tmp_path / "e.cif")
    again = stream_block_sums(back, DIVISIONS, 3.0, crystal=CRYSTAL, n_blocks=1)
    for name in ("s1", "s2", "weight"):
        one, other = getattr(whole, name), getattr(again, name)
        # Coordinates in the file have four decimals.
        np.testing.assert_allclose(other, one, rtol=2e-3, atol=1e-3 * np.abs(one).max())
    plain = stream_block_sums(source.frames, DIVISIONS, 3.0, crystal=CRYSTAL, n_blocks=1)
    assert np.abs(plain.s2 / 20 - whole.s2).max() > 0.02 * whole.s2.max()


@pytest.mark.parametrize("equal", [False, True])
def test_weights_and_frames_survive_the_file(tmp_path: Path, equal: bool) -> None:
    source, _ = opened(40)
    weights = np.full(40, 1 / 40) if equal else np.random.default_rng(8).dirichlet(np.ones(40))
    found = weighted_ensemble(source, DIVISIONS, weights, ones(40), n_members=20)
    write_structure(found, tmp_path / "e.cif")
    back = read_structure(tmp_path / "e.cif")
    np.testing.assert_allclose(back.weights, found.weights, rtol=1e-15)
    np.testing.assert_array_equal(back.frames, found.frames)
    np.testing.assert_allclose(back.coord, found.coord, atol=1e-4)
    assert back.crystal == CELL
    assert member_rows(back) == member_rows(found)
    part = back.select_members(np.array([3, 1]))
    np.testing.assert_array_equal(part.frames, found.frames[[3, 1]])


def test_the_table_of_members_counts_models_from_one_and_frames_from_zero() -> None:
    source, _ = opened(3)
    found = weighted_ensemble(source, DIVISIONS, np.array([0.5, 0.0, 1.5]), ones(3))
    assert member_rows(found) == (MemberRow(1, 0, 0.25), MemberRow(2, 2, 0.75))
    assert found.member(0).frames is None
    with pytest.raises(InputError, match="do not say which frames"):
        member_rows(found.replace(provenance={}))


@pytest.mark.parametrize(
    "selection", ["name CA", np.arange(N_ATOMS) % 4 == 0, np.arange(0, 12, 4)]
)
def test_a_selection_is_placed_as_the_whole_is(selection) -> None:
    source, _ = opened(6)
    weights = np.arange(6) / 15
    whole = weighted_ensemble(source, DIVISIONS, weights, ones(6))
    found = weighted_ensemble(source, DIVISIONS, weights, ones(6), selection=selection)
    assert set(found.atoms.atom_name) == {"CA"}
    np.testing.assert_array_equal(found.coord, whole.coord[:, ::4])


def test_members_with_a_place_of_their_own_need_not_fill_the_trajectory() -> None:
    source, _ = opened(20)
    with pytest.raises(InputError, match="6 frames in 2 members, 20 frames"):
        weighted_ensemble(source, DIVISIONS, np.ones(2), np.array([3, 3]))
    found = weighted_ensemble(
        source, DIVISIONS, np.ones(2), np.array([3, 3]), first_frame=np.array([2, 15])
    )
    assert found.frames.tolist() == [2, 3, 4, 15, 16, 17]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"weights": np.ones(3)}, "3 weights, 2 numbers of frames"),
        ({"weights": np.array([-1.0, 2.0])}, "non-negative"),
        ({"weights": np.zeros(2)}, "not all zero"),
        ({"weights": np.array([np.nan, 1.0])}, "non-negative"),
        ({"n_frames": np.array([3, 4])}, "7 frames in 2 members, 6 frames"),
        ({"n_frames": np.array([6, 0])}, "not of these frames"),
        ({"first_frame": np.array([0, 2])}, "not of these frames"),
        ({"first_frame": np.array([0, 4])}, "not of these frames"),
        ({"n_members": 0}, "at least one member; found 0"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_frame_is_read(change, what) -> None:
    source, file = opened(6)
    arguments = {"weights": np.ones(2), "n_frames": np.array([3, 3])} | change
    with pytest.raises(InputError, match=what):
        weighted_ensemble(source, DIVISIONS, **arguments)
    assert not file.read
