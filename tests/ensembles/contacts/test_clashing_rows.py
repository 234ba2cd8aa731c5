"""What clashes and what does not, rule by rule and against every pair."""

from __future__ import annotations

import biotite.structure as struc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rows_in_space import Row, placed, scattered

from unstill.chemistry.radii import covalent_radii, vdw_radii
from unstill.ensembles.contacts import can_coexist, find_bonds, find_clashes
from unstill.ensembles.multiconformer import Multiconformer, Rule
from unstill.errors import InputError


@given(st.integers(0, 10_000), st.sampled_from([0.3, 0.6, 1.0]))
def test_clashes_are_all_pairs_that_a_search_of_every_pair_finds(
    seed: int, overlap: float
) -> None:
    model = scattered(seed, 40, 7.0)
    clashes = find_clashes(model, overlap=overlap)
    found = list(zip(clashes.row_a.tolist(), clashes.row_b.tolist(), strict=True))
    assert found == every_clash(model, overlap)
    apart = np.linalg.norm(model.coord[clashes.row_a] - model.coord[clashes.row_b], axis=1)
    assert clashes.distance == pytest.approx(apart)
    assert (clashes.overlap > 0).all()


def every_clash(model: Multiconformer, overlap: float) -> list[tuple[int, int]]:
    rows = range(model.n_rows)
    site = model.sites[model.site]
    bonds = find_bonds(model)
    linked: dict[int, set[int]] = {row: set() for row in rows}
    for a, b in zip(bonds.row_a.tolist(), bonds.row_b.tolist(), strict=True):
        if is_chemistry(site[a], site[b]):
            linked[a].add(b)
            linked[b].add(a)
    found = []
    for a in rows:
        for b in range(a + 1, model.n_rows):
            one, other = site[a], site[b]
            vdw = vdw_radii(np.array([one.element, other.element])).sum()
            bond = covalent_radii(np.array([one.element, other.element])).sum()
            length = float(np.linalg.norm(model.coord[a] - model.coord[b]))
            metal = "ZN" in (one.element, other.element)
            if (
                "H" not in (one.element, other.element)
                and vdw - length > overlap
                and not 0.6 * bond <= length <= bond + 0.45
                and (not metal or length < 0.6 * bond)
                and far_in_sequence(one, other)
                and can_coexist(model, model.state[[a]], model.state[[b]])[0]
                and not linked[a] & linked[b]
            ):
                found.append((a, b))
    return found


def far_in_sequence(a: struc.Atom, b: struc.Atom) -> bool:
    if (a.chain_id, a.res_id) == (b.chain_id, b.res_id):
        return False
    water = "HOH" in (a.res_name, b.res_name)
    return bool(water or a.chain_id != b.chain_id or abs(a.res_id - b.res_id) > 1)


def is_chemistry(a: struc.Atom, b: struc.Atom) -> bool:
    if (a.chain_id, a.res_id) == (b.chain_id, b.res_id) or "ZN" in (a.element, b.element):
        return True
    if a.element == b.element == "S":
        return True
    names = {a.res_name, b.res_name}
    return bool(names & {"GOL"}) and "HOH" not in names


SER: Row = ("A", 1, "SER", "OG", "O", "", 1.0, (0.0, 0.0, 0.0))


def beside(
    distance: float,
    *,
    chain: str = "A",
    residue: int = 9,
    name: str = "SER",
    atom: str = "OG",
    element: str = "O",
) -> Row:
    return (chain, residue, name, atom, element, "", 1.0, (distance, 0.0, 0.0))


@pytest.mark.parametrize(("distance", "clash"), [(2.43, True), (2.45, False)])
def test_two_oxygens_clash_from_the_sum_of_their_radii_less_the_overlap(
    distance: float, clash: bool
) -> None:
    model = placed([SER, beside(distance)])
    assert len(find_clashes(model)) == clash


@pytest.mark.parametrize(
    ("row", "clash"),
    [
        (beside(2.2, residue=2), False),
        (beside(2.2, residue=3), True),
        (beside(2.2, residue=2, chain="B"), True),
        (beside(2.2, residue=2, name="HOH", atom="O"), True),
        (beside(1.45, residue=9), False),  # the length of a bond
        (beside(0.5, residue=9), True),  # shorter than any bond
        (beside(1.2, residue=9, atom="HG", element="H"), False),
        (beside(2.1, residue=9, name="ZN", atom="ZN", element="ZN"), False),
        (beside(1.0, residue=9, name="ZN", atom="ZN", element="ZN"), True),
    ],
)
def test_neighbours_bonds_hydrogens_and_metals_do_not_clash(row: Row, clash: bool) -> None:
    assert len(find_clashes(placed([SER, row]))) == clash


def test_atoms_two_bonds_apart_across_a_disulfide_do_not_clash() -> None:
    rows: list[Row] = [
        ("A", 3, "CYS", "CB", "C", "", 1.0, (-1.1, 1.4, 0.0)),
        ("A", 3, "CYS", "SG", "S", "", 1.0, (0.0, 0.0, 0.0)),
        ("A", 40, "CYS", "SG", "S", "", 1.0, (2.05, 0.0, 0.0)),
    ]
    assert len(find_clashes(placed(rows))) == 0
    # Without the sulfur between them, the same two atoms are only near each other.
    assert len(find_clashes(placed([rows[0], beside(0.9, residue=40)]))) == 1


def test_ligands_of_one_metal_do_not_clash() -> None:
    rows: list[Row] = [
        ("A", 3, "HIS", "NE2", "N", "", 1.0, (2.0, 0.0, 0.0)),
        ("A", 40, "ASP", "OD1", "O", "", 1.0, (0.6, 1.9, 0.0)),
        ("B", 1, "FE", "FE", "FE", "", 1.0, (0.0, 0.0, 0.0)),
    ]
    assert len(find_clashes(placed(rows))) == 0
    assert len(find_clashes(placed(rows[:2]))) == 1


def test_states_that_exclude_each_other_do_not_clash() -> None:
    rows: list[Row] = [
        ("A", 1, "SER", "OG", "O", "A", 0.5, (0.0, 0.0, 0.0)),
        ("A", 9, "SER", "OG", "O", "B", 0.5, (2.2, 0.0, 0.0)),
    ]
    assert len(find_clashes(placed(rows))) == 1
    assert len(find_clashes(placed(rows, rules=[Rule(1, "NOT", "A", ("B",))]))) == 0
    inherited = placed(rows, parents={"A": "P", "B": "Q"}, rules=[Rule(1, "NOT", "Q", ("P",))])
    assert len(find_clashes(inherited)) == 0


def test_clashes_of_states_are_gathered_with_the_worst_pair() -> None:
    rows: list[Row] = [
        ("A", 1, "SER", "OG", "O", "A", 0.5, (0.0, 0.0, 0.0)),
        ("A", 1, "SER", "CB", "C", "A", 0.5, (0.0, 1.4, 0.0)),
        ("A", 9, "SER", "OG", "O", "B", 0.5, (2.2, 0.0, 0.0)),
    ]
    model = placed(rows)
    (clash,) = find_clashes(model).by_states(model)
    assert (clash.row_a, clash.row_b, clash.n, clash.symmetry) == (0, 2, 2, "")
    assert clash.overlap == pytest.approx(2 * 1.52 - 2.2)


def test_mates_need_a_crystal() -> None:
    with pytest.raises(InputError, match="clashes between symmetry mates need a unit cell"):
        find_clashes(placed([SER]), symmetry=True)


def test_one_atom_and_no_atom_have_no_clashes() -> None:
    assert len(find_clashes(placed([SER]))) == len(find_clashes(placed([]))) == 0
