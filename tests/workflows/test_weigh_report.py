"""The report of weights: every case renders, and none says more than was found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields, replace
from html import unescape
from typing import Any

import numpy as np
import pytest

from unstill.crystal.reindexing import IDENTITY, parse_operator
from unstill.maps import IntensityMap
from unstill.maps.correlation import correlate
from unstill.maps.members import BlockMembers
from unstill.maps.null_control import permute_within_shells
from unstill.maps.reindex import Candidate
from unstill.maps.symmetrize import symmetrize
from unstill.maps.thin_out import thin_out
from unstill.report.blocks import Block, FigureBlock, KeyFigure
from unstill.report.numbers import signed
from unstill.report.page import render
from unstill.weighting import Options, WeighResult, weigh
from unstill.weighting.bragg import BraggAgreement
from unstill.weighting.enrich_result import EnrichResult
from unstill.weighting.greedy import Removal
from unstill.weighting.prepare import prepare
from unstill.weighting.result import Weighed
from unstill.weighting.states import state_populations
from unstill.weighting.verdict import MEANING
from unstill.weighting.weigh import weigh_by_sigmoids
from unstill.workflows.weigh_report import enrich_page, weigh_page
from unstill.workflows.weigh_report.bragg import bragg_blocks
from unstill.workflows.weigh_report.gain import gain_blocks
from unstill.workflows.weigh_report.lead import lead_blocks
from unstill.workflows.weigh_report.maps import anisotropic_maps
from unstill.workflows.weigh_report.members import carry_half, member_blocks, weight_trace
from unstill.workflows.weigh_report.method import method_blocks, weigh_rows
from unstill.workflows.weigh_report.shells import _gain_error, agreement_by_shell, shell_blocks
from unstill.workflows.weigh_report.words import beaten_by
from weighting.two_states import frame_sums, mixed_map

PROVENANCE = {
    "command": "unstill weigh",
    "inputs": [],
    "parameters": {},
    "versions": {},
    "seed": 0,
}
ANEW = {"group": "θ chosen anew", "anew": "each weighed anew"}
MOVED = {"moved": 2.5, "d_min": 2.4}


def two_state_map() -> IntensityMap:
    return mixed_map(n_frames=240, **MOVED)


@pytest.fixture(scope="module")
def members() -> BlockMembers:
    return BlockMembers(frame_sums(120, per_block=2, **MOVED))


@pytest.fixture(scope="module")
def result(members: BlockMembers) -> WeighResult:
    return weigh(members, two_state_map(), Options(n_null=6, n_bootstrap=20))


def page(result: WeighResult, **options: Any) -> str:
    return checked(render(weigh_page(result, PROVENANCE, subject="two states", **options)))


def checked(html: str) -> str:
    assert len(html) < 3_000_000
    told = text(html)
    told = told.replace("None of", "").replace("Null control", "")
    assert not re.search(r"\b(nan|none|inf|null)\b(?! control)", told, re.IGNORECASE)
    for figure in re.findall(r"<figure>.*?</figure>", html, re.DOTALL):
        assert figure.count("How to read it.") == 1
        assert "Good:" in figure or "Judge by" in figure
    return html


def text(html: str) -> str:
    """Words of a page, those in its figures included."""
    body = html[html.index("<body>") : html.index("Provenance</h2>")]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", body)))


def lead(result: WeighResult) -> str:
    """Words above the sections."""
    return words(lead_blocks(result, KeyFigure("N_eff", "1", "")))


def words(blocks: Sequence[Block]) -> str:
    html = "".join(block.html() for block in blocks)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html))).strip()


def figures(html: str) -> list[str]:
    return re.findall(r'<svg role="img" aria-label="([^"]+)"', html)


def many(result: WeighResult, n: int = 1000) -> WeighResult:
    rng = np.random.default_rng(0)
    weights = np.exp(0.1 * np.cumsum(rng.normal(size=n)))
    weights[10:40] *= 1e-9
    draws = weights * np.exp(0.3 * rng.normal(size=(30, n)))
    return replace(
        result,
        weights=weights / weights.sum(),
        prior=np.full(n, 1 / n),
        weight_draws=draws / draws.sum(axis=1, keepdims=True),
        n_frames=np.full(n, 5),
    )


def test_page_tells_what_a_referee_asks_for_in_order(result: WeighResult) -> None:
    labels = np.repeat(["shut", "open"], 60)
    html = page(
        result,
        kind="simulated",
        populations=state_populations(
            labels, result.weights, result.prior, result.n_frames, result.weight_draws
        ),
    )
    sections = re.findall(r'class="n">\d+</span>([^<]+)</h2>', html)
    assert sections == [
        "Is the gain real?",
        "Agreement by resolution",
        "The weights",
        "The price of entropy",
        "States",
        "The maps",
        "How it was done",
        "Provenance",
    ]
    assert len(figures(html)) == 8
    told = text(html)
    assert result.verdict == "supported"
    assert "Supported: the weights raise the anisotropic correlation of data that no fit" in told
    assert f"{result.cc_free.aniso:.3f}" in told
    assert f"from {result.uniform_free.aniso:.3f} to {result.cc_free.aniso:.3f}" in told
    assert f"{result.n_eff_kl:.1f} of 60 members" in told
    assert "simulated data" in told


def test_the_null_control_stands_beside_the_gain(result: WeighResult) -> None:
    null = result.null
    assert null is not None
    assert null.same_theta is not None
    rises = replace(null.same_theta, work=(result.cc_work,) * 6)
    told = words(gain_blocks(replace(result, null=replace(null, same_theta=rises)), **ANEW))
    for group in ("θ chosen anew", "same θ"):
        assert f"Permuted data, {group} Work set, total" in told
    assert "each dot one permutation of the data, weighed at the same θ" in told
    assert "None of 6 permutations gained as much" in told
    assert "with θ chosen anew or at the same θ" in told
    assert "kept the prior weights in all 6" in told
    assert signed(float(rises.gains("work", "aniso").mean())) in told
    total = null.values("free", "total").mean()
    assert f"the total correlation of their free set is still {total:.3f}" in told


def test_a_permutation_that_gains_as_much_is_counted_once(result: WeighResult) -> None:
    assert result.null is not None
    assert beaten_by(result) == 0
    lucky = replace(result.null, free=(result.cc_free, *result.null.free[1:]), same_theta=None)
    both = replace(result, null=replace(lucky, same_theta=lucky))
    assert beaten_by(both) == beaten_by(replace(result, null=lucky)) == 1
    assert beaten_by(replace(result, null=replace(result.null, same_theta=lucky))) == 1
    assert "1 of 6 permutations gained as much" in words(gain_blocks(both, **ANEW))


@pytest.mark.parametrize("verdict", MEANING)
def test_every_verdict_is_called_by_its_name(result: WeighResult, verdict: str) -> None:
    stayed = replace(result, weights=result.prior, verdict=verdict)
    assert f"{verdict.capitalize()}: {MEANING[verdict]}." in lead(stayed)
    told = lead(replace(stayed, weights=result.weights))
    assert told.startswith(f"{verdict.capitalize()}: ")
    assert ("Supported" in told) == (verdict == "supported")
    assert ("do not agree better" in told) == (verdict == "no gain")


@pytest.mark.parametrize("verdict", MEANING)
def test_a_gain_without_null_control_is_not_said_to_beat_it(
    result: WeighResult, verdict: str
) -> None:
    told = lead(replace(result, null=None, verdict=verdict))
    assert told.startswith(f"{verdict.capitalize()}: ")
    assert "any permutation of the data" not in told
    assert "permuted data would give" not in told
    assert "Not run" in told


def test_page_without_null_control_has_no_such_rows_and_no_strip(result: WeighResult) -> None:
    blocks = gain_blocks(replace(result, null=None), **ANEW)
    told = words(blocks)
    assert "No null control was run" in told
    assert "Permuted data" not in told
    assert not any(isinstance(block, FigureBlock) for block in blocks)


def test_page_of_the_published_recipe_tells_where_it_starts(members: BlockMembers) -> None:
    ready = prepare(members, two_state_map())
    found = weigh_by_sigmoids(ready, Options(n_null=1, force=True))
    told = text(page(found))
    assert "has not converged" not in told
    assert "not converged" not in told
    assert "Price of entropy" not in told
    assert "The price of entropy" not in told
    assert "Permuted data, recipe followed anew" in told
    assert found.recipe is not None
    assert f"starts at w = ½, hence at Σw = {found.n_members / 2:.1f}" in told
    assert "500 steps of Adam" in told
    assert f"{found.recipe.cc_at_start[0]:.3f}".replace("-", "−") in told
    assert f"{found.recipe.cc[0]:.3f}" in told


def test_target_of_ones_own_has_a_page(result: WeighResult) -> None:
    own = replace(result, target="my_loss.py:loss")
    told = words(method_blocks(own, weigh_rows(own)))
    assert "my_loss.py:loss a target of your own" in told


def test_given_price_has_no_path_and_no_refits(members: BlockMembers) -> None:
    found = weigh(members, two_state_map(), Options(theta=0.05, n_null=0, n_bootstrap=0))
    html = page(found)
    assert "The price of entropy" not in html
    assert "No refits were made" in html
    assert "Changed beyond error" not in html


def test_permuted_data_are_not_praised(members: BlockMembers) -> None:
    permuted = permute_within_shells(two_state_map(), seed=3)
    found = weigh(members, permuted, Options(n_null=1, n_bootstrap=0))
    told = text(page(found))
    assert found.verdict != "supported"
    assert "Supported" not in told
    assert "∞" in told


def test_map_without_sigma_has_no_ceiling_from_a_file(members: BlockMembers) -> None:
    found = weigh(
        members,
        two_state_map().replace(sigma=None),
        Options(theta="l-curve", n_null=1, n_bootstrap=0),
    )
    html = page(found)
    assert "The elbow of misfit" in html
    assert found.observed.sigma_source in ("mates", "shell")
    assert "CC_max (data)" in html
    unknown = words(
        shell_blocks(replace(found, observed=replace(found.observed, sigma_source="shell")))
    )
    assert "nor is CC_max" in unknown
    assert "CC_max (data)" not in unknown
    assert "on 1 permutation of the data, mean; the largest" in text(html)


def test_three_members_and_a_thousand_can_be_drawn(result: WeighResult) -> None:
    few = weigh(
        BlockMembers(frame_sums(6, per_block=2, **MOVED)),
        two_state_map(),
        Options(theta=0.1, n_null=1, n_bootstrap=2, force=True),
    )
    html = page(few)
    assert "of 3 members" in html
    assert "range over 2 refits" in html
    told = words(member_blocks(many(result)))
    assert "≤ 0.01" in told
    assert "Members 1 000 5000 frames" in told
    assert "Drawn for groups" not in told
    assert weight_trace(many(result, 2500)).group == 3


def test_bragg_and_indexing_are_shown_where_there_are_any(result: WeighResult) -> None:
    before = BraggAgreement(0.31, 0.33, 0.93, 0.92, 1.0, 3.0, 900, 90)
    after = BraggAgreement(0.30, float("nan"), 0.94, float("nan"), 1.0, 2.5, 900, 0)
    tried = (Candidate(IDENTITY, 0.8), Candidate(parse_operator("k,h,-l"), float("nan")))
    shown = replace(result, bragg=after, bragg_uniform=before, candidates=tried)
    told = words([*bragg_blocks(after, before), *method_blocks(shown, [])])
    assert "R_work 0.3100 0.3000 −0.0100" in told
    assert "nothing is held out" in told
    assert "k,h,-l" in told


def test_warnings_title_and_subject_are_the_callers(result: WeighResult) -> None:
    bragg = BraggAgreement(0.31, 0.33, 0.93, 0.92, 1.0, 3.0, 900, 90)
    made = weigh_page(
        replace(result, path=None, null=None, bragg=bragg, bragg_uniform=bragg),
        PROVENANCE,
        ["mind this"],
        title="A < B",
        subject="crystal & map",
    )
    html = render(made)
    assert "mind this" in html
    assert "The price of entropy" not in html
    assert "Bragg amplitudes</h2>" in html
    assert "A &lt; B" in html
    assert "crystal &amp; map" in html


def test_shells_add_up_to_what_a_comparison_of_maps_finds(result: WeighResult) -> None:
    shells = agreement_by_shell(result)
    assert (shells.n_free >= 20).all()
    assert len(shells.x) > 6
    assert shells.n_free.sum() == np.count_nonzero(
        result.held.free & result.observed.measured & result.observed.inside
    )
    assert (np.diff(shells.x) > 0).all()
    assert np.nanmax(np.abs(shells.permuted)) < 0.15
    assert np.nanmean(shells.work) == pytest.approx(result.cc_work.aniso, abs=0.1)
    assert (shells.ceiling > shells.work).all()


def test_error_of_a_gain_is_that_of_a_bootstrap_over_points() -> None:
    rng = np.random.default_rng(4)
    n = 300
    data = rng.normal(size=n)
    first = data + 0.6 * rng.normal(size=n)
    second = 0.8 * first + 0.4 * rng.normal(size=n)
    rows, one, shell = np.stack([first, second, data]), np.ones(n), np.zeros(n, dtype=int)
    gains = []
    for _ in range(600):
        cc = np.corrcoef(rows[:, rng.integers(0, n, n)])
        gains.append(cc[0, 2] - cc[1, 2])
    found = _gain_error(rows, one, shell, 1)
    assert found[0] == pytest.approx(np.std(gains), rel=0.12)


def test_maps_are_those_that_were_compared(result: WeighResult) -> None:
    observed, weighted = anisotropic_maps(result)
    again = correlate(result.weighted_map, symmetrize(result.observed_map, expand=True))
    used = observed.measured
    assert np.corrcoef(observed.intensity[used], weighted.intensity[used])[0, 1] == pytest.approx(
        again.cc_aniso, abs=1e-6
    )


def test_coarse_map_of_a_part_of_the_sphere_can_be_drawn(members: BlockMembers) -> None:
    whole = two_state_map()
    coarse = thin_out(whole, (1, 1, 1))
    half = coarse.replace(mask=coarse.mask | (coarse.grid.hkl()[..., 2] < 0))
    found = weigh(members, half, Options(theta=1.0, holdout=0.3, n_null=0, n_bootstrap=0))
    told = text(page(found))
    assert "l = 1 stands in for l = ½" in told


def test_groups_keep_the_weight(result: WeighResult) -> None:
    trace = weight_trace(result, draws=result.weight_draws, most=7)
    assert trace.group == 9
    assert len(trace.edges) == len(trace.ratio) + 1
    assert trace.edges[-1] == result.n_frames.sum()
    prior = np.diff(trace.edges) / trace.edges[-1]
    assert np.sum(trace.ratio * prior) == pytest.approx(1.0)
    assert trace.low is not None
    assert trace.high is not None
    assert (trace.low <= trace.high).all()


@pytest.mark.parametrize(("weights", "n"), [([1.0], 1), ([0.25] * 4, 2), ([0.6, 0.2, 0.2], 1)])
def test_half_of_the_weight(weights: list[float], n: int) -> None:
    assert carry_half(np.array(weights)) == n


@pytest.mark.parametrize("held_out", [True, False])
def test_page_of_an_enrichment_shows_the_removal(result: WeighResult, held_out: bool) -> None:
    n, steps = result.n_members, 31
    loss = (np.arange(steps) - 20.0) ** 2 / 400 + 1 if held_out else np.full(steps, np.nan)
    trace = Removal(
        order=np.arange(n)[::-1][: steps - 1],
        n_kept=n - np.arange(steps),
        fit=0.7 + 0.005 * np.arange(steps),
        held_out=loss,
        held_out_error=0.1 * loss,
        chosen=20,
    )
    shared = {one.name: getattr(result, one.name) for one in fields(Weighed)}
    weights = np.where(trace.kept, result.prior, 0.0)
    enriched = EnrichResult(
        **{**shared, "weights": weights / weights.sum()},
        trace=trace,
        null_n_kept=np.full(6, n),
        criterion="chi2",
        stop="held-out" if held_out else "fit",
        per_pass=1,
    )
    html = checked(render(enrich_page(enriched, PROVENANCE, subject="two states")))
    told = text(html)
    assert "40 of 60 members are kept" in told
    assert ("Held-out loss" in told) == held_out
    assert "Kept by permuted data 60.0" in told
