"""The lossless profile gives an ensemble back to the last bit, and folds what members share."""

from __future__ import annotations

from pathlib import Path

import biotite.structure
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.ensembles import Ensemble
from unstill.ensembles.encode.lossless import encode_lossless, letters
from unstill.ensembles.multiconformer import Multiconformer, recorded_members
from unstill.errors import InputError

NAMES = ("N", "CA", "C", "O", "CB", "CG")


def atoms_of(n_residues: int, names: tuple[str, ...] = NAMES) -> biotite.structure.AtomArray:
    atoms = biotite.structure.AtomArray(n_residues * len(names))
    atoms.chain_id[:] = "A"
    atoms.res_id = np.repeat(np.arange(1, n_residues + 1), len(names))
    atoms.res_name[:] = "LEU"
    atoms.atom_name = np.tile(names, n_residues)
    atoms.element = np.array([name[0] for name in atoms.atom_name])
    return atoms


def grid_coord(place: np.ndarray) -> np.ndarray:
    """Coordinates of which equal numbers give equal places, other ones different."""
    atom = np.broadcast_to(np.arange(place.shape[1]) * 3.1, place.shape)
    return np.stack([atom, place / 3, np.sqrt(place + 1.0)], axis=-1)


def same_ensemble(ours: Ensemble, given: Ensemble) -> None:
    shape = (given.n_members, given.n_atoms)
    occupancy = np.broadcast_to(given.occupancy, shape)
    there = occupancy > 0
    np.testing.assert_array_equal(np.broadcast_to(ours.occupancy, shape), occupancy)
    np.testing.assert_array_equal(ours.coord[there], given.coord[there])
    np.testing.assert_array_equal(
        np.broadcast_to(ours.b_factor, shape)[there],
        np.broadcast_to(given.b_factor, shape)[there],
    )
    np.testing.assert_allclose(ours.weights, given.weights, atol=1e-15)
    for name in ("chain_id", "res_id", "res_name", "atom_name", "element"):
        np.testing.assert_array_equal(
            ours.atoms.get_annotation(name), given.atoms.get_annotation(name)
        )


def check_model(model: Multiconformer) -> None:
    """States nest as members say, and no row is kept twice."""
    assert model.members is not None
    held, tree = model.members.in_state, model.tree
    for state, parent in enumerate(tree.parent.tolist()):
        assert parent < 0 or not (held[:, state] & ~held[:, parent]).any()
    assert held.any(axis=0).all()
    assert set(model.state.tolist()) | {0} == set(range(len(model.states)))
    np.testing.assert_allclose(tree.occupancy, model.members.populations, atol=1e-12)
    pairs = {(site, label) for site, label in zip(model.site, model.altloc_id, strict=True)}
    assert len(pairs) == model.n_rows


@given(
    place=st.integers(1, 7).flatmap(
        lambda m: st.lists(
            st.lists(st.integers(0, 2), min_size=12, max_size=12), min_size=m, max_size=m
        )
    ),
    absent=st.lists(st.booleans(), min_size=84, max_size=84),
    seed=st.integers(0, 99),
)
def test_any_ensemble_comes_back_bit_for_bit(
    place: list[list[int]], absent: list[bool], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    places = np.array(place)
    n_members = len(places)
    missing = np.array(absent).reshape(7, 12)[:n_members] & (rng.random(12) < 0.4)
    ensemble = Ensemble(
        atoms_of(2),
        grid_coord(places),
        occupancy=np.where(missing, 0.0, 1.0),
        b_factor=10.0 + places,
        weights=rng.dirichlet(np.ones(n_members)),
    )
    encoded = encode_lossless(ensemble)
    same_ensemble(recorded_members(encoded.model), ensemble)
    check_model(encoded.model)


def test_atoms_with_the_same_partition_share_states_and_finer_ones_are_nested() -> None:
    backbone = np.array([0, 0, 0, 1, 1, 1])
    side_chain = np.array([0, 0, 1, 2, 2, 2])
    place = np.zeros((6, 18), dtype=int)
    place[:, 6:10] = backbone[:, None]
    place[:, 10:12] = side_chain[:, None]
    place[:, 12:16] = backbone[:, None]
    weights = np.array([0.1, 0.2, 0.3, 0.2, 0.1, 0.1])
    encoded = encode_lossless(Ensemble(atoms_of(3), grid_coord(place), weights=weights))
    model = encoded.model
    assert [(s.id, s.parent) for s in model.states] == [
        ("Base", None), ("A", "Base"), ("B", "Base"), ("C", "A"), ("D", "A"), ("E", "B"),
    ]  # fmt: skip
    np.testing.assert_allclose(model.populations, [1, 0.6, 0.4, 0.3, 0.3, 0.4])
    assert model.n_rows == 6 + 4 * 2 + 2 * 3 + 4 * 2 + 2
    of_side_chain = np.isin(model.site, (10, 11))
    assert model.altloc_id[of_side_chain].tolist() == ["A", "C", "D"] * 2
    assert (model.altloc_id[model.state == 0] == "").all()
    assert encoded.report.compression == pytest.approx(6 * 18 / 30)


def test_the_first_member_is_what_has_the_first_label_or_none() -> None:
    rng = np.random.default_rng(5)
    place = rng.integers(0, 2, (5, 18))
    ensemble = Ensemble(atoms_of(3), grid_coord(place))
    model = encode_lossless(ensemble).model
    first = np.isin(model.altloc_id, ("", "A"))
    np.testing.assert_array_equal(np.sort(model.site[first]), np.arange(18))
    order = np.argsort(model.site[first])
    np.testing.assert_array_equal(model.coord[first][order], ensemble.coord[0])


def test_an_accidental_agreement_of_one_atom_makes_no_states_of_its_own() -> None:
    place = np.tile(np.arange(9)[:, None], (1, 12))
    place[4, 2] = place[3, 2]
    model = encode_lossless(Ensemble(atoms_of(2), grid_coord(place))).model
    assert len(model.states) == 10
    assert model.n_rows == 9 * 12


def test_more_members_than_letters_or_digits_keep_their_own_labels() -> None:
    place = np.tile(np.arange(1000)[:, None], (1, 6))
    weights = np.random.default_rng(0).dirichlet(np.ones(1000))
    ensemble = Ensemble(atoms_of(1), grid_coord(place), weights=weights)
    encoded = encode_lossless(ensemble)
    assert encoded.report.n_labels == 1000
    assert encoded.model.states[-1].id == "ALL" == letters(999)
    same_ensemble(recorded_members(encoded.model), ensemble)


def test_atoms_that_members_lack_make_compositional_states() -> None:
    place = np.zeros((4, 12), dtype=int)
    occupancy = np.ones((4, 12))
    occupancy[1:3, 6:] = 0
    encoded = encode_lossless(Ensemble(atoms_of(2), grid_coord(place), occupancy=occupancy))
    model = encoded.model
    assert [(s.id, s.kind, s.occupancy) for s in model.states] == [
        ("Base", "conformational", 1.0), ("A", "compositional", 0.5),
    ]  # fmt: skip
    assert model.n_rows == 12
    np.testing.assert_array_equal(recorded_members(model).occupancy, occupancy)


def test_one_missing_hydrogen_costs_no_states_where_the_residue_has_them() -> None:
    place = np.tile(np.arange(9)[:, None], (1, 6))
    occupancy = np.ones((9, 6))
    occupancy[4, 5] = 0
    ensemble = Ensemble(atoms_of(1), grid_coord(place), occupancy=occupancy)
    model = encode_lossless(ensemble).model
    assert (len(model.states), model.n_rows) == (10, 53)
    same_ensemble(recorded_members(model), ensemble)


def test_atoms_without_occupancy_in_any_member_keep_their_places() -> None:
    place = np.tile(np.arange(3)[:, None], (1, 6))
    occupancy = np.ones(6)
    occupancy[5] = 0
    ensemble = Ensemble(atoms_of(1), grid_coord(place), occupancy=occupancy)
    back = recorded_members(encode_lossless(ensemble).model)
    np.testing.assert_array_equal(back.coord, ensemble.coord)
    np.testing.assert_array_equal(back.occupancy, occupancy)


def test_anisotropic_displacements_are_part_of_a_place() -> None:
    place = np.zeros((3, 6), dtype=int)
    u_aniso = np.full((3, 6, 6), np.nan)
    u_aniso[:, :4] = 0.1
    u_aniso[2, :4] = 0.2
    ensemble = Ensemble(atoms_of(1), grid_coord(place), u_aniso=u_aniso)
    model = encode_lossless(ensemble).model
    assert model.n_rows == 2 * 4 + 2
    back = recorded_members(model)
    assert back.u_aniso is not None
    np.testing.assert_array_equal(back.u_aniso, u_aniso)


def test_rounding_folds_more_and_says_how_far_it_went() -> None:
    place = np.zeros((4, 6), dtype=int)
    coord = grid_coord(place)
    coord[2] += 2e-4
    encoded = encode_lossless(Ensemble(atoms_of(1), coord), digits=3)
    assert encoded.model.n_rows == 6
    assert 0 < encoded.report.rmsd_max <= 0.0005 * np.sqrt(3)
    assert np.abs(recorded_members(encoded.model).coord - coord).max() <= 0.0005
    assert encode_lossless(Ensemble(atoms_of(1), coord)).model.n_rows == 12


def test_frames_names_and_single_precision_are_kept() -> None:
    rng = np.random.default_rng(1)
    coord = rng.normal(size=(5, 6, 3)).astype(np.float32)
    ensemble = Ensemble(atoms_of(1), coord, provenance={"frames": [4, 9, 2, 7, 30]})
    back = recorded_members(encode_lossless(ensemble).model)
    assert back.frames is not None
    assert back.frames.tolist() == [4, 9, 2, 7, 30]
    np.testing.assert_array_equal(back.coord.astype(np.float32), coord)
    assert np.abs(back.coord - coord).max() == 0


def test_altlocs_and_atoms_that_stand_twice_are_refused() -> None:
    atoms = atoms_of(1)
    atoms.set_annotation("altloc_id", np.array(["", "", "", "", "A", "B"]))
    with pytest.raises(InputError, match="altlocs"):
        encode_lossless(Ensemble(atoms, np.zeros((2, 6, 3))))
    atoms = atoms_of(1)
    atoms.atom_name[5] = "CB"
    with pytest.raises(InputError, match="twice"):
        encode_lossless(Ensemble(atoms, np.zeros((2, 6, 3))))


def test_a_measured_ensemble_comes_back_bit_for_bit(unstill_data: Path) -> None:
    from unstill.io import read_structure

    ensemble = read_structure(unstill_data / "nmr" / "1gya.cif")
    encoded = encode_lossless(ensemble)
    same_ensemble(recorded_members(encoded.model), ensemble)
    assert encoded.report.n_members == 18


@pytest.mark.parametrize("n_frames", [98, 70])
def test_a_simulated_ensemble_comes_back_bit_for_bit(n_frames: int) -> None:
    datafiles = pytest.importorskip("MDAnalysisTests.datafiles")
    from unstill.io import open_trajectory

    with pytest.warns(match="breaks off"):
        trajectory = open_trajectory(Path(datafiles.PSF), [Path(datafiles.DCD)])
    chunk = next(trajectory.chunks(n_frames))
    weights = np.random.default_rng(2).dirichlet(np.ones(n_frames))
    ensemble = Ensemble(
        trajectory.atoms, chunk.coord, weights=weights, provenance={"frames": list(chunk.frames)}
    )
    encoded = encode_lossless(ensemble)
    back = recorded_members(encoded.model)
    assert np.abs(back.coord - ensemble.coord).max() == 0
    np.testing.assert_allclose(back.weights, weights, atol=1e-15)
    assert back.frames is not None
    assert back.frames.tolist() == list(range(n_frames))
    assert len(encoded.model.states) == n_frames + 1
