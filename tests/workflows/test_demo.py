"""The main job on the embedded data: the known truth comes back, and the null control is null."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from unstill.errors import InputError
from unstill.maps.correlation import correlate
from unstill.provenance import Provenance
from unstill.provenance.record import plain
from unstill.report.page import render
from unstill.workflows.demo import DemoResult, run_demo
from unstill.workflows.demo_json import demo_dict
from unstill.workflows.demo_report import demo_page


@pytest.fixture(scope="module")
def result() -> DemoResult:
    sections = (
        "indexing", "ensemble", "difference", "weighting", "encoding", "guidance", "reduction",
    )  # fmt: skip
    return run_demo(sections=sections, n_frames=64)


def test_the_known_truth_is_found_within_its_interval(result: DemoResult) -> None:
    fit = result.fits["liquid-like"].fit
    truth = result.dataset.truth
    assert truth is not None
    for name, value in truth.items():
        assert abs(fit.parameters[name] - value) < 3 * fit.stderr[name]
        low, high = fit.intervals[name]
        assert low - 0.5 * (high - low) < value < high + 0.5 * (high - low)


def test_a_perfect_model_reaches_the_ceiling_of_the_noise(result: DemoResult) -> None:
    found = result.fits["liquid-like"]
    assert found.fit.comparison.cc_max is not None
    assert found.fit.cc_aniso == pytest.approx(found.fit.comparison.cc_max, abs=0.006)
    assert found.interval[0] < found.fit.cc_aniso < found.interval[1]


def test_null_control_is_zero_where_the_total_correlation_is_not(result: DemoResult) -> None:
    found = result.fits["liquid-like"]
    assert abs(found.null_mean) < 4 * found.chance / math.sqrt(12) + 0.003
    assert found.chance < 0.02
    assert found.null.cc_total > 0.5


def test_wrong_indexing_is_exposed_by_the_anisotropic_correlation(result: DemoResult) -> None:
    right, wrong = result.indexing.trials
    assert (right.operator, right.control, wrong.control) == ("h,k,l", False, True)
    assert right.cc_aniso - wrong.cc_aniso > 0.5
    assert right.cc_total - wrong.cc_total < 0.4


def test_ensemble_climbs_as_its_ceiling_predicts(result: DemoResult) -> None:
    assert result.ensemble is not None
    points = result.ensemble.points
    assert [p.n_frames for p in points] == [4, 8, 16, 32, 64]
    assert all(a.cc_aniso < b.cc_aniso for a, b in pairwise(points))
    assert points[-1].cc_aniso == pytest.approx(points[-1].predicted, abs=0.04)
    assert abs(points[-1].null) < 0.04
    assert math.isnan(points[0].cc_max)


def test_guidance_finds_the_second_places_and_no_others(result: DemoResult) -> None:
    assert result.guidance is not None
    demo = result.guidance
    assert len(demo.places) == 4
    for one in demo.places:
        assert one.apart > 1.5
        assert max(one.rmsd_a, one.rmsd_b) < 0.6
        assert one.share_a == pytest.approx(0.6, abs=0.1)
        assert one.rscc_after > one.rscc_before
    assert demo.n_false <= 1
    assert demo.result.after.held > demo.result.before.held
    assert demo.result.after.bond_rmsd < 0.015
    assert demo_dict(result)["guidance"]["places"][0]["label"] == "A ASP 3"
    # The truth is sound, and so is what was found.
    assert demo.clashscore_truth < demo.result.before.clashscore + 3
    assert demo.result.after.clashscore < min(5, demo.clashscore_truth + 2)
    assert demo.result.after.flips == 0


def test_guidance_finds_nothing_where_there_is_one_state(result: DemoResult) -> None:
    assert result.guidance is not None
    demo, control = result.guidance, result.guidance.control
    assert demo.n_control == 0
    # Of a density that holds nothing more, no term that was held out is predicted better.
    assert control.after.held <= control.before.held
    assert control.after.held > 0.995
    given = (demo.truth[1] - demo.truth[0]) ** 2
    assert np.sqrt(given.sum(axis=-1)).max() > 3
    # No member went to a second place that only the other density has.
    away = np.sqrt(((control.state.coord - demo.truth[0]) ** 2).sum(axis=-1).mean(axis=-1))
    assert away.max() < 0.5


def test_nothing_but_noise_is_left(result: DemoResult) -> None:
    assert result.difference is not None
    z = result.difference.z.intensity[result.difference.z.measured]
    assert np.sqrt(np.mean(z**2)) == pytest.approx(1.0, abs=0.03)
    assert np.mean(np.abs(z) > 3) == pytest.approx(0.0027, abs=0.0015)
    assert result.difference.noise == "sigma"


def test_weights_find_the_share_of_the_truth_and_are_supported(result: DemoResult) -> None:
    demo = result.weighting
    assert demo is not None
    found = demo.found
    assert found.theta_rule == "cross-validation"
    assert demo.share_of_a(found.prior) == pytest.approx(0.5)
    assert demo.share_of_a(found.weights) == pytest.approx(0.8, abs=0.03)
    assert found.converged
    assert found.iterations <= 50
    assert found.verdict == "supported"
    assert [one.population for one in demo.populations] == pytest.approx(
        [demo.share_of_a(found.weights), 1 - demo.share_of_a(found.weights)]
    )


def test_weights_of_permuted_data_stay_and_gain_nothing(result: DemoResult) -> None:
    assert result.weighting is not None
    found = result.weighting.found
    null = found.null
    assert null is not None
    aniso = null.values("free", "aniso")
    assert abs(aniso.mean()) <= 0.01 + 2 * aniso.std(ddof=1) / math.sqrt(len(aniso))
    assert np.abs(aniso).max() <= 3.5 / math.sqrt(found.held.n_free)
    assert null.n_eff_kl.min() >= 0.95 * found.n_members


def test_published_recipe_starts_at_negative_intensities(result: DemoResult) -> None:
    assert result.weighting is not None
    recipe = result.weighting.recipe.recipe
    assert recipe is not None
    assert recipe.negative_at_start > 0.9
    assert recipe.sum_at_start == result.weighting.recipe.n_members / 2
    assert (recipe.cc[1:] > recipe.cc_at_start[1:] + 0.3).all()


def test_weights_become_the_occupancies_of_two_states(result: DemoResult) -> None:
    demo, weighed = result.encoding, result.weighting
    assert demo is not None
    assert weighed is not None
    share = weighed.share_of_a(weighed.found.weights)
    assert demo.share == pytest.approx(share, abs=1e-12)
    assert demo.occupancy == pytest.approx(share, abs=1e-6)
    tree = demo.model.tree
    assert sorted(tree.parent.tolist()) == [-1, 0, 0]
    assert tree.occupancy.sum() == pytest.approx(2.0)
    assert demo.inferred_same
    # The loop swings through what stands in its way; nothing in the file contradicts itself.
    assert {finding.severity for finding in demo.findings} == {"warning", "note"}


def test_the_ensemble_comes_back_from_its_file(result: DemoResult) -> None:
    assert result.encoding is not None
    recorded, anew, lossless = result.encoding.roads
    share = result.encoding.share
    assert recorded.share == pytest.approx(share, abs=1e-9)
    # Coordinates are written with three decimals.
    assert recorded.shift is not None
    assert recorded.shift < 0.0005 * math.sqrt(3)
    assert max(recorded.mean_error, recorded.spread_error) < 0.001
    assert anew.n_members == 20
    assert anew.share == pytest.approx(share, abs=1 / 40 + 1e-9)
    assert (lossless.share, lossless.shift) == (pytest.approx(share, abs=1e-9), 0.0)


def test_maps_of_the_result_can_be_compared_again(result: DemoResult) -> None:
    fit = result.fits["liquid-like"].fit
    again = correlate(fit.model_map, fit.observed, d_min=fit.d_min, d_max=fit.d_max)
    assert again.cc_aniso == pytest.approx(fit.cc_aniso, abs=1e-12)


def test_report_says_simulated_and_shows_the_truth(result: DemoResult) -> None:
    provenance = Provenance.of("unstill demo", {"dataset": "bpti-simulated"}, seed=0).as_dict()
    html = render(demo_page(result, provenance, ["a warning"]))
    assert "simulated data" in html
    assert "σ = 0.4 Å, γ = 8 Å" in html
    assert "a warning" in html
    for part in ("The data", "Indexing", "What is left", "Provenance", "How to read it."):
        assert part in html
    section = html[html.index("Which frames explain the data?</h2>") :]
    for part in ("The ensemble in one file", "Tree of 2 states", "within 0.5 Å, made anew"):
        assert part in section
    assert html.index("What is left</h2>") < html.index("Which frames explain the data?</h2>")
    guided = html[html.index("Two states from one and a density</h2>") :]
    for part in ("Null control: ", "what it leaves over", "gives no residue a second place"):
        assert part in guided
    for part in ("Supported: ", "Maximum entropy, same θ", "Published recipe", "Σw = 60"):
        assert part in section
    without_images = re.sub(r"base64,[^\"]+", "", html)
    assert not re.search(r"\bnan\b", without_images, re.IGNORECASE)
    assert len(html) < 4_000_000


def test_json_holds_every_number_and_no_nan(result: DemoResult) -> None:
    import json

    text = json.dumps(plain(demo_dict(result)), allow_nan=False)
    numbers = json.loads(text)
    assert numbers["truth"] == {"sigma": 0.4, "gamma": 8.0}
    assert numbers["fits"]["liquid-like"]["parameters"]["sigma"] == pytest.approx(0.4, abs=0.01)
    assert numbers["ensemble"]["points"][0]["cc_max"] is None
    assert len(numbers["fits"]["liquid-like"]["shells"]) == 20
    assert numbers["reduction"]["reduction"]["n_frames"] == 60
    weighting = numbers["weighting"]
    assert weighting["truth"] == 0.8
    assert weighting["share_prior"] == pytest.approx(0.5)
    assert weighting["maxent"]["null"]["same_theta"]["n_permutations"] == 20
    assert weighting["sigmoid_cc"]["recipe"]["n_steps"] == 500
    assert {"share", "share_recipe", "states", "loop", "angle"} <= set(weighting)
    encoding = numbers["encoding"]
    assert encoding["findings"]["error"] == 0
    assert [road["n_members"] for road in encoding["roads"]] == [120, 20, 120]


def test_the_map_comes_back_from_the_images(result: DemoResult) -> None:
    demo = result.reduction
    assert demo is not None
    assert demo.comparison.cc_aniso > 0.95
    assert demo.ratio == pytest.approx(1.0, abs=0.015)
    # The beam was made to wander by a fifth.
    assert np.ptp(demo.true_b) > 0.1
    assert demo.b_error < 0.01
    assert demo.outcome.scale is not None
    assert demo.outcome.scale.chi2 == pytest.approx(1.0, abs=0.05)


def test_unknown_section_or_data_set_is_refused() -> None:
    with pytest.raises(InputError, match="no such section"):
        run_demo(sections=("dessert",))
    with pytest.raises(InputError, match="no data set"):
        run_demo("nonsense")


@pytest.mark.soak
def test_measured_data_are_explained_by_liquid_like_motions(unstill_data: Path) -> None:
    found = run_demo("snase", sections=("indexing", "ensemble"), n_frames=64)
    fit = found.fits["liquid-like"].fit
    assert fit.cc_aniso >= 0.75
    assert 7 <= fit.parameters["gamma"] <= 12
    assert 0.4 <= fit.parameters["sigma"] <= 0.55
    assert found.indexing.margin is not None
    assert found.indexing.margin >= 0.5
    assert found.ensemble is not None
    assert found.ensemble.points[-1].cc_aniso > 0.6
