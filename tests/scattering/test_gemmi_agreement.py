"""F of whole crystals, symmetry and all, against gemmi's direct calculators."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from small_crystals import relative, tensors

from unstill.crystal import Crystal
from unstill.crystal.half_space import friedel_half
from unstill.crystal.supercell import symmetry_operations
from unstill.scattering import Scatterers, make_engine

CRYSTALS = {
    "P 1": (13.0, 11.0, 16.0, 81.0, 97.0, 108.0),
    "P -1": (13.0, 11.0, 16.0, 74.0, 101.0, 95.0),
    "C 1 2 1": (22.0, 12.0, 15.0, 90.0, 107.0, 90.0),
    "P 21 21 21": (14.0, 17.0, 12.0, 90.0, 90.0, 90.0),
    "P 41 21 2": (15.0, 15.0, 19.0, 90.0, 90.0, 90.0),
    "P 61 2 2": (16.0, 16.0, 22.0, 90.0, 90.0, 120.0),
    "R 3 :H": (18.0, 18.0, 14.0, 90.0, 90.0, 120.0),
    "I 2 3": (17.0, 17.0, 17.0, 90.0, 90.0, 90.0),
}
N_ATOMS = 8


def _asymmetric_unit(anisotropic: bool) -> tuple[Scatterers, np.ndarray]:
    rng = np.random.default_rng(11)
    # gemmi keeps B and occupancy in single precision; use numbers that it holds exactly.
    scatterers = Scatterers(
        rng.choice(["C", "N", "O", "S", "SE", "H"], N_ATOMS),
        rng.integers(4, 17, N_ATOMS) / 16,
        rng.integers(20, 160, N_ATOMS) / 4.0,
        tensors(rng, N_ATOMS).astype(np.float32).astype(float) if anisotropic else None,
    )
    return scatterers, rng.random((N_ATOMS, 3))


def _expanded(
    crystal: Crystal, unit: Scatterers, frac: np.ndarray
) -> tuple[Scatterers, np.ndarray]:
    """All atoms of the cell, by operations; tensors turn with them."""
    rotations, translations = symmetry_operations(crystal)
    n = len(rotations)
    copies = np.concatenate([frac @ r.T + t for r, t in zip(rotations, translations, strict=True)])
    u_aniso = None
    if unit.u_aniso is not None:
        to_cart, to_frac = crystal.orthogonalization_matrix, crystal.fractionalization_matrix
        full = unit.u_aniso[:, [[0, 3, 4], [3, 1, 5], [4, 5, 2]]]
        turns = to_cart @ rotations @ to_frac
        turned = np.concatenate([turn @ full @ turn.T for turn in turns])
        u_aniso = turned[:, [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]
    scatterers = Scatterers(
        np.tile(unit.element, n), np.tile(unit.occupancy, n), np.tile(unit.b_factor, n), u_aniso
    )
    return scatterers, copies


def _gemmi_structure(crystal: Crystal, unit: Scatterers, frac: np.ndarray) -> gemmi.Structure:
    residue = gemmi.Residue()
    for number, position in enumerate(crystal.cartesian(frac)):
        atom = gemmi.Atom()
        atom.element = gemmi.Element(str(unit.element[number]))
        atom.pos = gemmi.Position(*position)
        atom.occ, atom.b_iso = unit.occupancy[number], unit.b_factor[number]
        if unit.anisotropic[number]:
            atom.aniso = gemmi.SMat33f(*unit.u_aniso[number])
        residue.add_atom(atom)
    chain, model = gemmi.Chain("A"), gemmi.Model(1)
    chain.add_residue(residue)
    model.add_chain(chain)
    structure = gemmi.Structure()
    structure.cell, structure.spacegroup_hm = crystal.cell, crystal.group.hm
    structure.add_model(model)
    structure.setup_cell_images()
    return structure


def _gemmi_f(structure: gemmi.Structure, index: np.ndarray, calculator: type) -> np.ndarray:
    made = calculator(structure.cell)
    return np.array([made.calculate_sf_from_model(structure[0], hkl) for hkl in index.tolist()])


@pytest.mark.parametrize("space_group", CRYSTALS)
@pytest.mark.parametrize(
    ("engine", "anisotropic"),
    [("nufft", False), ("density", False), ("direct", False), ("density", True), ("direct", True)],
)
def test_structure_factors_equal_gemmi_in_many_space_groups(space_group, engine, anisotropic):
    crystal = Crystal(CRYSTALS[space_group], space_group)
    unit, frac = _asymmetric_unit(anisotropic)
    index = friedel_half(crystal, 2.2)[::7]
    theirs = _gemmi_f(
        _gemmi_structure(crystal, unit, frac), index, gemmi.StructureFactorCalculatorX
    )
    scatterers, copies = _expanded(crystal, unit, frac)
    ours = make_engine(
        Crystal(crystal.unit_cell), index, scatterers, engine=engine, tolerance=1e-6
    ).structure_factors(copies)
    assert relative(ours, theirs) <= 1e-5


@pytest.mark.parametrize(
    ("table", "calculator"),
    [
        ("electron", gemmi.StructureFactorCalculatorE),
        ("neutron", gemmi.StructureFactorCalculatorN),
    ],
)
def test_other_radiation_equals_gemmi_too(table, calculator):
    crystal = Crystal(CRYSTALS["P 21 21 21"], "P 21 21 21")
    unit, frac = _asymmetric_unit(False)
    index = friedel_half(crystal, 2.2)[::5]
    theirs = _gemmi_f(_gemmi_structure(crystal, unit, frac), index, calculator)
    scatterers, copies = _expanded(crystal, unit, frac)
    engine = make_engine(
        Crystal(crystal.unit_cell), index, scatterers, table=table, tolerance=1e-6
    )
    assert relative(engine.structure_factors(copies), theirs) <= 1e-5


def test_systematic_absences_are_zero():
    crystal = Crystal(CRYSTALS["P 21 21 21"], "P 21 21 21")
    scatterers, copies = _expanded(crystal, *_asymmetric_unit(False))
    index = np.array([[1, 0, 0], [0, 3, 0], [0, 0, 5], [2, 0, 0], [0, 4, 0], [0, 0, 2]])
    f = make_engine(Crystal(crystal.unit_cell), index, scatterers).structure_factors(copies)
    assert np.abs(f[:3]).max() < 1e-4 * np.abs(f[3:]).min()
