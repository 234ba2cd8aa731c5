"""Side chains from a packer in its own process: what moves, what stays, what is refused."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import biotite.structure as bst
import numpy as np
import pytest

from unstill.errors import InputError
from unstill.guidance.predictors import PredictorProcess, SideChainPacker
from unstill.guidance.predictors.failures import PredictorDiedError, PredictorProtocolError

HERE = Path(__file__).parent
MAIN = [("N", "N"), ("CA", "C"), ("C", "C"), ("O", "O")]
RESIDUES = [
    ("A", 10, "MSE", [*MAIN, ("CB", "C"), ("CG", "C"), ("SE", "SE"), ("CE", "C"), ("HA", "H")]),
    ("A", 11, "GLY", MAIN),
    ("A", 12, "SER", [*MAIN, ("CB", "C"), ("OG", "O"), ("OXT", "O")]),
    ("B", 1, "ALA", [*MAIN[:3], ("CB", "C")]),
    ("B", 2, "ALA", [*MAIN, ("CB", "C")]),
    ("B", 90, "HOH", [("O", "O")]),
]


def model(*more: tuple[str, int, str, list[tuple[str, str]]]) -> bst.AtomArray:
    atoms = bst.array(
        [
            bst.Atom(
                np.zeros(3), chain_id=c, res_id=n, res_name=name, atom_name=atom, element=element
            )
            for c, n, name, listed in [*RESIDUES, *more]
            for atom, element in listed
        ]
    )
    atoms.coord = np.random.default_rng(0).normal(0, 9, (len(atoms), 3)).astype(np.float32)
    return atoms


def start(**options: str) -> PredictorProcess:
    return PredictorProcess(
        "fake",
        Path(sys.executable),
        HERE / "packing_worker.py",
        options=options,
        timeout=30,
        threads=1,
    )


@pytest.fixture(scope="module")
def process() -> Iterator[PredictorProcess]:
    with start() as running:
        yield running


def named(atoms: bst.AtomArray, rows: np.ndarray) -> list[str]:
    return [f"{atoms.chain_id[r]}{atoms.res_id[r]}{atoms.atom_name[r]}" for r in rows]


def test_side_chains_move_and_all_else_stays(process: PredictorProcess) -> None:
    atoms = model()
    # Without the alanine that has no oxygen: all that is not packed is packed around.
    atoms = atoms[(atoms.chain_id != "B") | (atoms.res_id != 1)]
    packer = SideChainPacker(process, atoms)
    assert packer._context.size == 0
    found = packer.propose(atoms.coord, 5, seed=3)
    assert named(atoms, packer.residues) == ["A10N", "A12N", "B2N"]
    assert named(atoms, found.rows) == ["A10CB", "A10CG", "A10SE", "A10CE", "A12CB", "A12OG",
                                        "B2CB"]  # fmt: skip
    rest = np.setdiff1d(np.arange(len(atoms)), found.rows)
    np.testing.assert_array_equal(
        found.coord[:, rest], np.broadcast_to(atoms.coord[rest], (5, len(rest), 3))
    )
    # Selenium is the third atom of the side chain, as sulphur is: 4 A from CA in this packer.
    apart = np.linalg.norm(found.coord[:, 6] - atoms.coord[1], axis=1)
    np.testing.assert_allclose(apart, 4.0, atol=1e-5)
    assert found.log_density.shape == (5, 3)
    np.testing.assert_array_equal(found.residues, packer.residues)
    assert np.ptp(found.coord[:, 6], axis=0).min() > 0.1
    again = packer.propose(atoms.coord, 5, seed=3)
    np.testing.assert_array_equal(again.coord, found.coord)
    assert (packer.propose(atoms.coord, 5, seed=4).coord != found.coord).any()


def test_only_what_is_asked_for_is_drawn(process: PredictorProcess) -> None:
    atoms = model()
    packer = SideChainPacker(process, atoms)
    found = packer.propose(atoms.coord, 2, seed=0, residues=[int(packer.residues[1])])
    assert named(atoms, found.rows) == ["A12CB", "A12OG"]
    assert found.log_density.shape == (2, 1)
    moved = np.abs(found.coord - atoms.coord).max(axis=(0, 2)) > 0
    assert named(atoms, np.nonzero(moved)[0]) == ["A12CB", "A12OG"]


def test_ligands_are_packed_around_and_water_is_not(process: PredictorProcess) -> None:
    atoms = model(("C", 1, "ZN", [("ZN", "ZN")]))
    packer = SideChainPacker(process, atoms)
    assert packer._numbers == [7, 6, 6, 6, 30]  # the alanine without its oxygen, and zinc
    found = packer.propose(atoms.coord, 1, seed=0)
    near = atoms.coord[packer._context]
    away = atoms.coord[1] - near[np.linalg.norm(near - atoms.coord[1], axis=1).argmin()]
    expected = atoms.coord[1] + 2 * away / np.linalg.norm(away)
    np.testing.assert_allclose(found.coord[0, 4], expected, atol=1e-4)


def test_what_cannot_be_packed_is_refused(process: PredictorProcess) -> None:
    atoms = model()
    packer = SideChainPacker(process, atoms)
    with pytest.raises(InputError, match="begins at atom 9"):
        packer.propose(atoms.coord, 1, seed=0, residues=[9])
    with pytest.raises(InputError, match="shape"):
        packer.propose(atoms.coord[:-1], 1, seed=0)
    with pytest.raises(InputError, match="at least once"):
        packer.propose(atoms.coord, 0, seed=0)
    with pytest.raises(InputError, match="no side chain"):
        SideChainPacker(process, atoms[atoms.res_name == "GLY"])


def test_faults_of_the_packer_are_told() -> None:
    atoms = model()
    with start(fault="names") as broken, pytest.raises(PredictorProtocolError, match="CB"):
        SideChainPacker(broken, atoms).propose(atoms.coord, 1, seed=0)
    with start(fault="exit") as broken, pytest.raises(PredictorDiedError, match="exit code 4"):
        SideChainPacker(broken, atoms).propose(atoms.coord, 1, seed=0)
    assert broken.pid is None
