from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from peptides import BOX, peptide
from scipy.spatial import cKDTree

from unstill.crystal import Crystal
from unstill.diffuse.density import add_noise, density_of
from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.guidance.moves.waters import WaterMove, WaterSites
from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.protocols import EnsembleState
from unstill.io.structure_files import read_structure


def with_waters(places: np.ndarray, occupancy: list[float], b: list[float]) -> Ensemble:
    """A short peptide in a box, and waters."""
    ensemble = peptide(["ALA", "SER", "GLY", "SER"])
    ensemble = ensemble.replace(coord=ensemble.coord + 10.0 - ensemble.coord.mean(axis=1))
    atoms = ensemble.atoms.copy()
    waters = atoms[: len(places)].copy()
    waters.element[:], waters.atom_name[:], waters.res_name[:] = "O", "O", "HOH"
    n = ensemble.n_atoms
    return Ensemble(
        atoms + waters,
        np.concatenate([ensemble.coord, places[None]], axis=1),
        occupancy=np.concatenate([np.ones(n), occupancy]),
        b_factor=np.concatenate([ensemble.b_factor, b]),
        crystal=BOX,
    )


def site_near(ensemble: Ensemble, name: str, res_id: int) -> np.ndarray:
    """A free place 2.8 Å from an oxygen."""
    atoms = ensemble.atoms
    coord = ensemble.coord[0]
    own = int(np.flatnonzero((atoms.atom_name == name) & (atoms.res_id == res_id))[0])
    rng = np.random.default_rng(0)
    ways = rng.standard_normal((400, 3))
    ways = coord[own] + 2.8 * ways / np.linalg.norm(ways, axis=1, keepdims=True)
    room = np.sort(np.linalg.norm(ways[:, None] - coord, axis=-1), axis=1)[:, 1]
    return ways[room.argmax()]


def test_waters_are_found_with_place_b_and_occupancy_and_deleted_again() -> None:
    bare = with_waters(np.zeros((0, 3)), [], [])
    places = np.array([site_near(bare, "O", 1), site_near(bare, "OG", 4)])
    full = with_waters(places, [1.0, 0.6], [18.0, 25.0])
    n = bare.n_atoms
    data = DensityObservable(density_of(full, 1.7), 1.7, bare.element)
    move = WaterMove(data, BOX)
    state = EnsembleState(bare.coord, np.ones(1), bare.b_factor)
    found = move.update(state, WaterSites.none(), 1.7, n_rounds=3)
    assert (found.added, found.deleted) == (2, 0)
    order = cKDTree(found.sites.coord).query(places)[1]
    np.testing.assert_allclose(found.sites.coord[order], places, atol=0.05)
    product = found.sites.occupancy[order] * 8
    np.testing.assert_allclose(product, [8.0, 4.8], rtol=0.2)
    np.testing.assert_allclose(found.sites.b_factor[order], [18.0, 25.0], atol=7)
    again = move.update(state, found.sites, 1.7)
    assert (again.added, again.deleted) == (0, 0)
    assert again.moved < 0.05
    # The map without them keeps none; nor does one whose atoms stand where the waters are.
    empty = WaterMove(DensityObservable(density_of(bare, 1.7), 1.7, bare.element), BOX)
    assert empty.update(state, found.sites, 1.7).deleted == 2
    crowded = bare.coord.copy()
    crowded[0, 1], crowded[0, 2] = places + 0.1
    gone = move.update(EnsembleState(crowded, np.ones(1), bare.b_factor), found.sites, 1.7)
    assert gone.deleted == 2
    assert n == len(data.element)


def test_waters_leave_room_for_members_that_need_it() -> None:
    bare = with_waters(np.zeros((0, 3)), [], [])
    place = site_near(bare, "O", 1)
    full = with_waters(place[None], [0.7], [18.0])
    data = DensityObservable(density_of(full, 1.7), 1.7, bare.element, fit_scale=False)
    coord = np.repeat(bare.coord, 2, axis=0)
    # A member of weight 0.4 has a side chain there.
    coord[1, bare.atoms.atom_name == "CB"] = place + 0.3
    state = EnsembleState(coord, np.array([0.6, 0.4]), bare.b_factor)
    found = WaterMove(data, BOX, add=2.0, keep=1.0).update(state, WaterSites.none(), 1.7)
    near = np.linalg.norm(found.sites.coord - place, axis=1) < 0.6
    assert found.sites.occupancy[near].max(initial=0.0) <= 0.6 + 1e-9


def test_thresholds_that_contradict_are_refused() -> None:
    bare = with_waters(np.zeros((0, 3)), [], [])
    data = DensityObservable(density_of(bare, 2.0), 2.0, bare.element)
    with pytest.raises(InputError, match="a new water needs"):
        WaterMove(data, Crystal(BOX.unit_cell), add=2.0, keep=3.0)


def test_waters_of_a_deposited_model_are_found_in_its_map(unstill_data: Path) -> None:
    ensemble = read_structure(unstill_data / "altloc" / "6b8x.pdb")
    label = np.char.strip(np.asarray(ensemble.atoms.altloc_id, dtype=str))
    model = ensemble.select(np.isin(label, ["", "A"]))
    model = model.replace(occupancy=np.ones(model.n_atoms), u_aniso=None)
    water = model.atoms.res_name == "HOH"
    bare = model.select(~water)
    target = add_noise(density_of(model, 1.7), 1.7, 0.05, 0)
    move = WaterMove(DensityObservable(target, 1.7, bare.element), model.crystal)
    state = EnsembleState(bare.coord.astype(float), np.ones(1), bare.b_factor)
    found = move.update(state, WaterSites.none(), 1.7, n_rounds=5).sites
    truth = model.coord[0, water].astype(float)
    precision = (cKDTree(truth).query(found.coord)[0] < 0.5).mean()
    recall = (cKDTree(found.coord).query(truth)[0] < 0.5).mean()
    assert precision >= 0.85
    assert recall >= 0.85
