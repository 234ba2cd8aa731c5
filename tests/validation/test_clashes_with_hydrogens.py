"""Riding hydrogens, bonds and clashes: closed forms, and models refined with hydrogens."""

from __future__ import annotations

from pathlib import Path

import biotite.structure
import biotite.structure.info
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.io import read_structure
from unstill.validation.bonded_atoms import bonded_atoms
from unstill.validation.clashscore import find_clashes
from unstill.validation.riding_hydrogens import add_riding_hydrogens


def _component(name: str, res_id: int = 1) -> biotite.structure.AtomArray:
    atoms = biotite.structure.info.residue(name)
    atoms.res_id[:] = res_id
    atoms.chain_id[:] = "A"
    atoms.set_annotation("altloc_id", np.full(len(atoms), "", dtype="U4"))
    return atoms[~np.isin(atoms.atom_name, ["OXT", "HXT"])]


def _ensemble(atoms: biotite.structure.AtomArray, coord: np.ndarray | None = None) -> Ensemble:
    coord = atoms.coord[None] if coord is None else coord
    n = len(atoms)
    return Ensemble(
        atoms,
        coord.astype(float),
        occupancy=np.ones(n),
        b_factor=np.full(n, 10.0),
        weights=np.full(len(coord), 1 / len(coord)),
    )


def _pair(one: str, other: str, distance: float, altlocs: tuple[str, str] = ("", "")) -> Ensemble:
    """Two lone atoms of residues that nobody knows, an element each."""
    atoms = biotite.structure.AtomArray(2)
    atoms.element[:] = atoms.atom_name[:] = [one, other]
    atoms.res_name[:], atoms.res_id[:], atoms.chain_id[:] = "ALA", [1, 9], "A"
    atoms.set_annotation("altloc_id", np.array(altlocs))
    return _ensemble(atoms, np.array([[[0.0, 0.0, 0.0], [distance, 0.0, 0.0]]]))


@given(
    name=st.sampled_from(["ALA", "VAL", "PHE", "TRP", "ARG", "LYS", "ASN", "PRO", "ILE"]),
    seed=st.integers(0, 999),
)
def test_hydrogens_of_a_turned_residue_are_those_of_the_dictionary(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ideal = _component(name)
    turn = Rotation.random(2, rng=rng).as_matrix()
    coord = np.stack([ideal.coord @ turn[0].T + 5, ideal.coord @ turn[1].T - 9])
    heavy = ideal.element != "H"
    model = add_riding_hydrogens(_ensemble(ideal[heavy], coord[:, heavy]))
    place = {str(atom): number for number, atom in enumerate(ideal.atom_name)}
    assert model.n_atoms > heavy.sum()
    lengths = []
    for atom in range(heavy.sum(), model.n_atoms):
        wanted = place[str(model.atoms.atom_name[atom])]
        parent = int(
            np.argmin(np.linalg.norm(model.coord[0, : heavy.sum()] - model.coord[0, atom], axis=1))
        )
        for member in (0, 1):
            found = model.coord[member, atom] - model.coord[member, parent]
            along = coord[member, wanted] - model.coord[member, parent]
            cosine = found @ along / np.linalg.norm(found) / np.linalg.norm(along)
            assert cosine > 0.9999
            lengths.append(np.linalg.norm(found))
    assert set(np.round(lengths, 3)) <= {0.86, 0.93, 0.97}


def test_hydrogens_follow_alternate_locations_and_take_b_and_occupancy() -> None:
    serine = _component("SER")
    heavy = serine[serine.element != "H"]
    b = heavy[np.isin(heavy.atom_name, ["CB", "OG"])].copy()
    b.coord += [0.5, 0.4, 0.0]
    heavy.altloc_id[np.isin(heavy.atom_name, ["CB", "OG"])] = "A"
    b.altloc_id[:] = "B"
    model = _ensemble(biotite.structure.concatenate([heavy, b]))
    model = model.replace(occupancy=np.where(model.atoms.altloc_id == "A", 0.7, 0.3))
    full = add_riding_hydrogens(model)
    added = full.atoms[model.n_atoms :]
    names = sorted(zip(added.atom_name.tolist(), added.altloc_id.tolist(), strict=True))
    # HA leans on CB, which has two places; HG turns freely and is left out.
    assert names == [(n, a) for n in ("HA", "HB2", "HB3") for a in "AB"]
    by_altloc = full.occupancy[model.n_atoms :][added.atom_name == "HB2"]
    assert sorted(by_altloc.tolist()) == [0.3, 0.7]
    assert (full.b_factor[model.n_atoms :] == 12.0).all()
    assert add_riding_hydrogens(full).n_atoms == full.n_atoms


def test_amide_hydrogen_halves_the_angle_from_outside() -> None:
    atoms = biotite.structure.AtomArray(5)
    atoms.atom_name[:] = ["CA", "C", "O", "N", "CA"]
    atoms.element[:] = ["C", "C", "O", "N", "C"]
    atoms.res_name[:], atoms.res_id[:], atoms.chain_id[:] = "ALA", [1, 1, 1, 2, 2], "A"
    turn = np.radians(122)
    coord = np.array(
        [
            [-0.8, -1.3, 0],
            [0, 0, 0],
            [-0.6, 1.05, 0],
            [1.33, 0, 0],
            [1.33 - 1.46 * np.cos(turn), 1.46 * np.sin(turn), 0],
        ]
    )
    model = add_riding_hydrogens(_ensemble(atoms, coord[None]))
    amide = model.coord[0, model.atoms.atom_name == "H"]
    assert len(amide) == 1
    half = np.radians(180 - 61)
    expected = coord[3] + 0.86 * np.array([-np.cos(half), -np.sin(half), 0])
    np.testing.assert_allclose(amide[0], expected, atol=1e-6)


def test_bonds_within_and_between_residues() -> None:
    ideal = _component("TRP")
    known = {tuple(sorted(bond)) for bond in ideal.bonds.as_array()[:, :2].tolist()}
    assert {tuple(bond) for bond in bonded_atoms(_ensemble(ideal)).tolist()} == known
    assert len(bonded_atoms(_pair("S", "S", 2.03))) == 1
    assert len(bonded_atoms(_pair("S", "S", 3.0))) == 0
    # Carbons of amino acids that collide are not bonded, and alternates never are.
    assert len(bonded_atoms(_pair("C", "C", 1.5))) == 0
    assert len(bonded_atoms(_pair("C", "N", 1.33))) == 1
    assert len(bonded_atoms(_pair("C", "N", 1.33, ("A", "B")))) == 0


@pytest.mark.parametrize(
    ("one", "other", "touch"),
    [("C", "C", 3.4 - 0.4), ("C", "H", 2.92 - 0.4), ("C", "O", 3.1 - 0.4), ("O", "O", 2.8 - 0.6)],
)
def test_a_clash_begins_where_the_radii_say(one: str, other: str, touch: float) -> None:
    assert find_clashes(_pair(one, other, touch + 0.01)).score[0] == 0
    found = find_clashes(_pair(one, other, touch - 0.01))
    assert found.score[0] == 500
    assert found.pairs[0].tolist() == [[0, 1]]
    assert find_clashes(_pair(one, other, touch - 0.01, ("A", "B"))).score[0] == 0
    assert find_clashes(_pair(one, other, touch - 0.01, ("A", ""))).score[0] == 500


def test_a_good_residue_has_no_clash_and_two_in_one_place_have_many() -> None:
    ideal = add_riding_hydrogens(_ensemble(_component("PHE"))).atoms
    ideal.coord = add_riding_hydrogens(_ensemble(_component("PHE"))).coord[0]
    assert find_clashes(_ensemble(ideal)).score[0] == 0
    far = ideal.copy()
    far.res_id[:] = 7
    far.coord += [0.3, 0.2, 0.9]
    both = biotite.structure.concatenate([ideal, far])
    apart = both.coord + np.where(both.res_id == 7, 40.0, 0.0)[:, None]
    found = find_clashes(_ensemble(both, np.stack([both.coord, apart])))
    assert found.score[0] > 500
    assert found.score[1] == 0
    assert (np.diff(found.overlap[0]) <= 0).all()


def test_absent_atoms_and_waters_among_themselves_do_not_clash() -> None:
    pair = _pair("C", "C", 2.0)
    weak = pair.replace(occupancy=np.array([1.0, 0.1]))
    assert find_clashes(weak).score[0] == 0
    assert find_clashes(weak).n_atoms == 1
    waters = _pair("O", "O", 1.5)
    waters.atoms.res_name[1] = "HOH"
    assert find_clashes(waters).score[0] == 1000
    waters.atoms.res_name[:] = "HOH"
    with pytest.raises(InputError, match="nothing that could clash"):
        find_clashes(waters)


def test_riding_hydrogens_are_those_of_a_refined_model(unstill_data: Path) -> None:
    deposited = read_structure(unstill_data / "bragg" / "1g8a_refined.pdb")
    model = add_riding_hydrogens(deposited)
    given = deposited.element == "H"
    ours = model.coord[0][model.element == "H"]
    free_to_turn = np.isin(deposited.atoms.atom_name, ["HG", "HH", "HG1", "H1", "H2", "H3"])
    fixed = given & ~(free_to_turn & (deposited.atoms.res_name != "LEU"))
    apart = cKDTree(ours).query(deposited.coord[0][fixed])[0]
    # The rest are methyls that the refinement has turned.
    assert np.median(apart) < 0.04
    assert np.mean(apart < 0.3) > 0.97
    by_us, by_them = find_clashes(model).score[0], find_clashes(deposited).score[0]
    # 10.85 in the header; see the module for what is counted otherwise.
    assert by_us == pytest.approx(by_them, abs=2)
    assert 9 < by_them < 18
