"""Amplitudes as an observable: gradients, free reflections, likelihood, and 1G8A."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest
import scipy.integrate

from unstill.crystal import Crystal
from unstill.crystal.half_space import friedel_half
from unstill.crystal.symmetry import map_to_asu
from unstill.errors import InputError
from unstill.guidance.observables.amplitude_targets import (
    AmplitudeTarget,
    LeastSquares,
    MaximumLikelihood,
)
from unstill.guidance.observables.amplitudes import AmplitudeObservable, FixedAtoms
from unstill.guidance.protocols import EnsembleState
from unstill.io import read_structure
from unstill.io.amplitudes_mtz import read_amplitudes
from unstill.maps.amplitudes import Amplitudes
from unstill.validation.amplitude_fit import fit_amplitudes
from unstill.validation.model_amplitudes import model_amplitudes

CRYSTAL = Crystal((24.0, 25.0, 31.0, 90.0, 104.0, 90.0), "P 1 21 1")
N = 60
RNG = np.random.default_rng(4)
ELEMENT = RNG.choice(["C", "N", "O", "S"], N)
COORD = np.stack([RNG.uniform(3, 14, (N, 3))] * 2)
COORD[1] += RNG.normal(0, 0.3, (N, 3))
B = RNG.uniform(8, 25, N)
TRUTH = EnsembleState(COORD, np.array([0.6, 0.4]), B)
START = EnsembleState(COORD + RNG.normal(0, 0.15, COORD.shape), np.array([0.5, 0.5]), B + 3)


def _direct(hkl: np.ndarray, state: EnsembleState) -> np.ndarray:
    """F by gemmi, one atom after another, no grid."""
    total = np.zeros(len(hkl), dtype=complex)
    calculator = gemmi.StructureFactorCalculatorX(CRYSTAL.cell)
    for weight, coord in zip(state.weights, state.coord, strict=True):
        small = gemmi.SmallStructure()
        small.cell, small.spacegroup = CRYSTAL.cell, CRYSTAL.group
        for element, place, b in zip(ELEMENT, coord, state.b_factor, strict=True):
            site = gemmi.SmallStructure.Site()
            site.element, site.occ = gemmi.Element(str(element)), 1.0
            site.fract = CRYSTAL.cell.fractionalize(gemmi.Position(*place))
            site.u_iso = float(b) / (8 * np.pi**2)
            small.add_site(site)
        small.setup_cell_images()
        calculator = gemmi.StructureFactorCalculatorX(small.cell)
        found = [calculator.calculate_sf_from_small_structure(small, one) for one in hkl.tolist()]
        total += weight * np.array(found)
    return total


@pytest.fixture(scope="module")
def observed() -> Amplitudes:
    hkl = friedel_half(CRYSTAL, 2.0)
    hkl = np.unique(map_to_asu(CRYSTAL, hkl[hkl.any(axis=1)]), axis=0)
    f_obs = 3.0 * np.abs(_direct(hkl, TRUTH))
    free = np.random.default_rng(1).random(len(f_obs)) < 0.1
    return Amplitudes(CRYSTAL, hkl, f_obs, np.full(len(f_obs), 2.0), free)


@pytest.mark.parametrize("target", [LeastSquares(), MaximumLikelihood()])
@pytest.mark.parametrize("resolution", [2.0, 2.6])
def test_gradients_are_central_differences(
    observed: Amplitudes, target: AmplitudeTarget, resolution: float
) -> None:
    data = AmplitudeObservable(
        observed, ELEMENT, target=target, refit_every=10**6, tolerance=1e-10
    )
    found = data.value_and_grad(START, resolution)
    rng = np.random.default_rng(2)
    for number, gradient in enumerate((found.coord, found.weights, found.b_factor)):
        along, step, losses = rng.normal(size=gradient.shape), 1e-4, []
        for by in (step, -step):
            parts = [START.coord, START.weights, START.b_factor]
            parts[number] = parts[number] + by * along
            losses.append(data.value_and_grad(EnsembleState(*parts), resolution).loss)
        numeric = (losses[0] - losses[1]) / (2 * step)
        assert (gradient * along).sum() == pytest.approx(numeric, rel=1e-5)


def test_the_truth_by_direct_sums_has_no_r(observed: Amplitudes) -> None:
    data = AmplitudeObservable(observed, ELEMENT, solvent=False, tolerance=1e-6)
    assert max(data.r_factors(TRUTH)) < 1e-4
    assert min(data.r_factors(START)) > 0.05


def test_fixed_atoms_scatter_as_moving_ones_do(observed: Amplitudes) -> None:
    one = EnsembleState(COORD[:1], np.ones(1), B)
    whole = AmplitudeObservable(observed, ELEMENT)
    fixed = FixedAtoms(COORD[0, 40:], ELEMENT[40:], np.ones(20), B[40:])
    split = AmplitudeObservable(observed, ELEMENT[:40], fixed=fixed)
    part = EnsembleState(COORD[:1, :40], np.ones(1), B[:40])
    assert split.r_factors(part) == pytest.approx(whole.r_factors(one), abs=2e-4)
    both = whole.value_and_grad(one, 2.0), split.value_and_grad(part, 2.0)
    size = np.abs(both[0].coord).max()
    np.testing.assert_allclose(both[1].coord, both[0].coord[:, :40], atol=0.02 * size)


def test_free_reflections_are_in_no_loss_and_no_scale(observed: Amplitudes) -> None:
    spoilt = replace(observed, f_obs=np.where(observed.free, 7.0, observed.f_obs))
    losses = [
        AmplitudeObservable(one, ELEMENT, target=LeastSquares()).value_and_grad(START, 2.0)
        for one in (observed, spoilt)
    ]
    assert losses[0].loss == losses[1].loss
    np.testing.assert_array_equal(losses[0].coord, losses[1].coord)


def test_likelihoods_integrate_to_one() -> None:
    # What the loss leaves out is ln of 2 F_obs (acentric) or of √(2/π) (centric).
    hkl = np.array([[1, 2, 3], [1, 0, 3]])
    likelihood = MaximumLikelihood(np.full(2, 0.8), np.full(2, 0.8), np.array([9.0, 9.0]))

    def density(f_obs: float, which: int) -> float:
        one = Amplitudes(CRYSTAL, hkl, np.full(2, f_obs), np.ones(2), np.zeros(2, bool))
        loss = likelihood.slope(one, np.array([6.0, 6.0])).loss[which]
        return float(np.exp(-loss) * (2 * f_obs, np.sqrt(2 / np.pi))[which])

    for which in (0, 1):
        total = scipy.integrate.quad(density, 0, 60, args=(which,))[0]
        assert total == pytest.approx(1.0, rel=1e-6)


def test_sigma_a_is_that_of_the_errors() -> None:
    rng = np.random.default_rng(3)
    n = 80_000
    hkl = np.repeat(np.array([[3, 4, 5]]), n, axis=0)
    truth = rng.normal(size=(n, 2)) @ [1, 1j] / np.sqrt(2) * 100
    other = rng.normal(size=(n, 2)) @ [1, 1j] / np.sqrt(2) * 100
    for value in (0.3, 0.7, 0.95):
        model = value * truth + np.sqrt(1 - value**2) * other
        made = Amplitudes(CRYSTAL, hkl, np.abs(truth), np.full(n, 1e-3), np.ones(n, bool))
        fitted = MaximumLikelihood().fitted(made, np.abs(model))
        assert isinstance(fitted, MaximumLikelihood)
        assert fitted.sigma_a is not None
        assert np.mean(fitted.sigma_a) == pytest.approx(value, abs=0.02)


def test_the_likelihood_needs_free_reflections(observed: Amplitudes) -> None:
    none = replace(observed, free=np.zeros(len(observed.free), dtype=bool))
    with pytest.raises(InputError, match="free reflections"):
        AmplitudeObservable(none, ELEMENT).value_and_grad(START, 2.0)


def test_r_values_of_1g8a_are_those_of_validation(unstill_data: Path) -> None:
    folder = unstill_data / "bragg"
    if not (folder / "1g8a.mtz").exists():
        pytest.skip("no bragg/1g8a.mtz in UNSTILL_DATA")
    measured = read_amplitudes(folder / "1g8a.mtz")
    model = read_structure(folder / "1g8a_refined.pdb")
    model = model.replace(u_aniso=None) if model.u_aniso is not None else model
    parts = model_amplitudes(model, measured.hkl, crystal=measured.crystal)
    expected = fit_amplitudes(measured, parts.f_calc, parts.f_mask)
    data = AmplitudeObservable(measured, model.element, occupancy=model.occupancy)
    state = EnsembleState(model.coord.astype(float), np.ones(1), model.b_factor.astype(float))
    found = data.r_factors(state)
    assert found == pytest.approx((expected.r_work, expected.r_free), abs=0.002)
