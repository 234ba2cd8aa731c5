"""Straight chains with altlocs, built atom by atom: where each atom is, is plain to see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import biotite.structure as struc
import numpy as np
from hypothesis import strategies as st

from unstill.crystal import Crystal
from unstill.ensembles import Ensemble, Multiconformer
from unstill.ensembles.multiconformer import states_from_labels

Row = tuple[int, str, str, str, float, tuple[float, float, float]]
"""Residue number and name, atom, altloc, occupancy, coordinates (Å)."""

STEP = 4.31
"""Length of a residue along x: N-CA 1.46, CA-C 1.52, C-N 1.33 Å, all on a line."""

ATOMS = {
    "N": (0.0, 0.0),
    "H": (0.5, -0.88),
    "CA": (1.46, 0.0),
    "C": (2.98, 0.0),
    "O": (2.36, 1.062),
    "CB": (1.46, -1.53),
    "OG": (1.46, -2.95),
}
BACKBONE = ("N", "CA", "C", "O")
WHOLE = ("N", "CA", "C", "O", "CB")

Places = Mapping[str, tuple[float, float]]
"""Altloc → occupancy, and Å out of the plane."""

TWO: Places = {"A": (0.6, 0.0), "B": (0.4, 1.0)}


def residue(
    number: int,
    places: Places | None = None,
    *,
    split: Sequence[str] = WHOLE,
    atoms: Sequence[str] = WHOLE,
    name: str = "ALA",
) -> list[Row]:
    """Rows of a residue; the atoms of ``split`` are in several places, the others in one."""
    rows = []
    for atom in atoms:
        x, y = ATOMS[atom]
        here = (x + STEP * number, y)
        if places and atom in split:
            rows += [
                (number, name, atom, label, share, (*here, z))
                for label, (share, z) in places.items()
            ]
        else:
            rows.append((number, name, atom, "", 1.0, (*here, 0.0)))
    return rows


def lone(
    number: int,
    name: str,
    atom: str,
    places: Mapping[str, tuple[float, tuple[float, float, float]]],
) -> list[Row]:
    """Rows of a residue of one atom: altloc → occupancy, coordinates."""
    return [(number, name, atom, label, share, at) for label, (share, at) in places.items()]


def water(number: int, altloc: str, at: tuple[float, float, float], occupancy: float) -> Row:
    """Row of a water."""
    return (number, "HOH", "O", altloc, occupancy, at)


def labelled(rows: Iterable[Row], crystal: Crystal | None = None) -> Multiconformer:
    """Make the model that a reader makes of these atom lines: states are not stated."""
    rows = list(rows)
    atoms = struc.AtomArray(len(rows))
    atoms.chain_id[:] = "A"
    atoms.res_id[:] = [row[0] for row in rows]
    atoms.res_name[:] = [row[1] for row in rows]
    atoms.atom_name[:] = [row[2] for row in rows]
    atoms.element[:] = [row[2][0] for row in rows]
    atoms.set_annotation("altloc_id", np.array([row[3] for row in rows], dtype="U4"))
    return states_from_labels(
        Ensemble(
            atoms,
            np.array([row[5] for row in rows], dtype=float)[None],
            occupancy=np.array([row[4] for row in rows]),
            b_factor=np.linspace(10, 20, len(rows)),
            crystal=crystal,
        )
    )


def held(model: Multiconformer) -> dict[str, set[tuple[int, str, str]]]:
    """State → residue, atom and altloc of its rows."""
    found: dict[str, set[tuple[int, str, str]]] = {state.id: set() for state in model.states}
    for row in range(model.n_rows):
        site = model.site[row]
        key = int(model.sites.res_id[site]), str(model.sites.atom_name[site])
        found[model.states[model.state[row]].id].add((*key, str(model.altloc_id[row])))
    return found


def parts(model: Multiconformer) -> set[frozenset[tuple[int, str]]]:
    """Residue and altloc of what is in each state but the root."""
    root = model.states[model.tree.root].id
    return {
        frozenset((number, label) for number, _, label in rows)
        for state, rows in held(model).items()
        if state != root
    }


@st.composite
def random_chains(draw: st.DrawFn) -> list[Row]:
    """Draw a chain of a few residues with altlocs here and there, occupancies in 1/20."""
    rows: list[Row] = []
    for number in range(1, draw(st.integers(2, 5)) + 1):
        n = draw(st.integers(1, 3))
        cuts = sorted(draw(st.lists(st.integers(1, 19), min_size=n - 1, max_size=n - 1)))
        shares = np.diff([0, *cuts, 20]) / 20
        places = {
            label: (float(share), draw(st.sampled_from([0.0, 0.05, 0.9, -1.1])))
            for label, share in zip("ABC", shares, strict=False)
            if share > 0
        }
        split = draw(st.sampled_from([WHOLE, BACKBONE, ("CB",), ("CA", "CB"), ("O", "CB")]))
        rows += residue(number, places if n > 1 else None, split=split)
    return rows
