"""All that is asked of two maps, in one call."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unstill.crystal import Crystal
from unstill.crystal.reindexing import parse_operator
from unstill.errors import InputError
from unstill.maps import IntensityMap
from unstill.maps.compare import compare
from unstill.maps.correlation import correlate
from unstill.maps.overlap import crop
from unstill.maps.reindex import reindex
from unstill.provenance.record import plain

MakeMap = Callable[..., IntensityMap]
SWAP = parse_operator("k,h,-l")


def test_the_keys_are_those_of_the_command_line(make_map: MakeMap) -> None:
    found = compare(make_map(), make_map(noise=1.0))
    keys = {"cc_total", "cc_aniso", "cc_max", "n_voxels", "operator", "candidates", "shells"}
    assert set(found.as_dict()) == keys
    back = json.loads(json.dumps(plain(found.as_dict()), allow_nan=False))
    assert set(back["candidates"][0]) == {"operator", "cc_aniso"}
    assert set(back["shells"][0]) == {"d", "cc_aniso", "n"}


def test_automatic_indexing_repairs_what_none_leaves(make_map: MakeMap) -> None:
    a, b = make_map(), reindex(make_map(noise=1.0), SWAP)
    automatic, none = compare(a, b), compare(a, b, reindex="none")
    given = compare(a, b, reindex="k,h,-l")
    assert automatic.operator == given.operator == "k,h,-l"
    assert automatic.cc_aniso == given.cc_aniso > 0.95
    assert none.operator == "h,k,l"
    assert none.cc_aniso < 0.4
    assert automatic.margin == pytest.approx(automatic.cc_aniso - none.cc_aniso)
    assert none.margin is None
    assert [c.operator.name for c in none.candidates] == ["h,k,l"]
    assert len(automatic.candidates) == 2


def test_numbers_are_those_of_the_correlation(make_map: MakeMap) -> None:
    a, b = make_map(noise=2.0), crop(make_map(noise=2.0, noise_seed=1), (-7, -8, -9), (15, 16, 12))
    found = compare(a, b, d_min=2.5, d_max=15.0, n_shells=6)
    expected = correlate(a, b, d_min=2.5, d_max=15.0, n_shells=6)
    assert found.cc_total == expected.cc_total
    assert found.cc_aniso == expected.cc_aniso
    assert found.n_voxels == expected.n_voxels
    assert found.shells == expected.shells


def test_the_ceiling_is_what_a_perfect_model_reaches(make_map: MakeMap) -> None:
    truth, data = make_map(), make_map(noise=4.0)
    found = compare(truth, data)
    assert found.cc_max == pytest.approx(found.cc_aniso, abs=0.02)
    both = compare(make_map(noise=4.0, noise_seed=8), data)
    assert both.cc_max == pytest.approx(both.cc_aniso, abs=0.03)
    assert both.cc_max < found.cc_max < 1
    assert compare(truth, truth).cc_max is None


def test_a_known_ceiling_replaces_that_of_sigma(make_map: MakeMap) -> None:
    truth, data = make_map(), make_map(noise=4.0)
    assert compare(truth, data, ceiling_b=0.5).cc_max == 0.5
    alone = compare(data, truth).cc_max
    assert compare(data, truth, ceiling_b=0.5).cc_max == pytest.approx(0.5 * alone)


def test_other_space_groups_and_a_wrong_cell(make_map: MakeMap) -> None:
    full = make_map()
    cell = full.crystal.unit_cell
    assert compare(full, full.replace(crystal=Crystal(cell, "I 41"))).cc_aniso == pytest.approx(1)
    wrong = full.replace(crystal=Crystal((20.0, 20.0, 29.0, 90.0, 90.0, 90.0), "P 41"))
    for how in ("auto", "none", "k,h,-l"):
        with pytest.raises(InputError, match="wrong cell"):
            compare(full, wrong, reindex=how)


def test_an_operator_can_bring_exchanged_axes_together(make_map: MakeMap) -> None:
    crystal = Crystal((20.0, 24.0, 28.0, 90.0, 90.0, 90.0), "P 21 21 2")
    full = make_map(crystal)
    other = reindex(full, parse_operator("l,h,k"))
    with pytest.raises(InputError, match="wrong cell"):
        compare(full, other)
    assert compare(full, other, reindex="k,l,h").cc_aniso == pytest.approx(1)
    with pytest.raises(InputError, match="not a reindexing operator"):
        compare(full, other, reindex="best")


def test_the_real_map_is_indexed_with_a_wide_margin(unstill_data: Path) -> None:
    from unstill.io import read_map

    crystal = Crystal((48.5, 48.5, 63.43, 90.0, 90.0, 90.0), "P 41")
    full = read_map(unstill_data / "snase" / "snc_diffuse_reference.lat", crystal=crystal)
    found = compare(full, reindex(full, SWAP), d_min=1.6, d_max=20.0)
    assert found.operator == "k,h,-l"
    assert found.cc_aniso == pytest.approx(1)
    assert found.margin is not None
    assert found.margin >= 0.5
    none = compare(full, reindex(full, SWAP), reindex="none", d_min=1.6, d_max=20.0)
    # The total correlation barely notices.
    assert none.cc_total > 0.95
    assert abs(none.cc_aniso) < 0.1
    assert np.isfinite([shell.cc_aniso for shell in none.shells]).all()
