"""Scores of covalent geometry on a tetrahedron whose deviations are put in by hand."""

from __future__ import annotations

import numpy as np
import pytest

from unstill.errors import InputError
from unstill.validation.geometry_scores import RestraintTargets, score_geometry

CORNERS = np.array([[1, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]]) / np.sqrt(3)
IDEAL = np.vstack([np.zeros(3), 1.5 * CORNERS])
TETRAHEDRAL = np.degrees(np.arccos(-1 / 3))


def _restraints(**changes: object) -> RestraintTargets:
    volume = float(np.linalg.det(IDEAL[1:4]))
    values: dict[str, object] = {
        "bonds": np.array([[0, 1], [0, 2], [0, 3], [0, 4]]),
        "lengths": np.full(4, 1.5),
        "bond_sigmas": np.full(4, 0.02),
        "angles": np.array([[1, 0, 2], [3, 0, 4]]),
        "targets": np.full(2, TETRAHEDRAL),
        "angle_sigmas": np.full(2, 2.0),
        "planes": [np.array([0, 1, 2, 3])],
        "chirals": np.array([[0, 1, 2, 3]]),
        "volumes": np.array([volume]),
    }
    return RestraintTargets(**(values | changes))  # type: ignore[arg-type]


def test_ideal_stretched_and_mirrored() -> None:
    coord = np.stack([IDEAL, 1.1 * IDEAL, IDEAL * [1, 1, -1]])
    found = score_geometry(coord, _restraints())
    np.testing.assert_allclose(found.bond_rms, [0, 0.15, 0], atol=1e-12)
    np.testing.assert_allclose(found.bond_rms_z, [0, 7.5, 0], atol=1e-10)
    np.testing.assert_allclose(found.angle_rms, 0, atol=1e-9)
    assert found.n_flips.tolist() == [0, 0, 1]
    assert found.plane_rms[1] == pytest.approx(1.1 * found.plane_rms[0])


def test_problems_count_by_the_weight_of_members() -> None:
    coord = np.stack([IDEAL, 1.1 * IDEAL, IDEAL * [1, 1, -1]])
    found = score_geometry(coord, _restraints())
    names = ["CA", "N", "C", "CB", "HA"]
    problems = found.problems(np.array([0.5, 0.3, 0.2]), np.zeros(5, dtype=int), names)
    assert list(problems) == [0]
    words = {text: gravity for gravity, text in problems[0]}
    assert words["CA has the wrong hand"] == pytest.approx(0.2)
    assert words["bond CA–N 7.5 σ off"] == pytest.approx(0.15)
    assert len(words) == 2


def test_chosen_atoms_and_nothing_at_all() -> None:
    chosen = np.array([False, True, False, False, False])
    part = _restraints().of_atoms(chosen)
    assert (len(part.bonds), len(part.angles), len(part.planes), len(part.chirals)) == (1, 1, 1, 1)
    none = _restraints().of_atoms(np.zeros(5, dtype=bool))
    found = score_geometry(IDEAL[None], none)
    assert np.isnan(found.bond_rms[0])
    assert np.isnan(found.angle_rms_z[0])
    assert found.n_flips.tolist() == [0]
    assert found.problems(np.ones(1), np.zeros(5, dtype=int), ["X"] * 5) == {}


def test_sigmas_are_positive() -> None:
    with pytest.raises(InputError, match="positive"):
        _restraints(bond_sigmas=np.array([0.02, 0.02, 0.0, 0.02]))
