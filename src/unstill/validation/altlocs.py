"""V10: altloc labels that every program can tell apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unstill.ensembles.multiconformer import Multiconformer
from unstill.ensembles.multiconformer.model import numbered
from unstill.ensembles.multiconformer.tree import shortened
from unstill.validation.finding import Finding
from unstill.validation.row_names import row_names, several, state_ids


def check_altlocs(model: Multiconformer) -> Iterator[Finding]:
    """Find labels that stand for none, are missing, stand twice, or differ in case only.

    Where no atom has a label (the states are whole models), nothing is asked
    of labels.
    """
    labels = np.asarray(model.altloc_id, dtype=str)
    if not (labels != "").any():
        return
    yield from _no_labels(model, labels)
    yield from _missing(model, labels)
    yield from _repeated(model, labels)
    yield from _case(model, labels)


def _no_labels(model: Multiconformer, labels: np.ndarray) -> Iterator[Finding]:
    for label in np.unique(labels).tolist():
        stands_for_none = label in (".", "?") or (label != "" and not label.strip())
        if not stands_for_none and not any(c.isspace() for c in label):
            continue
        rows = np.flatnonzero(labels == label)
        yield Finding(
            "V10",
            "error",
            f"{several(len(rows), 'atom')} with the altloc {label!r}, which "
            + ("stands for none" if stands_for_none else "has white space"),
            states=state_ids(model, np.unique(model.state[rows])[:12].tolist()),
            atoms=row_names(model, rows.tolist()),
            remedy="label them with letters or numbers",
            kind="altloc-is-no-label",
            count=len(rows),
        )


def _missing(model: Multiconformer, labels: np.ndarray) -> Iterator[Finding]:
    """Atoms of a state that have no label: alternatives, or merely there in some copies."""
    bare = (labels == "") & (model.state != model.tree.root)
    several_rows = np.bincount(model.position[model.site])[model.position[model.site]] > 1
    for rows, alternative in (
        (np.flatnonzero(bare & several_rows), True),
        (np.flatnonzero(bare & ~several_rows), False),
    ):
        if not len(rows):
            continue
        yield Finding(
            "V10",
            "warning" if alternative else "note",
            f"{several(len(rows), 'atom')} of states other than the root without an altloc"
            + (", and their alternatives have one or none" if alternative else "")
            + "; programs that go by labels take them for part of every copy",
            states=state_ids(model, np.unique(model.state[rows])[:12].tolist()),
            atoms=row_names(model, rows.tolist()),
            remedy="give the atoms of each state a label",
            kind="altloc-missing" if alternative else "altloc-missing-alone",
            count=len(rows),
        )


def _repeated(model: Multiconformer, labels: np.ndarray) -> Iterator[Finding]:
    """Rows of one atom under one label: states tell them apart, labels do not."""
    held = np.flatnonzero(labels != "")
    key = numbered(model.site[held], labels[held])
    rows = held[np.bincount(key)[key] > 1]
    if len(rows):
        yield Finding(
            "V10",
            "warning",
            f"{several(len(rows), 'atom')} that share their altloc with another place of the same "
            "atom; programs that go by labels read them as duplicates",
            states=state_ids(model, np.unique(model.state[rows])[:12].tolist()),
            atoms=row_names(model, rows.tolist()),
            remedy="give each place of an atom a label of its own",
            kind="altloc-repeated",
            count=len(rows),
        )


def _case(model: Multiconformer, labels: np.ndarray) -> Iterator[Finding]:
    held = np.flatnonzero(labels != "")
    residue = model.residue[model.site[held]]
    folded = np.char.lower(labels[held])
    exact, loose = numbered(residue, labels[held]), numbered(residue, folded)
    first = np.unique(exact, return_index=True)[1]
    clash = np.bincount(loose[first])[loose] > 1
    rows = held[clash]
    if len(rows):
        pairs = sorted({str(label) for label in labels[rows]})
        residues = len(np.unique(model.residue[model.site[rows]]))
        yield Finding(
            "V10",
            "warning",
            f"altlocs of {several(residues, 'residue')} differ in upper and lower case only: "
            f"{shortened(pairs)}",
            states=state_ids(model, np.unique(model.state[rows])[:12].tolist()),
            atoms=row_names(model, rows.tolist()),
            remedy="use other letters",
            kind="altloc-case",
            count=residues,
        )
