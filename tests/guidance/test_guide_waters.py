"""``unstill guide --waters``: waters that the density has, and no others."""

from __future__ import annotations

import json
import os
from pathlib import Path

import gemmi
import numpy as np
import pytest
import scipy.spatial
from small_crystal import D_MIN, residue, small_crystal
from typer.testing import CliRunner

from unstill.cli.app import complete_app
from unstill.crystal import Crystal
from unstill.diffuse.density import add_noise, density_of
from unstill.ensembles import Ensemble
from unstill.guidance.protocols import EnsembleState
from unstill.guidance.start import starting_model
from unstill.io.density_ccp4 import write_density_map
from unstill.io.structure_files import read_structure, write_structure
from unstill.workflows.guide_map.guiding import GuideOptions, observable
from unstill.workflows.guide_map.waters import ordered_waters

# Beside a polar atom of the strand, and clear of all others.
REACH = 2.8


def guide(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(complete_app(), [str(one) for one in ("guide", *arguments)])
    return done.exit_code, done.stdout, done.stderr


def with_waters(source: Ensemble, n: int) -> tuple[Ensemble, np.ndarray]:
    """Waters at 2.8 Å from oxygens of the main chain, 3.2 Å or more from everything else."""
    x = source.coord[0].astype(float)
    rng = np.random.default_rng(1)
    places: list[np.ndarray] = []
    for atom in np.flatnonzero((source.atoms.atom_name == "O") & (source.atoms.chain_id == "Q")):
        for _ in range(400):
            way = rng.standard_normal(3)
            place = x[atom] + REACH * way / np.linalg.norm(way)
            others = np.concatenate([np.delete(x, atom, axis=0), *[p[None] for p in places]])
            if np.linalg.norm(others - place, axis=1).min() > 3.3:
                places.append(place)
                break
        if len(places) == n:
            break
    waters = [residue("HOH", 300 + i, tuple(place), "W") for i, place in enumerate(places)]
    atoms = source.atoms
    coord = np.concatenate([x, np.array(places)])
    joined = atoms
    for water in waters:
        water.hetero[:] = True
        joined = joined + water
    made = Ensemble(
        joined,
        coord[None],
        occupancy=np.concatenate([source.occupancy.ravel(), np.ones(n)]),
        b_factor=np.concatenate([source.b_factor.ravel(), np.full(n, 20.0)]),
        crystal=source.crystal,
    )
    return made, np.array(places)


def test_waters_that_were_left_out_come_back_and_a_false_one_goes(tmp_path: Path) -> None:
    source = small_crystal()
    truth, places = with_waters(source, 4)
    # The water of the start, far from all others, is in no density.
    water = source.atoms.res_name == "HOH"
    target = density_of(
        truth.select(~np.isin(np.arange(truth.n_atoms), np.flatnonzero(water))), D_MIN
    )
    model, density = tmp_path / "model.cif", tmp_path / "map.ccp4"
    write_structure(source, model)
    write_density_map(add_noise(target, D_MIN, 0.03, 0), density)
    out = tmp_path / "out"
    common = ["--resolution", D_MIN, "--noise", 0.4, "--strength", 1, "--json", "-o", out]
    code, text, error = guide(model, density, "--waters", *common)
    assert code == 0, error
    found = json.loads(text)
    assert found["waters"]["deleted"] == 1
    assert found["waters"]["kept"] == 0
    made = read_structure(out / "ensemble.cif")
    own = made.atoms.res_name == "HOH"
    assert own.sum() == found["waters"]["added"]
    apart = scipy.spatial.distance.cdist(places, made.coord[0][own])
    assert (apart.min(axis=1) < 0.5).sum() >= 3
    assert (apart.min(axis=0) > 0.7).sum() <= 1
    numbers = made.atoms.res_id[made.atoms.chain_id == "Q"]
    assert (
        len(np.unique(numbers[made.atoms.res_name[made.atoms.chain_id == "Q"] == "HOH"]))
        == ((made.atoms.res_name == "HOH") & (made.atoms.chain_id == "Q")).sum()
    )


@pytest.mark.skipif("UNSTILL_DATA" not in os.environ, reason="needs UNSTILL_DATA: 1G8A")
def test_waters_of_1g8a_are_found_again() -> None:
    source = read_structure(Path(os.environ["UNSTILL_DATA"]) / "bragg" / "1g8a_refined.pdb")
    assert source.crystal is not None
    water = (source.atoms.res_name == "HOH") & (source.element == "O")
    target = add_noise(density_of(source, 1.8), 1.8, 0.05, 0)
    model = starting_model(source.select(~(source.atoms.res_name == "HOH")))
    data = observable(model, target, 1.8, GuideOptions())
    state = EnsembleState(model.atoms.coord.astype(float), np.ones(1), model.b_factor)
    made, count = ordered_waters(model, data, state)
    assert count.kept == count.deleted == 0
    found = made.source.coord[0][made.context].astype(float)
    assert len(found) == count.added
    near = _nearest_mates(found, source.coord[0][water].astype(float), source.crystal)
    assert (near.min(axis=0) < 0.5).mean() > 0.8
    assert (near.min(axis=1) < 0.5).mean() > 0.9
    new = made.source.atoms[made.context]
    keys = {(str(c), int(r)) for c, r in zip(new.chain_id, new.res_id, strict=True)}
    old = made.source.atoms[made.rows]
    assert len(keys) == count.added
    assert not keys & {(str(c), int(r)) for c, r in zip(old.chain_id, old.res_id, strict=True)}


def _nearest_mates(first: np.ndarray, second: np.ndarray, crystal: Crystal) -> np.ndarray:
    """Distances (Å) of places to the nearest mate of others."""
    a, b = crystal.fractional(first), crystal.fractional(second)
    best = np.full((len(a), len(b)), np.inf)
    for operation in crystal.group.operations():
        moved = b @ (np.array(operation.rot) / gemmi.Op.DEN).T
        moved = moved + np.array(operation.tran) / gemmi.Op.DEN
        apart = a[:, None] - moved[None]
        apart -= np.rint(apart)
        length = np.linalg.norm(apart @ crystal.orthogonalization_matrix.T, axis=-1)
        best = np.minimum(best, length)
    return best
