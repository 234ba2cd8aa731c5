"""The bound, occupancies, spread and geometry of encoding within a bound."""

from __future__ import annotations

import biotite.structure
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moving_chains import chain, moving_chain, residue_rmsd

from unstill.ensembles import Ensemble
from unstill.ensembles.encode import encode_eps
from unstill.ensembles.multiconformer import recorded_members
from unstill.errors import InputError
from unstill.validation import check_hierarchy

EIGHT_PI_SQUARED = 8 * np.pi**2


@given(seed=st.integers(0, 10_000), eps=st.sampled_from([0.2, 0.5, 1.0, 3.0]))
def test_every_residue_of_every_member_is_within_the_bound(seed, eps) -> None:
    ensemble = moving_chain(seed)
    encoded = encode_eps(ensemble, eps=eps)
    back = recorded_members(encoded.model)
    rmsd = _least_over_names(back, ensemble)
    assert rmsd.max() <= eps + 1e-6
    # The report says what is measured here.
    assert encoded.report.rmsd_max == pytest.approx(rmsd.max(), abs=1e-6)
    assert encoded.report.rmsd_mean == pytest.approx(
        float(ensemble.weights @ rmsd.mean(axis=1)), abs=1e-6
    )
    np.testing.assert_allclose(back.weights, ensemble.weights, atol=1e-12)


def _least_over_names(back: Ensemble, given: Ensemble) -> np.ndarray:
    """RMSD where CD1 and CD2 of leucine may be exchanged: they are equivalent only by name."""
    swapped = np.arange(given.n_atoms)
    first, second = (np.flatnonzero(given.atoms.atom_name == name) for name in ("CD1", "CD2"))
    swapped[first], swapped[second] = second, first
    other = given.replace(coord=given.coord[:, swapped])
    return np.minimum(residue_rmsd(back, given), residue_rmsd(back, other))


@given(seed=st.integers(0, 10_000))
def test_occupancies_are_sums_of_weights(seed) -> None:
    ensemble = moving_chain(seed)
    model = encode_eps(ensemble, eps=0.4).model
    assert model.members is not None
    in_state = model.members.in_state
    shares = model.members.weights @ in_state
    np.testing.assert_allclose(model.tree.occupancy, shares, atol=1e-6)
    np.testing.assert_allclose(model.occupancy, shares[model.state], atol=1e-6)
    # Every atom is in exactly one place in every member, so places of an atom sum to one.
    sums = np.bincount(model.site, model.occupancy, minlength=model.n_sites)
    np.testing.assert_allclose(sums, 1.0, atol=1e-6)
    assert not [one for one in check_hierarchy(model) if one.rule in ("V1", "V2", "V3", "V9")
                and one.severity == "error"]  # fmt: skip


@given(seed=st.integers(0, 10_000), eps=st.sampled_from([0.3, 0.8]))
def test_no_peptide_bond_breaks_that_was_whole(seed, eps) -> None:
    ensemble = moving_chain(seed, n_residues=5, jump=1.0, noise=0.03)
    encoded = encode_eps(ensemble, eps=eps)
    back = recorded_members(encoded.model)

    def lengths(one: Ensemble) -> np.ndarray:
        c, n = (one.coord[:, one.atoms.atom_name == name] for name in ("C", "N"))
        return np.linalg.norm(c[:, :-1] - n[:, 1:], axis=-1)

    good = np.abs(lengths(ensemble) - 1.33) <= 0.1
    off = np.abs(lengths(back) - 1.33) > 0.1
    assert not (good & off).any()
    assert encoded.report.n_off == 0
    assert encoded.report.n_off_given == int((~good).sum())


def test_the_spread_inside_a_state_goes_into_b() -> None:
    ensemble = moving_chain(3, n_members=40, jump=0.0, noise=0.2, weighted=True)
    encoded = encode_eps(ensemble, eps=2.0, repair=False)
    model = encoded.model
    # One state holds all, in a leucine the names of whose methyls were settled before.
    assert model.n_rows == model.n_sites
    keep = ~np.isin(ensemble.atoms.atom_name, ["CD1", "CD2"])
    mean = np.einsum("m,mai->ai", ensemble.weights, ensemble.coord)
    squared = np.einsum("m,mai->a", ensemble.weights, (ensemble.coord - mean) ** 2)
    np.testing.assert_allclose(model.coord[keep], mean[keep], atol=1e-9)
    np.testing.assert_allclose(
        model.b_factor[keep], 9.0 + EIGHT_PI_SQUARED / 3 * squared[keep], rtol=1e-9
    )
    aniso = encode_eps(ensemble, eps=2.0, repair=False, anisotropic=True).model
    assert aniso.u_aniso is not None
    shift = ensemble.coord - mean
    tensor = np.einsum("m,mai,maj->aij", ensemble.weights, shift, shift)
    tensor += np.eye(3) * 9.0 / EIGHT_PI_SQUARED
    found = aniso.u_aniso[keep]
    for place, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))):
        np.testing.assert_allclose(found[:, place], tensor[keep, i, j], atol=1e-9)


def test_equal_members_make_one_state() -> None:
    atoms = chain(3)
    coord = np.repeat(np.asarray(atoms.coord, float)[None], 5, axis=0)
    encoded = encode_eps(Ensemble(atoms, coord), eps=0.5)
    assert len(encoded.model.states) == 1
    assert encoded.report.compression == 5
    np.testing.assert_allclose(encoded.model.coord, coord[0], atol=1e-9)


def test_two_hinged_halves_make_two_segments() -> None:
    """One switch moves residues 3 to 6 together: two states hold them all."""
    atoms = chain(6)
    coord = np.repeat(np.asarray(atoms.coord, float)[None], 8, axis=0)
    moved = np.arange(8) % 2 == 1
    coord[np.ix_(moved, atoms.res_id >= 3)] += [0.0, 0.0, 1.6]
    weights = np.array([3, 1, 3, 1, 3, 1, 3, 1]) / 16
    model = encode_eps(Ensemble(atoms, coord, weights=weights), eps=0.3, repair=False).model
    shares = sorted(round(state.occupancy, 6) for state in model.states)
    assert shares == [0.25, 0.75, 1.0]
    labels = {str(label) for label in model.altloc_id}
    assert labels == {"", "A", "B"}
    # The letter of a residue means the same members in all of them.
    for letter in ("A", "B"):
        assert len(set(model.state[model.altloc_id == letter].tolist())) == 1


def test_side_chains_nest_in_backbone_states() -> None:
    atoms = chain(3)
    coord = np.repeat(np.asarray(atoms.coord, float)[None], 8, axis=0)
    side = np.isin(atoms.atom_name, ["CG", "CD1", "CD2"]) & (atoms.res_id == 2)
    coord[np.ix_(np.arange(8) >= 4, np.ones(len(atoms), bool))] += [0.0, 0.0, 3.0]
    coord[np.ix_(np.arange(8) % 2 == 1, side)] += [0.0, 2.0, -2.0]
    model = encode_eps(Ensemble(atoms, coord), eps=0.3, repair=False).model
    tree = model.tree
    deep = [number for number in range(len(tree)) if tree.depth[number] == 2]
    assert len(deep) == 4
    for number in deep:
        assert model.states[number].occupancy == pytest.approx(0.25)
        assert {str(model.sites.atom_name[s]) for s in model.site[model.state == number]} == {
            "CG", "CD1", "CD2"
        }  # fmt: skip


def test_equivalent_atoms_are_one_place_whatever_their_names() -> None:
    """A flipped phenyl ring is no second state."""
    ring = {"CG": (0, 0), "CD1": (1.2, 0.7), "CE1": (2.4, 0)}
    ring |= {"CZ": (2.4, -1.4), "CE2": (1.2, -2.1), "CD2": (0, -1.4)}
    backbone = chain(1, res_name="PHE")[:5]
    extra = biotite.structure.AtomArray(6)
    extra.chain_id[:], extra.res_name[:], extra.res_id[:] = "A", "PHE", 1
    extra.atom_name, extra.element[:] = np.array(list(ring)), "C"
    extra.coord = np.array([(x + 3.5, y, -1.3) for x, y in ring.values()], dtype=np.float32)
    atoms = backbone + extra
    coord = np.repeat(np.asarray(atoms.coord, float)[None], 2, axis=0)
    index = {name: number for number, name in enumerate(atoms.atom_name)}
    for a, b in (("CD1", "CD2"), ("CE1", "CE2")):
        coord[1, [index[a], index[b]]] = coord[0, [index[b], index[a]]]
    encoded = encode_eps(Ensemble(atoms, coord), eps=0.1)
    assert len(encoded.model.states) == 1
    assert encoded.report.rmsd_max < 1e-6


def test_residues_that_some_members_lack_are_absent_there() -> None:
    ensemble = moving_chain(5, n_residues=3, n_members=5)
    occupancy = np.ones((5, ensemble.n_atoms))
    occupancy[:2, ensemble.atoms.res_id == 3] = 0.0
    partial = ensemble.replace(occupancy=occupancy)
    model = encode_eps(partial, eps=0.6).model
    back = recorded_members(model)
    gone = np.broadcast_to(back.occupancy, (5, model.n_sites)) == 0
    assert gone[:2][:, model.sites.res_id == 3].all()
    assert not gone[2:].any()
    share = ensemble.weights[2:].sum()
    last = model.sites.res_id[model.site] == 3
    sums = np.bincount(model.site[last], model.occupancy[last], minlength=model.n_sites)
    np.testing.assert_allclose(sums[model.sites.res_id == 3], share, atol=1e-6)


def test_waters_ions_and_single_members() -> None:
    water = biotite.structure.AtomArray(2)
    water.chain_id[:], water.res_name = "W", np.array(["HOH", "NA"])
    water.res_id = np.array([1, 2])
    water.atom_name, water.element = np.array(["O", "NA"]), np.array(["O", "NA"])
    water.hetero[:] = True
    coord = np.array([[[0, 0, 0], [9, 0, 0]], [[0, 0, 4], [9, 0, 0.2]]], dtype=float)
    model = encode_eps(Ensemble(water, coord), eps=0.5).model
    assert np.bincount(model.site).tolist() == [2, 1]
    alone = encode_eps(Ensemble(water, coord[:1]), eps=0.5)
    assert alone.model.n_rows == 2
    assert alone.report.rmsd_max == 0


@pytest.mark.parametrize("eps", [0.0, -1.0, float("nan"), float("inf")])
def test_bounds_that_are_none(eps) -> None:
    with pytest.raises(InputError, match="bound"):
        encode_eps(moving_chain(0), eps=eps)


def test_ensembles_that_cannot_be_encoded() -> None:
    ensemble = moving_chain(0, n_residues=1)
    twice = ensemble.select(np.array([0, 1, 1]))
    with pytest.raises(InputError, match="twice"):
        encode_eps(twice)
    labelled = ensemble.atoms.copy()
    labelled.set_annotation("altloc_id", np.array(["A"] + [""] * (len(labelled) - 1)))
    with pytest.raises(InputError, match="altlocs"):
        encode_eps(ensemble.replace(atoms=labelled))
    never = np.ones(ensemble.n_atoms)
    never[2] = 0
    with pytest.raises(InputError, match="no member"):
        encode_eps(ensemble.replace(occupancy=never))


def test_progress_ends_where_it_said() -> None:
    told: list[tuple[int, int]] = []
    encode_eps(moving_chain(1), eps=0.4, progress=lambda done, total: told.append((done, total)))
    done = [one for one, _ in told]
    assert done == sorted(done)
    assert told[-1][0] == told[-1][1]


@pytest.mark.parametrize("eps", [0.5, 1.0])
def test_a_deposited_ensemble(unstill_data, eps) -> None:
    from unstill.io import read_structure

    ensemble = read_structure(unstill_data / "nmr" / "1l2y.cif")
    encoded = encode_eps(ensemble, eps=eps)
    assert encoded.report.bound_holds
    assert encoded.report.n_off == 0
    assert encoded.report.compression > 1.3
