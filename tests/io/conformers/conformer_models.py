"""Multiconformer models for the tests of files, drawn at random."""

from __future__ import annotations

import biotite.structure
import numpy as np
from hypothesis import strategies as st

from unstill.crystal import Crystal
from unstill.ensembles import Multiconformer
from unstill.ensembles.multiconformer import Members, Rule, State

CRYSTAL = Crystal((21.5, 33.25, 40.125, 90.0, 101.5, 90.0), "P 1 21 1")

WORDS = st.text(
    st.characters(codec="ascii", exclude_categories=("Z", "C"), exclude_characters=",;\x7f"),
    min_size=1,
    max_size=6,
)
"""Tokens without white space; quotes, ``#``, ``_`` and ``data_`` are among them."""


def is_token(word: str) -> bool:
    """Whether a word can be the id of a state or a label: it must not mean "nothing"."""
    return word not in (".", "?")


LABELS = st.one_of(
    WORDS.filter(is_token),
    st.sampled_from(
        ["A", "AA", "1", "loop_", "data_x", "_a.b", "'", '"', "#", "a'b", "save_", "$x"]
    ),
)


@st.composite
def random_models(draw: st.DrawFn, *, aniso: bool = True) -> Multiconformer:
    """Draw a model of a few residues: a tree, rules, members, labels of all kinds."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_residues = draw(st.integers(1, 4))
    ids = draw(st.lists(LABELS, min_size=2, max_size=5, unique=True))
    states = [State("Base")]
    for number, word in enumerate(i for i in ids if i != "Base"):
        parent = states[draw(st.integers(0, number))]
        share = parent.occupancy * draw(st.floats(0.0, 1.0))
        details = draw(st.sampled_from(["", "a loop, open", 'it\'s "two"\nlines', "ψ and φ; β"]))
        kind = draw(st.sampled_from(["conformational", "compositional"]))
        states.append(
            State(word, parent.id, details=details, kind=kind, occupancy=round(share, 4))
        )
    atoms = biotite.structure.AtomArray(4 * n_residues)
    atoms.chain_id[:] = draw(st.sampled_from(["A", "B1", "x"]))
    atoms.res_id = np.repeat(draw(st.integers(-20, 9000)) + np.arange(n_residues), 4)
    atoms.ins_code[:] = draw(st.sampled_from(["", "A"]))
    atoms.res_name[:] = draw(st.sampled_from(["GLY", "A", "HOH"]))
    atoms.atom_name = np.tile(["N", "C1'", "C", 'O"'], n_residues)
    atoms.element = np.tile(["N", "C", "C", "O"], n_residues)
    atoms.hetero[:] = draw(st.booleans())
    rows = [
        (site, state)
        for site in range(len(atoms))
        for state in range(len(states))
        if rng.random() < (0.7 if state else 0.4)
    ] or [(0, 0)]
    # Sites are counted as they appear in the rows.
    used = sorted({site for site, _ in rows})
    site = np.array([used.index(one) for one, _ in rows])
    state = np.array([one for _, one in rows])
    labels = ["", *draw(st.lists(LABELS, min_size=len(states), max_size=len(states)))]
    n = len(rows)
    u_aniso = None
    if aniso and draw(st.booleans()):
        u_aniso = np.round(rng.uniform(-0.3, 0.3, (n, 6)), 6)
        u_aniso[rng.random(n) < 0.4] = np.nan
        u_aniso = None if np.isnan(u_aniso).any(axis=1).all() else u_aniso
    rules = ()
    if len(states) > 2 and draw(st.booleans()):
        kind = draw(st.sampled_from(["AND", "OR", "NOT"]))
        rules = (Rule(3, kind, states[1].id, (states[2].id,), "said by hand"),)
    return Multiconformer(
        atoms[used],
        site,
        state,
        np.round(rng.uniform(-99, 99, (n, 3)), 3),
        np.array([states[one].occupancy for one in state]),
        np.round(rng.uniform(0, 90, n), 3),
        np.array([labels[one] for one in state], dtype=str),
        tuple(states),
        u_aniso=u_aniso,
        rules=rules,
        members=draw(st.one_of(st.none(), members_of(states))),
        crystal=draw(st.sampled_from([None, CRYSTAL])),
    )


@st.composite
def members_of(draw: st.DrawFn, states: list[State]) -> Members:
    """Draw members that are in all ancestors of their states."""
    n = draw(st.integers(1, 4))
    index = {state.id: number for number, state in enumerate(states)}
    in_state = np.zeros((n, len(states)), dtype=bool)
    in_state[:, 0] = True
    for number, state in enumerate(states[1:], start=1):
        held = draw(st.lists(st.booleans(), min_size=n, max_size=n))
        in_state[:, number] = np.array(held) & in_state[:, index[state.parent or "Base"]]
    weights = np.array(draw(st.lists(st.floats(0.01, 1), min_size=n, max_size=n)))
    frames = draw(st.sampled_from([None, np.arange(n) * 7]))
    return Members(weights / weights.sum(), in_state, frames=frames)


def assert_same(found: Multiconformer, expected: Multiconformer, *, coord: float = 0.0) -> None:
    """Rows, states, rules and members are the same."""
    for name in ("chain_id", "res_id", "ins_code", "res_name", "atom_name", "element", "hetero"):
        a, b = found.sites.get_annotation(name), expected.sites.get_annotation(name)
        assert [str(x).strip() for x in a] == [str(x).strip() for x in b], name
    np.testing.assert_array_equal(found.site, expected.site)
    np.testing.assert_array_equal(found.state, expected.state)
    np.testing.assert_allclose(found.coord, expected.coord, rtol=0, atol=coord)
    np.testing.assert_allclose(found.occupancy, expected.occupancy, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.b_factor, expected.b_factor, rtol=0, atol=5e-4)
    assert [str(x) for x in found.altloc_id] == [str(x) for x in expected.altloc_id]
    if expected.u_aniso is None:
        assert found.u_aniso is None
    else:
        assert found.u_aniso is not None
        np.testing.assert_allclose(found.u_aniso, expected.u_aniso, rtol=0, atol=5e-7)
    for a, b in zip(found.states, expected.states, strict=True):
        assert (a.id, a.parent, a.name, a.kind, a.details) == (
            b.id,
            b.parent,
            b.name,
            b.kind,
            b.details,
        )
        assert abs(a.occupancy - b.occupancy) < 1e-6
    assert found.rules == expected.rules
    assert found.crystal == expected.crystal
    if expected.members is None:
        assert found.members is None
        return
    assert found.members is not None
    np.testing.assert_allclose(found.members.weights, expected.members.weights, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(found.members.in_state, expected.members.in_state)
    assert found.members.names == expected.members.names
    if expected.members.frames is None:
        assert found.members.frames is None
    else:
        np.testing.assert_array_equal(found.members.frames, expected.members.frames)
