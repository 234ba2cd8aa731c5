"""Rotamers: names, symmetry, the shares that define the levels, and counts of file headers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.io.structure_files import read_structure
from unstill.validation.rotamer_outliers import (
    classify_rotamer,
    classify_side_chains,
    rotameric_residues,
)
from unstill.validation.rotamers import side_chain_torsions

ANGLES = {"ARG": 4, "LYS": 4, "MET": 3, "GLN": 3, "GLU": 3, "SER": 1, "THR": 1, "VAL": 1, "CYS": 1}


def _n_angles(name: str) -> int:
    return ANGLES.get(name, 2)


def test_all_residues_with_side_chains_but_proline_have_rotamers() -> None:
    assert len(rotameric_residues()) == 17
    assert not {"GLY", "ALA", "PRO"} & set(rotameric_residues())


@given(
    name=st.sampled_from(rotameric_residues()),
    seed=st.integers(0, 99),
    turns=st.lists(st.integers(-2, 2), min_size=4, max_size=4),
)
def test_whole_turns_change_nothing(name: str, seed: int, turns: list[int]) -> None:
    chi = np.random.default_rng(seed).uniform(-180, 180, (20, _n_angles(name)))
    moved = chi + 360.0 * np.array(turns[: _n_angles(name)])
    for one, other in zip(classify_rotamer(name, chi), classify_rotamer(name, moved), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(("name", "angle"), [("ASP", 1), ("GLU", 2), ("PHE", 1), ("TYR", 1)])
def test_flat_symmetric_ends_have_half_turns(name: str, angle: int) -> None:
    chi = np.random.default_rng(1).uniform(-180, 180, (200, _n_angles(name)))
    flipped = chi.copy()
    flipped[:, angle] += 180
    assert np.array_equal(classify_rotamer(name, chi)[0], classify_rotamer(name, flipped)[0])
    # The amides have two different ends.
    chi = np.array([[64.0, 7.0], [64.0, 187.0]])
    assert classify_rotamer("ASP", chi)[0].tolist() == [2, 2]
    assert classify_rotamer("ASN", chi)[0].tolist() == [2, 0]


@pytest.mark.parametrize("name", rotameric_residues())
def test_eclipsed_side_chains_are_outliers_and_common_ones_are_not(name: str) -> None:
    common = {
        "ARG": [-67, 180, -179, 177], "ASN": [-70, -42], "ASP": [-69, -29], "CYS": [-65],
        "GLN": [-67, 179, -4], "GLU": [-67, 179, -7], "HIS": [-64, -75], "ILE": [-63, 169],
        "LEU": [-66, 174], "LYS": [-68, -179, -179, 179], "MET": [-66, -61, -69],
        "PHE": [-67, -81], "SER": [66], "THR": [61], "TRP": [-67, 97], "TYR": [-67, -81],
        "VAL": [176],
    }[name]  # fmt: skip
    chi = np.array([common, [120, *common[1:]]], dtype=float)
    assert classify_rotamer(name, chi)[0].tolist() == [2, 0]


def test_levels_hold_the_shares_that_they_are_named_after() -> None:
    # An independent draw from the two tabulated rotamers' neighbourhood: Val, by numbers.
    rng = np.random.default_rng(5)
    mean, sd, n = np.array([65, -62, 176]), np.array([7.2, 5.7, 6.4]) * 1.3, [6015, 17410, 73329]
    pick = rng.choice(3, 200_000, p=np.array(n) / np.sum(n))
    chi = rng.normal(mean[pick], sd[pick])[:, None]
    verdict = classify_rotamer("VAL", chi)[0]
    assert np.mean(verdict == 0) == pytest.approx(0.003, abs=6e-4)
    assert np.mean(verdict == 2) == pytest.approx(0.98, abs=2e-3)


def test_outliers_are_as_many_as_in_headers(unstill_data: Path) -> None:
    headers = {"altloc/2yl0.pdb": 2, "altloc/6ni6.pdb": 3, "bragg/1g8a_refined.pdb": 0}
    ours = {}
    for name in headers:
        chains = side_chain_torsions(read_structure(unstill_data / name))
        found = classify_side_chains(chains)
        ours[name] = int((found.verdict[0] == 0).sum())
        assert found.judged.mean() > 0.9
        named = [text for text in found.name[0] if text]
        assert len(named) == found.judged.sum()
    assert sum(ours.values()) == sum(headers.values())
    assert all(abs(ours[name] - headers[name]) <= 1 for name in headers)


def test_a_mirrored_model_is_full_of_outliers(unstill_data: Path) -> None:
    model = read_structure(unstill_data / "bragg" / "1g8a_refined.pdb")
    mirrored = model.replace(coord=model.coord * [1, 1, -1])
    found = classify_side_chains(side_chain_torsions(mirrored))
    assert np.mean(found.verdict[0][found.judged] == 0) > 0.1
