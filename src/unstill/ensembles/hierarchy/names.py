"""Ids of states in letters, A to Z, then AA, AB; and names that say which atoms they hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, islice

import numpy as np

from unstill.ensembles.multiconformer import Multiconformer, State
from unstill.shapes import Int

MOST_RUNS = 3
"""Runs of residues that a name lists."""

MOST_ATOMS = 3
"""Atoms without altloc that a name lists."""


def free_ids(states: Sequence[State], n: int) -> list[str]:
    """Return the first ``n`` ids, in bijective base 26, that no state has as id or name.

    Examples
    --------
    >>> free_ids([State("Base"), State("A", "Base")], 3)
    ['B', 'C', 'D']
    """
    taken = {state.id for state in states} | {state.name for state in states}
    return list(islice((name for name in _letters() if name not in taken), n))


def name_of_rows(model: Multiconformer, rows: Int[np.ndarray, " n"]) -> str:
    """Return chain, runs of residues and altloc: ``A/178-188/B``, ``A/41+554/B``.

    A few atoms of one residue without altloc are named: ``A/31:NZ``.
    """
    sites = model.sites[model.site[rows]]
    _, first = np.unique(model.residue[model.site[rows]], return_index=True)
    first = first[np.argsort(model.residue[model.site[rows[first]]], kind="stable")]
    runs = np.split(first, np.flatnonzero(_breaks(model, rows[first])) + 1)
    words, chain = [], None
    for run in runs[:MOST_RUNS]:
        front = "" if chain == sites.chain_id[run[0]] else f"{sites.chain_id[run[0]]}/"
        chain = sites.chain_id[run[0]]
        ends = [f"{sites.res_id[at]}{str(sites.ins_code[at]).strip()}" for at in run[[0, -1]]]
        words.append(front + "-".join(dict.fromkeys(ends)))
    if len(runs) > MOST_RUNS:
        words.append(f"{len(runs) - MOST_RUNS}more")
    label = str(model.altloc_id[rows[0]])
    atoms = list(dict.fromkeys(sites.atom_name.tolist()))
    end = f"/{label}" if label else ""
    if not label and len(first) == 1 and len(atoms) <= MOST_ATOMS and _is_part(model, rows):
        end = ":" + "+".join(atoms)
    return "".join(";" if c == "," or c.isspace() else c for c in "+".join(words) + end)


def _breaks(model: Multiconformer, rows: np.ndarray) -> np.ndarray:
    """Where the residue after is not the next one of the chain."""
    sites = model.sites[model.site[rows]]
    step = np.diff(model.residue[model.site[rows]])
    return np.asarray((step != 1) | (sites.chain_id[1:] != sites.chain_id[:-1]))


def _is_part(model: Multiconformer, rows: np.ndarray) -> bool:
    """Whether the residue has other atoms as well."""
    residue = model.residue[model.site[rows[0]]]
    return int((model.residue == residue).sum()) > len(np.unique(model.site[rows]))


def _letters() -> Iterator[str]:
    for number in count(1):
        name = ""
        while number:
            number, digit = divmod(number - 1, 26)
            name = chr(ord("A") + digit) + name
        yield name
