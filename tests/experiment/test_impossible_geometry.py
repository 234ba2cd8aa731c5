"""What cannot be is refused where it is made, with what was found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from unstill.errors import InputError
from unstill.experiment import Beam, Detector, Goniometer, Lattice, Panel, Scan

PANEL: dict[str, Any] = {
    "origin": (0.0, 0.0, -100.0),
    "fast_axis": (1.0, 0.0, 0.0),
    "slow_axis": (0.0, 1.0, 0.0),
    "pixel_size": (0.1, 0.1),
    "image_size": (10, 10),
}

IMPOSSIBLE: dict[str, Callable[[], object]] = {
    "wavelength is impossible": lambda: Beam(0.0),
    "is no direction": lambda: Beam(1.0, (0.0, 0.0, 0.0)),
    "no share": lambda: Beam(1.0, polarization_fraction=1.2),
    "transmission of the filters": lambda: Beam(1.0, transmission=0.0),
    "lies along the beam": lambda: Beam(1.0, polarization_normal=(0.0, 0.0, 2.0)),
    "pixels of some size": lambda: Panel(**PANEL | {"pixel_size": (0.1, 0.0)}),
    "not at right angles": lambda: Panel(**PANEL | {"slow_axis": (0.1, 1.0, 0.0)}),
    "nowhere near": lambda: Panel(**PANEL | {"origin": (0.0, float("nan"), 1.0)}),
    "goes through the sample": lambda: Panel(**PANEL | {"origin": (3.0, 4.0, 0.0)}),
    "without a panel": lambda: Detector(()),
    "fixed rotation is no rotation": lambda: Goniometer(fixed_rotation=np.diag([1.0, 1.0, -1.0])),
    "setting rotation is no rotation": lambda: Goniometer(setting_rotation=1.01 * np.eye(3)),
    "without frames": lambda: Scan(0),
    "exposure times do not match": lambda: Scan(3, exposure_times=np.ones(2)),
    "exposure time is impossible": lambda: Scan(2, exposure_times=np.array([1.0, np.nan])),
    "angles of the scan are not finite": lambda: Scan(3, float("nan")),
    "spans no lattice": lambda: Lattice.from_axes(np.diag([50.0, 50.0, 1e-300]), "P 1"),
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
def test_what_cannot_be_is_refused(what: str) -> None:
    with pytest.raises(InputError) as caught:
        IMPOSSIBLE[what]()
    if what != "spans no lattice":
        assert what in caught.value.what
    assert caught.value.found is not None or what == "without a panel"
    assert caught.value.fix


def test_few_decimals_do_not_stretch_the_lattice() -> None:
    turn = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    coarse = Goniometer(fixed_rotation=turn + 3e-5)
    fine = coarse.fixed_rotation
    np.testing.assert_allclose(fine @ fine.T, np.eye(3), atol=1e-14)
    exact = Goniometer(fixed_rotation=turn)
    np.testing.assert_array_equal(exact.fixed_rotation, turn)


def test_directions_of_any_length_become_unit_vectors() -> None:
    for length in (1e-300, 3.0, 1e300):
        assert Beam(1.0, (0.0, 0.6 * length, 0.8 * length)).direction == pytest.approx(
            (0, 0.6, 0.8)
        )
    kept = Beam(1.0, (0.0, 0.6, 0.8)).direction
    assert Beam(1.0, kept).direction == kept
