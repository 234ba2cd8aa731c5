"""Tables of states as a file has them, whether or not they make a tree."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np

from unstill.ensembles.multiconformer.tables import HierarchyTables, RuleLine, StateLine
from unstill.io.conformers.atom_columns import word_column
from unstill.io.conformers.binary_cif import bcif_parts
from unstill.io.conformers.carried_cif import CarriedCif, carried_from_parts
from unstill.io.conformers.cif_parts import CifParts, read_cif_parts
from unstill.io.conformers.hierarchy_categories import (
    COEXISTENCE,
    HIERARCHY,
    MEMBER,
    MEMBER_STATE,
)
from unstill.io.conformers.pdb import read_pdb_conformers
from unstill.io.conformers.token_columns import TokenTable, plain
from unstill.io.reading import parsing
from unstill.io.structure_files import structure_format

_NOTHING = (".", "?")


def read_hierarchy_tables(path: Path) -> HierarchyTables:
    """Read states, rules and labels of a file word by word, without judging them.

    Parameters
    ----------
    path
        mmCIF, BinaryCIF or PDB, plain or gzipped. A PDB file has labels only.

    Raises
    ------
    FormatError
        If the file is damaged, cut short or holds no atoms.
    """
    path = Path(path)
    kind = structure_format(path)
    if kind == "pdb":
        model = read_pdb_conformers(path)
        labels = np.array([model.site_label(site) for site in range(model.n_sites)], dtype=str)
        return HierarchyTables(
            atom_altloc=np.asarray(model.altloc_id, dtype=str), atom_label=labels[model.site]
        )
    with parsing(path, "an mmCIF file" if kind == "mmcif" else "a BinaryCIF file"):
        parts: CifParts = read_cif_parts(path) if kind == "mmcif" else bcif_parts(path)
        carried, block = carried_from_parts(parts, path.name)
        return _tables(carried, block)


def _tables(carried: CarriedCif, block: gemmi.cif.Block) -> HierarchyTables:
    states = _lines(block, HIERARCHY, ("id", "name", "parent"))
    rules = _lines(block, COEXISTENCE, ("id", "rule", "heterogeneity_id", "heterogeneity_ids"))
    table = carried.atom_table
    state = table.column("pdbx_heterogeneity_id")
    return HierarchyTables(
        tuple(StateLine(*words) for words in states),
        tuple(
            RuleLine(number, kind, state, _list(others)) for number, kind, state, others in rules
        ),
        None if state is None else word_column(table, "state").text(),
        _altlocs(table),
        _labels(table),
        tuple(words[0] for words in _lines(block, MEMBER, ("id",))),
        tuple(
            (member, held)
            for member, held in _lines(block, MEMBER_STATE, ("member_id", "state_id"))
        ),
    )


def _lines(block: gemmi.cif.Block, category: str, items: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Rows of a category; ``""`` where it has no such item. One-row categories count."""
    raw = {
        item.lower(): words
        for item, words in block.get_mmcif_category(f"_{category}.", raw=True).items()
    }
    n = max((len(words) for words in raw.values()), default=0)
    columns = [[plain(word) for word in raw[item]] if item in raw else [""] * n for item in items]
    return list(zip(*columns, strict=True))


def _list(text: str) -> tuple[str, ...]:
    return tuple("".join(part.split()) for part in text.split(",")) if text else ()


def _altlocs(table: TokenTable) -> np.ndarray:
    """Labels; what was quoted is told apart from what stands for nothing."""
    column = table.column("label_alt_id")
    if column is None:
        return np.full(len(table), "", dtype="U1")
    codes, tokens = column.coded()
    words = [
        "" if token in _NOTHING else gemmi.cif.as_string(token) if token[:1] in "'\";" else token
        for token in tokens
    ]
    return np.asarray(np.array(words, dtype=str)[codes])


def _labels(table: TokenTable) -> np.ndarray:
    chain, name, number, ins_code, atom = (
        word_column(table, annotation).text()
        for annotation in ("chain_id", "res_name", "res_id", "ins_code", "atom_name")
    )
    return np.array(
        [
            f"{c}/{r} {n}{i}/{a}"
            for c, r, n, i, a in zip(chain, name, number, ins_code, atom, strict=True)
        ],
        dtype=str,
    )
