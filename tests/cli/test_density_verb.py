from __future__ import annotations

import json
from pathlib import Path

import gemmi
import numpy as np
import pytest
from typer.testing import CliRunner

from unstill.cli.app import complete_app
from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.io.density_ccp4 import read_density_map
from unstill.maps.density_map import DensityMap

CIF = """data_two
_cell.length_a 20
_cell.length_b 21
_cell.length_c 22
_cell.angle_alpha 90
_cell.angle_beta 100
_cell.angle_gamma 90
_symmetry.space_group_name_H-M 'P 1 21 1'
loop_
_atom_site.group_PDB
_atom_site.id
_atom_site.type_symbol
_atom_site.label_atom_id
_atom_site.label_alt_id
_atom_site.label_comp_id
_atom_site.label_asym_id
_atom_site.label_seq_id
_atom_site.auth_seq_id
_atom_site.auth_asym_id
_atom_site.Cartn_x
_atom_site.Cartn_y
_atom_site.Cartn_z
_atom_site.occupancy
_atom_site.B_iso_or_equiv
ATOM 1 C CA . SER A 1 1 A 3.0 4.0 5.0 1.0 20
ATOM 2 O OG A SER A 1 1 A 4.0 4.0 5.5 0.6 20
ATOM 3 O OG B SER A 1 1 A 3.0 5.2 5.5 0.4 20
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.cif"
    path.write_text(CIF)
    return path


def run(*words: object) -> tuple[int, dict[str, object], str]:
    result = CliRunner().invoke(complete_app(), ["density", *map(str, words)])
    answer = json.loads(result.stdout) if result.stdout.startswith("{") else {}
    return result.exit_code, answer, result.stderr


def test_electrons_are_counted_twice_and_agree(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.ccp4"
    code, answer, _ = run(model, "-o", out, "--resolution", 1.8, "--json")
    assert code == 0
    assert answer["electrons"] == pytest.approx(14.0)
    assert answer["electrons_cell"] == pytest.approx(28.0, rel=5e-3)
    read = read_density_map(out)
    assert read.crystal.space_group == "P 1 21 1"
    assert list(read.shape) == answer["shape"]
    assert read.integral == pytest.approx(answer["electrons_cell"], rel=1e-5)
    peak = np.array(np.unravel_index(np.argmax(read.values), read.shape)) / read.shape
    mates = [(3.0, 4.0, 5.0)]
    places = read.crystal.fractional(np.array(mates))
    offset = (peak - places + 0.5) % 1 - 0.5
    mirrored = (peak - [-1, 1, -1] * places - [0, 0.5, 0] + 0.5) % 1 - 0.5
    nearest = min(np.abs(offset).max(), np.abs(mirrored).max())
    assert nearest <= 0.5 / min(read.shape) + 0.02


def test_occupancies_by_label(model: Path, tmp_path: Path) -> None:
    maps = []
    for number, pair in enumerate(("A=1,B=0", "A=0,B=1", "A=0.25,B=0.75")):
        out = tmp_path / f"{number}.ccp4"
        assert run(model, "-o", out, "--resolution", 2, "--occupancy", pair)[0] == 0
        maps.append(read_density_map(out).values)
    np.testing.assert_allclose(0.25 * maps[0] + 0.75 * maps[1], maps[2], atol=1e-4)
    assert np.abs(maps[0] - maps[1]).max() > 0.5


def test_noise_has_its_size_symmetry_and_seed(model: Path, tmp_path: Path) -> None:
    clean, noisy, again, other = (tmp_path / f"{name}.ccp4" for name in "abcd")
    run(model, "-o", clean, "--resolution", 2)
    for out, seed in ((noisy, 1), (again, 1), (other, 2)):
        run(model, "-o", out, "--resolution", 2, "--noise", 0.5, "--seed", seed)
    base = read_density_map(clean).values
    added = read_density_map(noisy).values - base
    assert added.std() == pytest.approx(0.5 * base.std(), rel=1e-3)
    assert noisy.read_bytes() == again.read_bytes() != other.read_bytes()
    nu, nv, nw = added.shape
    # x, y, z -> -x, y + 1/2, -z
    mate = np.roll(added, nv // 2, axis=1)[(-np.arange(nu)) % nu][:, :, (-np.arange(nw)) % nw]
    np.testing.assert_allclose(mate, added, atol=1e-5)


def test_electron_scattering_is_said_apart(model: Path, tmp_path: Path) -> None:
    _, answer, _ = run(model, "-o", tmp_path / "m.ccp4", "--resolution", 2, "--em", "--json")
    assert answer["electrons_cell"] is None
    # Mott-Bethe at s = 0: a carbon and an oxygen, twice.
    carbon, oxygen = (sum(gemmi.Element(e).c4322.get_coefs()[:5]) for e in "CO")
    assert answer["integral_cell"] == pytest.approx(2 * (carbon + oxygen), rel=1e-3)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--resolution", "-1"], 2, "positive"),
        (["--resolution", "2", "--occupancy", "A:0.5"], 2, "label=occupancy"),
        (["--resolution", "2", "--occupancy", "C=0.5"], 1, "the model has A, B"),
        (["--resolution", "2", "--occupancy", "A=0.8,B=0.8"], 1, "at most 1"),
        (["--resolution", "2", "--noise", "-1"], 2, "noise"),
    ],
)
def test_bad_wishes_are_refused(
    model: Path, tmp_path: Path, words: list[str], code: int, told: str
) -> None:
    out = tmp_path / "map.ccp4"
    found, _, stderr = run(model, "-o", out, *words)
    assert found == code
    assert told in stderr
    assert not out.exists()


def test_a_model_without_a_cell_is_refused(model: Path, tmp_path: Path) -> None:
    lines = [line for line in CIF.splitlines() if not line.startswith(("_cell", "_symm"))]
    model.write_text("\n".join(lines) + "\n")
    code, _, stderr = run(model, "-o", tmp_path / "m.ccp4", "--resolution", 2)
    assert code == 1
    assert "no unit cell" in stderr


def test_maps_of_other_programs(model: Path, tmp_path: Path) -> None:
    whole, box = tmp_path / "whole.ccp4", tmp_path / "box.ccp4"
    run(model, "-o", whole, "--resolution", 2)
    ccp4 = gemmi.read_ccp4_map(str(whole))
    ccp4.setup(0.0)
    region = gemmi.FractionalBox()
    region.minimum, region.maximum = gemmi.Fractional(0, 0, 0), gemmi.Fractional(0.4, 0.4, 0.4)
    ccp4.set_extent(region)
    ccp4.write_ccp4_map(str(box))
    full, part = read_density_map(whole), read_density_map(box)
    assert part.shape == full.shape
    assert 0.1 < part.known.mean() < 0.9
    np.testing.assert_allclose(part.values[part.known], full.values[part.known])
    shifted = gemmi.read_ccp4_map(str(whole))
    shifted.set_header_float(50, 12.5)
    shifted.write_ccp4_map(str(box))
    with pytest.raises(InputError, match="ORIGIN"):
        read_density_map(box)


def test_damaged_maps_are_refused(model: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.ccp4", tmp_path / "cut.ccp4"
    run(model, "-o", whole, "--resolution", 2)
    content = whole.read_bytes()
    for size in (0, 100, 1023, 5000, len(content) - 4):
        cut.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"cut\.ccp4"):
            read_density_map(cut)
    with pytest.raises(FileNotFoundError):
        read_density_map(tmp_path / "none.ccp4")


def test_a_map_needs_values() -> None:
    with pytest.raises(InputError, match="grid of the cell"):
        DensityMap(Crystal((10, 10, 10, 90, 90, 90)), np.full((4, 4, 4), np.nan))
