"""From frames in angstroms to fractional coordinates: box, drift, checks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moving_atoms import atom_array

from unstill.crystal import Crystal
from unstill.diffuse.frames import (
    FramePlacement,
    box_deviation,
    cell_of,
    drift,
    fractional,
    reference_atoms,
)
from unstill.errors import InputError

CELL = Crystal((20.0, 25.0, 30.0, 80.0, 95.0, 110.0))
VECTORS = CELL.orthogonalization_matrix.T


def test_fractions_are_of_the_box_of_the_same_frame() -> None:
    frac = np.random.default_rng(0).random((7, 3))
    stretched = VECTORS * np.array([[1.002], [0.998], [1.001]])
    placement = FramePlacement(CELL, 7)
    np.testing.assert_allclose(placement.place(frac @ stretched, stretched, 0), frac, atol=1e-12)


def test_the_box_may_be_turned_in_space() -> None:
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    turned = VECTORS @ turn
    assert box_deviation(turned, CELL) < 1e-9
    frac = np.random.default_rng(0).random((7, 3))
    placed = FramePlacement(CELL, 7).place(frac @ turned, turned, 0)
    np.testing.assert_allclose(placed, frac, atol=1e-12)


def test_frames_without_a_box_use_the_supercell() -> None:
    coord = np.random.default_rng(0).random((5, 3)) * 40
    np.testing.assert_allclose(
        FramePlacement(CELL, 5).place(coord, None, 0), CELL.fractional(coord), atol=1e-12
    )


def test_a_box_of_one_angstrom_stands_for_none() -> None:
    coord = np.random.default_rng(0).random((5, 3)) * 40
    placed = FramePlacement(CELL, 5).place(coord, np.eye(3, dtype=np.float32), 0)
    np.testing.assert_allclose(placed, CELL.fractional(coord), atol=1e-12)


def test_a_box_that_drifts_by_more_than_half_a_per_cent_is_refused_by_its_frame() -> None:
    placement = FramePlacement(CELL, 2)
    coord = np.zeros((2, 3))
    placement.place(coord, VECTORS * 1.0049, 3)
    with pytest.raises(InputError, match=r"0\.6% away .*more than 0\.5%.*frame 17 .*--allow-box"):
        placement.place(coord, VECTORS * 1.006, 17)
    FramePlacement(CELL, 2, None).place(coord, VECTORS * 1.2, 17)


def test_a_box_whose_angle_drifts_is_refused_too() -> None:
    sheared = Crystal((20.0, 25.0, 30.0, 80.0, 95.5, 110.0)).orthogonalization_matrix.T
    with pytest.raises(InputError, match="away from the supercell"):
        FramePlacement(CELL, 1).place(np.zeros((1, 3)), sheared, 0)


@pytest.mark.parametrize("box", [np.zeros((3, 3)), np.full((3, 3), np.nan), np.ones((3, 3))])
def test_an_impossible_box_is_refused_even_if_any_drift_is_allowed(box: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"impossible; found frame 4 "):
        FramePlacement(CELL, 1, None).place(np.zeros((1, 3)), box, 4)


def test_a_frame_of_other_atoms_is_refused() -> None:
    with pytest.raises(InputError, match="6 atoms in frame 2, 5 in the model"):
        FramePlacement(CELL, 5).place(np.zeros((6, 3)), None, 2)


@given(
    shift=st.tuples(*[st.floats(-3, 3)] * 3),
    spread=st.floats(0, 0.08),
    seed=st.integers(0, 2**31),
)
def test_a_common_drift_is_found_whatever_its_length(
    shift: tuple[float, float, float], spread: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    reference = rng.random((30, 3))
    jitter = rng.uniform(-spread, spread, size=(30, 3))
    jitter -= jitter.mean(axis=0)
    # Each atom is wrapped on its own, as a trajectory may have it.
    moved = (reference + jitter + np.array(shift)) % 1.0
    difference = drift(moved, reference) - np.array(shift)
    np.testing.assert_allclose(difference - np.rint(difference), 0, atol=1e-9)


def test_alignment_brings_a_shifted_frame_back() -> None:
    frac = np.random.default_rng(0).random((9, 3))
    placement = FramePlacement(CELL, 9).aligned_to(frac, np.array([1, 4, 5]))
    shifted = (frac + np.array([0.5, -0.3, 0.02])) @ VECTORS
    back = placement.place(shifted, None, 1)
    np.testing.assert_allclose(back - frac - np.rint(back - frac), 0, atol=1e-12)


def test_references_have_names_that_tell_them_apart() -> None:
    frac = np.random.default_rng(0).random((9, 3))
    plain = FramePlacement(CELL, 9)
    assert plain.reference_digest == "none"
    first = plain.aligned_to(frac, np.array([0, 1]))
    assert first.reference_digest == plain.aligned_to(frac, np.array([0, 1])).reference_digest
    assert (
        first.reference_digest != plain.aligned_to(frac + 0.01, np.array([0, 1])).reference_digest
    )


def test_the_drift_is_that_of_the_alpha_carbons_and_not_of_calcium() -> None:
    atoms = atom_array(["C", "N", "CA", "C"], ["CA", "N", "CA", "CA"])
    assert reference_atoms(atoms).tolist() == [0, 3]


def test_without_alpha_carbons_it_is_that_of_the_heavy_atoms() -> None:
    assert reference_atoms(atom_array(["O", "H", "H", "D", "S"])).tolist() == [0, 4]
    assert reference_atoms(atom_array(["H", "H"])).tolist() == [0, 1]


def test_fractions_do_not_depend_on_the_precision_of_the_file() -> None:
    coord = (np.random.default_rng(0).random((50, 3)) * 30).astype(np.float32)
    found = fractional(coord, VECTORS)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found @ VECTORS, coord, atol=1e-12)


def test_cell_and_vectors_agree() -> None:
    np.testing.assert_allclose(cell_of(VECTORS), CELL.unit_cell, rtol=1e-9)
