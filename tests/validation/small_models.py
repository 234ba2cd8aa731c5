"""Two residues, the last atoms of which are in two places: a model that keeps every rule."""

from __future__ import annotations

from collections.abc import Sequence

import biotite.structure as struc
import numpy as np

from unstill.crystal import Crystal
from unstill.ensembles.multiconformer import Members, Multiconformer, Rule, State
from unstill.validation import Finding

Row = tuple[int, str, str, str, float, tuple[float, float, float]]
"""Residue number, atom, altloc, state, occupancy, coordinates (Å)."""

STATES = (
    State("Base"),
    State("A", "Base", occupancy=0.6),
    State("B", "Base", occupancy=0.4),
)
APART = (Rule(1, "NOT", "A", ("B",)),)

ROWS: tuple[Row, ...] = (
    (1, "N", "", "Base", 1.0, (0.0, 0.0, 0.0)),
    (1, "CA", "", "Base", 1.0, (1.46, 0.0, 0.0)),
    (1, "C", "", "Base", 1.0, (2.0, 1.42, 0.0)),
    (1, "O", "", "Base", 1.0, (1.2, 2.36, 0.0)),
    (2, "N", "", "Base", 1.0, (3.33, 1.53, 0.0)),
    (2, "CA", "", "Base", 1.0, (4.0, 2.8, 0.0)),
    (2, "C", "A", "A", 0.6, (5.5, 2.7, 0.0)),
    (2, "O", "A", "A", 0.6, (6.1, 1.65, 0.0)),
    (2, "C", "B", "B", 0.4, (5.45, 2.7, 0.4)),
    (2, "O", "B", "B", 0.4, (6.05, 1.65, 0.5)),
)


def built(
    rows: Sequence[Row] = ROWS,
    states: Sequence[State] = STATES,
    rules: Sequence[Rule] = APART,
    members: Members | None = None,
    crystal: Crystal | None = None,
) -> Multiconformer:
    """Make a model of glycines; residues from 100 are waters, from 300 ligands."""
    names = list(dict.fromkeys((row[0], row[1]) for row in rows))
    sites = struc.AtomArray(len(names))
    sites.chain_id[:] = "A"
    sites.res_id[:] = [number for number, _ in names]
    sites.res_name[:] = [_residue(number) for number, _ in names]
    sites.atom_name[:] = [name for _, name in names]
    sites.element[:] = [name[0] for _, name in names]
    index = {state.id: number for number, state in enumerate(states)}
    return Multiconformer(
        sites,
        site=np.array([names.index((row[0], row[1])) for row in rows]),
        state=np.array([index[row[3]] for row in rows]),
        coord=np.array([row[5] for row in rows], dtype=float),
        occupancy=np.array([row[4] for row in rows]),
        b_factor=np.full(len(rows), 12.0),
        altloc_id=np.array([row[2] for row in rows]),
        states=tuple(states),
        rules=tuple(rules),
        members=members,
        crystal=crystal,
    )


def _residue(number: int) -> str:
    return "LIG" if number >= 300 else "HOH" if number >= 100 else "GLY"


def water(
    number: int, state: str, occupancy: float, at: Sequence[float], altloc: str = "A"
) -> Row:
    """Make a row of a water."""
    return (number, "O", altloc, state, occupancy, (at[0], at[1], at[2]))


def kinds(findings: Sequence[Finding], severity: str = "error") -> set[tuple[str, str]]:
    """Rules and kinds of the findings of one severity."""
    return {(f.rule, f.kind) for f in findings if f.severity == severity}
