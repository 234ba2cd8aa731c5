"""Put a category into a data block; what the file said stays where it still holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import gemmi

from unstill.io.conformers.token_columns import plain

_NUMBERS = ("occupancy", "esd", "weight", "frame")
"""Items that are numbers, however these are written."""


def put_table(
    block: gemmi.cif.Block,
    category: str,
    columns: Mapping[str, Sequence[str]],
    *,
    key: Sequence[str],
    optional: Sequence[str] = (),
) -> None:
    """Write a category; items that the file has besides are kept by the key of their lines.

    Parameters
    ----------
    block
        Changed in place.
    category
        Without the leading underscore.
    columns
        Tokens by item.
    key
        Items that name a line.
    optional
        Items left out where they say nothing and the file does not have them.
    """
    old = block.find_mmcif_category(f"_{category}.")
    # Looked at before the table is replaced: gemmi's table is a view.
    tags = [tag.partition(".")[2] for tag in old.tags] if len(old) else []
    lines = [list(row) for row in old] if len(old) else []
    as_pairs = bool(lines) and old.loop is None
    wanted = {
        item: list(tokens)
        for item, tokens in columns.items()
        if item in tags or item not in optional or any(plain(token) for token in tokens)
    }
    merged = _merged(tags, lines, wanted, key)
    if (
        lines
        and list(merged) == tags
        and [list(row) for row in zip(*merged.values(), strict=True)] == lines
    ):
        return
    n_lines = len(next(iter(merged.values())))
    if as_pairs and n_lines == 1:
        for item, tokens in merged.items():
            block.set_pair(f"_{category}.{item}", tokens[0])
        return
    if n_lines == 0:
        drop_table(block, category)
        return
    loop = block.init_mmcif_loop(f"_{category}.", list(merged))
    loop.set_all_values(list(merged.values()))


def drop_table(block: gemmi.cif.Block, category: str) -> None:
    """Remove a category, if it is there."""
    found = block.find_mmcif_category(f"_{category}.")
    if len(found):
        found.erase()


def _merged(
    tags: list[str], lines: list[list[str]], new: dict[str, list[str]], key: Sequence[str]
) -> dict[str, list[str]]:
    """Tokens by item: the file's order and tokens first."""
    where = [tags.index(item) if item in tags else -1 for item in key]
    known = {} if -1 in where else {tuple(plain(line[at]) for at in where): line for line in lines}
    n_lines = len(next(iter(new.values())))
    of_line = [
        known.get(tuple(plain(new[item][number]) for item in key)) for number in range(n_lines)
    ]
    merged: dict[str, list[str]] = {}
    for item in [*tags, *(item for item in new if item not in tags)]:
        tokens = new.get(item, ["?"] * n_lines)
        if item in tags:
            at = tags.index(item)
            tokens = [
                line[at]
                if line is not None and (item not in new or _holds(line[at], token, item))
                else token
                for line, token in zip(of_line, tokens, strict=True)
            ]
        merged[item] = tokens
    return merged


def _holds(old: str, new: str, item: str) -> bool:
    """Whether the token of the file says what is to be written."""
    if plain(old) == plain(new):
        return True
    if item not in _NUMBERS:
        # "1" and "01" are two states.
        return False
    try:
        return float(plain(old)) == float(plain(new))
    except ValueError:
        return False
