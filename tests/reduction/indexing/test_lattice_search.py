"""Lattices from points: cells known and unknown, reduction, Bravais types."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_sweeps import CENTRED, TETRAGONAL, TRICLINIC, U, sweep

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.experiment.lattice import cell_of
from unstill.reduction.indexing.bravais import (
    LATTICES,
    bravais_candidates,
    conventional_cell,
    exact_crystal,
)
from unstill.reduction.indexing.choose_lattice import choose_lattice, crystal_of_cell
from unstill.reduction.indexing.lattice_search import (
    reduced_basis,
    search_known_cell,
    search_unknown_cell,
)
from unstill.reduction.indexing.sublattice import filled_lattice

CELLS = {
    "aP": (30, 41, 53, 80, 95, 105), "mP": (30, 41, 53, 90, 102, 90),
    "mC": (90, 41, 53, 90, 102, 90), "oP": (30, 41, 53, 90, 90, 90),
    "oC": (60, 91, 53, 90, 90, 90), "oF": (60, 81, 93, 90, 90, 90),
    "oI": (60, 81, 93, 90, 90, 90), "tP": (50, 50, 90, 90, 90, 90),
    "tI": (60, 60, 93, 90, 90, 90), "hR": (60, 60, 93, 90, 90, 120),
    "hP": (60, 60, 93, 90, 90, 120), "cP": (60, 60, 60, 90, 90, 90),
    "cI": (60, 60, 60, 90, 90, 90), "cF": (60, 60, 60, 90, 90, 90),
}  # fmt: skip
PRIMITIVE = {
    "P": np.eye(3),
    "C": np.array([[0.5, 0.5, 0], [0.5, -0.5, 0], [0, 0, 1]]),
    "I": np.array([[-0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.5, 0.5, -0.5]]),
    "F": np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    "R": np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3,
}


def primitive_of(lattice: str) -> np.ndarray:
    """A primitive basis of the cell above, in an orientation of its own, not reduced."""
    axes = Crystal(CELLS[lattice], LATTICES[lattice]).orthogonalization_matrix.T
    other = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1]])
    return other @ PRIMITIVE[lattice[1]] @ axes @ U.T


@pytest.mark.parametrize("lattice", sorted(CELLS))
def test_every_bravais_lattice_is_recognised(lattice: str) -> None:
    rng = np.random.default_rng(3)
    basis = primitive_of(lattice) + 0.005 * rng.normal(size=(3, 3))
    best = bravais_candidates(basis, max_penalty=0.5)[0]
    assert best.lattice == lattice
    volume = abs(np.linalg.det(primitive_of(lattice)))
    index = {"P": 1, "C": 2, "I": 2, "R": 3, "F": 4}[lattice[1]]
    assert np.linalg.det(best.axes) == pytest.approx(index * volume, rel=2e-3)
    if lattice != "aP":
        np.testing.assert_allclose(
            np.sort(best.unit_cell[:3]), np.sort(CELLS[lattice][:3]), rtol=2e-3
        )
        np.testing.assert_allclose(best.unit_cell[3:], CELLS[lattice][3:], atol=0.2)


@pytest.mark.parametrize("lattice", sorted(CELLS))
def test_the_conventional_cell_has_the_centring_of_its_group(lattice: str) -> None:
    # Absent reflections of the group are those that the primitive lattice does not have.
    found = conventional_cell(primitive_of(lattice), lattice)
    assert found is not None
    primitive = np.linalg.inv(primitive_of(lattice))
    grid = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    points = grid @ np.linalg.inv(found[0]).T
    index = points @ np.linalg.inv(primitive).T
    exists = np.abs(index - np.rint(index)).max(axis=1) < 1e-6
    operations = Crystal(CELLS[lattice], LATTICES[lattice]).group.operations()
    absent = np.array(operations.systematic_absences(grid))
    np.testing.assert_array_equal(exists, ~absent)


@given(st.integers(0, 100_000))
def test_a_reduced_basis_spans_the_same_lattice(seed: int) -> None:
    rng = np.random.default_rng(seed)
    basis = rng.normal(size=(3, 3)) + 2 * np.eye(3)
    mixed = np.array([[1, 2, 0], [0, 1, 0], [3, -1, 1]]) @ basis
    reduced = reduced_basis(mixed)
    change = reduced @ np.linalg.inv(basis)
    np.testing.assert_allclose(change, np.rint(change), atol=1e-8)
    assert np.linalg.det(reduced) == pytest.approx(abs(np.linalg.det(basis)))
    assert np.linalg.norm(reduced, axis=1).sum() <= np.linalg.norm(mixed, axis=1).sum() + 1e-9


def points_of(crystal: Crystal, n: int = 500, noise: float = 5e-4, seed: int = 0) -> np.ndarray:
    """Random lattice points to 3 Å, with errors, in the orientation U."""
    rng = np.random.default_rng(seed)
    hkl = rng.integers(-14, 15, (20 * n, 3))
    hkl = hkl[~np.array(crystal.group.operations().systematic_absences(hkl))]
    hkl = hkl[(crystal.d(hkl.astype(float)) > 3.0) & np.any(hkl != 0, axis=1)][:n]
    lattice = sweep(crystal).lattice
    assert lattice is not None
    return hkl @ lattice.a_matrix.T + noise * rng.normal(size=(len(hkl), 3))


def same_points(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two setting matrices have the same lattice points."""
    change = np.linalg.inv(second) @ first
    return bool(
        np.allclose(change, np.rint(change), atol=0.03)
        and np.isclose(abs(np.linalg.det(change)), 1, atol=0.03)
    )


@pytest.mark.parametrize(
    "crystal",
    [
        CENTRED,
        pytest.param(TETRAGONAL, marks=pytest.mark.soak),
        pytest.param(TRICLINIC, marks=pytest.mark.soak),
    ],
)
def test_a_known_cell_is_oriented_among_strange_spots(crystal: Crystal) -> None:
    points = points_of(crystal)
    strange = np.random.default_rng(5).uniform(-0.2, 0.2, (200, 3))
    found = search_known_cell(np.concatenate([points, strange]), crystal)
    lattice = sweep(crystal).lattice
    assert lattice is not None
    assert same_points(found[0].a_matrix, lattice.a_matrix)
    assert found[0].share > 0.7


@pytest.mark.parametrize(
    "crystal",
    [
        TRICLINIC,
        pytest.param(TETRAGONAL, marks=pytest.mark.soak),
        pytest.param(CENTRED, marks=pytest.mark.soak),
    ],
)
def test_an_unknown_cell_is_found(crystal: Crystal) -> None:
    found = search_unknown_cell(points_of(crystal), max_cell=60.0)
    group = None if crystal.space_group == "P 1" else crystal.space_group
    chosen, _ = choose_lattice(found[0].a_matrix, space_group=group)
    lattice = sweep(crystal).lattice
    assert lattice is not None
    assert same_points(chosen.a_matrix, lattice.a_matrix)
    if group is not None:
        np.testing.assert_allclose(chosen.crystal.unit_cell, crystal.unit_cell, rtol=5e-3)


def test_points_without_a_lattice_are_hardly_indexed() -> None:
    points = np.random.default_rng(1).uniform(-0.3, 0.3, (600, 3))
    found = search_known_cell(points, TETRAGONAL)
    assert max((one.share for one in found), default=0.0) < 0.3


def test_a_doubled_cell_is_taken_back() -> None:
    crystal = TRICLINIC
    truth = sweep(crystal).lattice
    assert truth is not None
    doubled = truth.a_matrix @ np.diag([0.5, 1, 1]) @ np.array([[1, 0, 0], [0, 1, 1], [0, 0, 1]])
    hkl = np.rint(points_of(crystal, noise=0) @ np.linalg.inv(doubled).T).astype(int)
    filled = filled_lattice(doubled, hkl)
    assert same_points(filled, truth.a_matrix)


def test_a_space_group_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="needs cP"):
        choose_lattice(np.linalg.inv(primitive_of("oP")), space_group="P 2 3")
    with pytest.raises(InputError, match="contradicts"):
        crystal_of_cell((30.0, 41.0, 53.0, 90.0, 90.0, 90.0), "P 41")


def test_the_symmetry_of_a_known_cell_is_that_of_its_numbers() -> None:
    groups = [crystal_of_cell(tuple(map(float, CELLS[k])), None).space_group for k in
              ("aP", "mP", "oP", "tP", "hP", "cP")]  # fmt: skip
    assert groups == ["P 1", "P 1 2 1", "P 2 2 2", "P 4", "P 3", "P 2 3"]


def test_the_exact_cell_obeys_its_group() -> None:
    rough = np.diag([60.1, 59.9, 93.0]) + 0.02
    crystal = exact_crystal(rough, "P 41 21 2")
    assert crystal.unit_cell[0] == crystal.unit_cell[1]
    assert crystal.unit_cell[3:] == (90.0, 90.0, 90.0)
    assert cell_of(rough)[2] == pytest.approx(crystal.unit_cell[2])
