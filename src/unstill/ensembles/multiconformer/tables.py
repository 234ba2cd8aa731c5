"""What a file says of states and rules, word by word, before anybody believes it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class StateLine:
    """A line of ``_pdbx_heterogeneity_hierarchy``.

    Parameters
    ----------
    id, name, parent
        As written, quotes removed; ``""`` for a plain ``.`` or ``?`` and for an item
        that the file does not have. The root has no parent.
    """

    id: str
    name: str = ""
    parent: str = ""


@dataclass(frozen=True)
class RuleLine:
    """A line of ``_pdbx_state_coexistence``.

    Parameters
    ----------
    id, kind, state
        As written (``kind`` is the item ``rule``); ``""`` as in ``StateLine``.
    others
        The list of states, split at its commas, white space removed, empty words kept.
    """

    id: str
    kind: str
    state: str
    others: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class HierarchyTables:
    """The raw tables of states of a file, which need not make sense.

    A ``Multiconformer`` cannot be built from a tree with two roots; these
    tables can, so that ``validation`` says what is wrong with them. Readers
    fill them without judging.

    Parameters
    ----------
    states, rules
        Lines in the order of the file; both empty where the file has no such category.
    atom_state
        ``(n_atoms,)`` state id of each line of ``_atom_site``, ``""`` for a plain ``.`` or
        ``?``; ``None`` where the file has no such item.
    atom_altloc
        ``(n_atoms,)`` altloc as written, quotes removed: ``""`` for a plain ``.`` or ``?``,
        but ``"."``, ``"?"`` or ``" "`` where it was quoted, so that it can be told.
    atom_label
        ``(n_atoms,)`` readable name of the atom: ``A/LYS 12/CA``.
    members
        Ids of the recorded members, in order; empty where there are none.
    member_states
        Pairs (member id, state id) of the recorded members.
    """

    states: tuple[StateLine, ...] = ()
    rules: tuple[RuleLine, ...] = ()
    atom_state: np.ndarray | None = None
    atom_altloc: np.ndarray = field(default_factory=lambda: np.empty(0, dtype="U1"))
    atom_label: np.ndarray = field(default_factory=lambda: np.empty(0, dtype="U1"))
    members: tuple[str, ...] = ()
    member_states: tuple[tuple[str, str], ...] = ()

    @property
    def stated(self) -> bool:
        """Whether the file states a hierarchy at all."""
        return bool(self.states)
