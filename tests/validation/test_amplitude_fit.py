"""Scales and R values: recovered from made amplitudes, and against a deposited refinement."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import biotite.structure
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.crystal import Crystal
from unstill.crystal.half_space import friedel_half
from unstill.crystal.symmetry import map_to_asu
from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.io import read_structure
from unstill.io.amplitudes_mtz import read_amplitudes
from unstill.maps.amplitudes import Amplitudes
from unstill.validation.amplitude_fit import fit_amplitudes
from unstill.validation.model_amplitudes import ModelAmplitudes, model_amplitudes

CRYSTAL = Crystal((24.0, 25.0, 31.0, 90.0, 104.0, 90.0), "P 1 21 1")


def _structure() -> Ensemble:
    rng = np.random.default_rng(5)
    atoms = biotite.structure.AtomArray(120)
    atoms.element = rng.choice(["C", "N", "O"], 120)
    coord = rng.uniform(3, 14, (1, 120, 3))
    return Ensemble(atoms, coord, b_factor=rng.uniform(8, 25, 120), crystal=CRYSTAL)


def _hkl() -> np.ndarray:
    hkl = friedel_half(CRYSTAL, 2.0)
    return np.unique(map_to_asu(CRYSTAL, hkl[hkl.any(axis=1)]), axis=0)


@pytest.fixture(scope="module")
def model() -> ModelAmplitudes:
    return model_amplitudes(_structure(), _hkl())


def _observed(f_obs: np.ndarray) -> Amplitudes:
    free = np.random.default_rng(1).random(len(f_obs)) < 0.05
    return Amplitudes(CRYSTAL, _hkl(), f_obs, np.ones(len(f_obs)), free)


def _made(
    model: ModelAmplitudes, k: float, b: np.ndarray, k_sol: float, b_sol: float
) -> np.ndarray:
    x, y, z = CRYSTAL.s(_hkl()).T
    b11, b22, b33, b12, b13, b23 = b
    curve = b11 * x * x + b22 * y * y + b33 * z * z
    curve += 2 * (b12 * x * y + b13 * x * z + b23 * y * z)
    solvent = k_sol * np.exp(-b_sol * CRYSTAL.s_squared(_hkl()) / 4) * model.f_mask
    return k * np.exp(-curve / 4) * np.abs(model.f_calc + solvent)


@given(
    k=st.floats(1e-3, 1e3),
    b=st.tuples(*[st.floats(-5, 8)] * 4),
    k_sol=st.floats(0.15, 0.6),
    b_sol=st.floats(20, 90),
)
def test_finds_the_scales_amplitudes_were_made_with(
    model: ModelAmplitudes, k: float, b: tuple[float, ...], k_sol: float, b_sol: float
) -> None:
    # In a monoclinic cell with its axis along y, B12 and B23 are zero.
    tensor = np.array([b[0], b[1], b[2], 0.0, b[3], 0.0])
    observed = _observed(_made(model, k, tensor, k_sol, b_sol))
    fit = fit_amplitudes(observed, model.f_calc, model.f_mask, shell_scales=False)
    assert fit.r_work < 1e-4
    assert fit.r_free < 1e-4
    np.testing.assert_allclose(fit.b_aniso, tensor, atol=0.02)
    assert fit.k_overall == pytest.approx(k, rel=1e-3)
    assert fit.k_sol == pytest.approx(k_sol, abs=2e-3)
    assert fit.b_sol == pytest.approx(b_sol, rel=0.02)


@pytest.mark.parametrize("b_sol", [20.0, 90.0])
def test_finds_strong_solvent_behind_another_valley(model: ModelAmplitudes, b_sol: float) -> None:
    # From k_sol 0.35 alone, least squares ends near 0.46, with R of 0.02 to 0.05.
    made = _made(model, 1.0, np.zeros(6), 0.6, b_sol)
    fit = fit_amplitudes(_observed(made), model.f_calc, model.f_mask, shell_scales=False)
    assert fit.r_work < 1e-4
    assert fit.k_sol == pytest.approx(0.6, abs=2e-3)


def test_shells_follow_what_the_formula_cannot(model: ModelAmplitudes) -> None:
    kink = np.where(CRYSTAL.d(_hkl()) > 3.0, 1.0, 1.2)
    made = kink * _made(model, 2.0, np.zeros(6), 0.4, 50.0)
    rigid = fit_amplitudes(_observed(made), model.f_calc, model.f_mask, shell_scales=False)
    by_shell = fit_amplitudes(_observed(made), model.f_calc, model.f_mask)
    assert by_shell.r_work < 0.6 * rigid.r_work
    n_work = sum(shell.n_work for shell in by_shell.shells)
    n_free = sum(shell.n_free for shell in by_shell.shells)
    assert (n_work, n_free) == (np.sum(~_observed(made).free), np.sum(_observed(made).free))
    d = [shell.d_min for shell in by_shell.shells]
    assert d == sorted(d, reverse=True)


def test_free_reflections_do_not_touch_the_fit(model: ModelAmplitudes) -> None:
    observed = _observed(_made(model, 2.0, np.zeros(6), 0.4, 50.0))
    spoilt = replace(observed, f_obs=np.where(observed.free, 7.0, observed.f_obs))
    one = fit_amplitudes(observed, model.f_calc, model.f_mask)
    other = fit_amplitudes(spoilt, model.f_calc, model.f_mask)
    np.testing.assert_array_equal(one.f_model, other.f_model)
    assert other.r_free > one.r_free + 0.2


def test_without_solvent_and_without_free_set(model: ModelAmplitudes) -> None:
    observed = _observed(3.0 * np.abs(model.f_calc))
    observed = replace(observed, free=np.zeros(len(observed.free), dtype=bool))
    fit = fit_amplitudes(observed, model.f_calc)
    assert fit.r_work < 1e-4
    assert np.isnan(fit.r_free)
    assert (fit.k_sol, fit.k_overall) == (0.0, pytest.approx(3.0, rel=1e-3))


def test_unrelated_amplitudes_disagree(model: ModelAmplitudes) -> None:
    made = _made(model, 2.0, np.zeros(6), 0.4, 50.0)
    shuffled = np.random.default_rng(2).permutation(made)
    # Acentric random structures differ by R = 2 − √2 = 0.586 (Wilson, 1950).
    fit = fit_amplitudes(_observed(shuffled), model.f_calc, model.f_mask)
    assert 0.45 < fit.r_free < 0.75


def test_members_average_as_densities_do() -> None:
    one = _structure()
    moved = one.coord + np.random.default_rng(3).normal(0, 0.4, one.coord.shape)
    pair = one.replace(coord=np.concatenate([one.coord, moved]), weights=np.array([0.3, 0.7]))
    hkl = _hkl()[:500]
    both = model_amplitudes(pair, hkl)
    apart = [model_amplitudes(pair.member(m), hkl) for m in (0, 1)]
    for name in ("f_calc", "f_mask"):
        expected = 0.3 * getattr(apart[0], name) + 0.7 * getattr(apart[1], name)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(getattr(both, name), expected, atol=1e-4 * scale)


def test_refuses_what_has_no_scale(model: ModelAmplitudes) -> None:
    observed = _observed(np.abs(model.f_calc) + 1)
    with pytest.raises(InputError, match="not those of the reflections"):
        fit_amplitudes(observed, model.f_calc[:-1])
    with pytest.raises(InputError, match="all zero"):
        fit_amplitudes(observed, np.zeros_like(model.f_calc))
    few = replace(observed, free=np.arange(len(observed.free)) > 50)
    with pytest.raises(InputError, match="too little"):
        fit_amplitudes(few, model.f_calc)
    with pytest.raises(InputError, match="differ in space group"):
        model_amplitudes(_structure(), _hkl(), crystal=Crystal(CRYSTAL.unit_cell, "P 1 2 1"))
    with pytest.raises(InputError, match="no crystal"):
        model_amplitudes(_structure().replace(crystal=None), _hkl())
    with pytest.raises(InputError, match="at reflections"):
        model_amplitudes(_structure(), np.zeros((1, 3), dtype=int))


def test_refined_model_has_the_r_values_of_its_header(unstill_data: Path) -> None:
    path = unstill_data / "bragg" / "1g8a_refined.pdb"
    header = {}
    for line in path.read_text().splitlines():
        if line.startswith("REMARK   3   ") and "R VALUE" in line and ":" in line:
            name, _, value = line[13:].partition(":")
            header[name.strip()] = value.strip()
    observed = read_amplitudes(unstill_data / "bragg" / "1g8a.mtz")
    structure = read_structure(path)
    refined = model_amplitudes(structure, observed.hkl, crystal=observed.crystal)
    fit = fit_amplitudes(observed, refined.f_calc, refined.f_mask)
    assert fit.r_work == pytest.approx(
        float(header["R VALUE            (WORKING SET)"]), abs=0.005
    )
    assert fit.r_free == pytest.approx(float(header["FREE R VALUE"]), abs=0.005)
    dry = fit_amplitudes(observed, refined.f_calc)
    assert dry.shells[0].r_work > fit.shells[0].r_work + 0.02
    # Hydrogens were refined; without them the model is a worse one.
    heavy = structure.select(structure.element != "H")
    bare = model_amplitudes(heavy, observed.hkl, crystal=observed.crystal)
    assert fit_amplitudes(observed, bare.f_calc, bare.f_mask).r_work > fit.r_work + 0.005
