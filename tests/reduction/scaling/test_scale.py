"""Scales of a known truth come back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic import make, mean_intensity

from unstill.crystal import Crystal
from unstill.errors import InputError, UnstillWarning
from unstill.maps.observations import concatenate
from unstill.reduction.scaling.options import ScaleOptions
from unstill.reduction.scaling.rows import voxel_rows
from unstill.reduction.scaling.scale import scale_observations

ONLY_SCALE = ScaleOptions(absorption="off", offset="off", detector="off")
ALL = ScaleOptions(absorption="on", offset="on", detector="on")


def without_means(values, *labels):
    """Root mean square of values averaged over cells of equal labels."""
    _, cell = np.unique(np.stack(labels), axis=1, return_inverse=True)
    cell = cell.ravel()
    means = np.bincount(cell, values) / np.bincount(cell)
    return float(np.sqrt(np.mean(means[cell] ** 2)))


def without_shell_means(values, shell):
    """Values less their mean in each shell."""
    return values - (np.bincount(shell, values) / np.maximum(np.bincount(shell), 1))[shell]


@pytest.fixture(scope="module")
def recovered():
    truth = make(n_voxels=4000, multiplicity=8, counts=3000.0, seed=11)
    return truth, scale_observations(truth.observations, ALL)


def test_a_b_c_d_are_recovered_within_one_percent(recovered):
    truth, result = recovered
    rows = truth.observations
    scale, offset = result.model.scale_and_offset(rows)
    # a and d up to what they do alike all around a ring, which is a matter of the map
    shell = (rows.s // 0.02).astype(int)
    error = without_shell_means(np.log(scale / truth.scale), shell)
    assert np.sqrt(np.mean(error**2)) < 0.01
    assert without_means(error, rows.sweep, rows.block // 3) < 0.005  # b
    cell = (rows.x // 100, rows.y // 100)
    assert without_means(error, *cell) < 0.01  # d
    # c up to what any sweep has at one resolution, which is the gauge
    ratio = np.log(scale / truth.scale)
    factor = np.exp(ratio - without_shell_means(ratio, shell))
    wrong = offset / scale * factor - truth.c / truth.b
    wrong = without_shell_means(wrong / mean_intensity(rows.s), shell)
    assert np.sqrt(np.mean(wrong**2)) < 0.01
    assert 0.95 <= result.chi2 <= 1.10
    assert result.history[-1].chi2 == pytest.approx(1, abs=0.1)


def test_intensities_follow_the_truth(recovered):
    truth, result = recovered
    ratio = result.intensity / truth.intensity
    assert np.corrcoef(result.intensity, truth.intensity)[0, 1] > 0.9995
    assert np.std(ratio) / np.mean(ratio) < 0.02


@pytest.mark.parametrize("effects", ["", "b"])
def test_low_counts_are_not_biased(effects):
    truth = make(n_voxels=8000, multiplicity=8, counts=6.0, effects=effects, seed=12)
    result = scale_observations(truth.observations, ONLY_SCALE)
    rows = voxel_rows(truth.observations)
    table, source = rows.observations, rows.source
    scale, offset = result.model.scale_and_offset(table)

    def merged(scale, offset):
        signal = table.counts - table.background - table.exposure * offset
        return rows.sums(signal) / rows.sums(table.exposure * scale)

    ours = merged(scale, offset)
    ideal = merged(truth.scale[source], truth.offset[source])
    true = truth.intensity[source][rows.start]
    ours *= ideal.sum() / ours.sum()
    assert np.all(np.isfinite(ours))
    s = table.s[rows.start]
    for key, n in ((s, 5), (true, 4)):
        for part in np.array_split(np.argsort(key), n):
            assert ours[part].sum() == pytest.approx(ideal[part].sum(), rel=2e-3)
            noise = np.sqrt(2 * rows.sums(table.counts)[part].sum()) / (
                rows.sums(table.counts - table.background)[part].sum()
            )
            assert ours[part].sum() == pytest.approx(true[part].sum(), rel=0.002 + 2 * noise)
    assert 0.95 <= result.chi2 <= 1.10


def test_the_data_choose_what_they_need():
    nothing = make(n_voxels=1000, multiplicity=8, effects="b", seed=13)
    result = scale_observations(nothing.observations)
    assert [part.name for part in result.model.components] == ["b"]
    assert set(result.gains) == {"a", "c", "d"}
    absorbing = make(n_voxels=1000, multiplicity=8, effects="ab", seed=13)
    result = scale_observations(absorbing.observations)
    assert "a" in {part.name for part in result.model.components}
    assert result.gains["a"] > 0.3


def test_bits_do_not_depend_on_the_order_of_rows():
    truth = make(n_voxels=600, multiplicity=6, seed=14)
    rows = truth.observations
    order = np.random.default_rng(1).permutation(len(rows))
    one = scale_observations(rows, ALL)
    other = scale_observations(rows.take(order), ALL)
    assert np.array_equal(one.rejected[order], other.rejected)
    assert np.array_equal(one.intensity[order], other.intensity)
    for mine, theirs in zip(one.model.components, other.model.components, strict=True):
        assert np.array_equal(mine.values, theirs.values)


def test_exposure_in_another_unit_changes_the_unit_of_the_intensity_alone():
    rows = make(n_voxels=800, multiplicity=6, seed=15).observations
    one = scale_observations(rows, ONLY_SCALE)
    other = scale_observations(rows.replace(exposure=1000 * rows.exposure), ONLY_SCALE)
    assert np.allclose(other.intensity * 1000, one.intensity, rtol=1e-6)
    assert np.allclose(one.model.b.values, other.model.b.values, atol=1e-6)


def test_cutting_a_sweep_in_two_hardly_changes_the_scales():
    rows = make(n_voxels=3000, multiplicity=8, n_sweeps=1, effects="b", seed=16).observations
    one, _ = scale_observations(rows, ONLY_SCALE).model.scale_and_offset(rows)
    cut = rows.replace(
        sweep=(rows.phi > 45).astype(np.int32), sweep_names=("first half", "second half")
    )
    other, _ = scale_observations(cut, ONLY_SCALE).model.scale_and_offset(cut)
    difference = np.log(other / one)
    assert np.std(difference) < 0.004


def test_sweeps_of_very_different_brightness_are_brought_together():
    truth = make(n_voxels=2000, multiplicity=8, n_sweeps=3, effects="b", seed=17)
    rows = truth.observations
    factor = np.array([1.0, 30.0, 0.1])[rows.sweep]
    changed = rows.replace(exposure=rows.exposure * factor)
    scale, _ = scale_observations(changed, ONLY_SCALE).model.scale_and_offset(changed)
    error = np.log(scale * factor / truth.scale)
    assert np.std(error) < 0.005


def test_several_panels_have_surfaces_of_their_own():
    truth = make(n_voxels=3000, multiplicity=8, n_panels=3, effects="bd", seed=18)
    rows = truth.observations
    dim = np.array([1.0, 0.95, 1.05])[rows.panel]
    rows = rows.replace(
        counts=np.random.default_rng(1).poisson(truth.expected * dim).astype(float),
        background=rows.background * dim,
    )
    options = replace(ONLY_SCALE, detector="on")
    scale, _ = scale_observations(rows, options).model.scale_and_offset(rows)
    error = np.log(scale / (truth.scale * dim))
    assert np.std(error) < 0.01


def test_all_laue_mates_share_a_voxel():
    cubic = Crystal((70.0, 70.0, 70.0, 90.0, 90.0, 90.0), "F 4 3 2")
    truth = make(n_voxels=800, multiplicity=8, effects="b", crystal=cubic, seed=19)
    assert voxel_rows(truth.observations).n_voxels == 800
    scale, _ = scale_observations(truth.observations, ONLY_SCALE).model.scale_and_offset(
        truth.observations
    )
    assert np.std(np.log(scale / truth.scale)) < 0.01


def test_too_few_mates_give_scales_of_one_and_a_warning():
    rows = make(n_voxels=300, multiplicity=1).observations
    with pytest.warns(UnstillWarning, match="0 of 300 voxels are seen more than once"):
        result = scale_observations(rows)
    scale, offset = result.model.scale_and_offset(rows)
    assert np.all(scale == 1)
    assert np.all(offset == 0)
    assert result.n_untested == 300


def test_rows_without_exposure_take_no_part():
    rows = make(n_voxels=300, multiplicity=6, effects="b").observations
    exposure = rows.exposure.copy()
    exposure[::50] = 0
    result = scale_observations(rows.replace(exposure=exposure), ONLY_SCALE)
    assert np.all(np.isnan(result.intensity[::50]))
    assert np.all(result.rejected[::50] == 0)
    with pytest.raises(InputError, match="no observation can be scaled"):
        scale_observations(rows.replace(exposure=np.zeros(len(rows))))


def test_unknown_sweeps_are_refused():
    rows = make(n_voxels=300, multiplicity=6, effects="b").observations
    model = scale_observations(rows, ONLY_SCALE).model
    with pytest.raises(InputError, match="no such sweep"):
        model.scale_and_offset(rows.replace(sweep=np.full(len(rows), 7, np.int32)))


@pytest.mark.parametrize(
    "wrong", [{"scale": "maybe"}, {"b_phi": 0.0}, {"outlier_sigma": 1.0}, {"max_rows": -1}]
)
def test_wrong_options_are_refused(wrong):
    with pytest.raises(InputError):
        ScaleOptions(**wrong)


def test_a_part_of_the_voxels_scales_all():
    truth = make(n_voxels=4000, multiplicity=8, effects="b", seed=20)
    rows = truth.observations
    few = scale_observations(rows, replace(ONLY_SCALE, max_rows=12000))
    scale, _ = few.model.scale_and_offset(rows)
    assert np.std(np.log(scale / truth.scale)) < 0.01
    assert np.isfinite(few.residual).all()
    joined = concatenate([rows, rows])
    assert len(scale_observations(joined, replace(ONLY_SCALE, max_rows=12000)).rejected) == 64000
