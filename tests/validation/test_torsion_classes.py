"""Torsions, Ramachandran classes and rotamers: gemmi's angles, the table's own shares, names."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import biotite.structure
import biotite.structure.info
import gemmi
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.io import read_structure
from unstill.validation.ramachandran import KINDS, classify_angles, classify_backbone
from unstill.validation.rotamers import side_chain_torsions
from unstill.validation.torsions import backbone_torsions, torsions

QUAD = np.array([[0, 1, 2, 3]])


@given(seed=st.integers(0, 9999))
def test_torsions_are_those_of_gemmi_and_of_no_frame(seed: int) -> None:
    rng = np.random.default_rng(seed)
    coord = rng.normal(size=(3, 4, 3))
    expected = [
        np.degrees(gemmi.calculate_dihedral(*[gemmi.Position(*place) for place in member]))
        for member in coord.tolist()
    ]
    np.testing.assert_allclose(torsions(coord, QUAD)[:, 0], expected, atol=1e-6)
    turned = coord @ Rotation.random(rng=rng).as_matrix().T + 7
    np.testing.assert_allclose(torsions(turned, QUAD), torsions(coord, QUAD), atol=1e-6)
    np.testing.assert_allclose(torsions(-coord, QUAD), -torsions(coord, QUAD), atol=1e-6)


def _table() -> dict[str, np.ndarray]:
    text = (files("unstill.validation") / "ramachandran.csv").read_text("utf-8")
    lines = [line.split(",") for line in text.splitlines() if line.split(",")[0] in KINDS]
    return {
        kind: np.array([line[1:] for line in lines if line[0] == kind], dtype=int)
        for kind in KINDS
    }


def test_regions_hold_the_shares_they_should() -> None:
    for number, kind in enumerate(KINDS):
        phi, psi, count = _table()[kind].T
        centres = (phi[None] + 2.5, psi[None] + 2.5)
        verdict = classify_angles(*centres, np.full(len(phi), number))[0]
        share = [count[verdict >= least].sum() / count.sum() for least in (1, 2)]
        # Never less than asked; a bin at the border is in as a whole.
        assert 0.998 <= share[0] < 0.9995
        assert 0.98 <= share[1] < 0.985


def test_known_places_are_known() -> None:
    helix, sheet, left = (-63.0, -43.0), (-120.0, 130.0), (60.0, 45.0)
    phi, psi = np.array([helix, sheet, left, (0.0, 0.0)]).T

    def of(kind: int) -> list[int]:
        return classify_angles(phi[None], psi[None], np.full(4, kind))[0].tolist()

    assert of(0) == [2, 2, 2, 0]
    # Glycine has no hand, and the ring of proline holds phi.
    assert of(1)[2] == 2
    assert of(2) == [2, 0, 0, 0]
    edge = classify_angles(np.array([[-180.0, 180.0]]), np.full((1, 2), 165.0), np.zeros(2, int))
    assert edge[0, 0] == edge[0, 1]


def test_a_mirrored_protein_is_an_outlier(unstill_data: Path) -> None:
    model = read_structure(unstill_data / "bragg" / "1g8a_refined.pdb")
    found = classify_backbone(model)
    # 98.22 % favoured, no outlier in the header.
    assert found.favoured[0] == pytest.approx(0.982, abs=0.01)
    assert found.outliers[0] == 0
    assert found.verdict.shape[1] == 225
    mirrored = classify_backbone(model.replace(coord=model.coord * [1, 1, -1]))
    assert mirrored.outliers[0] > 0.4
    chains = side_chain_torsions(model)
    assert chains.eclipsed.mean() < 0.06
    assert {name[0] for name in chains.names() if name} == set("mpt")


def _tripeptide(altlocs: tuple[str, ...] = ("",)) -> Ensemble:
    """N, CA, C of three residues on a helix; the middle one in as many places as asked."""
    turn = np.radians(100) * np.arange(9) / 3
    coord = np.stack([2.3 * np.cos(turn), 2.3 * np.sin(turn), 0.5 * np.arange(9)], axis=1)
    rows = [(0, ""), (1, ""), (2, "")]
    rows += [(place, label) for label in altlocs for place in (3, 4, 5)]
    rows += [(6, ""), (7, ""), (8, "")]
    atoms = biotite.structure.AtomArray(len(rows))
    atoms.atom_name[:] = [("N", "CA", "C")[place % 3] for place, _ in rows]
    atoms.element[:] = [("N", "C", "C")[place % 3] for place, _ in rows]
    atoms.res_id[:] = [place // 3 + 1 for place, _ in rows]
    atoms.res_name[:], atoms.chain_id[:] = "ALA", "A"
    atoms.res_name[-3:] = "PRO"
    atoms.set_annotation("altloc_id", np.array([label for _, label in rows], dtype="U4"))
    places = coord[[place for place, _ in rows]].copy()
    places[[label == "B" for _, label in rows]] += [0.3, 0.0, 0.1]
    n = len(rows)
    return Ensemble(
        atoms,
        places[None],
        occupancy=np.ones(n),
        b_factor=np.ones(n),
        weights=np.ones(1),
    )


def test_backbone_torsions_go_by_bonds_and_alternate_locations() -> None:
    one = backbone_torsions(_tripeptide())
    coord = _tripeptide().coord
    assert (one.res_name, one.next_name, one.altloc) == (("ALA",), ("PRO",), ("",))
    assert one.phi[0, 0] == torsions(coord, np.array([[2, 3, 4, 5]]))[0, 0]
    assert one.psi[0, 0] == torsions(coord, np.array([[3, 4, 5, 6]]))[0, 0]
    assert one.omega[0, 0] == torsions(coord, np.array([[1, 2, 3, 4]]))[0, 0]
    two = backbone_torsions(_tripeptide(("A", "B")))
    assert two.altloc == ("A", "B")
    assert two.phi[0, 0] == pytest.approx(one.phi[0, 0])
    assert abs(two.phi[0, 1] - one.phi[0, 0]) > 1
    assert classify_backbone(_tripeptide()).kind.tolist() == [KINDS.index("pre-proline")]
    broken = _tripeptide()
    moved = broken.coord + np.where(broken.atoms.res_id == 1, 50.0, 0.0)[:, None]
    none = classify_backbone(broken.replace(coord=moved))
    assert none.verdict.shape == (1, 0)
    assert np.isnan(none.favoured[0])


@given(chi=st.lists(st.floats(-179, 179), min_size=4, max_size=4))
def test_chi_angles_are_found_and_named(chi: list[float]) -> None:
    # Just between two staggered places, either name would do.
    assume(min(abs(x % 120) for x in chi) > 1e-3 and max(x % 120 for x in chi) < 119.999)
    lysine = biotite.structure.info.residue("LYS")
    lysine = lysine[lysine.element != "H"]
    chain = ["N", "CA", "CB", "CG", "CD", "CE", "NZ"]
    coord = lysine.coord.astype(float)
    place = [int(np.flatnonzero(lysine.atom_name == name)[0]) for name in chain]
    for angle, wanted in enumerate(chi):
        quad = np.array([place[angle : angle + 4]])
        axis = coord[quad[0, 2]] - coord[quad[0, 1]]
        change = np.radians(wanted - torsions(coord[None], quad)[0, 0])
        turn = Rotation.from_rotvec(change * axis / np.linalg.norm(axis))
        beyond = place[angle + 3 :]
        coord[beyond] = turn.apply(coord[beyond] - coord[quad[0, 2]]) + coord[quad[0, 2]]
    n = len(lysine)
    model = Ensemble(
        lysine,
        coord[None],
        occupancy=np.ones(n),
        b_factor=np.ones(n),
        weights=np.ones(1),
    )
    found = side_chain_torsions(model)
    np.testing.assert_allclose(found.chi[0, 0], chi, atol=1e-5)
    nearest = [min(abs((x - s + 180) % 360 - 180) for s in (-60, 60, 180)) for x in chi]
    np.testing.assert_allclose(found.deviation[0, 0], nearest, atol=1e-5)
    letters = ["p" if 0 <= x < 120 else "m" if -120 <= x < 0 else "t" for x in chi]
    assert found.names() == ("".join(letters),)
    assert found.eclipsed[0, 0] == (max(nearest) > 30)
    short = side_chain_torsions(model.select(lysine.atom_name != "CG"))
    assert np.isnan(short.chi[0, 0, :3]).all()
    assert short.names()[0].startswith("???")


def test_refuses_atoms_that_are_not_there() -> None:
    with pytest.raises(InputError, match="does not exist"):
        torsions(np.zeros((1, 3, 3)), QUAD)
