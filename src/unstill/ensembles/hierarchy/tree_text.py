"""The tree of states as lines of text, and as plain values."""

from __future__ import annotations

from typing import Any

import numpy as np

from unstill.ensembles.multiconformer import Multiconformer


def tree_lines(model: Multiconformer, *, most: int = 200) -> list[str]:
    """Draw the tree: one state a line, with occupancy, number of atoms, name and kind.

    Parameters
    ----------
    model
        The model.
    most
        Children of one state that are listed; the number of the others is told.
    """
    n_rows = np.bincount(model.state, minlength=len(model.states))
    lines: list[tuple[str, int]] = []

    def draw(number: int, head: str, tail: str) -> None:
        lines.append((head + model.states[number].id, number))
        children = model.tree.children[number]
        shown = children[:most]
        for child in shown:
            last = child == children[-1]
            draw(child, tail + ("└─ " if last else "├─ "), tail + ("   " if last else "│  "))
        if len(children) > len(shown):
            lines.append((f"{tail}└─ {len(children) - len(shown)} more", -1))

    draw(model.tree.root, "", "")
    width = max(len(text) for text, _ in lines)
    return [
        text
        if number < 0
        else f"{text:{width}s}  {model.populations[number]:6.3f} {_atoms(int(n_rows[number]))}"
        + _about(model, number)
        for text, number in lines
    ]


def states_as_dicts(model: Multiconformer) -> list[dict[str, Any]]:
    """One entry a state, in the order of the model."""
    n_rows = np.bincount(model.state, minlength=len(model.states))
    return [
        {
            "id": state.id,
            "parent": state.parent,
            "name": state.name,
            "kind": state.kind,
            "occupancy": float(model.populations[number]),
            "n_rows": int(n_rows[number]),
            "details": state.details,
            "evidence": state.evidence,
        }
        for number, state in enumerate(model.states)
    ]


def _atoms(n: int) -> str:
    return f"{n:7d} atom" + ("" if n == 1 else "s")


def _about(model: Multiconformer, number: int) -> str:
    state = model.states[number]
    name = f"  {state.name}" if state.name != state.id else ""
    return name + ("  (compositional)" if state.kind == "compositional" else "")
