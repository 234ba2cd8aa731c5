"""Every analytic map equals the map of frames drawn from the same statistics."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from unstill.crystal import Crystal
from unstill.diffuse.intensity import diffuse_intensity
from unstill.diffuse.stream import stream_block_sums
from unstill.disorder.displacement_field import FreeField, PeriodicField
from unstill.disorder.liquid_like import LiquidLike
from unstill.disorder.model import intensity_map
from unstill.disorder.rigid_body import RigidBody
from unstill.disorder.rigid_translation import RigidTranslation
from unstill.disorder.sample import sample
from unstill.disorder.transform import ModelAtoms
from unstill.ensembles import Ensemble
from unstill.ensembles.supercell import build_supercell
from unstill.errors import InputError
from unstill.maps.correlation import correlate
from unstill.maps.isotropic import split_isotropic

DIVISIONS = (2, 1, 2)
D_MIN = 2.5

MODELS: dict[str, Any] = {
    "liquid-like": lambda atoms: (LiquidLike(atoms, origin=True), {"sigma": 0.35, "gamma": 2.0}),
    "confined": lambda atoms: (LiquidLike(atoms, confined=True), {"sigma": 0.35, "gamma": 4.0}),
    "translation": lambda atoms: (RigidTranslation(atoms), {"sigma": 0.35}),
    "tensor": lambda atoms: (
        RigidTranslation(atoms, anisotropic=True),
        {"u": np.array([[0.2, 0.05, 0.0], [0.05, 0.05, 0.0], [0.0, 0.0, 0.1]])},
    ),
    "rigid-body": lambda atoms: (RigidBody(atoms), {"sigma": 0.06, "libration": 1.0}),
}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("crystal_form", ["triclinic", "monoclinic"])
def test_sampled_and_analytic_maps_agree(
    kind: str, crystal_form: str, request: pytest.FixtureRequest
) -> None:
    structure = request.getfixturevalue(crystal_form)
    b_factor = np.random.default_rng(2).uniform(5, 15, structure.n_atoms)
    with_adp = kind in ("liquid-like", "translation")
    atoms = ModelAtoms.of(structure.replace(b_factor=b_factor * with_adp))
    model, values = MODELS[kind](atoms)
    theta = model.theta(**values)
    frames = sample(model, theta, DIVISIONS, 256, seed=7)
    # The shift of the whole supercell belongs to the field; a simulation has it removed.
    sums = stream_block_sums(frames, DIVISIONS, D_MIN, n_blocks=32, remove_drift=False)
    sampled = diffuse_intensity(sums)
    analytic = intensity_map(model, theta, sampled.grid)
    number = np.floor(np.sqrt(sampled.s_squared()) * D_MIN * 6)
    assert sampled.sigma is not None
    for shell in range(6):
        voxels = sampled.measured & (number == shell)
        if np.count_nonzero(voxels) < 30:
            continue
        # Mean over a shell, block by block: its error needs no assumption on neighbours.
        means = [
            float(np.mean(diffuse_intensity(one_block(sums, block)).intensity[voxels]))
            for block in range(sums.n_blocks)
        ]
        error = np.std(means, ddof=1) / np.sqrt(len(means))
        difference = np.mean(sampled.intensity[voxels] - analytic.intensity[voxels])
        assert abs(difference) < 3 * error
    agreement = correlate(sampled, analytic)
    anisotropic = split_isotropic(analytic, mask=sampled.mask).anisotropic
    used = anisotropic.measured
    noise = np.mean(sampled.sigma[used] ** 2) / np.var(anisotropic.intensity[used])
    assert agreement.cc_aniso >= 0.95 / np.sqrt(1 + noise)


def one_block(sums: Any, block: int) -> Any:
    chosen = slice(block, block + 1)
    return type(sums)(
        sums.crystal,
        sums.divisions,
        sums.index,
        sums.s1[chosen],
        sums.s2[chosen],
        sums.weight[chosen],
        sums.weight_squared[chosen],
        sums.n_frames[chosen],
        sums.selections,
    )


def test_frames_do_not_depend_on_how_they_are_read(triclinic: Ensemble) -> None:
    model = LiquidLike(ModelAtoms.of(triclinic))
    frames = sample(model, model.theta(sigma=0.3, gamma=2.0), (1, 2, 1), 7, seed=3)
    whole = np.concatenate([chunk.coord for chunk in frames.chunks(7)])
    copied = pickle.loads(pickle.dumps(frames))
    pieces = np.concatenate([chunk.coord for chunk in copied.chunks(2, start=1)])
    assert np.array_equal(whole[1:], pieces)
    assert [chunk.first_frame for chunk in frames.chunks(3)] == [0, 3, 6]
    other = sample(model, model.theta(sigma=0.3, gamma=2.0), (1, 2, 1), 7, seed=4)
    assert not np.array_equal(whole[0], other.frame(0))


def test_frames_stand_around_the_supercell_of_the_structure(monoclinic: Ensemble) -> None:
    model = RigidTranslation(ModelAtoms.of(monoclinic))
    frames = sample(model, model.theta(0.005), (2, 1, 1), 1)
    built = build_supercell(monoclinic, (2, 1, 1))
    np.testing.assert_allclose(frames.coord, built.coord[0], atol=1e-9)
    assert np.abs(frames.frame(0) - frames.coord).max() < 0.05
    assert frames.atoms.array_length() == built.n_atoms
    assert frames.occupancy.tolist() == built.occupancy.tolist()


@pytest.mark.parametrize("exact", [True, False])
def test_a_field_has_the_wanted_variance_and_correlation(exact: bool) -> None:
    sigma, gamma, steps = 0.4, 2.0, np.array([0.0, 1.5, 3.0, 6.0])
    origins = np.random.default_rng(0).uniform(0, 18, (60, 1, 3))
    coord = (origins + steps[:, None] * np.array([1.0, 0.0, 0.0])).reshape(-1, 3)
    box = Crystal((24.0, 24.0, 24.0, 90.0, 90.0, 90.0))
    field: Any = (
        FreeField.of(coord, sigma=sigma, gamma=gamma)
        if exact
        else PeriodicField(box, sigma, gamma, box.fractional(coord), spacing=0.6)
    )
    drawn = field.draw(np.random.default_rng(5), 200).reshape(200, len(origins), len(steps))
    covariance = np.mean(drawn[..., :1] * drawn, axis=(0, 1))
    expected = sigma**2 * np.exp(-steps / gamma)
    expected[0] -= field.missing_variance
    assert 0 <= field.missing_variance < 0.2 * sigma**2
    np.testing.assert_allclose(covariance, expected, atol=0.06 * sigma**2)


def test_a_correlation_longer_than_the_supercell_is_refused(triclinic: Ensemble) -> None:
    model = LiquidLike(ModelAtoms.of(triclinic))
    with pytest.raises(InputError, match="does not fit into the supercell"):
        sample(model, model.theta(sigma=0.3, gamma=60.0), (1, 1, 1), 5)
