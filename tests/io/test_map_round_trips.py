"""Every map format gives back what it can hold."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import gemmi
import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstill.crystal import Crystal, HklGrid
from unstill.errors import InputError, UnknownCrystalError
from unstill.io import read_map, write_bragg_mtz, write_map
from unstill.maps import IntensityMap

small = st.integers(1, 6)


def same(first: np.ndarray | None, second: np.ndarray | None) -> bool:
    if first is None or second is None:
        return first is None and second is None
    return first.dtype == second.dtype and np.array_equal(first, second, equal_nan=True)


@given(
    shape=st.tuples(small, small, small),
    start=st.tuples(*[st.integers(-9, 9)] * 3),
    divisions=st.tuples(small, small, small),
    seed=st.integers(0, 99),
    dtype=st.sampled_from([np.float32, np.float64]),
    has_sigma=st.booleans(),
)
def test_own_files_round_trip_to_the_bit(
    tmp_path_factory, shape, start, divisions, seed, dtype, has_sigma
) -> None:
    path = tmp_path_factory.mktemp("maps") / "map.nxs"
    rng = np.random.default_rng(seed)
    found = IntensityMap(
        Crystal((31.1, 42.7, 55.3, 81.5, 97.2, 103.3), "P 1"),
        HklGrid(start, shape, divisions),
        rng.normal(size=shape).astype(dtype),
        sigma=rng.uniform(1, 2, shape).astype(dtype) if has_sigma else None,
        n_obs=rng.integers(0, 9, shape).astype(np.int32),
        mask=rng.random(shape) < 0.3,
        provenance={"command": "x", "parameters": {"a": [1, 2.5, None]}},
    )
    write_map(found, path)
    back = read_map(path)
    assert back.crystal == found.crystal
    assert back.grid == found.grid
    for name in ("intensity", "sigma", "n_obs", "mask"):
        assert same(getattr(back, name), getattr(found, name)), name
    assert back.provenance == found.provenance


def test_own_files_follow_nexus_and_open_in_plain_h5py(tmp_path, make_map) -> None:
    found = make_map()
    write_map(found, tmp_path / "map.nxs")
    with h5py.File(tmp_path / "map.nxs") as file:
        entry = file[file.attrs["default"]]
        data = entry[entry.attrs["default"]]
        assert (entry.attrs["NX_class"], data.attrs["NX_class"]) == (b"NXentry", b"NXdata")
        signal = data[data.attrs["signal"]]
        assert signal.chunks is not None
        assert signal.compression == "gzip"
        axes = [data[name][()] for name in data.attrs["axes"]]
        assert signal.shape == tuple(map(len, axes))
        for axis, expected in zip(axes, found.grid.axes(), strict=True):
            np.testing.assert_array_equal(axis, expected)
        assert json.loads(entry["provenance/data"][()])["command"] == "test"


@pytest.mark.parametrize("suffix", [".mtz", ".ccp4", ".hkl", ".lat"])
@pytest.mark.parametrize("friedel", [False, True])
def test_formats_of_other_programs_keep_intensity_box_and_mask(
    tmp_path, make_map, suffix, friedel
) -> None:
    found = make_map(friedel=friedel)
    path = tmp_path / f"map{suffix}"
    write_map(found, path)
    back = read_map(path, crystal=found.crystal)
    assert back.crystal == found.crystal
    assert back.grid == found.grid
    np.testing.assert_array_equal(back.mask, found.mask)
    usable = found.measured
    np.testing.assert_array_equal(
        back.intensity[usable].astype(np.float32), found.intensity[usable].astype(np.float32)
    )
    if suffix in (".mtz", ".hkl"):
        np.testing.assert_array_equal(
            back.sigma[usable].astype(np.float32), found.sigma[usable].astype(np.float32)
        )
    if suffix == ".mtz":
        np.testing.assert_array_equal(back.n_obs[usable], found.n_obs[usable])


def test_text_keeps_float64_to_the_last_bit(tmp_path, make_map) -> None:
    found = make_map()
    write_map(found, tmp_path / "map.hkl")
    back = read_map(tmp_path / "map.hkl")
    np.testing.assert_array_equal(back.intensity[found.measured], found.intensity[found.measured])


def test_a_friedel_symmetric_map_is_written_as_half_an_mtz(tmp_path, make_map) -> None:
    found = make_map(friedel=True)
    write_map(found, tmp_path / "half.mtz")
    mtz = gemmi.read_mtz_file(str(tmp_path / "half.mtz"))
    origin_usable = bool(found.measured[3, 2, 4])
    assert mtz.nreflections == (found.n_measured + origin_usable) // 2


def test_gemmi_sees_the_supercell_convention_in_the_mtz(tmp_path, make_map) -> None:
    found = make_map()
    write_map(found, tmp_path / "map.mtz")
    mtz = gemmi.read_mtz_file(str(tmp_path / "map.mtz"))
    assert mtz.spacegroup.hm == "P 1"
    expected = np.array(found.crystal.unit_cell) * [2, 1, 3, 1, 1, 1]
    np.testing.assert_allclose(mtz.get_cell().parameters, expected, rtol=1e-6)
    # gemmi's own resolution of each row is that of the fractional hkl in the true cell.
    index = found.grid.index()[found.measured]
    np.testing.assert_array_equal(mtz.make_miller_array(), index)
    d = found.crystal.d(index / np.array(found.grid.divisions))
    away = np.isfinite(d)
    np.testing.assert_allclose(mtz.make_d_array()[away], d[away], rtol=1e-5)


def test_gemmi_reads_the_ccp4_map_voxel_by_voxel(tmp_path, make_map) -> None:
    crystal = Crystal((30.0, 40.0, 50.0, 80.0, 95.0, 105.0), "P 1")
    found = make_map(crystal=crystal)
    write_map(found, tmp_path / "map.ccp4")
    ccp4 = gemmi.read_ccp4_map(str(tmp_path / "map.ccp4"))
    assert [ccp4.header_i32(word) for word in (5, 6, 7)] == list(found.grid.start)
    assert [ccp4.header_i32(word) for word in (8, 9, 10)] == list(found.grid.divisions)
    np.testing.assert_array_equal(
        np.array(ccp4.grid, copy=False),
        np.where(found.mask, np.nan, found.intensity).astype(np.float32),
    )
    reciprocal = crystal.cell.reciprocal()
    stored = ccp4.grid.unit_cell
    assert stored.a == pytest.approx(1000 * reciprocal.a, rel=1e-6)
    assert stored.gamma == pytest.approx(reciprocal.gamma, rel=1e-6)


def test_a_foreign_mtz_takes_its_divisions_from_the_known_crystal(tmp_path, make_map) -> None:
    found = make_map(friedel=True)
    write_map(found, tmp_path / "map.mtz")
    mtz = gemmi.read_mtz_file(str(tmp_path / "map.mtz"))
    mtz.history = ["written by another program"]
    mtz.write_to_file(str(tmp_path / "foreign.mtz"))
    back = read_map(tmp_path / "foreign.mtz", crystal=found.crystal)
    assert back.grid.divisions == found.grid.divisions
    index = found.grid.index()[found.measured]
    # The other half, which the file leaves out, is there.
    values = back.intensity.ravel()[back.grid.position(index)]
    np.testing.assert_allclose(values, found.intensity[found.measured], rtol=1e-6)
    assert back.n_measured == found.n_measured
    # Without a crystal, the divisions can be given.
    alone = read_map(tmp_path / "foreign.mtz", divisions=(2, 1, 3))
    np.testing.assert_allclose(alone.crystal.unit_cell, found.crystal.unit_cell, rtol=1e-6)


def test_a_foreign_mtz_in_its_space_group_is_filled_by_symmetry(tmp_path) -> None:
    crystal = Crystal((20.0, 20.0, 30.0, 90.0, 90.0, 90.0), "P 41")
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = crystal.group
    mtz.set_cell_for_all(crystal.cell)
    mtz.add_dataset("x")
    mtz.add_column("ICALC", "J")
    mtz.set_data(np.array([[1, 2, 3, 7.5], [0, 0, 4, 2.5]], dtype=np.float32))
    mtz.write_to_file(str(tmp_path / "asu.mtz"))
    found = read_map(tmp_path / "asu.mtz")
    assert found.crystal.space_group == "P 41"
    assert found.n_measured == 8 + 2
    mates = np.array([[1, 2, 3], [-2, 1, 3], [-1, -2, 3], [2, -1, -3]])
    assert set(found.intensity.ravel()[found.grid.position(mates)].tolist()) == {7.5}


def test_lunus_text_with_whole_numbers_takes_divisions(tmp_path) -> None:
    crystal = Crystal((20.0, 20.0, 30.0, 90.0, 90.0, 90.0), "P 1")
    (tmp_path / "x.hkl").write_text(
        "   1   0   0      12.34\n  -1   0   0      12.34\n   0 2 1 1.50\n"
    )
    found = read_map(tmp_path / "x.hkl", crystal=crystal, divisions=(2, 2, 2))
    assert found.grid.divisions == (2, 2, 2)
    assert found.intensity[found.measured].tolist() == [12.34, 1.5, 12.34]
    plain = read_map(tmp_path / "x.hkl", crystal=crystal)
    assert plain.grid.divisions == (1, 1, 1)


def test_fractional_text_finds_its_divisions_and_fills_the_laue_group(tmp_path) -> None:
    crystal = Crystal((20.0, 20.0, 30.0, 90.0, 90.0, 90.0), "P 41")
    (tmp_path / "x.txt").write_text("0.5, 0.0, 0.33, 4.0, 0.1\n1.0, 0.5, 0.67, 3.0, 0.2\n")
    found = read_map(tmp_path / "x.txt", crystal=crystal)
    assert found.grid.divisions == (2, 2, 3)
    assert found.n_measured == 16
    assert set(found.sigma[found.measured].tolist()) == {0.1, 0.2}


def test_irregular_text_is_refused(tmp_path) -> None:
    crystal = Crystal((20.0, 20.0, 30.0, 90.0, 90.0, 90.0), "P 1")
    (tmp_path / "x.txt").write_text("0.1234 0 0 1\n0.3456 0 0 1\n0.777 0 0 2\n")
    with pytest.raises(InputError, match="regular grid"):
        read_map(tmp_path / "x.txt", crystal=crystal)


@pytest.mark.parametrize("suffix", [".nxs", ".mtz", ".ccp4", ".hkl", ".lat"])
def test_a_wrong_cell_is_refused_by_every_format(tmp_path, make_map, suffix) -> None:
    found = make_map()
    path = tmp_path / f"map{suffix}"
    write_map(found, path)
    other = Crystal((61.3, 52.1, 63.43, 90.0, 97.25, 90.0), "P 1 21 1")
    with pytest.raises(InputError, match="wrong cell"):
        read_map(path, crystal=other)


def test_a_lattice_without_any_crystal_is_refused(tmp_path, make_map) -> None:
    write_map(make_map(), tmp_path / "map.lat")
    with pytest.raises(UnknownCrystalError, match="--unit-cell"):
        read_map(tmp_path / "map.lat")


def test_an_unknown_suffix_names_the_known_ones(tmp_path, make_map) -> None:
    with pytest.raises(InputError, match=r"\.nxs"):
        write_map(make_map(), tmp_path / "map.xyz")
    assert list(tmp_path.iterdir()) == []


def test_an_all_masked_map_is_refused_where_masked_voxels_are_left_out(tmp_path, make_map) -> None:
    found = make_map()
    empty = found.replace(mask=np.ones_like(found.mask))
    for suffix in (".mtz", ".hkl"):
        with pytest.raises(InputError, match="no usable voxel"):
            write_map(empty, tmp_path / f"map{suffix}")
    for suffix in (".nxs", ".ccp4", ".lat"):
        write_map(empty, Path(tmp_path / f"map{suffix}"))
        assert read_map(tmp_path / f"map{suffix}", crystal=found.crystal).n_measured == 0


def test_bragg_structure_factors_agree_with_gemmi_in_amplitude_and_phase(tmp_path) -> None:
    crystal = Crystal((20.0, 25.0, 30.0, 90.0, 90.0, 90.0), "P 21 21 21")
    structure = gemmi.make_small_structure_from_block(
        gemmi.cif.read_string(
            "data_x\n_cell_length_a 20\n_cell_length_b 25\n_cell_length_c 30\n"
            "_cell_angle_alpha 90\n_cell_angle_beta 90\n_cell_angle_gamma 90\n"
            "_space_group_name_H-M_alt 'P 21 21 21'\nloop_\n_atom_site_label\n"
            "_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n"
            "_atom_site_fract_z\n_atom_site_U_iso_or_equiv\nC1 C 0.11 0.23 0.37 0.2\n"
            "O1 O 0.31 0.13 0.77 0.1\n"
        ).sole_block()
    )
    calculator = gemmi.StructureFactorCalculatorX(structure.cell)
    # One of each orbit, but not those that gemmi would choose.
    hkl = np.array([[-1, 2, -3], [-4, -5, 6], [0, -2, 5], [0, 0, 3], [2, -1, 0], [-1, -2, 3]])
    f_calc = np.array(
        [calculator.calculate_sf_from_small_structure(structure, row.tolist()) for row in hkl]
    )
    write_bragg_mtz(crystal, hkl, f_calc, tmp_path / "f.mtz")
    mtz = gemmi.read_mtz_file(str(tmp_path / "f.mtz"))
    assert [column.type for column in mtz.columns] == ["H", "H", "H", "F", "P"]
    # 0 0 3 is absent, and 1 2 3 came twice.
    assert mtz.nreflections == 4
    asu = gemmi.ReciprocalAsu(crystal.group)
    for h, k, l, amplitude, phase in mtz.array.tolist():
        index = [int(h), int(k), int(l)]
        assert asu.is_in(index)
        expected = calculator.calculate_sf_from_small_structure(structure, index)
        assert amplitude * np.exp(1j * np.radians(phase)) == pytest.approx(expected, abs=1e-4)


def test_an_mtz_file_keeps_a_mask_over_one_half_of_reciprocal_space(tmp_path, make_map) -> None:
    whole = make_map(friedel=True)
    h, k, l = np.moveaxis(whole.grid.index(), -1, 0)
    negative = (h < 0) | ((h == 0) & ((k < 0) | ((k == 0) & (l < 0))))
    for mask in (whole.mask | negative, whole.mask | (h < 0), whole.mask):
        found = whole.replace(mask=mask)
        write_map(found, tmp_path / "half.mtz")
        back = read_map(tmp_path / "half.mtz")
        np.testing.assert_array_equal(back.mask, found.mask)
        np.testing.assert_array_equal(
            back.intensity[back.measured], found.intensity[back.measured].astype(np.float32)
        )


@pytest.mark.parametrize(
    ("suffix", "lost"),
    [
        (".nxs", None),
        (".mtz", None),
        (".hkl", "cannot hold n_obs;"),
        (".ccp4", "cannot hold sigma and n_obs;"),
        (".lat", "cannot hold sigma and n_obs;"),
    ],
)
def test_what_a_format_cannot_hold_is_told_when_it_is_written(
    tmp_path, make_map, suffix, lost
) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        write_map(make_map(), tmp_path / f"map{suffix}")
        write_map(make_map().replace(sigma=None, n_obs=None), tmp_path / f"bare{suffix}")
    assert [str(one.message).split(" files ")[1].split(" map")[0] for one in told] == (
        [lost] if lost else []
    )
