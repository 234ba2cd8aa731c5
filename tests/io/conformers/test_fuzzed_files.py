"""Damaged files: no crash, no hang, and no altloc that is lost without a word.

``make soak`` reads 100,000 of them; ``UNSTILL_FUZZ`` sets another number, and
``UNSTILL_FUZZ_SEED`` another beginning.
"""

from __future__ import annotations

import contextlib
import io
import os
import time
import warnings
from collections import Counter
from pathlib import Path

import gemmi
import numpy as np
import pytest
from biotite.structure.io import pdbx
from mutations import mutated
from test_conformer_adapters import as_bcif
from test_mmcif_conformers import ATOMS

from unstill.errors import UnstillError, UnstillWarning
from unstill.io import read_hierarchy_tables, read_multiconformer

SAMPLE, SOAK = 1_200, 100_000
SLOWEST = 5.0

TREE = """loop_
_pdbx_heterogeneity_hierarchy.id
_pdbx_heterogeneity_hierarchy.name
_pdbx_heterogeneity_hierarchy.parent
_pdbx_heterogeneity_hierarchy.details
Base all . ?
A open Base 'a loop; "out"'
B closed Base
;two
lines
;
loop_
_pdbx_state_coexistence.id
_pdbx_state_coexistence.rule
_pdbx_state_coexistence.heterogeneity_id
_pdbx_state_coexistence.heterogeneity_ids
1 NOT A B
loop_
_unstill_member.id
_unstill_member.weight
1 0.6
2 0.4
loop_
_unstill_member_state.member_id
_unstill_member_state.state_id
1 A
2 B
"""

PDB = """\
CRYST1   21.500   33.250   40.125  90.00 101.50  90.00 P 1 21 1      2
ATOM      1  N   GLY A   1      11.104   6.134  -6.504  1.00 12.00           N
ANISOU    1  N   GLY A   1     1184   1297    330     -5     55   -163       N
ATOM      2  CA AGLY A   1      11.639   6.071  -5.147  0.60 13.00           C
ATOM      3  CA BGLY A   1      11.539   6.271  -5.047  0.40 13.50           C
TER       4      GLY A   1
HETATM    5  O  CHOH A 101       1.000   2.000   3.000  0.33 20.00           O
END
"""


def seeds(folder: Path) -> list[tuple[str, bytes]]:
    """Small good files of every kind."""
    tags = ATOMS + "_atom_site.pdbx_heterogeneity_id\n_atom_site.pdbx_PDB_model_num\n"
    rows = "".join(
        f"ATOM {n + 1} C C{n} {label} GLY A 1 {n}.125 2.50 -3.000 0.50 10.0 {state} 1\n"
        for n, (label, state) in enumerate([("A", "A"), ("AA", "B"), (".", "Base"), ("'B'", "B")])
    )
    stated = "data_x\n_cell.length_a 20\n" + tags + rows + TREE
    models = "data_y\n" + ATOMS + "_atom_site.pdbx_PDB_model_num\n"
    models += "".join(
        f"ATOM {n} C C{n % 3} ? GLY A 1 {n}.5 2.5 -3.0 1.0 10.0 {1 + n // 3}\n" for n in range(6)
    )
    found = [("cif", stated.encode()), ("cif", models.encode()), ("pdb", PDB.encode())]
    (folder / "seed.cif").write_text(stated)
    as_bcif(folder / "seed.cif", folder / "seed.bcif")
    return [*found, ("bcif", (folder / "seed.bcif").read_bytes())]


def labels_told_by_others(kind: str, content: bytes) -> Counter[str]:
    """Labels of all atom lines, by another reader; raises what that raises."""
    if kind == "pdb":
        lines = [line for line in content.splitlines() if line[:6] in (b"ATOM  ", b"HETATM")]
        return Counter(line[16:17].decode("latin-1").strip() for line in lines)
    if kind == "bcif":
        block = pdbx.BinaryCIFFile.read(io.BytesIO(content)).block
        if "atom_site" not in block:
            return Counter()
        category = block["atom_site"]
        if "label_alt_id" not in category:
            return Counter([""] * category.row_count)
        words = category["label_alt_id"].as_array(str, "")
        return Counter(_bare(str(word)) for word in words)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    for block in gemmi.cif.read_string(text.removeprefix("\ufeff")):
        table = block.find_mmcif_category("_atom_site.")
        if len(table) == 0:
            continue
        tags = [tag.lower() for tag in table.tags]
        if "_atom_site.label_alt_id" not in tags:
            return Counter([""] * len(table))
        place = tags.index("_atom_site.label_alt_id")
        return Counter(_bare(gemmi.cif.as_string(row[place])) for row in table)
    return Counter()


def _bare(word: str) -> str:
    return "" if word.strip() in ("", ".", "?") else word.strip()


def read_damaged(kind: str, content: bytes, path: Path) -> str:
    """Read one file; return ``refused`` or ``read`` or fail."""
    path.write_bytes(content)
    started = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("ignore", UnstillWarning)
        try:
            model = read_multiconformer(path)
            outcome = "read"
        except UnstillError:
            outcome = "refused"
        assert time.monotonic() - started < SLOWEST
        with contextlib.suppress(UnstillError):
            read_hierarchy_tables(path)
        if outcome == "refused":
            return outcome
    found = Counter(str(label) for label in model.altloc_id)
    assert found == labels_told_by_others(kind, content)
    assert np.isfinite(model.coord).all()
    return outcome


def fuzz(folder: Path, number: int, start: int) -> Counter[str]:
    """Read many damaged files; each has a seed of its own, so that a failure can be repeated."""
    good = seeds(folder)
    outcomes: Counter[str] = Counter()
    for one in range(start, start + number):
        rng = np.random.default_rng([20261126, one])
        kind, content = good[one % len(good)]
        damaged = mutated(content, rng)
        try:
            outcomes[f"{kind} {read_damaged(kind, damaged, folder / f'x.{kind}')}"] += 1
        except Exception as error:
            (folder / f"failed.{kind}").write_bytes(damaged)
            error.add_note(f"file {one}, kept as {folder / f'failed.{kind}'}")
            raise
    return outcomes


def test_good_files_are_read(tmp_path) -> None:
    for kind, content in seeds(tmp_path):
        assert read_damaged(kind, content, tmp_path / f"x.{kind}") == "read"


def test_a_sample_of_damaged_files(tmp_path) -> None:
    outcomes = fuzz(tmp_path, SAMPLE, 0)
    # Neither is everything refused nor is everything swallowed.
    for kind in ("cif", "pdb", "bcif"):
        assert outcomes[f"{kind} refused"] > 20
        assert outcomes[f"{kind} read"] > 5, outcomes


@pytest.mark.soak
@pytest.mark.parametrize("part", range(4))
def test_many_damaged_files(tmp_path, part) -> None:
    number = int(os.environ.get("UNSTILL_FUZZ", SOAK)) // 4
    start = int(os.environ.get("UNSTILL_FUZZ_SEED", "1000000"))
    outcomes = fuzz(tmp_path, number, start + part * number)
    print(dict(outcomes))  # noqa: T201 - the figures of the run
    assert sum(outcomes.values()) == number


@pytest.mark.soak
def test_damage_chosen_by_coverage(tmp_path) -> None:
    """atheris looks for damage that reaches new code, where it is installed."""
    import importlib.util
    import subprocess
    import sys

    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed")
    harness = Path(__file__).with_name("atheris_harness.py")
    runs = os.environ.get("UNSTILL_FUZZ_RUNS", "20000")
    done = subprocess.run(
        [sys.executable, str(harness), f"-runs={runs}", "-timeout=5", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
