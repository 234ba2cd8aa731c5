"""Weighing as a whole: known populations come back, and noise gives nothing."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from two_states import CRYSTAL, DIVISIONS, frame_sums, mixed_map

from unstill.crystal import Crystal, HklGrid
from unstill.errors import InputError, UnstillWarning
from unstill.maps import BlockSums, IntensityMap, map_from_points
from unstill.maps.compare import compare
from unstill.maps.members import BlockMembers
from unstill.maps.symmetrize import symmetrize
from unstill.maps.thin_out import thin_out
from unstill.weighting import TARGETS, Options, WeighResult, weigh
from unstill.weighting.adam import adam
from unstill.weighting.data import Observed
from unstill.weighting.prepare import prepare
from unstill.weighting.problems import Problems
from unstill.weighting.sigmoid_cc import sigmoid_cc, unnormalised
from unstill.weighting.verdict import judge
from unstill.weighting.weigh import weigh_by_sigmoids, weigh_prepared

FAR = {"moved": 2.5}
QUICK = Options(n_null=0, n_bootstrap=0)
N_FRAMES = 300


@pytest.fixture(scope="module")
def sums() -> BlockSums:
    return frame_sums(N_FRAMES, **FAR)


@pytest.fixture(scope="module")
def observed() -> IntensityMap:
    return mixed_map(0.8, **FAR)


@pytest.fixture(scope="module")
def found(sums: BlockSums, observed: IntensityMap) -> WeighResult:
    return weigh(BlockMembers(sums), observed, Options(target=TARGETS["likelihood"]))


def share_a(weights: np.ndarray) -> float:
    return float(weights[: len(weights) // 2].sum())


def test_populations_come_back_with_theta_chosen_by_held_out_data(found: WeighResult) -> None:
    assert share_a(found.prior) == pytest.approx(0.5)
    assert share_a(found.weights) == pytest.approx(0.8, abs=0.03)
    assert found.iterations <= 50
    assert found.verdict == "supported"
    assert found.gain_interval[0] > 0
    assert abs(found.weights.sum() - 1) < 1e-12


@pytest.mark.parametrize("name", ["chi2", "likelihood", "cc", "cc-aniso"])
def test_populations_come_back_as_entropy_costs_nothing(
    name: str, sums: BlockSums, observed: IntensityMap
) -> None:
    found = weigh(BlockMembers(sums), observed, replace(QUICK, target=TARGETS[name], theta=1e-6))
    assert found.converged
    assert share_a(found.weights) == pytest.approx(0.8, abs=0.02)
    assert found.iterations <= 50


def test_the_prior_is_kept_as_entropy_costs_much(sums: BlockSums, observed: IntensityMap) -> None:
    found = weigh(BlockMembers(sums), observed, replace(QUICK, theta=1e6))
    np.testing.assert_allclose(found.weights, found.prior, rtol=1e-4)
    assert found.n_eff_kl == pytest.approx(N_FRAMES, rel=1e-6)


def test_null_control_gives_nothing(found: WeighResult) -> None:
    assert found.null is not None
    assert found.null.n_permutations >= 20
    free = found.null.values("free", "aniso")
    n_free = found.held.n_free
    # A correlation of n_free numbers by chance has the standard error 1/√n_free.
    assert np.abs(free).mean() <= 0.01 + 2 / np.sqrt(n_free)
    assert abs(free.mean()) <= 0.01 + 2 * free.std(ddof=1) / np.sqrt(len(free))
    assert np.all(np.abs(free) <= 3.5 / np.sqrt(n_free))
    assert found.null.n_eff_kl.min() >= 0.95 * N_FRAMES
    assert np.abs(found.null.gains("free", "aniso")).max() < 0.02
    # The total correlation is high all the same, and says nothing.
    assert found.null.values("free", "total").mean() > 0.2


def test_permuted_data_gain_what_they_can_at_a_given_theta(observed: IntensityMap) -> None:
    members = BlockMembers(frame_sums(60, **FAR))
    found = weigh(members, observed, replace(QUICK, theta=0.01, n_null=20))
    assert found.null is not None
    # Where they disagree with the prior the scale is zero, and no slope leads away from it.
    disagree = found.null.values("work_uniform", "aniso") < 0
    stayed = found.null.n_eff_kl > 60 - 1e-6
    assert not stayed[~disagree].any()
    assert stayed.sum() < 0.6 * disagree.sum()


def test_permuted_data_are_not_explained(sums: BlockSums, observed: IntensityMap) -> None:
    from unstill.maps.null_control import permute_within_shells

    null = permute_within_shells(observed, seed=4)
    found = weigh(BlockMembers(sums), null, replace(QUICK, n_null=5))
    assert found.n_eff_kl >= 0.95 * N_FRAMES
    assert found.verdict != "supported"


def test_free_data_have_no_say(sums: BlockSums, observed: IntensityMap) -> None:
    found = weigh(BlockMembers(sums), observed, QUICK)
    free = found.observed.orbits.index[found.held.free & found.held.measured]
    spoilt = observed.intensity.copy()
    grid = observed.grid
    rng = np.random.default_rng(0)
    # Both Friedel mates of the mates in P 21 21 21.
    for signs in ([1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]):
        values = 400 + 200 * rng.random(len(free))
        for mates in (free * signs, -free * signs):
            spoilt.ravel()[grid.position(mates)] = values
    again = weigh(BlockMembers(sums), observed.replace(intensity=spoilt), QUICK)
    np.testing.assert_array_equal(again.weights, found.weights)
    assert again.cc_free.aniso != found.cc_free.aniso


def test_agreement_is_that_of_a_comparison_with_the_written_map(
    found: WeighResult, observed: IntensityMap
) -> None:
    everything = compare(found.weighted_map, symmetrize(observed, expand=True), reindex="none")
    n_work, n_free = found.held.n_work, found.held.n_free
    assert (
        min(found.cc_work.aniso, found.cc_free.aniso)
        < everything.cc_aniso
        < max(found.cc_work.aniso, found.cc_free.aniso)
    )
    assert everything.n_voxels > 3 * (n_work + n_free)
    # The frames have sampling noise of their own, which draws the scale below one.
    assert 0.7 < found.scale < 1.05


def test_l_curve_chooses_between_the_ends(sums: BlockSums, observed: IntensityMap) -> None:
    found = weigh(BlockMembers(sums), observed, replace(QUICK, theta="l-curve"))
    assert found.theta_rule == "l-curve"
    assert found.path is not None
    assert 0 < found.path.chosen < len(found.path.theta) - 1
    assert np.all(np.diff(found.path.divergence) > -1e-3)
    assert np.all(np.diff(found.path.misfit) < 1e-4)
    assert 0.65 < share_a(found.weights) < 0.82


def test_two_members_keep_the_weights_that_their_map_cannot_tell(observed: IntensityMap) -> None:
    pair = frame_sums(2, **FAR)
    f = pair.s1[:, 0]
    exact = 0.25 * np.abs(f[0] - f[1]) ** 2 / np.prod(DIVISIONS)
    # Σ w|F|² − |Σ wF|² of two members is w₁w₂|F₁ − F₂|²: a scale, and nothing else.
    pattern = map_from_points(CRYSTAL, DIVISIONS, pair.index, exact)
    found = weigh(BlockMembers(pair), pattern, replace(QUICK, target=TARGETS["cc"]))
    assert found.weights.tolist() == pytest.approx([0.5, 0.5], abs=1e-6)
    assert found.cc_work.total == pytest.approx(1, abs=5e-5)
    assert found.cc_free.total == pytest.approx(1, abs=5e-5)


def recipe_problems(data: Observed) -> Problems:
    return Problems.of([data], [np.ones(data.orbits.n_orbits)])


def test_the_published_recipe_starts_from_negative_intensities(
    sums: BlockSums, observed: IntensityMap
) -> None:
    ready = prepare(BlockMembers(sums), observed)
    recipe = sigmoid_cc(ready.table, recipe_problems(ready.observed), n_steps=5)
    assert recipe.sum_at_start == N_FRAMES / 2
    assert recipe.negative_at_start > 0.9
    pair = prepare(BlockMembers(frame_sums(2, **FAR)), observed)
    toy = sigmoid_cc(pair.table, recipe_problems(pair.observed), n_steps=1)
    assert toy.sum_at_start == 1
    assert toy.negative_at_start < 0.01


def test_the_recipe_fits_noise_and_is_called_by_its_name(
    sums: BlockSums, observed: IntensityMap
) -> None:
    from unstill.maps.null_control import permute_within_shells

    blocks = BlockMembers(frame_sums(N_FRAMES, per_block=10, **FAR))
    ready = prepare(blocks, permute_within_shells(observed, seed=4))
    by_recipe = weigh_by_sigmoids(ready, replace(QUICK, n_null=3, force=True))
    by_entropy = weigh_prepared(ready, QUICK)
    # Total correlation rises, on noise; that of what tells where atoms are does not.
    assert by_recipe.cc_work.total - by_recipe.uniform_work.total > 0.03
    assert by_recipe.cc_work.aniso - by_recipe.uniform_work.aniso < 0.01
    assert by_recipe.verdict in ("isotropic only", "within chance")
    assert by_recipe.n_eff_kl < 0.9 * by_recipe.n_members
    assert by_entropy.n_eff_kl > 0.99 * by_entropy.n_members
    assert by_recipe.as_dict()["recipe"]["negative_at_start"] > 0.5


def test_the_recipe_has_the_gradient_of_its_own_function(
    sums: BlockSums, observed: IntensityMap
) -> None:
    few = sums.take(np.arange(6))
    table = prepare(BlockMembers(few), observed, dtype="float64").table
    f, a = few.s1[:, 0], few.s2[:, 0]
    w = np.array([[0.2, 0.9, 0.4, 0.5, 0.7, 0.3], [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]])
    x, slope = unnormalised(table, w, workers=2)
    plain = (w @ a - np.abs(w @ f) ** 2)[:, table.orbits.points]
    edges = np.concatenate([[0], np.cumsum(table.orbits.size)])
    expected = np.add.reduceat(plain, edges[:-1], axis=1) / table.orbits.size / 8
    np.testing.assert_allclose(x, expected, rtol=1e-8, atol=1e-6 * np.abs(expected).max())
    g = np.random.default_rng(0).normal(size=x.shape)
    found = slope(g)
    for i in range(6):
        shift = 1e-5 * np.eye(6)[i]
        change = unnormalised(table, w + shift)[0] - unnormalised(table, w - shift)[0]
        np.testing.assert_allclose(found[:, i], np.sum(g * change, axis=1) / 2e-5, rtol=1e-6)


def test_adam_finds_the_same_weights(sums: BlockSums, observed: IntensityMap) -> None:
    blocks = BlockMembers(frame_sums(N_FRAMES, per_block=10, **FAR))
    by_lbfgs = weigh(blocks, observed, replace(QUICK, theta=0.05))
    search = partial(adam, n_steps=400, learning_rate=0.05)
    with pytest.warns(UnstillWarning, match="not converged"):
        by_adam = weigh(blocks, observed, replace(QUICK, theta=0.05, search=search))
    np.testing.assert_allclose(by_adam.weights, by_lbfgs.weights, atol=2e-3)
    assert by_adam.iterations > 5 * by_lbfgs.iterations


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_find_the_same_weights(backend: str, observed: IntensityMap) -> None:
    pytest.importorskip(backend)
    blocks = BlockMembers(frame_sums(N_FRAMES, per_block=10, **FAR))
    options = replace(QUICK, theta=0.2)
    here = weigh(blocks, observed, options)
    there = weigh(blocks, observed, options, backend=backend)
    np.testing.assert_allclose(there.weights, here.weights, atol=1e-4)


def test_maps_without_sigma_and_on_a_coarser_grid_are_taken(
    sums: BlockSums, observed: IntensityMap
) -> None:
    coarse = thin_out(observed, (1, 2, 2)).replace(sigma=None)
    for data, source in ((coarse, "mates"), (symmetrize(coarse), "shell")):
        found = weigh(BlockMembers(sums), data, replace(QUICK, target=TARGETS["likelihood"]))
        assert found.observed.sigma_source == source
        assert np.all(found.observed.orbits.index[:, 0] % 2 == 0)
        assert share_a(found.weights) == pytest.approx(0.8, abs=0.1)


def test_the_wrong_indexing_is_noticed() -> None:
    tetragonal = Crystal((21.0, 21.0, 27.0, 90.0, 90.0, 90.0), "P 43")
    rng = np.random.default_rng(0)
    from unstill.crystal.half_space import friedel_half

    index = friedel_half(tetragonal, 2.5, (2, 2, 2))
    f = rng.normal(size=(20, 1, len(index))) + 1j * rng.normal(size=(20, 1, len(index)))
    f *= 1 + 3 * rng.random(len(index))
    ones = np.ones(20)
    sums = BlockSums(tetragonal, (2, 2, 2), index, f, np.abs(f) ** 2, ones, ones, ones.astype(int))
    from unstill.crystal.reindexing import parse_operator
    from unstill.diffuse import diffuse_intensity
    from unstill.maps.reindex import reindex

    right = diffuse_intensity(sums, with_sigma=False)
    turned = reindex(right, parse_operator("k,h,-l"))
    found = weigh(BlockMembers(sums), turned, replace(QUICK, theta=1.0))
    assert found.operator == "k,h,-l"
    assert found.cc_work.aniso > 0.99
    kept = weigh(BlockMembers(sums), turned, replace(QUICK, theta=1.0), reindex="none")
    assert kept.cc_work.aniso < 0.3


def bad_cases(observed: IntensityMap, sums: BlockSums) -> dict[str, tuple[object, ...]]:
    other = Crystal((30.0, 19.0, 23.0, 90.0, 90.0, 90.0), "P 21 21 21")
    spoilt = sums.s1.copy()
    spoilt[3, 0, 17] = np.nan
    everything = np.ones(observed.grid.shape, dtype=bool)
    fine = HklGrid((-6, -6, -6), (13, 13, 13), (3, 2, 2))
    return {
        "wrong cell": (sums, observed.replace(crystal=other), "wrong cell"),
        "masked": (sums, observed.replace(mask=everything), "masked everywhere"),
        "nan": (replace(sums, s1=spoilt), observed, "numbers that cannot be used"),
        "one frame": (sums.take([0]), observed, "at least two members"),
        "divisions": (
            sums,
            IntensityMap(CRYSTAL, fine, np.ones(fine.shape)),
            "sampled at points that the members do not have",
        ),
        "symmetry": (
            sums,
            observed.replace(crystal=Crystal(CRYSTAL.unit_cell, "P 1 2 1")),
            None,
        ),
    }


@pytest.mark.parametrize("case", ["wrong cell", "masked", "nan", "one frame", "divisions"])
def test_what_cannot_be_weighed_is_refused(
    case: str, observed: IntensityMap, sums: BlockSums
) -> None:
    members, data, message = bad_cases(observed, sums)[case]
    with pytest.raises(InputError, match=str(message)):
        weigh(BlockMembers(members), data, QUICK)  # type: ignore[arg-type]


def test_a_map_that_declares_less_symmetry_is_averaged_all_the_same(
    observed: IntensityMap, sums: BlockSums, found: WeighResult
) -> None:
    members, data, _ = bad_cases(observed, sums)["symmetry"]
    again = weigh(BlockMembers(members), data, QUICK)  # type: ignore[arg-type]
    assert again.observed.orbits.n_orbits == found.observed.orbits.n_orbits


def test_collapsed_weights_are_refused_unless_forced(sums: BlockSums) -> None:
    f = sums.s1[:, 0]
    few = np.array([3, 200])
    exact = np.abs(f[few[0]] - f[few[1]]) ** 2 / 4 / 8
    target = map_from_points(CRYSTAL, DIVISIONS, sums.index, exact)
    options = replace(QUICK, theta=0.0, target=TARGETS["cc"])
    with pytest.raises(InputError, match="collapsed"):
        weigh(BlockMembers(sums), target, options)
    with pytest.warns(UnstillWarning, match="collapsed"):
        forced = weigh(BlockMembers(sums), target, replace(options, force=True))
    assert forced.weights[few].sum() > 0.8


@pytest.mark.parametrize("theta", [-1.0, float("nan"), "best"])
def test_theta_must_make_sense(theta: object) -> None:
    with pytest.raises(InputError):
        Options(theta=theta)  # type: ignore[arg-type]


def test_json_has_the_keys_that_programs_rely_on(found: WeighResult) -> None:
    numbers = found.as_dict()
    assert set(numbers["cc_work"]) == {"total", "aniso"}
    assert {"total", "aniso"} <= set(numbers["cc_free"])
    assert set(numbers["cc_uniform"]) == {"work", "free"}
    assert {"work", "free"} <= set(numbers["null"])
    assert numbers["n_eff_kl"] <= numbers["n_members"]
    assert numbers["n_eff"] <= numbers["n_members"]


def test_a_given_theta_is_confirmed_by_the_same_folds_as_a_chosen_one(
    sums: BlockSums, observed: IntensityMap, found: WeighResult
) -> None:
    assert found.path is not None
    assert found.support == pytest.approx(found.path.support)
    assert found.support > 3
    options = replace(QUICK, target=TARGETS["likelihood"], theta=found.theta)
    given = weigh(BlockMembers(sums), observed, options)
    assert given.support == pytest.approx(found.support, rel=0.05)
    assert given.verdict == "supported"


def test_what_folds_do_not_confirm_is_not_called_supported() -> None:
    said = {
        support: judge(
            work_gain=0.4,
            free_gain=0.5,
            free_total_gain=0.1,
            gain_interval=(0.2, 0.8),
            free_interval=(0.2, 0.8),
            null_gains=[0.1],
            support=support,
        )
        for support in (float("nan"), 0.75, 2.9, 3.1)
    }
    assert list(said.values()) == ["unconfirmed", "unconfirmed", "unconfirmed", "supported"]


def test_the_recipe_is_never_called_supported(observed: IntensityMap) -> None:
    ready = prepare(BlockMembers(frame_sums(N_FRAMES, per_block=10, **FAR)), observed)
    by_recipe = weigh_by_sigmoids(ready, replace(QUICK, force=True))
    assert np.isnan(by_recipe.support)
    assert by_recipe.cc_free.aniso > by_recipe.uniform_free.aniso
    assert by_recipe.verdict != "supported"


def test_four_members_may_not_rest_on_fewer_than_three(sums: BlockSums) -> None:
    four = sums.take([0, 1, 2, 3])
    f = four.s1[:, 0]
    exact = np.abs(f[0] - f[3]) ** 2 / 4 / 8
    target = map_from_points(CRYSTAL, DIVISIONS, sums.index, exact)
    options = replace(QUICK, theta=0.0, target=TARGETS["cc"])
    with pytest.raises(InputError, match="collapsed"):
        weigh(BlockMembers(four), target, options)
