"""The Bragg fold against gemmi's own structure factors of the symmetric crystal."""

from __future__ import annotations

import warnings

import gemmi
import numpy as np
import pytest
from moving_atoms import ArrayFrames, atom_array

from unstill.crystal import Crystal
from unstill.crystal.supercell import lattice_translations, supercell, symmetry_operations
from unstill.diffuse import bragg_fold, stream_block_sums
from unstill.errors import UnstillWarning
from unstill.maps.block_sums import BlockSums

CASES = [
    ("P 1", (9.0, 10.0, 12.0, 78.0, 95.0, 104.0)),
    ("P 21 21 21", (10.0, 12.0, 14.0, 90.0, 90.0, 90.0)),
    ("P 41", (11.0, 11.0, 14.0, 90.0, 90.0, 90.0)),
    ("C 1 2 1", (14.0, 9.0, 11.0, 90.0, 105.0, 90.0)),
    ("P 61 2 2", (12.0, 12.0, 16.0, 90.0, 90.0, 120.0)),
]
ELEMENT = ["C", "N", "O", "S", "C"]


def asymmetric_unit() -> np.ndarray:
    return np.random.default_rng(3).random((len(ELEMENT), 3))


def symmetric_frames(
    crystal: Crystal, divisions: tuple[int, int, int], n_frames: int = 3, jitter: float = 0.0
) -> ArrayFrames:
    """Supercell of all symmetry mates; with jitter, each atom moves on its own."""
    rotations, translations = symmetry_operations(crystal)
    frac = asymmetric_unit()
    cell = np.concatenate([frac @ r.T + t for r, t in zip(rotations, translations, strict=True)])
    everything = np.concatenate([cell + origin for origin in lattice_translations(divisions)])
    coord = crystal.cartesian(everything)
    repeats = len(everything) // len(ELEMENT)
    rng = np.random.default_rng(0)
    moved = coord + jitter * rng.normal(size=(n_frames, *coord.shape))
    return ArrayFrames(atom_array(ELEMENT * repeats), crystal, moved)


def by_gemmi(crystal: Crystal, hkl: np.ndarray) -> np.ndarray:
    structure = gemmi.Structure()
    structure.cell = gemmi.UnitCell(*crystal.unit_cell)
    structure.spacegroup_hm = crystal.space_group
    residue = gemmi.Residue()
    for element, position in zip(ELEMENT, asymmetric_unit(), strict=True):
        atom = gemmi.Atom()
        atom.element, atom.b_iso = gemmi.Element(element), 0.0
        atom.pos = structure.cell.orthogonalize(gemmi.Fractional(*position))
        residue.add_atom(atom)
    chain = gemmi.Chain("A")
    chain.add_residue(residue)
    model = gemmi.Model(1)
    model.add_chain(chain)
    structure.add_model(model)
    structure.setup_cell_images()
    calculator = gemmi.StructureFactorCalculatorX(structure.cell)
    return np.array(
        [calculator.calculate_sf_from_model(structure[0], list(map(int, h))) for h in hkl]
    )


def folded_sums(crystal: Crystal, divisions: tuple[int, int, int], **options: float) -> BlockSums:
    frames = symmetric_frames(crystal, divisions, **options)  # type: ignore[arg-type]
    return stream_block_sums(
        frames, divisions, 2.5, n_blocks=2, engine_options={"tolerance": 1e-7}
    )


@pytest.mark.parametrize(("space_group", "cell"), CASES)
@pytest.mark.parametrize("divisions", [(1, 1, 1), (2, 1, 2)])
def test_the_fold_of_a_symmetric_crystal_is_gemmis_f_calc(
    space_group: str, cell: tuple[float, ...], divisions: tuple[int, int, int]
) -> None:
    crystal = Crystal(cell, space_group)  # type: ignore[arg-type]
    found = bragg_fold(folded_sums(crystal, divisions))
    expected = by_gemmi(crystal, found.hkl)
    error = np.sqrt(np.mean(np.abs(found.f_calc - expected) ** 2))
    assert error <= 1e-5 * np.sqrt(np.mean(np.abs(expected) ** 2))
    assert found.symmetry_kept == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("space_group", "cell"), CASES)
def test_absent_reflections_are_exactly_zero(space_group: str, cell: tuple[float, ...]) -> None:
    crystal = Crystal(cell, space_group)  # type: ignore[arg-type]
    found = bragg_fold(folded_sums(crystal, (1, 1, 1), jitter=0.5))
    absent = np.array([crystal.group.operations().is_systematically_absent(h) for h in found.hkl])
    assert np.all(found.f_calc[absent] == 0)
    assert np.all(np.abs(found.f_calc[~absent]) > 0)
    assert absent.any() == (space_group != "P 1")


def test_each_laue_orbit_stands_there_once() -> None:
    crystal = Crystal(CASES[2][1], CASES[2][0])  # type: ignore[arg-type]
    hkl = bragg_fold(folded_sums(crystal, (1, 1, 1))).hkl
    asu = gemmi.ReciprocalAsu(crystal.group)
    representatives = {
        tuple(asu.to_asu(list(map(int, h)), crystal.group.operations())[0]) for h in hkl
    }
    assert len(representatives) == len(hkl)
    wanted = gemmi.make_miller_array(crystal.cell, crystal.group, 2.5, unique=True)
    present = {tuple(h) for h in wanted}
    assert present <= representatives


def test_frames_at_another_origin_are_noticed() -> None:
    crystal = Crystal(CASES[2][1], CASES[2][0])  # type: ignore[arg-type]
    frames = symmetric_frames(crystal, (1, 1, 1))
    moved = ArrayFrames(frames.atoms, crystal, frames.coord + np.array([1.7, 0.9, 0.0]))
    sums = stream_block_sums(moved, (1, 1, 1), 2.5, n_blocks=2)
    with pytest.warns(UnstillWarning, match="sit at another origin"):
        assert bragg_fold(sums).symmetry_kept < 0.5
    # Measured against the model, the drift brings them back.
    aligned = stream_block_sums(moved, (1, 1, 1), 2.5, n_blocks=2, reference=frames.coord[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bragg_fold(aligned).symmetry_kept == pytest.approx(1.0, abs=1e-3)


def test_the_mean_of_moving_atoms_is_damped_like_a_b_factor() -> None:
    crystal = Crystal(CASES[1][1], CASES[1][0])  # type: ignore[arg-type]
    frames = symmetric_frames(crystal, (2, 2, 2), n_frames=40, jitter=0.3)
    found = bragg_fold(stream_block_sums(frames, (2, 2, 2), 2.5, n_blocks=2))
    still = by_gemmi(crystal, found.hkl)
    s_squared = supercell(crystal, (1, 1, 1)).s_squared(found.hkl)
    expected = still * np.exp(-2 * np.pi**2 * 0.3**2 * s_squared)
    assert np.abs(found.f_calc - expected).mean() < 0.05 * np.abs(expected).mean()
