"""The fit: refits, invariances, intervals, and the real map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.reindexing import parse_operator
from unstill.disorder.fit import fit
from unstill.disorder.fit_data import fit_data
from unstill.disorder.liquid_like import LiquidLike
from unstill.disorder.model import intensity_map
from unstill.disorder.projection import Projection
from unstill.disorder.rigid_body import RigidBody
from unstill.disorder.rigid_translation import RigidTranslation
from unstill.disorder.transform import ModelAtoms
from unstill.ensembles import Ensemble
from unstill.errors import InputError, UnstillWarning
from unstill.maps.intensity_map import IntensityMap
from unstill.maps.reindex import reindex
from unstill.maps.symmetrize import symmetrize

DIVISIONS = (2, 2, 2)


def measured(
    model: Any,
    theta: np.ndarray,
    *,
    noise: float = 0.05,
    with_sigma: bool = True,
    scale: float = 0.02,
    seed: int = 0,
) -> IntensityMap:
    """A noisy map on an arbitrary scale over a smooth background, 15 to 2 Å."""
    crystal = model.atoms.crystal
    exact = intensity_map(model, theta, HklGrid.covering(crystal, 2.0, DIVISIONS), d_min=2.0)
    s = np.sqrt(exact.s_squared())
    background = 50 * np.exp(-(((s - 0.3) / 0.1) ** 2)) + 20
    level = scale * float(np.nanmean(exact.intensity))
    sigma = noise * level * np.sqrt(0.5 + s / s[exact.measured].max())
    rng = np.random.default_rng(seed)
    noisy = scale * exact.intensity + background + sigma * rng.standard_normal(s.shape)
    # A measured map that is averaged has Friedel-equal voxels; so has this one.
    full = exact.replace(intensity=noisy, sigma=sigma if with_sigma else None, mask=exact.mask)
    return symmetrize(full)


CASES: dict[str, Any] = {
    "liquid-like": (lambda atoms: LiquidLike(atoms), {"sigma": 0.4, "gamma": 5.0}),
    "confined": (lambda atoms: LiquidLike(atoms, confined=True), {"sigma": 0.4, "gamma": 6.0}),
    "translation": (lambda atoms: RigidTranslation(atoms), {"sigma": 0.35}),
    "tensor": (
        lambda atoms: RigidTranslation(atoms, anisotropic=True),
        {"u": np.array([[0.2, 0.05, 0.0], [0.05, 0.08, 0.02], [0.0, 0.02, 0.12]])},
    ),
    "rigid-body": (lambda atoms: RigidBody(atoms), {"sigma": 0.25, "libration": 4.0}),
}


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("with_sigma", [True, False])
def test_every_model_is_refit_from_its_own_noisy_map(
    monoclinic: Ensemble, kind: str, with_sigma: bool
) -> None:
    make, values = CASES[kind]
    model = make(ModelAtoms.of(monoclinic))
    truth = model.report(model.theta(**values))
    data = measured(model, model.theta(**values), with_sigma=with_sigma, seed=2)
    found = fit(data, model, n_bootstrap=50)
    assert found.converged
    assert found.weighting == ("sigma" if with_sigma else "shell")
    main = [name for name in ("sigma", "gamma", "libration", "U11", "U12") if name in truth]
    for name in main:
        assert abs(found.parameters[name] - truth[name]) < 2 * found.stderr[name]
    # Of all values, with their many entries of tensors, few may lie further out.
    pulls = [(found.parameters[n] - truth[n]) / found.stderr[n] for n in truth]
    assert np.sqrt(np.mean(np.square(pulls))) < 2
    assert found.scale == pytest.approx(0.02, rel=0.2)
    assert found.cc_aniso > 0.95


def test_stderr_is_the_scatter_of_repeated_fits(triclinic: Ensemble) -> None:
    model = LiquidLike(ModelAtoms.of(triclinic))
    theta = model.theta(sigma=0.4, gamma=4.0)
    fits = [
        fit(measured(model, theta, noise=0.3, seed=seed), model, reindex="none", n_bootstrap=100)
        for seed in range(12)
    ]
    for name in ("sigma", "gamma"):
        scatter = np.std([one.parameters[name] for one in fits], ddof=1)
        hessian = np.mean([one.stderr[name] for one in fits])
        bootstrap = np.mean([np.diff(one.intervals[name])[0] / 3.92 for one in fits])
        # Twelve draws know a standard deviation to 20 %.
        assert 0.5 < hessian / scatter < 2
        assert 0.5 < bootstrap / scatter < 2


def test_scale_and_isotropic_curve_do_not_change_the_parameters(monoclinic: Ensemble) -> None:
    model = LiquidLike(ModelAtoms.of(monoclinic))
    data = measured(model, model.theta(sigma=0.4, gamma=4.0), with_sigma=False)
    first = fit(data, model, reindex="none", n_bootstrap=0)
    s = np.sqrt(data.s_squared())
    changed = data.replace(intensity=7 * data.intensity + 300 * s**2 - 100 * s)
    second = fit(changed, model, reindex="none", n_bootstrap=0)
    # The shells' variances see a little of the slope of the curve within a shell.
    assert second.parameters == pytest.approx(first.parameters, rel=0.01)
    assert second.scale == pytest.approx(7 * first.scale, rel=0.02)


def test_the_projected_gradient_is_exact(monoclinic: Ensemble) -> None:
    model = LiquidLike(ModelAtoms.of(monoclinic))
    data = measured(model, model.theta(sigma=0.4, gamma=4.0))
    points = fit_data(data, model.atoms.crystal, d_min=2.2, d_max=15.0)
    projection = Projection(points)
    prepared = model.prepare(points.index, points.divisions)
    theta = model.theta(sigma=0.5, gamma=7.0)
    intensity, jacobian = prepared.with_jacobian(theta)
    gradient = projection.gradient(projection.solve(intensity), jacobian)
    for number in range(2):
        step = np.zeros(2)
        step[number] = 1e-4
        above = projection.solve(prepared.intensity(theta + step)).cost
        below = projection.solve(prepared.intensity(theta - step)).cost
        assert gradient[number] == pytest.approx((above - below) / 2e-4, rel=1e-4)


def test_eliminated_scale_and_curve_equal_a_full_least_squares(monoclinic: Ensemble) -> None:
    model = LiquidLike(ModelAtoms.of(monoclinic))
    data = measured(model, model.theta(sigma=0.4, gamma=4.0))
    points = fit_data(data, model.atoms.crystal, d_min=2.2, d_max=15.0)
    projection = Projection(points)
    intensity = model.prepare(points.index, points.divisions).intensity(model.theta())
    solution = projection.solve(intensity)
    root = np.sqrt(points.weight)
    design = np.column_stack([intensity * root, projection.weighted_basis])
    both, *_ = np.linalg.lstsq(design, points.intensity * root, rcond=None)
    assert solution.scale == pytest.approx(both[0], rel=1e-8)
    expected = points.intensity * root - design @ both
    np.testing.assert_allclose(solution.residual, expected, atol=1e-7 * np.abs(expected).max())
    beta = projection.coefficients(solution, intensity)
    curve = projection.curve(beta, points.s)
    np.testing.assert_allclose(curve * root, projection.weighted_basis @ both[1:], rtol=1e-5)


def test_the_indexing_is_found(make_molecule: Any) -> None:
    crystal = Crystal((20.0, 20.0, 16.0, 90.0, 90.0, 90.0), "P 41")
    model = LiquidLike(ModelAtoms.of(make_molecule(crystal, n_atoms=40)))
    data = measured(model, model.theta(sigma=0.4, gamma=5.0))
    turned = reindex(data, parse_operator("k,h,-l"))
    found = fit(turned, model, n_bootstrap=0)
    straight = fit(data, model, n_bootstrap=0)
    assert straight.operator == "h,k,l"
    assert found.operator == "k,h,-l"
    assert found.margin is not None
    assert found.margin > 0.25
    assert found.parameters == pytest.approx(straight.parameters, rel=1e-3)


def test_a_model_that_explains_nothing_is_told(monoclinic: Ensemble) -> None:
    model = RigidTranslation(ModelAtoms.of(monoclinic))
    opposite = measured(model, model.theta(0.4), scale=-0.02)
    with pytest.warns(UnstillWarning, match="explains nothing"):
        found = fit(opposite, model, reindex="none", n_bootstrap=0)
    assert found.scale == 0
    assert found.cost == pytest.approx(1)


def test_without_debye_waller_the_size_of_tls_is_undetermined(monoclinic: Ensemble) -> None:
    model = RigidBody(ModelAtoms.of(monoclinic), debye_waller=False)
    data = measured(model, model.theta(sigma=0.2, libration=3.0))
    with pytest.warns(UnstillWarning, match="do not determine"):
        found = fit(data, model, reindex="none", n_bootstrap=0)
    assert "sigma" in found.undetermined
    assert np.isnan(found.stderr["sigma"])


def test_a_parameter_at_its_bound_is_told(monoclinic: Ensemble) -> None:
    truth = LiquidLike(ModelAtoms.of(monoclinic), confined=True)
    data = measured(truth, np.log([0.4, 1e6]), noise=0.01)
    with pytest.warns(UnstillWarning, match="bound"):
        found = fit(data, truth, reindex="none", n_bootstrap=0)
    assert found.at_bounds == ("gamma",)


def test_maps_of_the_result_add_up(monoclinic: Ensemble) -> None:
    model = LiquidLike(ModelAtoms.of(monoclinic))
    data = measured(model, model.theta(sigma=0.4, gamma=5.0))
    found = fit(data, model, d_min=2.4, n_bootstrap=0)
    s = np.sqrt(found.residual.s_squared())
    assert np.nanmax(s[found.residual.measured]) <= 1 / 2.4 * (1 + 1e-9)
    curve = np.interp(s, found.curve_s, found.curve)
    kept = found.residual.measured
    total = found.model_map.intensity + curve + found.residual.intensity
    np.testing.assert_allclose(total[kept], found.observed.intensity[kept], atol=0.05)
    assert abs(np.mean(found.residual.intensity[kept])) < 0.02 * np.std(data.intensity[kept])


def test_a_map_of_another_cell_is_refused(monoclinic: Ensemble, triclinic: Ensemble) -> None:
    model = RigidTranslation(ModelAtoms.of(monoclinic))
    other = RigidTranslation(ModelAtoms.of(triclinic))
    with pytest.raises(InputError, match="wrong cell"):
        fit(measured(other, other.theta()), model)


def test_an_operator_that_takes_the_axes_elsewhere_is_refused(monoclinic: Ensemble) -> None:
    model = RigidTranslation(ModelAtoms.of(monoclinic))
    data = measured(model, model.theta())
    with pytest.raises(InputError, match="wrong cell"):
        fit(data, model, reindex="l,k,-h")


def test_a_model_of_less_symmetry_than_the_map_is_told(monoclinic: Ensemble) -> None:
    assert monoclinic.crystal is not None
    model = RigidTranslation(ModelAtoms.of(monoclinic))
    alone = Crystal(monoclinic.crystal.unit_cell, "P 1")
    lower = RigidTranslation(ModelAtoms.of(monoclinic.replace(crystal=alone)))
    with pytest.warns(UnstillWarning, match="less symmetry than the map"):
        fit(measured(model, model.theta()), lower, n_bootstrap=0)


def test_fewer_points_than_free_numbers_are_refused(monoclinic: Ensemble) -> None:
    model = RigidTranslation(ModelAtoms.of(monoclinic))
    data = measured(model, model.theta())
    few = np.random.default_rng(3).choice(np.flatnonzero(data.measured), 8, replace=False)
    mask = np.ones(data.grid.size, dtype=bool)
    mask[few] = False
    with pytest.raises(InputError, match="too few points"):
        fit(data.replace(mask=mask.reshape(data.grid.shape)), model, reindex="none")


def test_a_map_without_anisotropic_part_is_refused(monoclinic: Ensemble) -> None:
    model = RigidTranslation(ModelAtoms.of(monoclinic))
    data = measured(model, model.theta())
    flat = data.replace(intensity=np.where(data.measured, 5.0, np.nan))
    with pytest.raises(InputError, match="no anisotropic part"):
        fit(flat, model, reindex="none")


def test_limits_beyond_the_map_are_refused(monoclinic: Ensemble) -> None:
    model = RigidTranslation(ModelAtoms.of(monoclinic))
    data = measured(model, model.theta())
    with pytest.raises(InputError, match="resolution limits"):
        fit(data, model, d_min=1.0, d_max=1.5, reindex="none")


@pytest.fixture(scope="module")
def snase(unstill_data: Path) -> tuple[IntensityMap, Ensemble]:
    from unstill.io import read_map, read_structure

    structure = read_structure(unstill_data / "snase" / "4wor.pdb")
    path = unstill_data / "snase" / "snc_diffuse_reference.lat"
    return read_map(path, crystal=structure.crystal), structure


def test_liquid_like_motions_explain_the_nuclease_map(
    snase: tuple[IntensityMap, Ensemble],
) -> None:
    observed, structure = snase
    found = fit(observed, LiquidLike(ModelAtoms.of(structure)))
    assert (found.d_min, found.d_max) == (1.6, 20.0)
    assert found.operator == "h,k,l"
    assert found.margin is not None
    assert found.margin >= 0.5
    assert [one.operator.name for one in found.candidates] == ["h,k,l", "k,h,-l"]
    assert found.cc_aniso >= 0.75
    assert 7 <= found.parameters["gamma"] <= 12
    assert 0.4 <= found.parameters["sigma"] <= 0.55
    assert found.intervals["gamma"][0] < found.parameters["gamma"] < found.intervals["gamma"][1]


def test_plain_least_squares_goes_wrong_on_the_nuclease_map(
    snase: tuple[IntensityMap, Ensemble],
) -> None:
    observed, structure = snase
    model = LiquidLike(ModelAtoms.of(structure, adp="none"))
    plain = fit(
        observed, model, weighting="equal", isotropic="constant", reindex="none", n_bootstrap=0
    )
    ours = fit(observed, model, reindex="none", n_bootstrap=0)
    assert plain.cc_total > ours.cc_total
    assert plain.cc_aniso < 0.5
    assert plain.parameters["gamma"] < 6
    assert ours.cc_aniso > 0.68
