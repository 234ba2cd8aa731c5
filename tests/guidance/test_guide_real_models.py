"""``unstill guide`` on deposited models: every name and number of a site comes back as it was.

Both files are read as text here, not by the readers of the project, whose conventions would
hide what they change on the way.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import gemmi
import numpy as np
import pytest
from typer.testing import CliRunner

from unstill.cli.app import complete_app

ALL = ("2yl0.pdb", "6ni6.pdb", "4i39.cif", "3o5r.cif", "6b8x.pdb", "1vme_0.5A_0.5B.cif")
SMALLEST = "3o5r.cif"
MOST_CPU_S = 120.0

Site = tuple[str, ...]
NAMES = ("auth_asym_id", "auth_seq_id", "pdbx_PDB_ins_code", "auth_comp_id", "auth_atom_id")
NAMES += ("group_PDB", "label_asym_id", "label_entity_id", "label_seq_id")
NAMES += ("label_comp_id", "label_atom_id")
"""Items of a site; the first three are its residue, those from the seventh no PDB file has."""
PLAIN = 6


@pytest.fixture(scope="session")
def altloc_models(unstill_data: Path) -> Path:
    folder = unstill_data / "altloc"
    if not folder.is_dir():
        pytest.skip(f"{folder} is missing")
    return folder


def sites_of_cif(path: Path) -> list[tuple[str, str, Site]]:
    """Model, element and names of every line of atoms, token by token."""
    table = gemmi.cif.read(str(path)).sole_block().find_mmcif_category("_atom_site.")
    place = {tag.partition(".")[2]: number for number, tag in enumerate(table.tags)}
    chosen = [place["pdbx_PDB_model_num"], place["type_symbol"], *(place[n] for n in NAMES)]
    rows = [[row[number] for number in chosen] for row in table]
    return [(row[0], row[1], tuple(row[2:])) for row in rows]


def sites_of_pdb(path: Path) -> list[tuple[str, str, Site]]:
    """Return the same of the columns of a PDB file."""
    found = []
    for line in path.read_text().splitlines():
        if line.startswith(("ATOM  ", "HETATM")):
            names = (line[21], line[22:26], line[26], line[17:20], line[12:16], line[:6])
            chain, number, code, residue, atom, group = (name.strip() for name in names)
            site = (chain, number, code or "?", residue, _token(atom), group)
            found.append(("1", line[76:78].strip().upper(), site))
    return found


def _token(text: str) -> str:
    return str(gemmi.cif.quote(text))


def check_names(source: Path, out: Path) -> None:
    given = sites_of_pdb(source) if source.suffix == ".pdb" else sites_of_cif(source)
    n = PLAIN if source.suffix == ".pdb" else len(NAMES)
    found = [
        (model, element, site[:n]) for model, element, site in sites_of_cif(out / "ensemble.cif")
    ]
    heavy = [site[:n] for _, element, site in given if element.upper() not in ("H", "D")]
    models = list(dict.fromkeys(model for model, _, _ in found))
    first = [site for model, _, site in found if model == models[0]]
    for model in models[1:]:
        assert [site for other, _, site in found if other == model] == first
    assert len(set(first)) == len(first), "an atom stands twice in a member"
    # No name that the source does not have, no residue lost, and in the same order.
    assert set(first) <= set(heavy)
    residues = [site[:3] for site in heavy]
    assert list(dict.fromkeys(site[:3] for site in first)) == list(dict.fromkeys(residues))
    # Of two kinds of residue in one place, a member has one; of all others every atom.
    kinds: dict[Site, set[str]] = {}
    for site in heavy:
        kinds.setdefault(site[:3], set()).add(site[3])
    single = {site for site in heavy if len(kinds[site[:3]]) == 1}
    assert single <= set(first)
    collapsed = [site[:n] for _, _, site in sites_of_cif(out / "multiconformer.cif")]
    assert list(dict.fromkeys(site[:3] for site in collapsed)) == list(dict.fromkeys(residues))
    assert set(collapsed) == set(first)


def guide(model: Path, folder: Path, *options: str) -> tuple[dict[str, object], float]:
    began = time.process_time()
    target, out = folder / "map.ccp4", folder / "guided"
    for arguments in (
        ["density", model, "-o", target, "--resolution", "2"],
        ["guide", model, target, "--resolution", "2", "-o", out, "--strength", "1", *options],
    ):
        line = [str(one) for one in (*arguments, "--json")]
        done = CliRunner().invoke(complete_app(), line)
        assert done.exit_code == 0, done.stderr
    assert sorted(path.name for path in out.iterdir()) == [
        "ensemble.cif", "multiconformer.cif", "report.html",
    ]  # fmt: skip
    return json.loads(done.stdout), time.process_time() - began


def test_names_and_numbers_of_a_deposited_model_come_back(
    altloc_models: Path, tmp_path: Path
) -> None:
    model = altloc_models / SMALLEST
    guide(model, tmp_path, "--ensemble", "2", "--levels", "3", "--no-jumps")
    check_names(model, tmp_path / "guided")


@pytest.mark.soak
@pytest.mark.parametrize("name", ALL)
def test_deposited_models_run_from_command_to_report(
    altloc_models: Path, tmp_path: Path, name: str
) -> None:
    model = altloc_models / name
    found, cpu = guide(model, tmp_path)
    assert cpu < MOST_CPU_S
    check_names(model, tmp_path / "guided")
    before, after = found["before"], found["after"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert after["work"] > before["work"]
    assert after["held_out"] > before["held_out"]
    assert after["chirality_flips"] == 0
    assert np.isfinite(after["clashscore"])
