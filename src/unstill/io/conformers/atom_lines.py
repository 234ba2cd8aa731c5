"""Tokens of atom lines: those of the file where they still hold, new ones where not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unstill.ensembles import Multiconformer
from unstill.io.conformers.atom_columns import (
    ITEMS,
    WordColumn,
    b_factors,
    coordinates,
    elements,
    occupancies,
    word_column,
)
from unstill.io.conformers.model_numbers import model_numbers, model_shares
from unstill.io.conformers.number_text import NumberText
from unstill.io.conformers.token_columns import TokenColumn, TokenTable, quoted
from unstill.units import EIGHT_PI_SQUARED

Cells = Callable[[np.ndarray], list[str]]
"""Tokens of some rows."""

STATE_ITEM = "pdbx_heterogeneity_id"
_ORDER = (
    *("group_PDB", "id", "type_symbol", "label_atom_id", "label_alt_id", "label_comp_id"),
    *("label_asym_id", "label_entity_id", "label_seq_id", "pdbx_PDB_ins_code"),
    *("Cartn_x", "Cartn_y", "Cartn_z", "occupancy", "B_iso_or_equiv", "pdbx_formal_charge"),
    *("auth_seq_id", "auth_comp_id", "auth_asym_id", "auth_atom_id", "pdbx_PDB_model_num"),
    STATE_ITEM,
)
_UNKNOWN = {"ins_code": "?", "charge": "?", "entity_id": "?"}


@dataclass(frozen=True, eq=False)
class Written:
    """New tokens of an item, and in which rows the old ones hold (none without a file)."""

    cells: Cells
    same: np.ndarray


def atom_items(
    model: Multiconformer, table: TokenTable | None, source: np.ndarray, numbers: NumberText
) -> dict[str, Written]:
    """Return what is to be written of each row, by the item of ``_atom_site``.

    Parameters
    ----------
    model
        Whose rows.
    table
        Atom lines of the file that it came from.
    source
        ``(n_rows,)`` line of each row there, −1 for new rows.
    numbers
        How new numbers are written.
    """
    items = {"id": _ids(table, source)}
    for annotation, (codes, words) in _words(model).items():
        written = _word_items(annotation, codes, words, table, source)
        for item in _items_of(annotation, model):
            items[item] = written
    items.update(_number_items(model, table, source, numbers))
    return items


def item_columns(
    items: dict[str, Written], table: TokenTable | None, source: np.ndarray, *, stated: bool
) -> dict[str, Cells]:
    """Return the columns to write by their tags: those of the file, then needed ones."""
    columns: dict[str, Cells] = {}
    known = {item.lower(): item for item in items}
    have = set()
    if table is not None:
        for tag, column in zip(table.tags, table.columns, strict=True):
            item = known.get(tag.partition(".")[2].lower())
            have.add(item)
            if item == STATE_ITEM and not stated:
                continue
            columns[tag] = mixed(column, source, None if item is None else items[item])
    for item in _ORDER:
        needed = table is None or not items[item].same.all()
        if item not in have and needed and (stated or item != STATE_ITEM):
            columns[f"_atom_site.{item}"] = items[item].cells
    return columns


def mixed(column: TokenColumn, source: np.ndarray, written: Written | None) -> Cells:
    """Tokens of the file where they hold, else new ones; ``?`` where nobody knows."""
    keep = source >= 0 if written is None else written.same & (source >= 0)

    def cells(rows: np.ndarray) -> list[str]:
        old = column.tokens(np.maximum(source[rows], 0)) if len(column) else ["?"] * len(rows)
        if keep[rows].all():
            return old
        new = ["?"] * len(rows) if written is None else written.cells(rows)
        return [a if kept else b for a, b, kept in zip(old, new, keep[rows].tolist(), strict=True)]

    return cells


def _items_of(annotation: str, model: Multiconformer) -> tuple[str, ...]:
    """Items that an annotation is written to: an item of its own annotation belongs to that."""
    own = set(model.sites.get_annotation_categories())
    items = ITEMS[annotation]
    if annotation in ("chain_id", "res_id") and items[1] in own:
        return items[:1]
    return items


def _words(model: Multiconformer) -> dict[str, tuple[np.ndarray, list[str]]]:
    """Codes and words of every annotation, row by row."""
    sites, found = model.sites, {}

    def add(annotation: str, values: np.ndarray, at: np.ndarray | None = None) -> None:
        words, codes = np.unique(values, return_inverse=True)
        codes = codes.reshape(-1)
        found[annotation] = (codes if at is None else codes[at], [str(w) for w in words.tolist()])

    have = set(sites.get_annotation_categories())
    for annotation in ("chain_id", "res_id", "ins_code", "res_name", "atom_name"):
        add(annotation, sites.get_annotation(annotation), model.site)
    for annotation in ("label_asym_id", "label_seq_id", "entity_id", "charge"):
        missing = np.zeros(model.n_sites, dtype="U1") if annotation != "charge" else 0
        values = sites.get_annotation(annotation) if annotation in have else None
        if values is None and annotation == "label_asym_id":
            continue
        add(
            annotation,
            np.broadcast_to(missing, model.n_sites) if values is None else values,
            model.site,
        )
    found["ins_code"] = (found["ins_code"][0], [word.strip() for word in found["ins_code"][1]])
    add("element", np.char.upper(np.asarray(sites.element, dtype=str)), model.site)
    add("hetero", np.where(np.asarray(sites.hetero, bool), "HETATM", "ATOM"), model.site)
    add("altloc_id", np.asarray(model.altloc_id, dtype=str))
    found["state"] = (model.state, [state.id for state in model.states])
    add("model", model_numbers(model))
    return found


def _word_items(
    annotation: str,
    codes: np.ndarray,
    words: list[str],
    table: TokenTable | None,
    source: np.ndarray,
) -> Written:
    unknown = _UNKNOWN.get(annotation, ".")
    if annotation == "charge":
        tokens = np.array(["?" if word == "0" else word for word in words], dtype=object)
    else:
        tokens = np.array([quoted(word) if word else unknown for word in words], dtype=object)

    def cells(rows: np.ndarray) -> list[str]:
        return list(tokens[codes[rows]].tolist())

    return Written(cells, _same_words(annotation, codes, words, table, source))


def _same_words(
    annotation: str,
    codes: np.ndarray,
    words: list[str],
    table: TokenTable | None,
    source: np.ndarray,
) -> np.ndarray:
    """Whether the line that each row came from says the same."""
    if table is None or not len(table):
        return np.zeros(len(codes), dtype=bool)
    old = _old_words(annotation, table)
    number: dict[str, int] = {}
    ours = np.array([number.setdefault(word, len(number)) for word in words], dtype=int)
    theirs = np.array([number.setdefault(word, len(number)) for word in old.words], dtype=int)
    at = np.maximum(source, 0)
    if annotation == "model":
        # A number that all lines share says nothing, whatever it is.
        used = np.unique(old.codes[source[source >= 0]])
        if len(used) == 1 and len(words) == 1:
            return source >= 0
    return np.asarray((ours[codes] == theirs[old.codes[at]]) & (source >= 0))


def _old_words(annotation: str, table: TokenTable) -> WordColumn:
    if annotation == "element":
        names = (word_column(table, "atom_name"), word_column(table, "res_name"))
        return elements(table, *names)
    column = word_column(table, annotation)
    words = [str(word) for word in column.words.tolist()]
    if annotation in ("res_id", "charge"):
        words = [str(int(float(word))) if word else "0" for word in words]
    if annotation == "hetero":
        words = ["HETATM" if word == "HETATM" else "ATOM" for word in words]
    if annotation == "model":
        # Models are numbered as they appear.
        first = np.full(len(words), len(column.codes))
        np.minimum.at(first, column.codes, np.arange(len(column.codes)))
        rank = np.argsort(np.argsort(first, kind="stable"), kind="stable")
        words = [str(place + 1) for place in rank.tolist()]
    return WordColumn(column.codes, np.array(words))


def _number_items(
    model: Multiconformer, table: TokenTable | None, source: np.ndarray, numbers: NumberText
) -> dict[str, Written]:
    at = np.maximum(source, 0)
    share = model_shares(model)
    has_file = table is not None and len(table) > 0
    nowhere = np.zeros(model.n_rows, dtype=bool)

    def written(
        old: np.ndarray | None,
        values: np.ndarray,
        text: Callable[..., list[str]],
        factor: np.ndarray | float = 1.0,
    ) -> Written:
        same = nowhere if old is None else (source >= 0) & (old[at] * factor == values)

        def cells(rows: np.ndarray) -> list[str]:
            of = factor[rows] if isinstance(factor, np.ndarray) else factor
            safe = np.where(np.asarray(of) > 0, of, 1.0)
            return text(values[rows] / safe)

        return Written(cells, same)

    name = "the file"
    xyz = coordinates(table, name) if has_file and table is not None else None
    items = {
        f"Cartn_{axis}": written(
            None if xyz is None else xyz[:, place], model.coord[:, place], numbers.lengths
        )
        for place, axis in enumerate("xyz")
    }
    old_occupancy = occupancies(table, name) if has_file and table is not None else None
    old_b = b_factors(table, name) if has_file and table is not None else None
    items["occupancy"] = written(old_occupancy, model.occupancy, numbers.shares, share)
    items["B_iso_or_equiv"] = written(old_b, model.b_factor, numbers.lengths)
    items["U_iso_or_equiv"] = Written(
        lambda rows: numbers.displacements(model.b_factor[rows] / EIGHT_PI_SQUARED),
        items["B_iso_or_equiv"].same,
    )
    return items


def _ids(table: TokenTable | None, source: np.ndarray) -> Written:
    """Ids of the file for the first row of each line; new ones count on from the largest."""
    column = None if table is None else table.column("id")
    keep = np.zeros(len(source), dtype=bool)
    largest = 0
    if column is not None:
        known, first = np.unique(source, return_index=True)
        keep[first[known >= 0]] = True
        largest = _largest(column) if keep.any() else 0
    number = largest + np.cumsum(~keep)

    def cells(rows: np.ndarray) -> list[str]:
        fresh = list(map(str, number[rows].tolist()))
        if column is None or not keep[rows].any():
            return fresh
        old = column.tokens(np.maximum(source[rows], 0))
        return [
            a if kept else b for a, b, kept in zip(old, fresh, keep[rows].tolist(), strict=True)
        ]

    return Written(cells, keep)


def _largest(column: TokenColumn) -> int:
    _, words = column.coded()
    return max((int(word) for word in words if word.isascii() and word.isdigit()), default=0)
