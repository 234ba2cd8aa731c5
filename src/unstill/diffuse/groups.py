"""Selections that may overlap, as disjoint groups of atoms that are computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError


@dataclass(frozen=True, eq=False)
class AtomGroups:
    """Disjoint groups and the selections that are sums of them.

    F is additive over atoms, so F of every selection is a sum of the F of
    groups: all = protein + water + rest costs no more than the parts.

    Parameters
    ----------
    names
        The selections.
    atoms
        Indices of the atoms of each group, ascending; together each atom
        that any selection names, once.
    member
        ``(n_selections, n_groups)`` bool: the group is part of the selection.
    """

    names: tuple[str, ...]
    atoms: tuple[np.ndarray, ...]
    member: np.ndarray


def group_atoms(selections: Mapping[str, np.ndarray]) -> AtomGroups:
    """Split overlapping selections into disjoint groups.

    Parameters
    ----------
    selections
        Name → ``(n_atoms,)`` bool.

    Raises
    ------
    InputError
        If there is no selection, or one is empty.

    Examples
    --------
    >>> found = group_atoms({"all": np.array([1, 1, 1], bool), "b": np.array([0, 1, 0], bool)})
    >>> [group.tolist() for group in found.atoms], found.member.tolist()
    ([[0, 2], [1]], [[True, True], [False, True]])
    """
    if not selections:
        raise InputError("nothing is selected", found="no selection", fix="select some atoms")
    for name, mask in selections.items():
        if not np.any(mask):
            raise InputError(
                "a selection holds no atoms",
                found=f"{name!r}",
                fix="correct its expression, or leave it out",
            )
    table = np.stack([np.asarray(mask, bool) for mask in selections.values()])
    patterns, group_of_atom = np.unique(table, axis=1, return_inverse=True)
    group_of_atom = group_of_atom.reshape(-1)
    used = [number for number in range(patterns.shape[1]) if patterns[:, number].any()]
    return AtomGroups(
        names=tuple(selections),
        atoms=tuple(np.flatnonzero(group_of_atom == number) for number in used),
        member=patterns[:, used],
    )
