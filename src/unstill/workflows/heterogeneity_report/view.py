"""What a viewer shall show: whole copies, and in each of them what is coloured as which state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from unstill.ensembles.multiconformer import Multiconformer

ResidueNumber = tuple[int, str]
"""Residue number and insertion code (``""`` for none)."""


@dataclass(frozen=True)
class Patch:
    """A part of a chain that one state holds in one copy.

    Parameters
    ----------
    chain
        Name of the chain (author's).
    residues
        In order.
    atoms
        Names where the state holds only some atoms of the residue; empty for all.
    """

    chain: str
    residues: tuple[ResidueNumber, ...]
    atoms: tuple[str, ...] = ()

    @property
    def has_trace(self) -> bool:
        """Whether the atoms that a ribbon follows are in the state."""
        return not self.atoms or "CA" in self.atoms or "P" in self.atoms


@dataclass(frozen=True)
class SeenState:
    """A state in a copy.

    Parameters
    ----------
    id
        Of the state.
    colour
        ``#rrggbb``.
    occupancy
        Share of all copies.
    patches
        What it holds.
    """

    id: str
    colour: str
    occupancy: float
    patches: tuple[Patch, ...]


@dataclass(frozen=True)
class View:
    """Copies, in the order of the models of the file.

    Parameters
    ----------
    title
        What is shown.
    file
        Name of the file with the copies, beside the scripts.
    copies
        The states of each copy, parents before children; the root is in none.
    """

    title: str
    file: str
    copies: tuple[tuple[SeenState, ...], ...]


def view_of(
    model: Multiconformer,
    in_state: np.ndarray,
    colours: Mapping[int, str],
    *,
    title: str,
    file: str,
) -> View:
    """Collect what each copy shows of each state.

    Parameters
    ----------
    model
        The rows.
    in_state
        ``(n_copies, n_states)`` bool, as in ``io.write_copies``.
    colours
        Of the states but the root.
    title, file
        As in ``View``.
    """
    return View(title, file, tuple(_seen(model, held, colours) for held in in_state))


def _seen(
    model: Multiconformer, held: np.ndarray, colours: Mapping[int, str]
) -> tuple[SeenState, ...]:
    rows = np.flatnonzero(held[model.state])
    residue = model.residue[model.site[rows]]
    n_atoms = np.bincount(residue, minlength=int(model.residue.max(initial=-1)) + 1)
    found = []
    by_state: dict[int, list[int]] = {}
    for row, state in zip(rows.tolist(), model.state[rows].tolist(), strict=True):
        by_state.setdefault(state, []).append(row)
    for state in model.tree.downward.tolist():
        if state == model.tree.root or state not in by_state:
            continue
        found.append(
            SeenState(
                model.states[state].id,
                colours[state],
                float(model.populations[state]),
                _patches(model, by_state[state], n_atoms),
            )
        )
    return tuple(found)


def _patches(model: Multiconformer, rows: list[int], n_atoms: np.ndarray) -> tuple[Patch, ...]:
    """Whole residues of a chain together, residues of which a state holds a part one by one."""
    sites = model.sites
    atoms: dict[int, list[str]] = {}
    named: dict[int, tuple[str, ResidueNumber]] = {}
    for row in rows:
        site = int(model.site[row])
        residue = int(model.residue[site])
        atoms.setdefault(residue, []).append(str(sites.atom_name[site]))
        number = (int(sites.res_id[site]), str(sites.ins_code[site]).strip())
        named[residue] = (str(sites.chain_id[site]), number)
    whole: dict[str, list[ResidueNumber]] = {}
    parts = []
    for residue, names in atoms.items():
        chain, number = named[residue]
        if len(names) == n_atoms[residue]:
            whole.setdefault(chain, []).append(number)
        else:
            parts.append(Patch(chain, (number,), tuple(sorted(names))))
    return (*(Patch(chain, tuple(sorted(some))) for chain, some in whole.items()), *parts)
