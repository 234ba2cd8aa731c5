"""``unstill guide`` with a diffuse map beside a density."""

from __future__ import annotations

import json
from pathlib import Path

import gemmi
import numpy as np
import pytest
from small_crystal import CRYSTAL, D_MIN, small_crystal, write_small
from typer.testing import CliRunner

from unstill.cli.app import complete_app
from unstill.crystal import Crystal, HklGrid
from unstill.errors import InputError
from unstill.io import write_map
from unstill.maps.intensity_map import IntensityMap
from unstill.workflows.guide_map.target import lead_and_diffuse


def diffuse_map(crystal: Crystal = CRYSTAL) -> IntensityMap:
    """Diffuse intensity of LEU 12A in one of two rotamers, by direct sums: w(1−w)|F_A − F_B|²."""
    source = small_crystal()
    grid = HklGrid((-13, -10, 0), (27, 21, 12), (1, 1, 1))
    q = np.stack(np.meshgrid(*grid.axes(), indexing="ij"), axis=-1).reshape(-1, 3).astype(float)
    letters = source.atoms.altloc_id
    intensity = np.zeros(len(q))
    for operation in CRYSTAL.group.operations():
        turned = q @ (np.array(operation.rot) / gemmi.Op.DEN)
        quarter = CRYSTAL.s_squared(turned) / 4
        apart = np.zeros(len(q), dtype=complex)
        for letter, sign in (("A", 1), ("B", -1)):
            for atom in np.flatnonzero(letters == letter):
                form = gemmi.Element(str(source.element[atom])).it92
                f = np.array([form.calculate_sf(one) for one in quarter.tolist()])
                place = CRYSTAL.fractional(source.coord[0][atom].astype(float))
                apart += sign * f * np.exp(-18.0 * quarter + 2j * np.pi * (turned @ place))
        intensity += 0.25 * np.abs(apart) ** 2
    shaped = intensity.reshape(grid.shape)
    sigma = np.full(grid.shape, 0.2 * float(shaped.mean()))
    noise = sigma * np.random.default_rng(0).standard_normal(grid.shape)
    return IntensityMap(crystal, grid, shaped + noise, sigma=sigma)


def test_members_agree_with_both(tmp_path: Path) -> None:
    model, density = write_small(tmp_path)
    path = tmp_path / "diffuse.nxs"
    write_map(diffuse_map(), path)
    given = ["guide", model, density, path, "--resolution", D_MIN, "--noise", 0.5]
    given += ["--strength", 1, "--json", "-o", tmp_path / "out"]
    done = CliRunner().invoke(complete_app(), [str(one) for one in given])
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["diffuse_cc"] > 0.8
    assert found["after"]["held_out"] > found["before"]["held_out"]
    assert found["after"]["bond_rmsd"] < 0.02
    assert [(one["res_id"], one["ins_code"]) for one in found["states"]] == [(12, "A")]
    assert len(found["provenance"]["inputs"]) == 3
    assert "Diffuse" in (tmp_path / "out" / "report.html").read_text()


def test_what_can_lead_is_told_from_what_cannot(tmp_path: Path) -> None:
    assert lead_and_diffuse([Path("a.nxs"), Path("b.mtz")]) == (Path("b.mtz"), Path("a.nxs"))
    for names in (["a.nxs"], ["a.mtz", "b.ccp4"], ["a.mtz", "b.nxs", "c.nxs"]):
        with pytest.raises(InputError, match="one density or one set of amplitudes"):
            lead_and_diffuse([Path(name) for name in names])
    model, density = write_small(tmp_path)
    other = tmp_path / "other.nxs"
    write_map(diffuse_map(Crystal((40.0, 26.0, 27.0, 90.0, 100.0, 90.0), "P 1 21 1")), other)
    given = ["guide", model, density, other, "--resolution", D_MIN, "-o", tmp_path / "out"]
    done = CliRunner().invoke(complete_app(), [str(one) for one in given])
    assert done.exit_code == 1
    assert "cell" in done.stderr
    assert not (tmp_path / "out").exists()
