"""Lunus lattices: both byte orders, tags, extents."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from unstill.crystal import Crystal, HklGrid
from unstill.errors import FormatError, InputError
from unstill.io import read_map, read_structure, write_map
from unstill.io.lunus_lat import write_lat
from unstill.maps import IntensityMap

CRYSTAL = Crystal((40.0, 50.0, 60.0, 90.0, 90.0, 90.0), "P 21 21 21")


def write_raw(path: Path, order: str, values: np.ndarray, extents: list[float]) -> None:
    header = struct.pack(f"{order}3I6f", *values.shape, *extents)
    # x fastest: Fortran order of an array indexed x, y, z.
    path.write_bytes(header + values.astype(f"{order}f4").tobytes(order="F"))


def extents_of(start: tuple[int, ...], shape: tuple[int, ...], steps: list[float]) -> list[float]:
    pairs = ((a * s, (a + n - 1) * s) for a, n, s in zip(start, shape, steps, strict=True))
    return [value for pair in pairs for value in pair]


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_read_x_fastest(tmp_path, order) -> None:
    values = np.arange(1, 61, dtype=float).reshape(3, 4, 5)
    write_raw(
        tmp_path / "x.lat",
        order,
        values,
        extents_of((-1, -2, 0), (3, 4, 5), [1 / 40, 1 / 50, 1 / 60]),
    )
    found = read_map(tmp_path / "x.lat", crystal=CRYSTAL)
    assert found.grid == HklGrid((-1, -2, 0), (3, 4, 5))
    np.testing.assert_array_equal(found.intensity, values)


@pytest.mark.parametrize("order", ["little", "big"])
def test_written_lattices_are_read_back(tmp_path, make_map, order) -> None:
    found = make_map(crystal=CRYSTAL)
    write_lat(found, tmp_path / "x.lat", byte_order=order)
    back = read_map(tmp_path / "x.lat", crystal=CRYSTAL)
    assert back.grid == found.grid
    np.testing.assert_array_equal(back.mask, found.mask)
    assert (tmp_path / "x.lat").stat().st_size == 36 + 4 * found.grid.size


def test_tags_tell_masked_from_unmeasured(tmp_path) -> None:
    values = np.full((2, 2, 2), 5.0)
    values[0, 0, 0], values[1, 1, 1] = -32768, 0
    write_raw(
        tmp_path / "x.lat", "<", values, extents_of((0, 0, 0), (2, 2, 2), [1 / 40, 1 / 50, 1 / 60])
    )
    found = read_map(tmp_path / "x.lat", crystal=CRYSTAL)
    assert found.mask.sum() == 2
    assert (found.n_obs[0, 0, 0], found.n_obs[1, 1, 1]) == (1, 0)
    write_map(found, tmp_path / "y.lat")
    assert (tmp_path / "y.lat").read_bytes() == (tmp_path / "x.lat").read_bytes()


def test_true_values_that_look_like_tags_stay_usable(tmp_path) -> None:
    grid = HklGrid((0, 0, 0), (2, 2, 2))
    values = np.array([0.0, -32768, 1, 2, 3, 4, 5, 6]).reshape(2, 2, 2)
    write_map(IntensityMap(CRYSTAL, grid, values), tmp_path / "x.lat")
    back = read_map(tmp_path / "x.lat", crystal=CRYSTAL)
    assert back.n_measured == 8
    np.testing.assert_allclose(back.intensity, values, atol=0.005)


@pytest.mark.parametrize("divisions", [(1, 1, 1), (2, 2, 2), (4, 3, 1)])
def test_divisions_follow_from_the_extents(tmp_path, divisions) -> None:
    steps = [1 / (n * a) for n, a in zip(divisions, (40, 50, 60), strict=True)]
    values = np.ones((3, 3, 3))
    write_raw(tmp_path / "x.lat", "<", values, extents_of((-1, -1, -1), (3, 3, 3), steps))
    assert read_map(tmp_path / "x.lat", crystal=CRYSTAL).grid.divisions == divisions
    with pytest.raises(InputError, match="wrong cell"):
        read_map(tmp_path / "x.lat", crystal=CRYSTAL, divisions=(5, 5, 5))


def test_extents_of_another_cell_are_refused_with_both_cells_named(tmp_path) -> None:
    values = np.ones((3, 3, 3))
    write_raw(
        tmp_path / "x.lat",
        "<",
        values,
        extents_of((-1, -1, -1), (3, 3, 3), [1 / 43, 1 / 50, 1 / 60]),
    )
    with pytest.raises(InputError, match=r"wrong cell.*1/\(43 50 60\).*40 50 60"):
        read_map(tmp_path / "x.lat", crystal=CRYSTAL)


def test_a_size_that_contradicts_the_header_is_named(tmp_path) -> None:
    values = np.ones((3, 3, 3))
    write_raw(tmp_path / "x.lat", "<", values, extents_of((-1, -1, -1), (3, 3, 3), [1 / 40] * 3))
    content = (tmp_path / "x.lat").read_bytes()
    for cut in (content[:-1], content + b"\0"):
        (tmp_path / "y.lat").write_bytes(cut)
        with pytest.raises(FormatError, match="size"):
            read_map(tmp_path / "y.lat", crystal=CRYSTAL)


def test_the_measured_nuclease_map_has_its_known_shape_and_mask(unstill_data) -> None:
    model = read_structure(unstill_data / "snase" / "4wor.pdb")
    found = read_map(unstill_data / "snase" / "snc_diffuse_reference.lat", crystal=model.crystal)
    assert found.grid == HklGrid((-30, -30, -39), (62, 62, 80))
    assert found.n_measured == 117_010
    assert found.d_min == pytest.approx(1.181, abs=1e-3)
    # Already averaged over 4/m: a voxel equals its mate by the fourfold axis.
    index = found.grid.index()[found.measured]
    mate = index @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    inside = found.grid.contains(mate)
    here = found.intensity[found.measured][inside]
    there = found.intensity.ravel()[found.grid.position(mate[inside])]
    both = np.isfinite(there)
    assert np.corrcoef(here[both], there[both])[0, 1] > 0.99


def test_the_measured_nuclease_map_is_written_back_to_the_byte(unstill_data, tmp_path) -> None:
    source = unstill_data / "snase" / "snc_diffuse_reference.lat"
    crystal = read_structure(unstill_data / "snase" / "4wor.pdb").crystal
    write_map(read_map(source, crystal=crystal), tmp_path / "x.lat")
    assert (tmp_path / "x.lat").read_bytes()[36:] == source.read_bytes()[36:]
