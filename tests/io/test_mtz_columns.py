"""Columns of MTZ files: which are chosen, what is said, and the density they make."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest

from unstill.crystal import Crystal
from unstill.crystal.half_space import friedel_half
from unstill.crystal.symmetry import map_to_asu
from unstill.errors import FormatError, InputError
from unstill.io.mtz_columns import choose_columns, read_density_coefficients
from unstill.io.mtz_file import new_mtz

CRYSTAL = Crystal((14.0, 15.0, 16.0, 90.0, 100.0, 90.0), "P 1 21 1")


def _mtz(*columns: tuple[str, str], fill: float | None = None) -> gemmi.Mtz:
    mtz = new_mtz(CRYSTAL, "test")
    for label, kind in columns:
        mtz.add_column(label, kind)
    hkl = friedel_half(CRYSTAL, 2.5)
    hkl = np.unique(map_to_asu(CRYSTAL, hkl[hkl.any(axis=1)]), axis=0)
    # A screw axis extinguishes 0k0 with odd k.
    hkl = hkl[(hkl[:, 0] != 0) | (hkl[:, 2] != 0) | (hkl[:, 1] % 2 == 0)]
    rng = np.random.default_rng(1)
    centric = np.array([CRYSTAL.group.operations().is_reflection_centric(h) for h in hkl.tolist()])
    data = rng.uniform(1, 50, (len(hkl), len(columns)))
    for number, (_, kind) in enumerate(columns):
        if kind == "P":
            # In P 21, F(h0l) is real.
            data[:, number] = np.where(centric, 0.0, rng.uniform(-180, 180, len(hkl)))
    if fill is not None:
        data[:] = fill
    mtz.set_data(np.hstack([hkl, data]).astype(np.float32))
    return mtz


FSIGF, WEIGHTED = (("FP", "F"), ("SIGFP", "Q")), (("FWT", "F"), ("PHWT", "P"))
RESIDUAL = (("DELFWT", "F"), ("PHDELWT", "P"))


def test_amplitudes_come_first_and_columns_override() -> None:
    mtz = _mtz(*RESIDUAL, *WEIGHTED, *FSIGF)
    assert choose_columns(mtz).sentence == (
        "FP and SIGFP are read as amplitudes (measured amplitudes)"
    )
    assert choose_columns(_mtz(*RESIDUAL, *WEIGHTED)).kind == "density"
    assert choose_columns(_mtz(*RESIDUAL)).kind == "residual density"
    assert choose_columns(mtz, ("DELFWT", "PHDELWT")).kind == "residual density"
    assert choose_columns(mtz, ("FWT", "PHWT")).columns == ("FWT", "PHWT")


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(FormatError, match="intensities, not amplitudes"):
        choose_columns(_mtz(("I", "J"), ("SIGI", "Q")))
    with pytest.raises(FormatError, match="neither amplitudes"):
        choose_columns(_mtz(("X", "R")))
    with pytest.raises(InputError, match="does not have these columns"):
        choose_columns(_mtz(*FSIGF), ("F", "SIGF"))
    with pytest.raises(InputError, match="neither amplitudes"):
        choose_columns(_mtz(*FSIGF), ("SIGFP", "FP"))


def test_density_is_that_of_gemmi(tmp_path: Path) -> None:
    mtz, path = _mtz(*FSIGF, *WEIGHTED), tmp_path / "map.mtz"
    mtz.write_to_file(str(path))
    found = read_density_coefficients(path, crystal=CRYSTAL)
    expected = mtz.transform_f_phi_to_map("FWT", "PHWT", exact_size=found.shape).array
    np.testing.assert_allclose(found.values, expected, atol=1e-4 * np.abs(expected).max())


def test_density_of_another_crystal_or_of_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "map.mtz"
    _mtz(*WEIGHTED).write_to_file(str(path))
    with pytest.raises(InputError, match="wrong cell"):
        read_density_coefficients(path, crystal=Crystal((20.0, 15, 16, 90, 100, 90), "P 1 21 1"))
    with pytest.raises(InputError, match="another space group"):
        read_density_coefficients(path, crystal=Crystal(CRYSTAL.unit_cell, "P 1 2 1"))
    _mtz(*WEIGHTED, fill=np.nan).write_to_file(str(path))
    with pytest.raises(FormatError, match="no map coefficients"):
        read_density_coefficients(path)
    _mtz(*FSIGF).write_to_file(str(path))
    with pytest.raises(InputError, match="has no map coefficients"):
        read_density_coefficients(path)
