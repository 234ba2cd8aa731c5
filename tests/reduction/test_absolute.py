"""Contents of a cell, Compton scattering against known values, and a recovered absolute scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unstill.crystal import Crystal, HklGrid
from unstill.datasets.simulated import __file__ as datasets_file
from unstill.errors import InputError, UnstillWarning
from unstill.io.structure_files import read_structure
from unstill.maps import IntensityMap
from unstill.reduction.absolute.absolute import Bragg, absolute_scale, to_absolute
from unstill.reduction.absolute.calculated_bragg import bragg_of_structure
from unstill.reduction.absolute.cell_contents import (
    CellContents,
    contents_of_sequence,
    contents_of_structure,
)
from unstill.reduction.absolute.compton import (
    compton_of_cell,
    incoherent_scattering,
    subtract_compton,
)
from unstill.scattering.form_factors import form_factors

BPTI = "RPDFCLEPPYTGPCKARIIRYFYNAKAGLCQTFVYGGCRAKRNNFKSAEDCMRTCGGA"


def test_compton_scattering_is_that_of_the_tables():
    # International Tables C, table 7.4.3.2, at sin θ/λ of 0.1, 0.2 and 0.3 Å⁻¹.
    known = {"C": (1.039, 2.604, 3.643), "N": (1.080, 2.858, 4.097), "O": (0.977, 2.799, 4.293)}
    found = incoherent_scattering(list(known), np.array([0.2, 0.4, 0.6]))
    np.testing.assert_allclose(found, list(known.values()), atol=0.005)


def test_compton_scattering_agrees_with_another_parametrisation():
    # Balyuzi (1975), Acta Cryst. A31, 600: a1, b1, ... a5, b5.
    balyuzi = {
        "N": (0.9070, 64.1555, 2.8972, 20.8507, 1.1659, 7.7576, 1.5526, 1.0335, 0.4769, 0.3516),
        "O": (0.8847, 52.0063, 3.2189, 16.4487, 1.7990, 6.5958, 1.5538, 0.8143, 0.5434, 0.2815),
    }
    s = np.linspace(0.0, 3.0, 61)
    for element, numbers in balyuzi.items():
        a, b = np.array(numbers[0::2]), np.array(numbers[1::2])
        theirs = a.sum() - np.exp(-np.outer((s / 2) ** 2, b)) @ a
        np.testing.assert_allclose(incoherent_scattering([element], s)[0], theirs, atol=0.01)


def test_compton_scattering_of_hydrogen_is_exact():
    s = np.linspace(0, 3, 50)
    f = (1 + (np.pi * 0.529177 * s) ** 2) ** -2
    np.testing.assert_allclose(incoherent_scattering(["D"], s)[0], 1 - f**2, atol=5e-4)


def test_compton_scattering_grows_to_all_electrons_less_the_recoil():
    s = np.linspace(0, 3, 100)
    plain = incoherent_scattering(["C", "S", "Zn"], s)
    assert np.all(np.diff(plain, axis=1) > -1e-9)
    assert np.all(np.abs(plain[:, 0]) < 1e-3)
    recoiled = incoherent_scattering(["C"], s, wavelength=1.0)[0]
    assert recoiled[33] / plain[0, 33] == pytest.approx((1 + 0.0121316 * s[33] ** 2) ** -2)
    assert compton_of_cell({"C": 2, "S": 1}, s)[-1] == pytest.approx(
        2 * plain[0, -1] + plain[1, -1]
    )


def test_what_the_table_lacks_is_said():
    with pytest.raises(InputError, match="no Compton"):
        incoherent_scattering(["U"], np.array([0.1]))
    with pytest.raises(InputError, match="does not reach"):
        incoherent_scattering(["C"], np.array([3.2]))


def test_a_protein_is_counted_from_its_sequence():
    crystal = Crystal((74.1, 23.4, 28.9, 90.0, 90.0, 90.0), "P 21 21 21")
    dry = contents_of_sequence(BPTI, crystal, solvent=False)
    # BPTI with three disulphides, ionised side chains as the dictionary has them.
    assert {e: dry.atoms[e] / 4 for e in "CNOS"} == {"C": 284, "N": 84, "O": 79, "S": 7}
    assert abs(dry.atoms["H"] / 4 - 438) < 15
    wet = contents_of_sequence(BPTI, crystal)
    assert 0.38 < wet.electrons / crystal.volume < 0.44
    assert contents_of_sequence("GA GA", crystal, solvent=False).electrons == pytest.approx(
        contents_of_sequence("gaga", crystal, solvent=False).electrons
    )
    with pytest.raises(InputError, match="do not fit"):
        contents_of_sequence(BPTI, crystal, copies=4)
    with pytest.raises(InputError, match="no amino acid"):
        contents_of_sequence("GAB1", crystal)
    with pytest.raises(InputError, match="empty"):
        contents_of_sequence("", crystal)


def test_a_structure_counts_like_its_sequence():
    structure = read_structure(Path(datasets_file).parent / "embedded" / "5pti.cif")
    found = contents_of_structure(structure)
    assert structure.crystal is not None
    sequence = contents_of_sequence(BPTI, structure.crystal)
    assert found.atoms["S"] == sequence.atoms["S"]
    assert found.atoms["P"] > 0
    assert found.electrons == pytest.approx(sequence.electrons, rel=0.01)
    dry = contents_of_structure(structure, solvent=False)
    assert dry.atoms["O"] < found.atoms["O"]


def water_box(seed=0, n=180):
    """Rigid water molecules at random, none closer than 2.4 Å: atoms, molecules, cell."""
    rng = np.random.default_rng(seed)
    edge = (n / 0.0334) ** (1 / 3)
    oxygen = np.empty((0, 3))
    while len(oxygen) < n:
        new = rng.uniform(0, edge, 3)
        away = oxygen - new
        away -= edge * np.rint(away / edge)
        if not len(oxygen) or (away**2).sum(axis=1).min() > 2.4**2:
            oxygen = np.vstack([oxygen, new])
    rotation, _ = np.linalg.qr(rng.normal(size=(n, 3, 3)))
    half = np.radians(104.5) / 2
    arms = 0.957 * np.array([[np.sin(half), np.cos(half), 0], [-np.sin(half), np.cos(half), 0]])
    hydrogen = oxygen[:, None] + np.einsum("nij,aj->nai", rotation, arms)
    coord = np.concatenate([oxygen[:, None], hydrogen], axis=1)
    crystal = Crystal((edge, edge, edge, 90.0, 90.0, 90.0), "P 1")
    return coord, crystal


@pytest.fixture(scope="module")
def box():
    """Diffuse and Bragg intensity (e²) of waters that move as rigid bodies, each by itself."""
    coord, crystal = water_box()
    s_max, u = 0.7, 0.15
    index = HklGrid.covering(crystal, 1 / s_max).index().reshape(-1, 3)
    s_squared = crystal.s_squared(index)
    index = index[(s_squared <= s_max**2) & (s_squared > 0)]
    s = np.sqrt(crystal.s_squared(index))
    f_o, f_h = np.real(form_factors(["O", "H"], s**2))
    phase = np.exp(2j * np.pi * index @ crystal.fractional(coord).reshape(-1, 3).T)
    phase = phase.reshape(len(index), -1, 3)
    f = f_o * phase[:, :, 0].sum(axis=1) + f_h * phase[:, :, 1:].sum(axis=(1, 2))
    bragg = np.abs(f) ** 2 * np.exp(-4 * np.pi**2 * u * s**2)

    contents = CellContents(
        {"O": len(coord), "H": 2.0 * len(coord)},
        {("O", "H", 0.957): 2.0 * len(coord), ("H", "H", 1.513): 1.0 * len(coord)},
    )
    curve_s = np.linspace(0, 0.8, 500)
    of_molecules = contents.coherent(curve_s) + contents.bonds(curve_s)
    moving = of_molecules * (1 - np.exp(-4 * np.pi**2 * u * curve_s**2))
    curve = moving + contents.incoherent(curve_s)
    grid = HklGrid.covering(crystal, 1 / 0.72, (2, 2, 2))
    at = np.sqrt(crystal.s_squared(grid.hkl()))
    intensity = np.where(at <= s_max, np.interp(at, curve_s, curve), np.nan)
    # Anisotropy that averages out.
    wave = np.cos(grid.hkl() @ np.array([2.1, 1.3, 0.7]))
    diffuse = IntensityMap(crystal, grid, intensity * (1 + 0.2 * wave), sigma=0.1 * intensity)
    return diffuse, Bragg(index, bragg), contents


@pytest.mark.parametrize("absolute", [True, False])
def test_the_absolute_scale_is_recovered_within_one_percent(box, absolute):
    diffuse, bragg, contents = box
    unit = 37.0
    measured = diffuse.replace(intensity=diffuse.intensity / unit, sigma=diffuse.sigma / unit)
    given = bragg if absolute else Bragg(bragg.hkl, bragg.f_squared / unit, absolute=False)
    scale = absolute_scale(measured, contents, bragg=given)
    assert scale.factor == pytest.approx(unit, rel=0.01)
    assert scale.bragg + scale.diffuse == pytest.approx(scale.expected)
    back = to_absolute(measured, scale)
    np.testing.assert_allclose(
        back.intensity[back.measured], diffuse.intensity[diffuse.measured], rtol=0.01
    )
    assert back.provenance["absolute"]["factor"] == scale.factor
    elastic = subtract_compton(back, contents.atoms)
    middle = elastic.measured & (np.abs(np.sqrt(elastic.s_squared()) - 0.6) < 0.02)
    assert elastic.intensity[middle].mean() < back.intensity[middle].mean()


def test_a_map_that_ends_early_is_brought_to_scale_with_a_warning(box):
    diffuse, bragg, contents = box
    short = diffuse.replace(mask=diffuse.mask | (diffuse.s_squared() > 0.4**2))
    with pytest.warns(UnstillWarning, match="ends at 2.5"):
        absolute_scale(short, contents, bragg=bragg)


def test_impossible_contents_are_refused(box):
    diffuse, bragg, contents = box
    tenth = CellContents({"O": contents.atoms["O"] / 20}, {})
    with pytest.raises(InputError, match="cannot be brought"):
        absolute_scale(diffuse, tenth, bragg=bragg)
    with pytest.raises(InputError, match="no usable voxel"):
        absolute_scale(diffuse.replace(mask=np.ones_like(diffuse.mask)), contents)


def test_calculated_bragg_intensities_are_those_of_gemmi():
    import gemmi

    path = Path(datasets_file).parent / "embedded" / "5pti.cif"
    structure = read_structure(path)
    found = bragg_of_structure(structure, s_max=0.2, k_solvent=0.0)
    other = gemmi.read_structure(str(path))
    calculator = gemmi.StructureFactorCalculatorX(other.cell)
    some = np.random.default_rng(0).choice(len(found.hkl), 10, replace=False)
    theirs = []
    for hkl in found.hkl[some].astype(int).tolist():
        theirs.append(abs(calculator.calculate_sf_from_model(other[0], hkl)) ** 2)
    np.testing.assert_allclose(found.f_squared[some], theirs, rtol=0.03, atol=2000)
    wet = bragg_of_structure(structure, s_max=0.2)
    assert wet.f_squared.sum() < found.f_squared.sum()
    assert np.array_equal(wet.hkl, found.hkl)
