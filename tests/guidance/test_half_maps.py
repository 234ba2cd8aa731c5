"""Half maps: what they say of each other, and one half guiding while the other judges."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_crystal import D_MIN, small_crystal, small_map
from typer.testing import CliRunner

from unstill.cli.app import complete_app
from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.protocols import EnsembleState
from unstill.guidance.start import starting_model
from unstill.io.density_ccp4 import write_density_map
from unstill.io.structure_files import write_structure
from unstill.maps.density_map import DensityMap
from unstill.maps.half_maps import compare_half_maps
from unstill.scattering.synthesis import Synthesis


def halves(noise: float) -> tuple[DensityMap, DensityMap, np.ndarray, Synthesis]:
    """Two halves whose noise is as strong in every term, and the expected FSC of each term."""
    truth = small_map()
    synthesis = Synthesis(truth.crystal, D_MIN, truth.shape)
    f = synthesis.structure_factors(truth.values)
    rng = np.random.default_rng(3)
    power = noise * float(np.sqrt(np.mean(np.abs(f) ** 2)))
    made = []
    for _ in range(2):
        wave = rng.standard_normal((2, len(f))) / np.sqrt(2)
        made.append(
            DensityMap(truth.crystal, synthesis.density(f + power * (wave[0] + 1j * wave[1])))
        )
    s = np.sqrt(truth.crystal.s_squared(synthesis.index))
    order = np.argsort(s, kind="stable")
    signal = np.convolve(np.abs(f[order]) ** 2, np.ones(201) / 201, mode="same")
    expected = np.empty(len(f))
    expected[order] = signal / (signal + power**2)
    return made[0], made[1], expected, synthesis


def test_correlation_is_that_of_signal_and_noise() -> None:
    first, second, expected, synthesis = halves(0.5)
    found = compare_half_maps(first, second, synthesis)
    s = np.sqrt(synthesis.crystal.s_squared(synthesis.index))
    inner = (s > 0.15) & (s < 0.5) & (found.weight > 0)
    assert inner.sum() > 1000
    assert np.abs(found.weight[inner] ** 2 - expected[inner]).mean() < 0.06
    noisy = compare_half_maps(*halves(2.0)[:2], synthesis)
    assert noisy.d_gold is not None
    assert noisy.d_gold > D_MIN
    assert (noisy.weight[s > 1 / noisy.d_gold + 0.03] == 0).all()
    clean = compare_half_maps(*halves(0.02)[:2], synthesis)
    assert clean.d_gold is None
    assert clean.weight.min() > 0.9


def test_a_term_without_trust_is_neither_fitted_nor_judged() -> None:
    first, second, _, synthesis = halves(0.05)
    model = starting_model(small_crystal())
    state = EnsembleState(model.atoms.coord.astype(float), np.ones(1), model.b_factor)
    trust = (np.sqrt(first.crystal.s_squared(synthesis.index)) < 0.4).astype(float)

    def made(target: DensityMap, judge: DensityMap) -> DensityObservable:
        return DensityObservable(target, D_MIN, model.element, trust=trust, judge=judge)

    plain = made(first, second)
    f = synthesis.structure_factors(first.values)
    spoilt = DensityMap(first.crystal, synthesis.density(np.where(trust > 0, f, 50.0)))
    other = made(spoilt, second)
    assert other.value(state, D_MIN) == pytest.approx(plain.value(state, D_MIN), rel=1e-9)
    # The judge is the other half: turned round, the figures change places.
    assert plain.agreement(state) == pytest.approx(made(second, first).agreement(state)[::-1])


def test_one_half_guides_and_the_other_judges(tmp_path: Path) -> None:
    first, second, _, _ = halves(0.15)
    model = tmp_path / "small.cif"
    write_structure(small_crystal(), model)
    files = [tmp_path / "one.ccp4", tmp_path / "two.ccp4"]
    for density, path in zip((first, second), files, strict=True):
        write_density_map(density, path)
    out = tmp_path / "out"
    common = ["--resolution", D_MIN, "--noise", 0.5, "--strength", 1, "--json", "-o", out]
    given = ["guide", model, files[0], "--half-map", files[1], *common]
    done = CliRunner().invoke(complete_app(), [str(one) for one in given])
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["after"]["held_out"] > found["before"]["held_out"]
    assert found["after"]["gap"] < 0.03
    assert (12, "A") in [(one["res_id"], one["ins_code"]) for one in found["states"]]
    assert len(found["provenance"]["inputs"]) == 3
    assert "The other half map, which no fit saw" in (out / "report.html").read_text()


def test_halves_that_are_none_are_refused() -> None:
    first, second, _, synthesis = halves(0.3)
    with pytest.raises(InputError, match="the same"):
        compare_half_maps(first, first, synthesis)
    other = Crystal((33.0, 26.0, 27.0, 90.0, 100.0, 90.0), "P 1 21 1")
    with pytest.raises(InputError, match="different cells"):
        compare_half_maps(first, DensityMap(other, second.values), synthesis)
