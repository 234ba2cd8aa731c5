"""Models of rows in given places, one call each."""

from __future__ import annotations

from collections.abc import Sequence

import biotite.structure as struc
import numpy as np

from unstill.crystal import Crystal
from unstill.ensembles.multiconformer import Members, Multiconformer, Rule, State

Row = tuple[str, int, str, str, str, str, float, tuple[float, float, float]]
"""Chain, residue number and name, atom, element, state (its altloc; "" = Base), occupancy, Å."""


def placed(
    rows: Sequence[Row],
    *,
    parents: dict[str, str] | None = None,
    rules: Sequence[Rule] = (),
    members: Members | None = None,
    crystal: Crystal | None = None,
) -> Multiconformer:
    """Make a model; a state is named by the altloc of its rows, ``Base`` where there is none."""
    identity = [row[:4] for row in rows]
    sites = list(dict.fromkeys(identity))
    atoms = struc.AtomArray(len(sites))
    atoms.chain_id = np.array([site[0] for site in sites])
    atoms.res_id = np.array([site[1] for site in sites])
    atoms.res_name = np.array([site[2] for site in sites])
    atoms.atom_name = np.array([site[3] for site in sites])
    atoms.element = np.array([rows[identity.index(site)][4] for site in sites])
    named = [name for name in dict.fromkeys(row[5] for row in rows) if name]
    above = dict(parents or {})
    named += [name for name in (*above, *above.values()) if name not in (*named, "Base")]
    states = [State("Base")]
    for name in named:
        share = [row[6] for row in rows if row[5] == name]
        parent = above.get(name, "Base")
        states.append(State(name, parent, occupancy=share[0] if share else 1.0))
    index = {"": 0, **{name: number + 1 for number, name in enumerate(named)}}
    return Multiconformer(
        atoms,
        site=np.array([sites.index(site) for site in identity], dtype=np.int64),
        state=np.array([index[row[5]] for row in rows], dtype=np.int64),
        coord=np.array([row[7] for row in rows], dtype=float).reshape(-1, 3),
        occupancy=np.array([row[6] for row in rows], dtype=float),
        b_factor=np.full(len(rows), 10.0),
        altloc_id=np.array([row[5] for row in rows], dtype="U4"),
        states=tuple(states),
        rules=tuple(rules),
        members=members,
        crystal=crystal,
    )


def scattered(
    seed: int, n_rows: int, side: float, crystal: Crystal | None = None
) -> Multiconformer:
    """Make a model of random atoms in a box, residues and states, dense enough to clash."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    seen = set()
    for number in range(n_rows):
        chain, residue = str(rng.choice(["A", "B"])), int(rng.integers(1, 9))
        name = ("GLY", "SER", "HOH", "ZN", "GOL", "ALA", "CYS", "LYS")[residue - 1]
        element = "ZN" if name == "ZN" else str(rng.choice(["C", "N", "O", "S", "H"]))
        atom = f"{element}{number // 2}"
        state = str(rng.choice(["", "A", "B", "C"]))
        if (chain, residue, atom, state) in seen:
            continue
        seen.add((chain, residue, atom, state))
        share = {"": 1.0, "A": 0.62, "B": 0.45, "C": 0.9}[state]
        place = tuple(rng.uniform(0, side, 3).tolist())
        rows.append((chain, residue, name, atom, element, state, share, place))
    return placed(rows, crystal=crystal)
