"""Diffuse intensity as an observable, alone and with Bragg amplitudes."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest

from unstill.crystal import Crystal, HklGrid
from unstill.errors import InputError
from unstill.guidance.observables.diffuse import DiffuseObservable
from unstill.guidance.observables.joint import Joint
from unstill.guidance.protocols import EnsembleState
from unstill.maps.intensity_map import IntensityMap

N = 20
RNG = np.random.default_rng(6)
ELEMENT = RNG.choice(["C", "N", "O", "S"], N)
COORD = RNG.uniform(3, 12, (1, N, 3)) + RNG.normal(0, 0.3, (3, N, 3))
WEIGHTS, B = np.array([0.5, 0.3, 0.2]), RNG.uniform(8, 25, N)
TRUTH = EnsembleState(COORD, WEIGHTS, B)
START = EnsembleState(COORD + RNG.normal(0, 0.1, COORD.shape), np.array([0.4, 0.3, 0.3]), B + 3)
CELL = (16.0, 17.0, 18.0, 90.0, 100.0, 90.0)


def _direct(q: np.ndarray, coord: np.ndarray) -> np.ndarray:
    """F of the listed atoms at fractional hkl, term by term with gemmi's form factors."""
    crystal = Crystal(CELL)
    quarter = crystal.s_squared(q) / 4
    total = np.zeros(len(q), dtype=complex)
    for element, place, b in zip(ELEMENT, crystal.fractional(coord), B, strict=True):
        form = gemmi.Element(str(element)).it92
        f = np.array([form.calculate_sf(one) for one in quarter.tolist()])
        total += f * np.exp(-b * quarter) * np.exp(2j * np.pi * (q @ place))
    return total


def _map(group: str, truth: EnsembleState = TRUTH) -> IntensityMap:
    crystal = Crystal(CELL, group)
    grid = HklGrid((-9, -9, 0), (19, 19, 10), (2, 2, 2))
    axes = np.meshgrid(*grid.axes(), indexing="ij")
    q = np.stack(axes, axis=-1).reshape(-1, 3)
    intensity = np.zeros(len(q))
    for operation in crystal.group.operations():
        turned = q @ (np.array(operation.rot) / gemmi.Op.DEN)
        f = np.array([_direct(turned, member) for member in truth.coord])
        intensity += truth.weights @ np.abs(f) ** 2 - np.abs(truth.weights @ f) ** 2
    shaped = intensity.reshape(grid.shape)
    return IntensityMap(crystal, grid, shaped, sigma=0.05 * shaped + 1.0)


@pytest.mark.parametrize("group", ["P 1", "P 1 21 1"])
def test_intensity_is_that_of_direct_sums(group: str) -> None:
    target = _map(group)
    data = DiffuseObservable(target, ELEMENT, fit_scale=False)
    found = data.value_and_grad(TRUTH, 2.0)
    assert found.loss < 1e-4 * data.value_and_grad(START, 2.0).loss
    index = np.stack(np.meshgrid(*target.grid.axes(), indexing="ij"), -1).any(axis=-1)
    expected = target.intensity[index]
    np.testing.assert_allclose(data.intensity(TRUTH), expected, atol=1e-3 * expected.max())


@pytest.mark.parametrize("n_background", [0, 8])
@pytest.mark.parametrize("fit_scale", [True, False])
def test_gradients_are_central_differences(fit_scale: bool, n_background: int) -> None:
    data = DiffuseObservable(
        _map("P 1 21 1"),
        ELEMENT,
        fit_scale=fit_scale,
        n_background=n_background,
        tolerance=1e-10,
    )
    rng = np.random.default_rng(1)
    for resolution in (2.0, 4.0):
        found = data.value_and_grad(START, resolution)
        for number, gradient in enumerate((found.coord, found.weights, found.b_factor)):
            along, step, losses = rng.normal(size=gradient.shape), 1e-4, []
            if number == 1:
                # Weights sum to one; away from that the intensity has no meaning.
                along -= along.mean()
            for by in (step, -step):
                parts = [START.coord, START.weights, START.b_factor]
                parts[number] = parts[number] + by * along
                losses.append(data.value_and_grad(EnsembleState(*parts), resolution).loss)
            numeric = (losses[0] - losses[1]) / (2 * step)
            assert (gradient * along).sum() == pytest.approx(numeric, rel=1e-5)


def test_an_isotropic_background_does_not_matter_where_it_is_fitted() -> None:
    target = _map("P 1 21 1")
    raised = target.replace(intensity=3.0 * target.intensity + 500.0, sigma=target.sigma)
    data = DiffuseObservable(raised, ELEMENT, n_background=1)
    bare = DiffuseObservable(raised, ELEMENT)
    far = data.value_and_grad(START, 2.0).loss
    assert data.value_and_grad(TRUTH, 2.0).loss < 1e-3 * far
    assert bare.value_and_grad(TRUTH, 2.0).loss > 0.01 * far


def test_joint_data_add() -> None:
    one = DiffuseObservable(_map("P 1"), ELEMENT)
    two = DiffuseObservable(_map("P 1 21 1"), ELEMENT)
    both = Joint([(one, 2.0), (Joint([(two, 1.0)]), 0.5)]).value_and_grad(START, 2.0)
    parts = [data.value_and_grad(START, 2.0) for data in (one, two)]
    for name in ("loss", "coord", "weights", "b_factor", "curvature"):
        first, second = (getattr(part, name) for part in parts)
        np.testing.assert_allclose(getattr(both, name), 2 * first + 0.5 * second)
    with pytest.raises(InputError, match="weights of zero or more"):
        Joint([])
    with pytest.raises(InputError, match="weights of zero or more"):
        Joint([(one, -1.0)])


def test_maps_that_say_nothing_are_refused() -> None:
    target = _map("P 1")
    with pytest.raises(InputError, match="needs sigma"):
        DiffuseObservable(replace(target, sigma=None), ELEMENT)
    with pytest.raises(InputError, match="nothing is left"):
        DiffuseObservable(replace(target, mask=np.ones(target.grid.shape, bool)), ELEMENT)
    with pytest.raises(InputError, match="no point"):
        DiffuseObservable(target, ELEMENT).value_and_grad(START, 500.0)
