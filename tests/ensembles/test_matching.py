"""Which atom is which, whatever chains and residues are called."""

from __future__ import annotations

import os
import string
from pathlib import Path

import biotite.structure
import numpy as np
import pytest
from biotite.structure import info
from hypothesis import given, settings
from hypothesis import strategies as st

from unstill.ensembles import Ensemble
from unstill.ensembles.matching import match_models
from unstill.guidance.protocols import Match
from unstill.io.structure_files import read_structure

NAMES = ("ALA", "GLY", "SER", "LEU", "MET", "ASP", "HIS", "TRP", "LYS", "VAL")


def chain(name: str, kinds: list[str], at: float, first: int = 1) -> biotite.structure.AtomArray:
    parts = []
    for number, kind in enumerate(kinds):
        atoms = info.residue(kind)
        atoms = atoms[(atoms.element != "H") & (atoms.atom_name != "OXT")]
        atoms.coord += np.array([3.8 * number, at, 0.0]) - atoms.coord.mean(axis=0)
        atoms.res_id[:] = first + number
        atoms.chain_id[:] = name
        atoms.bonds = None
        parts.append(atoms)
    return biotite.structure.concatenate(parts)


def ensemble(*parts: biotite.structure.AtomArray) -> Ensemble:
    atoms = biotite.structure.concatenate(parts)
    return Ensemble(atoms, atoms.coord[None].astype(float))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_renamed_renumbered_shuffled_and_cut_models_are_found(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    lengths = data.draw(st.lists(st.integers(12, 30), min_size=1, max_size=3))
    kinds = [rng.choice(NAMES, n).tolist() for n in lengths]
    source = ensemble(
        *(chain(string.ascii_uppercase[i], one, 40.0 * i) for i, one in enumerate(kinds))
    )
    # The truth: rows of the source that are kept, in an order of their own.
    cut = data.draw(st.integers(0, 3))
    kept = np.flatnonzero(source.atoms.res_id > cut)
    kept = kept[rng.random(len(kept)) > 0.05]
    blocks = [
        kept[source.atoms.chain_id[kept] == name] for name in np.unique(source.atoms.chain_id)
    ]
    rng.shuffle(blocks)
    order = np.concatenate(blocks)
    other = source.select(order)
    atoms = other.atoms.copy()
    atoms.res_id += data.draw(st.integers(-20, 400))
    atoms.chain_id[:] = np.char.add("x", np.asarray(atoms.chain_id, dtype=str))[:]
    coord = other.coord + rng.normal(0, 0.3, other.coord.shape)
    found = match_models(source, other.replace(atoms=atoms, coord=coord))
    pairs = dict(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert pairs == {int(row): place for place, row in enumerate(order.tolist())}
    assert set(found.alone_first.tolist()) == set(range(source.n_atoms)) - set(order.tolist())
    assert len(found.alone_second) == 0
    match: Match = found
    assert any("is chain x" in note for note in match.notes)


def test_copies_go_by_name_and_then_by_place() -> None:
    kinds = list(NAMES) * 2
    one = ensemble(chain("A", kinds, 0.0), chain("B", kinds, 60.0))
    swapped = ensemble(chain("C", kinds, 60.0), chain("D", kinds, 0.0))
    chains = {(pair.first, pair.second) for pair in match_models(one, swapped).chains}
    assert chains == {("A", "D"), ("B", "C")}
    named = ensemble(chain("B", kinds, 0.0), chain("A", kinds, 60.0))
    chains = {(pair.first, pair.second) for pair in match_models(one, named).chains}
    assert chains == {("A", "A"), ("B", "B")}


def test_a_gap_in_a_repeat_follows_the_numbers() -> None:
    kinds = ["ALA", "LEU", *["GLY"] * 8, "TRP", "LYS"]
    whole = chain("A", kinds, 0.0)
    gap = whole[~np.isin(whole.res_id, [5, 6])]
    gap.res_id += 100
    found = match_models(ensemble(whole), ensemble(gap))
    assert (gap.res_id[found.second] - whole.res_id[found.first] == 100).all()
    assert found.n_pairs == len(gap)


def test_other_names_letters_and_kinds() -> None:
    first = chain("A", ["ALA", "MET", "SER", "ASP", "LEU", "HIS"], 0.0)
    second = chain("A", ["ALA", "MSE", "SER", "ASN", "LEU", "HIS"], 0.0)
    terminal = second[-1:].copy()
    terminal.atom_name[:] = "OXT"
    letters = chain("A", ["SER"], 0.0, first=3)
    second = biotite.structure.concatenate([second, terminal])
    second.set_annotation("altloc_id", np.full(len(second), "", dtype="U2"))
    letters.set_annotation("altloc_id", np.full(len(letters), "B", dtype="U2"))
    second.altloc_id[second.res_id == 3] = "A"
    both = biotite.structure.concatenate([second, letters])
    occupancy = np.where(both.altloc_id == "A", 0.3, np.where(both.altloc_id == "B", 0.7, 1.0))
    other = Ensemble(both, both.coord[None].astype(float), occupancy=occupancy)
    one = ensemble(first)
    found = match_models(one, other)
    names = {
        f"{one.atoms.res_id[i]}{one.atoms.atom_name[i]}": (
            str(both.atom_name[j]),
            str(both.altloc_id[j]),
        )
        for i, j in zip(found.first, found.second, strict=True)
    }
    assert names["2SD"] == ("SE", "")
    assert names["3OG"] == ("OG", "B")
    assert "4OD2" not in names
    assert names["4OD1"] == ("OD1", "")
    text = " ".join(found.notes)
    assert "1 residues of chain A are of another kind" in text
    assert "OXT" in text


def test_nothing_in_common_is_no_match() -> None:
    found = match_models(
        ensemble(chain("A", ["TRP"] * 12, 0.0)), ensemble(chain("A", ["GLY", "LYS"] * 6, 0.0))
    )
    assert found.n_pairs == 0
    assert found.chains == ()
    assert len(found.notes) == 2


@pytest.mark.skipif("UNSTILL_DATA" not in os.environ, reason="needs UNSTILL_DATA")
def test_a_model_and_its_carve_are_matched() -> None:
    folder = Path(os.environ["UNSTILL_DATA"]) / "altloc"
    whole = read_structure(folder / "1vme.cif")
    carve = read_structure(folder / "1vme_0.5A_0.5B.cif")
    found = match_models(whole, carve)
    apart = np.linalg.norm(whole.coord[0][found.first] - carve.coord[0][found.second], axis=1)
    assert found.n_pairs > 3200
    assert np.percentile(apart, 95) < 0.01
    offset = carve.atoms.res_id[found.second] - whole.atoms.res_id[found.first]
    assert (np.abs(offset) == 12).all()
