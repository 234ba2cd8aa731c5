from __future__ import annotations

from pathlib import Path

import biotite.structure.info
import numpy as np
import pytest
import scipy.optimize
from peptides import residue

from unstill.crystal import Crystal
from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.guidance.levels import karras_levels
from unstill.guidance.priors.finish import Finish, Staged
from unstill.guidance.priors.geometry import GeometryPrior
from unstill.guidance.priors.springs import Springs, fold_springs
from unstill.guidance.run import geometry_prior
from unstill.guidance.samplers import OdeHeun, Renoise
from unstill.guidance.start import GuidedModel, starting_model
from unstill.io.structure_files import read_structure
from unstill.validation.geometry import bond_deviations, chirality_flips
from unstill.workflows.guide_map.judging import clashscore


def model_of(folder: Path, residues: range | None = None) -> GuidedModel:
    source = read_structure(folder / "altloc" / "6b8x.pdb")
    if residues is not None:
        source = source.select(np.isin(source.atoms.res_id, list(residues)) & ~source.atoms.hetero)
    return starting_model(source)


def bond_rmsd(model: GuidedModel, coord: np.ndarray) -> float:
    r = model.restraints
    return float(np.sqrt(np.mean(bond_deviations(coord, r.bonds, r.lengths) ** 2)))


def flips(model: GuidedModel, coord: np.ndarray) -> int:
    r = model.restraints
    return int(chirality_flips(coord, r.chirals, r.volumes).sum())


@pytest.mark.parametrize("sampler", [Renoise, OdeHeun])
def test_members_out_of_noise_are_chemistry(unstill_data: Path, sampler: type) -> None:
    model = model_of(unstill_data, range(60, 110))
    prior = geometry_prior(model)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x = prior.sample_init(4, 1.5, rng)
        found = prior.denoise(sampler(karras_levels(1.5, 0.05, 10)).sample(prior, x, rng), 0.1)
        assert bond_rmsd(model, found) < 0.015
        assert flips(model, found) == 0
        omega = np.linalg.norm(np.diff(found[:, model.anchors], axis=1), axis=-1)
        start = np.linalg.norm(np.diff(model.atoms.coord[0][model.anchors], axis=0), axis=-1)
        # Peptides stay trans: CA to CA is 3.8 Å, not 2.9.
        assert np.abs(omega - start).max() < 0.5


@pytest.mark.parametrize("sigma", [3.0, 1.0, 0.3, 0.05])
def test_no_hand_is_ever_wrong(unstill_data: Path, sigma: float) -> None:
    model = model_of(unstill_data, range(60, 110))
    prior = geometry_prior(model)
    x = prior.sample_init(8, sigma, np.random.default_rng(1))
    assert flips(model, prior.denoise(x, sigma)) == 0


def test_the_answer_is_the_minimum(unstill_data: Path) -> None:
    model = model_of(unstill_data, range(60, 63))
    reference = model.atoms.coord[0].astype(float)
    prior = GeometryPrior(model.restraints, model.element, reference, n_sweeps=3000)
    sigma = 0.1
    x = reference + sigma * np.random.default_rng(2).standard_normal(reference.shape)

    def cost(flat: np.ndarray) -> float:
        y = flat.reshape(reference.shape)
        return float(((y - x) ** 2).sum() / (2 * sigma**2) + prior.energy(y[None])[0])

    found = prior.denoise(x[None], sigma)[0]
    best = scipy.optimize.minimize(cost, found.ravel(), method="L-BFGS-B", options={"maxiter": 40})
    assert cost(found.ravel()) < 1.02 * best.fun + 0.5
    assert cost(found.ravel()) < 0.2 * cost(x.ravel())


def test_it_turns_and_shifts_with_its_input(unstill_data: Path) -> None:
    model = model_of(unstill_data, range(60, 70))
    reference = model.atoms.coord[0].astype(float)
    prior = GeometryPrior(model.restraints, model.element, reference)
    x = reference + 0.3 * np.random.default_rng(3).standard_normal(reference.shape)
    turn, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    one = prior.denoise(x[None], 0.3)[0] @ turn.T + 7.0
    other = prior.denoise((x @ turn.T + 7.0)[None], 0.3)[0]
    np.testing.assert_allclose(one, other, atol=0.02)


def test_bits_do_not_depend_on_threads_and_still_atoms_stand(
    unstill_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(unstill_data, range(60, 80))
    movable = np.asarray(model.atoms.atoms.res_id) > 70
    reference = model.atoms.coord[0].astype(float)
    prior = GeometryPrior(
        model.restraints, model.element, reference, movable=movable, crystal=model.source.crystal
    )
    x = prior.sample_init(3, 0.5, np.random.default_rng(0))
    np.testing.assert_array_equal(
        x[:, ~movable], np.broadcast_to(reference[~movable], x[:, ~movable].shape)
    )
    two = prior.denoise(x, 0.5)
    monkeypatch.setattr("unstill.guidance.priors.geometry.cpu_count", lambda: 1)
    np.testing.assert_array_equal(prior.denoise(x, 0.5), two)
    np.testing.assert_array_equal(two[0][~movable], reference[~movable])
    assert np.abs(two[0][movable] - reference[movable]).max() > 0.1


def test_mates_keep_their_distance(unstill_data: Path) -> None:
    model = model_of(unstill_data, range(60, 62))
    reference = model.atoms.coord[0].astype(float)
    # A mate by a 2-fold axis through the molecule's surface.
    size = 2 * float(np.ptp(reference, axis=0).max())
    crystal = Crystal((size, size, size, 90.0, 90.0, 90.0), "P 2")
    place = reference - reference[np.argmin(reference[:, 0])] + [0.9, 0.0, 0.3]

    def nearest(coord: np.ndarray) -> float:
        mate = coord * [-1, 1, -1]
        return float(np.linalg.norm(coord[:, None] - mate, axis=-1).min())

    alone = GeometryPrior(model.restraints, model.element, place)
    packed = GeometryPrior(model.restraints, model.element, place, crystal=crystal)
    x = place[None]
    assert packed.energy(x)[0] > alone.energy(x)[0] + 10
    for _ in range(5):
        x = packed.denoise(x, 0.5)
    assert nearest(x[0]) > nearest(alone.denoise(place[None], 0.5)[0]) + 0.3


def test_springs_keep_the_fold(unstill_data: Path) -> None:
    model = model_of(unstill_data, range(60, 110))
    reference = model.atoms.coord[0].astype(float)
    springs = fold_springs(reference, model.anchors, cutoff=10.0, sigma=0.5)
    assert (springs.lengths < 10).all()
    with_springs = GeometryPrior(model.restraints, model.element, reference, springs=springs)
    without = GeometryPrior(model.restraints, model.element, reference)
    x = with_springs.sample_init(4, 2.0, np.random.default_rng(0))

    def strain(coord: np.ndarray) -> float:
        pairs = springs.pairs
        length = np.linalg.norm(coord[:, pairs[:, 0]] - coord[:, pairs[:, 1]], axis=-1)
        return float(np.sqrt(np.mean((length - springs.lengths) ** 2)))

    assert strain(with_springs.denoise(x, 2.0)) < 0.8 * strain(without.denoise(x, 2.0))
    single = fold_springs(reference, model.anchors[:1])
    assert isinstance(single, Springs)
    assert len(single.pairs) == 0


def test_room_for_hydrogens(unstill_data: Path) -> None:
    model = model_of(unstill_data, range(60, 140))
    prior, finish = geometry_prior(model), Finish(model)
    rng = np.random.default_rng(0)
    x = Renoise(karras_levels(1.0, 0.05, 8)).sample(prior, prior.sample_init(4, 1.0, rng), rng)
    before = clashscore(model.with_members(x))
    relaxed = finish.relax(x, 0.3)
    after = clashscore(model.with_members(relaxed))
    assert after < 0.4 * before
    assert bond_rmsd(model, relaxed) < 0.012
    assert flips(model, relaxed) == 0
    staged = Staged(prior, finish)
    assert staged.n_atoms == prior.n_atoms
    np.testing.assert_array_equal(staged.denoise(x, 0.5), prior.denoise(x, 0.5))
    assert clashscore(model.with_members(staged.denoise(x, 0.2))) < before


def test_other_atoms_are_refused(unstill_data: Path) -> None:
    model = model_of(unstill_data, range(60, 62))
    with pytest.raises(InputError, match="different atoms"):
        GeometryPrior(model.restraints, model.element[1:], model.atoms.coord[0][1:])


@pytest.mark.parametrize("sigma", [0.06, 0.3])
def test_a_histidine_stays_at_its_metal(sigma: float) -> None:
    """Two bonds about a metal have no angle in the tables, and are no contact for all that."""
    histidine = residue("HIS")
    atoms, x = histidine.atoms, histidine.coord[0].astype(float)
    at = {str(name): place for place, name in enumerate(atoms.atom_name)}
    ring = x[[at[name] for name in ("CG", "ND1", "CE1", "NE2", "CD2")]]
    out = x[at["NE2"]] - ring.mean(axis=0)
    zinc = biotite.structure.info.residue("ZN")
    zinc.res_id[:], zinc.chain_id[:] = 2, "A"
    where = x[at["NE2"]] + 2.05 * out / np.linalg.norm(out)
    both = Ensemble(
        atoms + zinc,
        np.concatenate([x, where[None]])[None],
        b_factor=np.full(len(x) + 1, 15.0),
        crystal=histidine.crystal,
    )
    prior = geometry_prior(starting_model(both))
    found = prior.denoise(both.coord.astype(float), sigma)
    apart = np.linalg.norm(found[:, at["NE2"]] - found[:, -1], axis=-1)
    np.testing.assert_allclose(apart, 2.05, atol=0.05)


def test_the_haem_of_a_deposited_model_keeps_its_histidine(unstill_data: Path) -> None:
    model = starting_model(read_structure(unstill_data / "altloc" / "2yl0.pdb"))
    atoms = model.atoms.atoms
    iron = np.flatnonzero(atoms.atom_name == "FE")[0]
    nitrogen = np.flatnonzero((atoms.res_id == 120) & (atoms.atom_name == "NE2"))[0]
    start = model.atoms.coord.astype(float)
    for found in (geometry_prior(model).denoise(start, 0.3), Finish(model).relax(start, 0.3, 2)):
        apart = np.linalg.norm(found[:, nitrogen] - found[:, iron], axis=-1)
        # 2.03 Å in the model; while atoms at two bonds repelled, 2.5 to 2.8.
        np.testing.assert_allclose(apart, 2.03, atol=0.1)
