"""V2 on a model: atoms that are in no state, and states that hold nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unstill.ensembles.multiconformer import Multiconformer
from unstill.validation.finding import Finding
from unstill.validation.row_names import MOST_NAMES, several, state_ids


def check_states(model: Multiconformer) -> Iterator[Finding]:
    """Find states without atoms of their own or of their children, and atoms without a row."""
    held = np.zeros(len(model.states), dtype=bool)
    held[model.state] = True
    # A state that only groups others is of use.
    used = np.asarray(model.tree.closure[held].any(axis=0))
    empty = np.setdiff1d(np.flatnonzero(~used), [model.tree.root])
    if len(empty):
        yield Finding(
            "V2",
            "warning",
            f"{several(len(empty), 'state')} without atoms",
            states=state_ids(model, empty[:12].tolist()),
            remedy="remove them (hierarchy remove), or give them their atoms",
            kind="empty-state",
            count=len(empty),
        )
    lost = np.flatnonzero(model.first_row < 0)
    if len(lost):
        yield Finding(
            "V2",
            "warning",
            f"{several(len(lost), 'atom')} in no state at all",
            atoms=tuple(model.site_label(site) for site in lost[:MOST_NAMES].tolist()),
            remedy="remove them, or give them a place",
            kind="atom-without-row",
            count=len(lost),
        )
