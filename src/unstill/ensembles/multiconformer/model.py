"""Sites × places: atoms in several states, and the tree of the states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import biotite.structure
import numpy as np

from unstill.crystal import Crystal
from unstill.ensembles.multiconformer.members import Members
from unstill.ensembles.multiconformer.rules import Rule
from unstill.ensembles.multiconformer.tree import State, StateTree
from unstill.errors import InputError
from unstill.shapes import Float, Int


@dataclass(frozen=True, eq=False, repr=False)
class Multiconformer:
    """Atoms in several states; the encoding of an ensemble that files can hold.

    A *site* is an atom by its identity (chain, residue, name of residue and
    atom). A *row* is a site in a place: what a line of ``_atom_site`` is. Every
    row belongs to one state.

    Parameters
    ----------
    sites
        biotite ``AtomArray`` of the ``n_sites`` atoms, each once; no ``altloc_id``.
    site, state
        ``(n_rows,)`` index of the site and of the state of each row.
    coord
        ``(n_rows, 3)`` in Å.
    occupancy
        ``(n_rows,)`` absolute, as a file states it: share of all copies that have this row.
    b_factor
        ``(n_rows,)`` in Å².
    u_aniso
        ``(n_rows, 6)`` U11, U22, U33, U12, U13, U23, Cartesian (Å²), NaN where a row has
        none; ``None`` if no row has.
    altloc_id
        ``(n_rows,)`` labels, of any length; ``""`` for none.
    states
        Their tree; one has no parent.
    rules
        Which states need or exclude each other, beyond the tree. States that hold the same
        position exclude each other without a rule.
    members
        Whole copies with weights, where known.
    stated
        Whether somebody stated the tree; otherwise it is read off the altlocs, one state a
        residue and label.
    carried
        What the file held besides; the codecs of ``io`` keep it, and nobody else looks.
    source_row
        ``(n_rows,)`` number of the atom line in that file, −1 for rows that are new.

    Raises
    ------
    InputError
        If shapes do not agree, a number is not finite, an atom stands twice in one state,
        or states and rules do not fit together.
    """

    sites: biotite.structure.AtomArray
    site: Int[np.ndarray, " n_rows"]
    state: Int[np.ndarray, " n_rows"]
    coord: Float[np.ndarray, "n_rows 3"]
    occupancy: Float[np.ndarray, " n_rows"]
    b_factor: Float[np.ndarray, " n_rows"]
    altloc_id: np.ndarray
    states: tuple[State, ...]
    u_aniso: Float[np.ndarray, "n_rows 6"] | None = None
    rules: tuple[Rule, ...] = ()
    members: Members | None = None
    crystal: Crystal | None = None
    stated: bool = True
    carried: object = None
    source_row: Int[np.ndarray, " n_rows"] = None  # type: ignore[assignment]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given: np.ndarray | None = self.source_row
        if given is None:
            object.__setattr__(self, "source_row", np.full(self.n_rows, -1))
        self._check_rows()
        tree = self.tree
        if self.n_rows and not 0 <= self.state.min() <= self.state.max() < len(tree):
            raise InputError(
                "a row is in a state that does not exist",
                found=f"states {self.state.min()} to {self.state.max()} of {len(tree)}",
                fix="give each row the index of one of the states",
            )
        self._check_unique_rows()
        numbers = [rule.id for rule in self.rules]
        if len(set(numbers)) < len(numbers):
            raise InputError(
                "two rules have the same id", found=sorted(numbers), fix="number them anew"
            )
        for rule in self.rules:
            for state_id in (rule.state, *rule.others):
                tree.find(state_id)
        if self.members is not None and self.members.in_state.shape[1] != len(tree):
            raise InputError(
                "the members do not fit the states",
                found=f"{self.members.in_state.shape[1]} columns for {len(tree)} states",
                fix="say of every state whether a member is in it",
            )

    def __repr__(self) -> str:
        members = "no" if self.members is None else len(self.members.weights)
        return (
            f"Multiconformer({self.n_sites} sites, {self.n_rows} rows, {len(self.states)} states, "
            f"{len(self.rules)} rules, {members} members)"
        )

    @property
    def n_rows(self) -> int:
        """Number of rows: atoms counted once for every place."""
        return len(self.site)

    @property
    def n_sites(self) -> int:
        """Number of atoms, each counted once."""
        return int(self.sites.array_length())

    @cached_property
    def tree(self) -> StateTree:
        """The states as a tree."""
        return StateTree(self.states)

    @cached_property
    def position(self) -> Int[np.ndarray, " n_sites"]:
        """Number of the position of each site: chain, residue number and atom name.

        Sites of residues that stand for each other (SER in one state, ALA in
        another) share positions.
        """
        a = self.sites
        return numbered(a.chain_id, a.res_id, a.ins_code, a.atom_name)

    @cached_property
    def residue(self) -> Int[np.ndarray, " n_sites"]:
        """Number of the residue of each site: chain and residue number."""
        return numbered(self.sites.chain_id, self.sites.res_id, self.sites.ins_code)

    @cached_property
    def first_row(self) -> Int[np.ndarray, " n_sites"]:
        """First row of every site."""
        found = np.full(self.n_sites, -1)
        found[self.site[::-1]] = np.arange(self.n_rows)[::-1]
        return found

    @cached_property
    def populations(self) -> Float[np.ndarray, " n_states"]:
        """Share of copies in each state: of the members where known, else as stated."""
        return self.tree.occupancy if self.members is None else self.members.populations

    @cached_property
    def exclusive(self) -> frozenset[tuple[int, int]]:
        """Pairs (a < b) of states that hold the same position, and so exclude each other.

        A state and its own ancestor are not listed: there the atom is twice in
        one copy, which validation reports.
        """
        order = np.lexsort((self.state, self.position[self.site]))
        position, state = self.position[self.site[order]], self.state[order]
        pairs: set[tuple[int, int]] = set()
        stops = np.flatnonzero(np.diff(position, append=-1))
        seen: set[tuple[int, ...]] = set()
        start = 0
        for stop in (stops + 1).tolist():
            group = tuple(dict.fromkeys(state[start:stop].tolist()))
            start = stop
            if len(group) < 2 or group in seen:
                continue
            seen.add(group)
            pairs.update((a, b) for i, a in enumerate(group) for b in group[i + 1 :])
        return frozenset(pair for pair in pairs if not self.tree.related(*pair))

    def site_label(self, site: int) -> str:
        """Readable name of a site: chain/residue/atom."""
        a = self.sites
        ins = str(a.ins_code[site]).strip()
        return f"{a.chain_id[site]}/{a.res_name[site]} {a.res_id[site]}{ins}/{a.atom_name[site]}"

    def row_label(self, row: int) -> str:
        """Readable name of a row: its site, its altloc and its state."""
        alt = f" {self.altloc_id[row]}" if self.altloc_id[row] else ""
        return f"{self.site_label(int(self.site[row]))}{alt} ({self.states[self.state[row]].id})"

    def replace(self, **changes: Any) -> Multiconformer:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def take_rows(self, rows: np.ndarray) -> Multiconformer:
        """Return the model of the chosen rows (mask or indices), with all sites and states."""
        return replace(
            self,
            site=self.site[rows],
            state=self.state[rows],
            coord=self.coord[rows],
            occupancy=self.occupancy[rows],
            b_factor=self.b_factor[rows],
            u_aniso=None if self.u_aniso is None else self.u_aniso[rows],
            altloc_id=self.altloc_id[rows],
            source_row=self.source_row[rows],
        )

    def _check_rows(self) -> None:
        n = self.n_rows
        shapes = {
            "state": (n,),
            "coord": (n, 3),
            "occupancy": (n,),
            "b_factor": (n,),
            "altloc_id": (n,),
            "source_row": (n,),
        }
        if self.u_aniso is not None:
            shapes["u_aniso"] = (n, 6)
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value.shape != shape:
                raise InputError(
                    f"{name} does not fit the rows",
                    found=f"shape {value.shape} for {n} rows",
                    fix=f"give an array of shape {shape}",
                )
            if name in ("coord", "occupancy", "b_factor") and not np.isfinite(value).all():
                bad = ~np.isfinite(value.reshape(n, -1)).all(axis=1)
                raise InputError(
                    f"{name} is not finite",
                    found=f"{int(bad.sum())} rows, the first "
                    f"{self.site_label(int(self.site[np.flatnonzero(bad)[0]]))}",
                    fix="remove or rebuild these atoms",
                )
        if n and not 0 <= self.site.min() <= self.site.max() < self.n_sites:
            raise InputError(
                "a row is of a site that does not exist",
                found=f"sites {self.site.min()} to {self.site.max()} of {self.n_sites}",
                fix="give each row the index of one of the sites",
            )

    def _check_unique_rows(self) -> None:
        key = self.site.astype(np.int64) * max(len(self.states), 1) + self.state
        _, first, times = np.unique(key, return_index=True, return_counts=True)
        twice = first[times > 1]
        if len(twice):
            raise InputError(
                "an atom stands twice in one state",
                found=f"{len(twice)} atoms, the first {self.row_label(int(twice[0]))}",
                fix="remove one of the two, or give it an altloc or a state of its own",
            )


def numbered(*columns: np.ndarray) -> Int[np.ndarray, " n"]:
    """Return the place of each row among the distinct rows of some columns, as they appear."""
    number = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        inverse = np.unique(column, return_inverse=True)[1].reshape(-1)
        number = number * (int(inverse.max(initial=0)) + 1) + inverse
        number = np.unique(number, return_inverse=True)[1].reshape(-1)
    _, first, inverse = np.unique(number, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[inverse.reshape(-1)]
