from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import two_states

from unstill.errors import InputError
from unstill.maps.members import BlockMembers
from unstill.weighting.backends import weighting_backend
from unstill.weighting.criterion import Criterion
from unstill.weighting.enrich import EnrichOptions, enrich, enrich_prepared
from unstill.weighting.enrich_result import EnrichResult
from unstill.weighting.forward import weighted_intensity
from unstill.weighting.greedy import kept_weights
from unstill.weighting.holdout import hold_out
from unstill.weighting.leave_one_out import leave_one_out
from unstill.weighting.prepare import Prepared, prepare
from unstill.weighting.problems import Problems
from unstill.weighting.targets.chi_square import FittedScale

D_MIN = 3.0
MOVED = 2.5


def small_sums(per_block: int, n_members: int = 18):
    """Members that differ in weight, and of which blocks differ in length."""
    sums = two_states.frame_sums(n_members * per_block, per_block=per_block, d_min=D_MIN)
    if per_block == 1:
        factor = np.linspace(0.5, 2.0, n_members)
        return replace(
            sums,
            s1=sums.s1 * factor[:, None, None],
            s2=sums.s2 * factor[:, None, None],
            weight=sums.weight * factor,
        )
    # Two blocks made one: longer than the others.
    join = np.maximum(np.arange(n_members) - 1, 0)
    parts = {}
    for name in ("s1", "s2", "weight", "weight_squared", "n_frames"):
        values = getattr(sums, name)
        parts[name] = np.stack([values[join == one].sum(axis=0) for one in range(join[-1] + 1)])
    return replace(sums, **parts)


def ready_for(sums, observed=None, *, dtype: str = "float64", d_min: float = D_MIN) -> Prepared:
    observed = observed or two_states.mixed_map(d_min=d_min, n_frames=60)
    return prepare(BlockMembers(sums), observed, dtype=dtype)


def direct_map(ready: Prepared, sums, kept: np.ndarray) -> np.ndarray:
    """Intensity at the orbits from the sums themselves."""
    s1 = sums.s1[kept, 0].sum(axis=0) / sums.weight[kept].sum()
    s2 = sums.s2[kept, 0].sum(axis=0) / sums.weight[kept].sum()
    x = (s2 - np.abs(s1) ** 2) / np.prod(sums.divisions)
    orbits = ready.table.orbits
    first = np.cumsum(orbits.size) - orbits.size
    return np.add.reduceat(x[orbits.points], first) / orbits.size


def direct_criterion(ready: Prepared, fit: np.ndarray, x: np.ndarray, name: str) -> float:
    """From least squares with a QR decomposition, or from every voxel."""
    data = ready.observed
    if name == "cc":
        times = data.multiplicity[fit].astype(int)
        return np.corrcoef(np.repeat(x[fit], times), np.repeat(data.intensity[fit], times))[0, 1]
    root = np.sqrt(data.precision[fit])
    curve = data.interpolation[fit] * root[:, None]
    y = data.intensity[fit] * root
    rest = y - curve @ np.linalg.lstsq(curve, y)[0]
    both = np.column_stack([curve, x[fit] * root])
    solution = np.linalg.lstsq(both, y)[0]
    misfit = y - both @ solution
    return np.sign(solution[-1]) * np.sqrt(1 - misfit @ misfit / (rest @ rest))


def without(n_members: int, *gone: int) -> np.ndarray:
    kept = np.ones(n_members, dtype=bool)
    kept[list(gone)] = False
    return kept


@pytest.mark.parametrize("name", ["chi2", "cc"])
@pytest.mark.parametrize("per_block", [1, 3])
def test_leave_one_out_is_the_criterion_of_the_map_without_each_member(per_block, name):
    sums = small_sums(per_block)
    ready = ready_for(sums)
    table, n = ready.table, ready.table.n_members
    fit = hold_out(ready.observed).work
    criterion = Criterion.of(ready.observed, fit, name)
    # Some are gone already, so that those that are left are not all.
    kept = without(n, 2, 9)
    x, means = weighted_intensity(table, kept_weights(table.prior, kept)[None])
    found = leave_one_out(table, criterion, kept, x[0], means)
    expected = [
        direct_criterion(ready, fit, direct_map(ready, sums, without(n, 2, 9, one)), name)
        for one in np.flatnonzero(kept)
    ]
    assert np.ptp(expected) > 1e-3
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


def test_single_precision_ranks_members_like_double():
    sums = small_sums(3)
    values = []
    for dtype in ("float32", "float64"):
        ready = ready_for(sums, dtype=dtype)
        kept = np.ones(ready.table.n_members, dtype=bool)
        x, means = weighted_intensity(ready.table, ready.table.prior[None])
        criterion = Criterion.of(ready.observed, ready.observed.measured)
        values.append(leave_one_out(ready.table, criterion, kept, x[0], means))
    assert np.ptp(values[1]) > 1e-3
    np.testing.assert_allclose(values[0], values[1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["chi2", "cc"])
def test_every_pass_removes_what_direct_removal_finds_best(name):
    sums = small_sums(1, n_members=40)
    ready = ready_for(sums)
    fit = hold_out(ready.observed).work
    options = EnrichOptions(criterion=name, stop="fit", n_null=0)
    trace = enrich_prepared(ready, options).trace
    n = ready.table.n_members
    gone: list[int] = []
    for step in range(4):
        left = [one for one in range(n) if one not in gone]
        values = [
            direct_criterion(ready, fit, direct_map(ready, sums, without(n, *gone, one)), name)
            for one in left
        ]
        gone.append(left[int(np.argmax(values))])
        assert trace.fit[step + 1] == pytest.approx(max(values), abs=1e-10)
    assert trace.order[:4].tolist() == gone


def test_removal_ends_where_nothing_raises_the_fit():
    sums = small_sums(1)
    ready = ready_for(sums)
    fit = hold_out(ready.observed).work
    result = enrich_prepared(ready, EnrichOptions(stop="fit", n_null=0))
    n = ready.table.n_members
    assert 3 < result.n_kept < n
    assert np.all(np.diff(result.trace.fit) > 0)
    values = [
        direct_criterion(
            ready, fit, direct_map(ready, sums, without(n, *result.removed, one)), "chi2"
        )
        for one in np.flatnonzero(result.kept)
    ]
    assert max(values) <= result.trace.fit[-1]


def test_prediction_of_held_out_orbits_is_that_of_the_fitted_scale():
    ready = ready_for(small_sums(1))
    data, held = ready.observed, hold_out(ready.observed)
    fit = held.work & (held.fold != 0)
    x = weighted_intensity(ready.table, ready.table.prior[None])[0]
    both = Problems.of([data, data], [fit.astype(float), held.work.astype(float)])
    fitted = FittedScale(both, weighting_backend())
    rest = fitted.rest(x, np.array([0]))
    residual = fitted.without_curve(rest, np.array([1]))[0]
    expected = data.precision * residual**2
    found = Criterion.of(data, fit).squares(x[0], Criterion.of(data, held.work))
    np.testing.assert_allclose(found, expected, rtol=1e-7)


@lru_cache
def two_state_run() -> tuple[Prepared, EnrichResult]:
    sums = two_states.frame_sums(200, moved=MOVED)
    observed = two_states.mixed_map(moved=MOVED)
    ready = ready_for(sums, observed, dtype="float32")
    return ready, enrich_prepared(ready, EnrichOptions(n_null=2, workers=2))


def test_frames_that_are_kept_have_the_mixture_of_the_map():
    _, result = two_state_run()
    of_a = result.weights[:100].sum()
    assert result.prior[:100].sum() == pytest.approx(0.5)
    assert 0.7 < of_a < 0.85
    assert 0.4 < result.n_kept / 200 < 0.75
    assert result.verdict == "supported"
    assert result.cc_free.aniso > result.uniform_free.aniso + 0.02
    assert result.gain_interval[0] > 0


def test_permuted_data_keep_their_members():
    ready, result = two_state_run()
    assert np.all(result.null_n_kept >= 0.95 * ready.table.n_members)
    shuffled = replace(ready, observed=ready.observed.permuted(77))
    null = enrich_prepared(shuffled, EnrichOptions(seed=3, n_null=0, workers=2))
    assert null.n_kept >= 0.95 * ready.table.n_members
    assert null.verdict != "supported"


def test_what_is_reported_belongs_to_the_members_that_are_kept():
    ready, result = two_state_run()
    assert result.kept.sum() == result.n_kept == 200 - len(result.removed)
    assert not result.kept[result.removed].any()
    np.testing.assert_allclose(result.weights, result.kept / result.n_kept)
    assert result.n_eff == pytest.approx(result.n_kept)
    np.testing.assert_allclose(
        result.calculated, weighted_intensity(ready.table, result.weights[None])[0][0], rtol=1e-5
    )
    best = int(np.argmin(result.trace.held_out))
    assert result.trace.chosen == best
    assert result.trace.n_kept[best] == result.n_kept
    keys = json.loads(json.dumps(result.as_dict()))
    assert keys["kept"] == np.flatnonzero(result.kept).tolist()
    assert keys["n_kept"] == result.n_kept
    assert keys["null"]["n_permutations"] == 2
    assert {"cc_work", "cc_free", "cc_uniform", "n_eff", "verdict", "trace"} <= keys.keys()


@lru_cache
def clear_case() -> Prepared:
    """A small table of which clearly some members go."""
    sums = two_states.frame_sums(120, moved=MOVED, d_min=2.5, per_block=2)
    observed = two_states.mixed_map(0.9, moved=MOVED, d_min=2.5, noise=0.1)
    return ready_for(sums, observed, dtype="float32", d_min=2.5)


def test_the_free_set_decides_nothing():
    ready = clear_case()
    options = EnrichOptions(n_null=0)
    first = enrich_prepared(ready, options)
    assert first.n_kept < 60
    free = first.held.free
    intensity = ready.observed.intensity.copy()
    intensity[free] = np.random.default_rng(1).permutation(intensity[free]) * 7 + 3
    second = enrich_prepared(
        replace(ready, observed=replace(ready.observed, intensity=intensity)), options
    )
    assert np.array_equal(first.kept, second.kept)
    assert np.array_equal(first.trace.held_out, second.trace.held_out)
    assert first.cc_free != second.cc_free


def test_threads_change_nothing():
    ready = clear_case()
    one, two = (
        enrich_prepared(ready, EnrichOptions(n_null=2, workers=workers)) for workers in (1, 2)
    )
    assert one.n_kept < 60
    assert one.trace.order.tolist() == two.trace.order.tolist()
    assert np.array_equal(one.trace.held_out, two.trace.held_out)
    assert one.as_dict() == two.as_dict()
    kept = np.ones(60, dtype=bool)
    x, means = weighted_intensity(ready.table, ready.table.prior[None])
    criterion = Criterion.of(ready.observed, one.held.work)
    values = [
        leave_one_out(ready.table, criterion, kept, x[0], means, workers=workers)
        for workers in (1, 2)
    ]
    assert np.array_equal(*values)


def test_several_go_at_a_time():
    ready = clear_case()
    result = enrich_prepared(ready, EnrichOptions(n_null=0, per_pass=4))
    assert result.per_pass == 4
    steps = -np.diff(result.trace.n_kept)
    assert steps.max() == 4
    assert np.all(np.diff(result.trace.fit) > 0)
    x, means = weighted_intensity(ready.table, ready.table.prior[None])
    criterion = Criterion.of(ready.observed, result.held.work)
    value = leave_one_out(ready.table, criterion, np.ones(60, dtype=bool), x[0], means)
    assert result.trace.order[:4].tolist() == np.argsort(-value)[:4].tolist()


def test_defaults_grow_with_the_members():
    assert EnrichOptions().rules(100).per_pass == 1
    assert EnrichOptions().rules(100).patience == 5
    assert EnrichOptions().rules(300).patience == 6
    assert EnrichOptions().rules(4000).per_pass == 20


def test_some_are_kept_in_any_case():
    result = enrich_prepared(clear_case(), EnrichOptions(stop="fit", n_null=0, fewest=50))
    assert result.n_kept == 50
    assert result.trace.n_kept[-1] == 50


def test_members_are_read_and_stages_are_told():
    told: list[tuple[str, int, int]] = []
    result = enrich(
        BlockMembers(two_states.frame_sums(30, d_min=D_MIN)),
        two_states.mixed_map(d_min=D_MIN, n_frames=60),
        EnrichOptions(n_null=1),
        d_min=3.2,
        progress=lambda *step: told.append(step),
    )
    assert result.n_members == 30
    assert 1 / result.observed.orbits.s.max() >= 3.2 * (1 - 1e-9)
    assert {stage for stage, _, _ in told} == {"members", "removal", "null control"}
    for stage in ("members", "removal", "null control"):
        last = [step for step in told if step[0] == stage][-1]
        assert last[1] == last[2]


def test_members_in_a_scratch_file_are_the_same_members(tmp_path):
    source = BlockMembers(two_states.frame_sums(30, d_min=D_MIN))
    observed = two_states.mixed_map(d_min=D_MIN, n_frames=60)
    options = EnrichOptions(stop="fit", n_null=0)
    in_memory, in_file = (
        enrich(source, observed, options, memory=memory, folder=tmp_path)
        for memory in (1 << 30, 0)
    )
    assert len(in_memory.removed) >= 3
    assert np.array_equal(in_memory.trace.order, in_file.trace.order)
    assert np.array_equal(in_memory.trace.fit, in_file.trace.fit)
    assert np.array_equal(in_memory.calculated, in_file.calculated)


@pytest.mark.parametrize("n_members", [2, 3])
def test_too_few_members_are_refused(n_members):
    sums = two_states.frame_sums(n_members, d_min=D_MIN)
    with pytest.raises(InputError, match=f"too few members.*found {n_members} members"):
        enrich_prepared(ready_for(sums), EnrichOptions())


def test_other_backends_are_refused():
    with pytest.raises(InputError, match="numpy only"):
        enrich(
            BlockMembers(two_states.frame_sums(30, d_min=D_MIN)),
            two_states.mixed_map(d_min=D_MIN, n_frames=60),
            backend="jax",
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criterion": "r-factor"}, "unknown criterion.*'r-factor'.*chi2, cc"),
        ({"stop": "never"}, "unknown stop.*'never'.*held-out, fit"),
        ({"per_pass": 0}, "per_pass .*found 0; give 1 or more"),
        ({"patience": 0}, "patience .*found 0; give 1 or more"),
        ({"fewest": 1}, "fewest .*found 1; give 2 or more"),
    ],
)
def test_options_that_cannot_be_right_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        EnrichOptions(**options)
