"""Rows and sites of the atom lines of a file."""

from __future__ import annotations

from dataclasses import dataclass

import biotite.structure
import numpy as np

from unstill.io.conformers.atom_columns import (
    WordColumn,
    b_factors,
    coordinates,
    elements,
    integers,
    occupancies,
    tensors,
    word_column,
)
from unstill.io.conformers.carried_cif import CarriedCif
from unstill.io.conformers.token_columns import TokenTable


@dataclass(frozen=True, eq=False)
class AtomRows:
    """The atom lines of a file as arrays; one row a line, in the order of the file.

    Parameters
    ----------
    sites
        The atoms, each once, in the order of their first lines.
    site, residue, model
        ``(n_rows,)`` number of the site, the residue and the model of each row, counted
        from 0 as they appear.
    altloc
        Labels, ``""`` for none.
    coord, occupancy, b_factor, u_aniso
        As in ``Multiconformer``; occupancies as the file has them.
    models
        Names of the models.
    """

    sites: biotite.structure.AtomArray
    site: np.ndarray
    residue: np.ndarray
    model: np.ndarray
    models: tuple[str, ...]
    altloc: WordColumn
    coord: np.ndarray
    occupancy: np.ndarray
    b_factor: np.ndarray
    u_aniso: np.ndarray | None


def atom_rows(carried: CarriedCif, name: str) -> AtomRows:
    """Read rows off the tokens.

    Raises
    ------
    FormatError
        If a number cannot be read.
    InputError
        If an element is unknown.
    """
    table = carried.atom_table
    words = {
        annotation: word_column(table, annotation)
        for annotation in ("chain_id", "ins_code", "res_name", "atom_name")
    }
    res_id = integers(word_column(table, "res_id"), "residue number")
    number = WordColumn(res_id - res_id.min(initial=0), np.empty(0))
    residue = numbered_words(words["chain_id"], number, words["ins_code"])
    site = numbered_words(WordColumn(residue, np.empty(0)), words["res_name"], words["atom_name"])
    first = first_rows(site)
    coord = coordinates(table, name)
    model = word_column(table, "model")
    in_order = numbered_words(model)
    return AtomRows(
        _sites(table, words, res_id, coord, first),
        site,
        residue,
        in_order,
        tuple(model.text(first_rows(in_order)).tolist()),
        word_column(table, "altloc_id"),
        coord,
        occupancies(table, name),
        b_factors(table, name),
        _u_aniso(carried, name),
    )


def numbered_words(*columns: WordColumn) -> np.ndarray:
    """Return the number of each row among the distinct ones, as they appear, from 0."""
    number = np.zeros(len(columns[0].codes), dtype=np.int64)
    for column in columns:
        size = int(column.codes.max(initial=0)) + 1
        if (int(number.max(initial=0)) + 1) * size >= 2**62:
            number = np.unique(number, return_inverse=True)[1].reshape(-1)
        number = number * size + column.codes
    _, first, inverse = np.unique(number, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return np.asarray(rank[inverse.reshape(-1)])


def first_rows(number: np.ndarray) -> np.ndarray:
    """First row of each number, where they are counted as they appear."""
    first = np.empty(int(number.max(initial=-1)) + 1, dtype=np.int64)
    first[number[::-1]] = np.arange(len(number))[::-1]
    return first


def _sites(
    table: TokenTable,
    words: dict[str, WordColumn],
    res_id: np.ndarray,
    coord: np.ndarray,
    first: np.ndarray,
) -> biotite.structure.AtomArray:
    sites = biotite.structure.AtomArray(len(first))
    for annotation, column in words.items():
        sites.set_annotation(annotation, column.text(first))
    sites.set_annotation("res_id", res_id[first])
    sites.set_annotation("hetero", word_column(table, "hetero").text(first) == "HETATM")
    charge = integers(word_column(table, "charge"), "formal charge")
    sites.set_annotation("charge", charge[first])
    for annotation in ("label_asym_id", "label_seq_id", "entity_id"):
        item = "label_entity_id" if annotation == "entity_id" else annotation
        if table.column(item) is not None:
            sites.set_annotation(annotation, word_column(table, annotation).text(first))
    element = elements(table, words["atom_name"], words["res_name"])
    sites.set_annotation("element", element.text(first))
    sites.coord = coord[first].astype(np.float32)
    return sites


def _u_aniso(carried: CarriedCif, name: str) -> np.ndarray | None:
    table = carried.aniso_table
    if table is None or len(table) == 0:
        return None
    found = np.full((len(carried.atom_table), 6), np.nan)
    found[carried.aniso_row] = tensors(table, name)
    return found
