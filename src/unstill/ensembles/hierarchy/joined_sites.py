"""Sites and altlocs of two models in one list: those of the first stay true."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, count, product
from string import ascii_lowercase, ascii_uppercase, digits

import biotite.structure
import numpy as np

from unstill.chemistry.residues import is_water
from unstill.shapes import Bool

_LABELS = ("label_asym_id", "label_seq_id", "entity_id")


def joined_sites(
    ground: biotite.structure.AtomArray, new: biotite.structure.AtomArray
) -> biotite.structure.AtomArray:
    """Append sites to those of the ground model.

    Chains and entities of mmCIF (``label_asym_id``, ``entity_id``) are numbered by
    each file for itself. New atoms of a residue that the ground model has, and
    waters of one of its chains, take over its numbers; another residue gets a
    ``label_asym_id`` of its own, and the entity of its like.
    """
    if not len(new):
        return ground.copy()
    new = new.copy()
    have = set(ground.get_annotation_categories())
    for name in set(new.get_annotation_categories()) - have:
        new.del_annotation(name)
    for name in have - set(new.get_annotation_categories()):
        like = ground.get_annotation(name)
        new.set_annotation(name, np.zeros(new.array_length(), dtype=like.dtype))
    if "label_asym_id" in have:
        _relabel(ground, new, [name for name in _LABELS if name in have])
    return ground + new


def _relabel(
    ground: biotite.structure.AtomArray, new: biotite.structure.AtomArray, labels: list[str]
) -> None:
    rows = list(zip(*(ground.get_annotation(name).tolist() for name in labels), strict=True))
    of_residue = dict(zip(_residues(ground), rows, strict=True))
    of_place = {key[:3]: row for key, row in of_residue.items()}
    of_water = {key[0]: row for key, row in of_residue.items() if is_water(key[3])}
    of_kind = {key[3]: row for key, row in of_residue.items()}
    free = _free(set(ground.label_asym_id.tolist()))
    found = []
    for key in _residues(new):
        if key not in of_residue:
            # A mutated residue stays in its chain; its entity is of another sequence.
            like = of_place.get(key[:3]) or (of_water.get(key[0]) if is_water(key[3]) else None)
            fresh = dict.fromkeys(labels, "")
            if like is None:
                fresh["label_asym_id"] = next(free)
                if key[3] in of_kind and "entity_id" in labels:
                    fresh["entity_id"] = of_kind[key[3]][labels.index("entity_id")]
            of_residue[key] = tuple(fresh.values()) if like is None else like
        found.append(of_residue[key])
    for name, values in zip(labels, zip(*found, strict=True), strict=True):
        new.set_annotation(name, np.array(values))


def _residues(atoms: biotite.structure.AtomArray) -> list[tuple[str, int, str, str]]:
    columns = (atoms.chain_id, atoms.res_id, atoms.ins_code, atoms.res_name)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def joined_labels(
    ground: np.ndarray, apart: Bool[np.ndarray, " n_rows"], changed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Altlocs of the rows of both models, none of which means two things.

    Parameters
    ----------
    ground, changed
        Altlocs of the rows that stay of each model, ``""`` for none.
    apart
        Rows of the ground model that the changed one does not have; they get a label
        where they have none.

    Returns
    -------
    ground, changed
        New altlocs. Those of the changed model are all new: its A is not the A of the ground.
    """
    free = _free(set(ground.tolist()))
    ours = np.where((ground == "") & apart, next(free), ground) if apart.any() else ground
    new = {label: next(free) for label in sorted(set(changed.tolist()))}
    return ours, np.array([new[label] for label in changed.tolist()], dtype=str)


def _free(taken: set[str]) -> Iterator[str]:
    """Letters and digits, then pairs of letters, that are not taken."""
    letters = ascii_uppercase + ascii_lowercase + digits
    for word in chain(letters, map("".join, product(ascii_uppercase, repeat=2))):
        if word not in taken:
            yield word
    yield from (word for word in map(str, count(100)) if word not in taken)
