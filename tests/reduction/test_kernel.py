"""The fused kernel against a plain numpy chain of the same maths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_sweep import ArraySource, allowed, hkl_of, poisson_source, small_experiment

from unstill.crystal import Crystal
from unstill.experiment import INVALID, OVERLOADED
from unstill.experiment.corrections import panel_rays, pixel_response, reciprocal_volume
from unstill.experiment.pixels import pixel_centers, scattering_vectors
from unstill.reduction.background.background import Background, PanelBackground
from unstill.reduction.integration.absences import absence_rules, absent_among
from unstill.reduction.integration.blocks import Block, blocks_of
from unstill.reduction.integration.integrate import integrate_block, integrate_sweep
from unstill.reduction.integration.tables import pixel_tables
from unstill.reduction.survey.peak_shape import PeakShape

FLAT = 2e5


def flat(hkl):
    return np.full(hkl.shape[:-1], FLAT)


def chain(experiment, source, block, peaks, divisions, background=None):
    """Rows by (panel, h, k, l): n, counts, exposure, centroids, background, volume."""
    columns = []
    for frame in range(block.start, block.stop):
        time = experiment.scan.exposure_times[frame]
        phi = experiment.phi(frame + 0.5)
        for number, panel in enumerate(experiment.detector.panels):
            values = source.frames[frame][number]
            hkl = hkl_of(experiment, frame + 0.5, number)
            nearest = np.floor(hkl + 0.5)
            off = (hkl - nearest - peaks.center) @ peaks.whitening.T
            masked = np.sum(off**2, axis=-1) < peaks.cutoff**2
            masked &= allowed(experiment, nearest)
            good = ~masked & (values >= 0)
            s = scattering_vectors(
                experiment.beam, panel, *np.broadcast_arrays(*pixel_centers(panel))
            )
            response = pixel_response(experiment.beam, panel) * time
            volume = reciprocal_volume(
                experiment.beam, experiment.goniometer, panel, panel_rays(panel), 0.1
            )
            y, x = np.nonzero(good)
            rate = sigma = np.zeros(len(y))
            if background is not None:
                rate, sigma = background.at(number, x + 0.5, y + 0.5, phi)
            index = np.floor(hkl[good] * np.array(divisions) + 0.5).astype(int)
            e = response[good]
            sums = [np.ones(len(y)), values[good], e, e * (x + 0.5), e * (y + 0.5), e * phi]
            sums += [e * np.linalg.norm(s[good], axis=-1), time * rate, time * sigma, volume[good]]
            columns.append(np.column_stack([np.full(len(y), number), index, *sums]))
    rows = np.concatenate(columns)
    keys, inverse = np.unique(rows[:, :4], axis=0, return_inverse=True)
    sums = np.zeros((len(keys), 10))
    np.add.at(sums, inverse.ravel(), rows[:, 4:])
    return keys.astype(int), sums


@settings(max_examples=10)
@given(
    seed=st.integers(0, 2**31),
    phi=st.floats(-180, 180),
    divisions=st.sampled_from([(1, 1, 1), (4, 4, 4), (3, 5, 2), (13, 11, 7)]),
    space_group=st.sampled_from(["P 1", "P 21 21 21", "I 2 2 2", "C 2 2 21"]),
    panels=st.sampled_from([1, 2]),
)
def test_every_row_agrees_with_plain_numpy(seed, phi, divisions, space_group, panels):
    rng = np.random.default_rng(seed)
    experiment = small_experiment(
        space_group=space_group,
        size=40,
        n_frames=3,
        phi_start=phi,
        orientation=tuple(rng.normal(size=3)),
        panels=panels,
    )
    source = poisson_source(experiment, flat, seed)
    for image, *_ in source.frames:
        image[rng.integers(0, len(image), 9), rng.integers(0, 40, 9)] = rng.choice([-1, -2], 9)
    root = rng.normal(size=(3, 3)) * 0.04
    peaks = PeakShape(rng.normal(size=3) * 0.02, root @ root.T + 1e-3 * np.eye(3), 2.5)
    background = random_background(rng, experiment)
    block = Block(0, 3)
    tables = pixel_tables(experiment)
    more = {"peaks": peaks, "divisions": divisions, "background": background}
    rows = integrate_block(experiment, source, block, tables, headroom=1e6, **more).coarse
    keys, sums = chain(experiment, source, block, peaks, divisions, background)
    # Pixels on the very border of a voxel or of the mask may fall to either side.
    moved = abs(int(rows.n_pixels.sum()) - int(sums[:, 0].sum()))
    assert moved <= 2
    ours = {
        tuple(key): i for i, key in enumerate(np.column_stack([rows.panel, rows.index]).tolist())
    }
    pairs = [(ours[tuple(key)], j) for j, key in enumerate(keys.tolist()) if tuple(key) in ours]
    mine, theirs = np.array(pairs).T
    same = rows.n_pixels[mine] == sums[theirs, 0]
    assert np.count_nonzero(~same) <= 4
    assert len(pairs) >= max(len(keys), len(rows)) - 2
    mine, sums = mine[same], sums[theirs[same]]
    np.testing.assert_array_equal(rows.counts[mine], sums[:, 1])
    np.testing.assert_allclose(rows.exposure[mine], sums[:, 2], rtol=2e-6)
    for column, name, tolerance in ((3, "x", 1e-4), (4, "y", 1e-4), (5, "phi", 1e-4)):
        np.testing.assert_allclose(
            getattr(rows, name)[mine], sums[:, column] / sums[:, 2], atol=tolerance
        )
    # |s| of the centroid and the mean of |s| differ in a wide voxel about the beam only.
    mean_s = sums[:, 6] / sums[:, 2]
    away = mean_s > 0.1
    np.testing.assert_allclose(rows.s[mine][away], mean_s[away], atol=2e-3)
    np.testing.assert_allclose(rows.background[mine], sums[:, 7], rtol=0.02)
    np.testing.assert_allclose(rows.background_sigma[mine], sums[:, 8], rtol=0.02)
    np.testing.assert_allclose(
        rows.volume[mine], sums[:, 9], rtol=0.05, atol=0.15 * sums[:, 9].mean()
    )


def random_background(rng, experiment):
    panels = []
    for panel in experiment.detector.panels:
        slow, fast = panel.shape
        x, y = np.linspace(4, fast - 4, 4), np.linspace(4, slow - 4, 3)
        rate = rng.uniform(1, 2, (2, 3, 4))
        panels.append(PanelBackground(x, y, rate, (0.05 * rate) ** 2))
    start = experiment.phi(0.0)
    return Background(np.array([start, start + 0.3]), tuple(panels))


@pytest.fixture(scope="module")
def sweep():
    experiment = small_experiment(n_frames=25)
    return experiment, poisson_source(experiment, flat), pixel_tables(experiment)


def test_bits_do_not_depend_on_the_number_of_threads(sweep):
    experiment, source, tables = sweep
    runs = [
        list(
            integrate_sweep(
                experiment,
                source,
                tables,
                peaks=PeakShape(),
                divisions=(4, 4, 4),
                fine=(7, 7, 7),
                workers=workers,
            )
        )
        for workers in (1, 2, 5)
    ]
    for run in runs[1:]:
        for one, other in zip(runs[0], run, strict=True):
            assert one.block == other.block
            for kind in ("coarse", "fine"):
                a, b = getattr(one, kind).columns(), getattr(other, kind).columns()
                for name in a:
                    np.testing.assert_array_equal(a[name], b[name])


def test_every_pixel_has_one_state_and_rows_hold_the_used_ones(sweep):
    experiment, source, tables = sweep
    hidden = np.zeros((128, 128), bool)
    hidden[:, 60:64] = True
    images = [np.array(frame[0]) for frame in source.frames]
    images[3][5, :20], images[4][6, :10] = INVALID, OVERLOADED
    images[5][90, 90] = 10**6
    source = ArraySource([(image,) for image in images])
    tables = pixel_tables(experiment, mask=[hidden], d_min=2.2)
    for done in integrate_sweep(
        experiment, source, tables, peaks=PeakShape(), divisions=(4, 4, 4), fine=(9, 9, 9)
    ):
        f = done.frames
        total = f.unusable + f.invalid + f.overloaded + f.strong + f.masked + f.used
        np.testing.assert_array_equal(total, 128 * 128)
        assert done.coarse.n_pixels.sum() == done.fine.n_pixels.sum() == f.used.sum()
        assert done.coarse.counts.sum() == done.fine.counts.sum() == f.photons.sum()
        np.testing.assert_array_equal(f.shell_pixels.sum(axis=1), f.used)
        np.testing.assert_allclose(f.shell_photons.sum(axis=1), f.photons)
        if done.block.start == 0:
            assert (f.invalid[3], f.overloaded[4], f.strong[5]) == (20, 10, 1)


def test_rows_without_a_count_are_kept():
    experiment = small_experiment(n_frames=4)
    source = poisson_source(experiment, lambda hkl: np.full(hkl.shape[:-1], 2e3))
    rows = integrate_block(
        experiment,
        source,
        Block(0, 4),
        pixel_tables(experiment),
        peaks=None,
        divisions=(4, 4, 4),
    ).coarse
    assert np.count_nonzero(rows.counts == 0) > len(rows) / 2
    assert rows.n_pixels.sum() == 4 * 128 * 128
    assert abs(rows.counts.sum() / rows.exposure.sum() - 2e3) < 5 * 2e3 / np.sqrt(
        rows.counts.sum()
    )


@pytest.mark.parametrize(
    "symbol", ["P 41 21 2", "F d -3 m", "R 3 :H", "I 41/a", "P 61", "P n a 21"]
)
def test_absences_are_those_of_gemmi(symbol):
    crystal = Crystal((50, 50, 50, 90, 90, 90), symbol)
    if symbol[0] in "RP" and symbol[2] in "36":
        crystal = Crystal((50, 50, 70, 90, 90, 120), symbol)
    operations = crystal.group.operations()
    index = np.array([(h, k, l) for h in range(-6, 7) for k in range(-6, 7) for l in range(-7, 8)])
    expected = [operations.is_systematically_absent(list(map(int, row))) for row in index]
    np.testing.assert_array_equal(absent_among(index, absence_rules(crystal)), expected)


def test_absent_reflections_are_not_masked():
    masked = {}
    for symbol in ("P 2 2 2", "I 2 2 2"):
        experiment = small_experiment(space_group=symbol, n_frames=2)
        source = poisson_source(experiment, flat)
        done = integrate_block(
            experiment,
            source,
            Block(0, 2),
            pixel_tables(experiment),
            peaks=PeakShape(),
            divisions=(1, 1, 1),
        )
        masked[symbol] = done.frames.masked.sum()
    assert masked["I 2 2 2"] == pytest.approx(masked["P 2 2 2"] / 2, rel=0.1)


@pytest.mark.parametrize("axis", [100.0, 300.0])
def test_tables_place_pixels_to_a_ten_thousandth(axis):
    experiment = small_experiment(
        cell=(axis, 0.7 * axis, 1.1 * axis, 90, 100, 90), space_group="P 21", distance=25.0
    )
    tables = pixel_tables(experiment)
    exact = hkl_of(experiment, 7.5)
    ours = np.moveaxis(tables.panels[0].s.astype(float), 0, -1) @ experiment.hkl_matrix(7.5).T
    assert np.abs(exact - ours).max() < 1e-4


def test_strips_give_the_same_tables(monkeypatch):
    experiment = small_experiment()
    whole = pixel_tables(experiment).panels[0]
    monkeypatch.setattr("unstill.reduction.integration.tables.STRIP", 1000)
    parts = pixel_tables(experiment).panels[0]
    np.testing.assert_allclose(whole.s, parts.s, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(whole.response, parts.response, rtol=1e-6)
    assert np.mean(whole.zone != parts.zone) < 1e-3


def test_limits_of_resolution_and_beamstop_leave_pixels_out():
    experiment = small_experiment()
    tables = pixel_tables(experiment, d_min=2.5, d_max=20.0, beamstop_radius=6.0)
    s = np.linalg.norm(tables.panels[0].s.astype(float), axis=0)
    used = tables.panels[0].zone > 0
    assert s[used].max() <= 1 / 2.5
    assert s[used].min() >= 1 / 20.0
    rays = panel_rays(experiment.detector.panels[0])
    assert np.hypot(rays[..., 0], rays[..., 1])[used].min() >= 6.0
    hot = tables.without(np.array([[0, 20, 70]]))
    assert hot.panels[0].zone[20, 70] == 0
    assert tables.panels[0].zone[20, 70] > 0


def test_faults_are_named():
    experiment = small_experiment(n_frames=2)
    source = poisson_source(experiment, flat)
    tables = pixel_tables(experiment)
    more = {"peaks": None, "divisions": (2, 2, 2)}
    dark = experiment.replace(scan=replace(experiment.scan, exposure_times=np.zeros(2)))
    with pytest.raises(ValueError, match="exposure time is zero"):
        integrate_block(dark, source, Block(0, 2), tables, **more)
    with pytest.raises(ValueError, match="has no crystal"):
        integrate_block(experiment.replace(lattice=None), source, Block(0, 2), tables, **more)
    small = ArraySource([(frame[0][:60],) for frame in source.frames])
    with pytest.raises(ValueError, match="size of the detector"):
        integrate_block(experiment, small, Block(0, 2), tables, **more)
    with pytest.raises(ValueError, match="mask does not fit"):
        pixel_tables(experiment, mask=[np.zeros((3, 3), bool)])
    with pytest.raises(ValueError, match="no pixel is left"):
        pixel_tables(experiment, d_max=0.9)


def test_blocks_turn_by_a_degree_at_most():
    def lengths(**more):
        return [len(block) for block in blocks_of(small_experiment(**more))]

    assert lengths(n_frames=25, step=0.1) == [10, 10, 5]
    assert lengths(n_frames=5, step=-0.3) == [3, 2]
    assert lengths(n_frames=3, step=2.0) == [1, 1, 1]
    assert lengths(n_frames=3, step=0.0) == [1, 1, 1]
    still = small_experiment().replace(scan=None, goniometer=None)
    assert [len(block) for block in blocks_of(still)] == [1]
    assert len(blocks_of(small_experiment(n_frames=10), max_frames=4)) == 3
