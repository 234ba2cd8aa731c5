"""Bragg amplitudes of the weighted mean structure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest
from two_states import CRYSTAL, frame_sums, mixed_map

from unstill.crystal import Crystal
from unstill.diffuse import bragg_fold
from unstill.errors import FormatError, InputError
from unstill.io.amplitudes_mtz import read_amplitudes
from unstill.maps.amplitudes import Amplitudes
from unstill.maps.members import BlockMembers
from unstill.weighting import Options, weigh
from unstill.weighting.bragg import BraggTerm
from unstill.weighting.prepare import Prepared, prepare

FAR = {"moved": 2.5, "d_min": 2.5}
QUICK = Options(n_null=0, n_bootstrap=0, theta=0.05)


def amplitudes_of(
    share: float, *, noise: float = 0.01, scale: float = 3.0, b: float = 4.0
) -> Amplitudes:
    """Amplitudes of a mixture of both states in frames of their own."""
    sums = frame_sums(60, seed=9, **FAR)
    weight = np.where(np.arange(60) < 30, share / 30, (1 - share) / 30)
    mixed = replace(
        sums,
        s1=sums.s1 * weight[:, None, None],
        weight=weight,
    )
    fold = bragg_fold(mixed)
    s2 = CRYSTAL.s_squared(fold.hkl.astype(float))
    size = scale * np.exp(-b * s2 / 4) * np.abs(fold.f_calc)
    present = size > 0
    rng = np.random.default_rng(0)
    sigma = np.full(len(size), noise * size.mean())
    return Amplitudes(
        CRYSTAL,
        fold.hkl[present],
        (size + sigma * rng.normal(size=len(size)))[present],
        sigma[present],
        (rng.random(len(size)) < 0.1)[present],
    )


@pytest.fixture(scope="module")
def ready() -> Prepared:
    source = BlockMembers(frame_sums(60, per_block=5, **FAR))
    return prepare(source, mixed_map(n_frames=120, **FAR), bragg=True)


def term_of(ready: Prepared, observed: Amplitudes, **options: float) -> BraggTerm:
    assert ready.table.folded is not None
    return BraggTerm(
        ready.table.folded, ready.table.prior, observed, CRYSTAL, **({"weight": 1.0} | options)
    )


def test_folded_members_are_those_of_the_bragg_side_of_block_sums(ready: Prepared) -> None:
    sums = frame_sums(60, per_block=5, **FAR)
    assert ready.table.folded is not None
    for block in (0, 7):
        fold = bragg_fold(sums.take([block]))
        np.testing.assert_array_equal(fold.hkl, ready.table.folded.hkl)
        np.testing.assert_allclose(fold.f_calc, ready.table.folded.f[block], rtol=1e-10, atol=1e-9)
    w = np.random.default_rng(0).random(12)
    w /= w.sum()
    mixed = replace(sums, s1=sums.s1 * w[:, None, None], weight=5 * w)
    np.testing.assert_allclose(
        bragg_fold(mixed).f_calc, w @ ready.table.folded.f, rtol=1e-9, atol=1e-8
    )


def test_gradient_is_that_of_differences(ready: Prepared) -> None:
    term = term_of(ready, amplitudes_of(0.8), n_permutations=1)
    w = np.random.default_rng(1).random((2, 12)) + 0.1
    w /= w.sum(axis=1, keepdims=True)
    order = np.array([0, 1])
    _, gradient = term.value_and_gradient(w, order)
    for member in range(12):
        shift = np.zeros(12)
        shift[member] = 1e-6
        above, below = (term.value_and_gradient(w + sign * shift, order)[0] for sign in (1, -1))
        expected = (above - below) / 2e-6
        assert np.all(
            np.abs(gradient[:, member] - expected) <= 1e-6 * np.abs(gradient).max(axis=1)
        )


def test_agreement_is_perfect_where_the_amplitudes_are_those_of_the_members(
    ready: Prepared,
) -> None:
    assert ready.table.folded is not None
    w = np.random.default_rng(2).random(12)
    w /= w.sum()
    size = np.abs(w @ ready.table.folded.f)
    present = size > 0
    hkl = ready.table.folded.hkl[present]
    s2 = CRYSTAL.s_squared(hkl.astype(float))
    observed = Amplitudes(
        CRYSTAL,
        hkl,
        2.5 * np.exp(-7 * s2 / 4) * size[present],
        np.ones(len(hkl)),
        np.arange(len(hkl)) % 10 == 0,
    )
    found = term_of(ready, observed).agreement(w)
    assert found.scale == pytest.approx(2.5, rel=1e-6)
    assert found.b_overall == pytest.approx(7, abs=1e-5)
    assert found.r_work == pytest.approx(0, abs=1e-6)
    assert found.r_free == pytest.approx(0, abs=1e-6)
    assert found.cc_free == pytest.approx(1)
    other = term_of(ready, observed).agreement(ready.table.prior)
    assert other.r_free > 0.01


def test_amplitudes_alone_bring_the_populations_back() -> None:
    source = BlockMembers(frame_sums(60, per_block=5, **FAR))
    diffuse = mixed_map(0.5, n_frames=120, noise=3.0, **FAR)
    kwargs = {"amplitudes": amplitudes_of(0.8)}
    without = weigh(source, diffuse, QUICK, **kwargs)
    together = weigh(source, diffuse, QUICK, bragg_weight=1.0, **kwargs)
    assert together.bragg is not None
    assert together.bragg_uniform is not None
    assert together.weights[:6].sum() == pytest.approx(0.8, abs=0.04)
    assert abs(without.weights[:6].sum() - 0.8) > 0.1
    assert together.bragg.r_free < 0.6 * together.bragg_uniform.r_free
    assert without.bragg_uniform == together.bragg_uniform


def test_free_amplitudes_have_no_say(ready: Prepared) -> None:
    observed = amplitudes_of(0.8)
    spoilt = replace(observed, f_obs=np.where(observed.free, 1e3, observed.f_obs))
    w = ready.table.prior[None]
    one, two = (term_of(ready, data).value_and_gradient(w) for data in (observed, spoilt))
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])


def test_amplitudes_of_another_crystal_are_refused(ready: Prepared) -> None:
    other = Crystal((27.0, 19.0, 23.0, 90.0, 90.0, 90.0), "P 21 21 21")
    with pytest.raises(InputError, match="wrong cell"):
        term_of(ready, replace(amplitudes_of(0.8), crystal=other))
    far = amplitudes_of(0.8)
    with pytest.raises(InputError, match="too few reflections"):
        term_of(ready, replace(far, hkl=far.hkl + 500))


def write_mtz(path: Path, flags: np.ndarray | None, *, sigma: str = "SIGF") -> np.ndarray:
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup("P 21 21 21")
    mtz.set_cell_for_all(gemmi.UnitCell(*CRYSTAL.unit_cell))
    mtz.add_dataset("data")
    mtz.add_column("F", "F")
    mtz.add_column(sigma, "Q")
    hkl = np.array([[h, k, l] for h in range(4) for k in range(4) for l in range(1, 6)])
    columns = [hkl, 100 + np.arange(len(hkl))[:, None], np.ones((len(hkl), 1))]
    if flags is not None:
        mtz.add_column("FreeR_flag", "I")
        columns.append(flags[: len(hkl), None])
    mtz.set_data(np.concatenate(columns, axis=1).astype(np.float32))
    path.write_bytes(mtz.write_to_bytes())
    return hkl


def test_amplitudes_are_read_with_their_free_flags(tmp_path: Path) -> None:
    number = np.arange(80)
    for flags, expected in (
        (number % 20, number % 20 == 0),
        ((number % 10 == 3).astype(int), number % 10 == 3),
        (None, number < 0),
    ):
        hkl = write_mtz(tmp_path / "data.mtz", flags)
        found = read_amplitudes(tmp_path / "data.mtz")
        place = {tuple(one): row for row, one in enumerate(found.hkl)}
        rows = [place[tuple(one)] for one in hkl]
        np.testing.assert_array_equal(found.f_obs[rows], 100 + np.arange(len(hkl)))
        np.testing.assert_array_equal(found.free[rows], expected[: len(hkl)])
        assert found.crystal.space_group == "P 21 21 21"


def test_a_file_without_sigma_is_refused(tmp_path: Path) -> None:
    write_mtz(tmp_path / "data.mtz", None, sigma="OTHER")
    with pytest.raises(FormatError, match="no amplitudes with sigma"):
        read_amplitudes(tmp_path / "data.mtz")


def test_real_amplitudes_have_about_five_percent_free(unstill_data: Path) -> None:
    paths = sorted((unstill_data / "bragg").glob("*.mtz"))
    assert paths
    found = read_amplitudes(paths[0])
    assert 0.03 < found.free.mean() < 0.08
    assert len(found.hkl) > 30_000
