"""Flat conformers: whole residues, letters that may be joined, what is dropped is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moving_chains import moving_chain

from unstill.ensembles import Multiconformer
from unstill.ensembles.encode import encode_eps, encode_legacy
from unstill.errors import InputError
from unstill.io import read_multiconformer, write_multiconformer


def same_letter_errors(model: Multiconformer) -> tuple[list[float], list[float]]:
    """Errors of C–N bonds between equal letters, and with atoms of no letter, by plain loops."""
    at: dict[tuple[int, str], dict[str, np.ndarray]] = {}
    for row in range(model.n_rows):
        site = int(model.site[row])
        key = (int(model.sites.res_id[site]), str(model.sites.atom_name[site]))
        at.setdefault(key, {})[str(model.altloc_id[row])] = model.coord[row]
    equal, blank = [], []
    for (number, name), places in at.items():
        if name != "C" or (number + 1, "N") not in at:
            continue
        for letter, xyz in places.items():
            for other, following in at[number + 1, "N"].items():
                error = abs(float(np.linalg.norm(xyz - following)) - 1.33)
                if letter and letter == other:
                    equal.append(error)
                elif "" in (letter, other):
                    blank.append(error)
    return equal, blank


@given(seed=st.integers(0, 10_000), n_labels=st.sampled_from([2, 3, 26]))
def test_no_bond_between_equal_letters_is_off(seed, n_labels) -> None:
    ensemble = moving_chain(seed, n_residues=5, jump=1.2, noise=0.03)
    encoded = encode_legacy(ensemble, eps=0.4, n_labels=n_labels)
    equal, blank = same_letter_errors(encoded.model)
    assert max(equal, default=0.0) <= 0.1
    # Bonds with atoms of no letter are those of members, broken where those are.
    broken = any(error > 0.1 for error in blank)
    assert not broken or encoded.report.n_off_given
    assert broken == any("without a letter" in note for note in encoded.report.notes)
    assert encoded.report.n_off == 0
    assert encoded.report.n_junctions == len(equal) + len(blank)
    assert len({str(one) for one in encoded.model.altloc_id} - {""}) <= n_labels


@given(seed=st.integers(0, 10_000), n_labels=st.sampled_from([1, 2, 26]))
def test_what_is_not_there_was_dropped_and_told(seed, n_labels) -> None:
    ensemble = moving_chain(seed)
    encoded = encode_legacy(ensemble, eps=0.4, n_labels=n_labels)
    model = encoded.model
    sums = np.bincount(model.site, model.occupancy, minlength=model.n_sites)
    least = [1 - sums[model.sites.res_id == one].min() for one in np.unique(model.sites.res_id)]
    assert encoded.report.dropped == pytest.approx(float(np.mean(least)), abs=1e-6)
    told = any("got no letter" in note for note in encoded.report.notes)
    assert told == (encoded.report.dropped > 1e-9)
    assert (sums <= 1 + 1e-6).all()
    if n_labels == 26:
        assert encoded.report.dropped == 0


def test_each_letter_is_a_whole_residue() -> None:
    ensemble = moving_chain(12, n_residues=4)
    model = encode_legacy(ensemble, eps=0.3).model
    for number in np.unique(model.sites.res_id).tolist():
        sites = np.flatnonzero(model.sites.res_id == number)
        rows = np.isin(model.site, sites)
        letters = {str(one) for one in model.altloc_id[rows]} - {""}
        blank = set(model.site[rows & (model.altloc_id == "")].tolist())
        for letter in letters:
            own = set(model.site[rows & (model.altloc_id == letter)].tolist())
            assert own | blank == set(sites.tolist())
            assert not own & blank


def test_places_are_those_of_the_states() -> None:
    ensemble = moving_chain(7)
    flat = encode_legacy(ensemble, eps=0.4).model
    nested = encode_eps(ensemble, eps=0.4).model
    assert {tuple(x) for x in flat.coord.tolist()} == {tuple(x) for x in nested.coord.tolist()}


def test_a_pdb_file_holds_it(tmp_path) -> None:
    model = encode_legacy(moving_chain(9), eps=0.4).model
    write_multiconformer(model, tmp_path / "a.pdb")
    back = read_multiconformer(tmp_path / "a.pdb")
    assert back.n_rows == model.n_rows
    assert sorted(back.altloc_id.tolist()) == sorted(model.altloc_id.tolist())
    sums = np.bincount(back.site, back.occupancy, minlength=back.n_sites)
    np.testing.assert_allclose(sums, 1.0, atol=1e-9)


@pytest.mark.parametrize("n_labels", [0, 63])
def test_letters_that_there_are_not(n_labels) -> None:
    with pytest.raises(InputError, match="letters"):
        encode_legacy(moving_chain(0), n_labels=n_labels)
