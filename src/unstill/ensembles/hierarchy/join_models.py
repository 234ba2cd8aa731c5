"""A ground and a changed model made one, each atom in the state to which it belongs."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from unstill.ensembles.hierarchy.infer import infer_hierarchy
from unstill.ensembles.hierarchy.joined_sites import joined_labels, joined_sites
from unstill.ensembles.hierarchy.matching import Twins, match_models
from unstill.ensembles.hierarchy.names import free_ids
from unstill.ensembles.hierarchy.shares import UNITS, apportioned_tree
from unstill.ensembles.multiconformer import Multiconformer, Rule, State
from unstill.ensembles.multiconformer.tree import ROOT
from unstill.errors import InputError, UnstillWarning

GROUND, CHANGED = "Ground", "Changed"
"""Ids of the two states below the root."""


@dataclass(frozen=True, eq=False)
class _Part:
    """One of the two models, its rows that stay, and where its states go."""

    model: Multiconformer
    rows: np.ndarray
    place: np.ndarray
    share: float


def join_models(
    ground: Multiconformer,
    changed: Multiconformer,
    *,
    changed_share: float,
    tolerance: float = 0.1,
) -> Multiconformer:
    """Make one model of a ground and a changed state of a crystal.

    The tree is ``Base → {Ground, Changed}``. What both models have in the same place
    stays in ``Base`` (atoms) or below it (states), once, as the ground model has it.
    The rest goes below ``Ground`` or ``Changed``, under altlocs of its own. This is
    what a ligand found by the difference of many data sets needs (PanDDA; Pearce
    *et al.* 2017, doi:10.1038/ncomms15123).

    Parameters
    ----------
    ground, changed
        Models of the same crystal in the same setting; one without a stated hierarchy is
        inferred first.
    changed_share
        Share of copies that are changed, between 0 and 1.
    tolerance
        Å within which two places are the same.

    Returns
    -------
    Multiconformer
        Occupancies of its states are multiples of 10⁻⁶. Those of states that hold the same
        atom sum to what they should, rounded by largest remainder, and what fits into a
        parent still does.

    Raises
    ------
    InputError
        If the share is not between 0 and 1, or the unit cells differ.
    """
    if not 0 < changed_share < 1:
        raise InputError(
            "the share of changed copies lies between 0 and 1",
            found=changed_share,
            fix="give the occupancy of the changed state, for example 0.3",
        )
    _refuse_other_crystal(ground, changed)
    ground, changed = _stated(ground, GROUND), _stated(changed, CHANGED)
    twins = match_models(ground, changed, tolerance)
    changed = twins.changed
    share = round(changed_share * UNITS) / UNITS
    states, of_ground, of_changed = _joined_states(ground, changed, twins, share)
    parts = (
        _Part(ground, np.arange(ground.n_rows), of_ground, 1 - share),
        _Part(changed, np.flatnonzero(~twins.shared_rows), of_changed, share),
    )
    joined = _joined_rows(parts, states, twins, share)
    joined = joined.replace(rules=_joined_rules(joined, parts))
    return apportioned_tree(joined)


def _joined_states(
    ground: Multiconformer, changed: Multiconformer, twins: Twins, share: float
) -> tuple[tuple[State, ...], np.ndarray, np.ndarray]:
    """States of the joined model, and where those of each model are among them."""
    states = [
        State(ROOT),
        State(GROUND, ROOT, details="as in the ground model", occupancy=1 - share),
        State(CHANGED, ROOT, details="as in the changed model", occupancy=share),
    ]
    of_ground = np.full(len(ground.states), -1)
    of_changed = np.full(len(changed.states), -1)
    n_new = len(ground.states) + len(changed.states)
    ids = iter(free_ids(states, n_new))
    names = {state.name for state in states}
    shared = set(twins.shared_states.values())
    for model, place, own, weight in (
        (ground, of_ground, 1, 1 - share),
        (changed, of_changed, 2, share),
    ):
        place[model.tree.root] = own
        for number in model.tree.downward.tolist():
            if number == model.tree.root:
                continue
            if model is changed and number in twins.shared_states:
                place[number] = of_ground[twins.shared_states[number]]
                continue
            old = model.states[number]
            both = model is ground and number in shared
            above = int(place[model.tree.parent[number]])
            if both and above == own:
                above = 0
            occupancy = float(model.populations[number]) * weight
            if both:
                twin = next(c for c, g in twins.shared_states.items() if g == number)
                occupancy += float(changed.populations[twin]) * share
            name = old.name if old.name not in names and old.name != old.id else ""
            place[number] = len(states)
            new = replace(old, id=next(ids), parent=states[above].id, occupancy=occupancy)
            states.append(replace(new, name=_free_name(name or new.id, names)))
    return tuple(states), of_ground, of_changed


def _free_name(name: str, names: set[str]) -> str:
    found, times = name, 1
    while found in names:
        times += 1
        found = f"{name}.{times}"
    names.add(found)
    return found


def _joined_rows(
    parts: tuple[_Part, _Part], states: tuple[State, ...], twins: Twins, share: float
) -> Multiconformer:
    ground, changed = parts[0].model, parts[1].model
    sites = joined_sites(ground.sites, changed.sites[twins.new_sites])
    site_of_changed = twins.site_in_ground.copy()
    site_of_changed[twins.new_sites] = ground.n_sites + np.arange(int(twins.new_sites.sum()))
    state = [part.place[part.model.state[part.rows]] for part in parts]
    # Rows of the ground root that the changed model has too are in every copy.
    common = twins.common_base_rows
    state[0][common] = 0
    occupancy = [part.model.occupancy[part.rows] * part.share for part in parts]
    twin = twins.twin_of_ground
    has = twin >= 0
    occupancy[0][has] += changed.occupancy[twin[has]] * share
    label = [np.asarray(part.model.altloc_id, str)[part.rows] for part in parts]
    labels = joined_labels(label[0], ~has & (state[0] != 0), label[1])
    n_new = len(parts[1].rows)
    u_aniso = _both([_aniso(part) for part in parts]) if _any_aniso(parts) else None
    provenance = {"ground": dict(ground.provenance), "changed": dict(changed.provenance)}
    return Multiconformer(
        sites,
        np.concatenate([ground.site, site_of_changed[changed.site[parts[1].rows]]]),
        np.concatenate(state),
        _both([part.model.coord[part.rows] for part in parts]),
        np.minimum(np.concatenate(occupancy), 1.0),
        _both([part.model.b_factor[part.rows] for part in parts]),
        _both(list(labels)),
        states,
        u_aniso=u_aniso,
        crystal=ground.crystal or changed.crystal,
        carried=ground.carried,
        source_row=np.concatenate([ground.source_row, np.full(n_new, -1)]),
        provenance=provenance,
    )


def _joined_rules(joined: Multiconformer, parts: tuple[_Part, _Part]) -> tuple[Rule, ...]:
    """Rules of both models, and that no copy is both ground and changed."""
    found: list[tuple[str, str, tuple[str, ...], str]] = [
        ("NOT", GROUND, (CHANGED,), "a copy is one or the other")
    ]
    for part in parts:
        names = [joined.states[number].id for number in part.place.tolist()]
        for rule in part.model.rules:
            others = tuple(names[part.model.tree.find(other)] for other in rule.others)
            state = names[part.model.tree.find(rule.state)]
            found.append((rule.kind, state, others, rule.description))
    return tuple(
        Rule(number, kind, state, others, text)  # type: ignore[arg-type]
        for number, (kind, state, others, text) in enumerate(dict.fromkeys(found), start=1)
    )


def _stated(model: Multiconformer, what: str) -> Multiconformer:
    if model.members is not None:
        warnings.warn(
            UnstillWarning(f"the members that the model {what} records were dropped"), stacklevel=3
        )
        model = model.replace(
            members=None,
            states=tuple(
                replace(state, occupancy=float(share))
                for state, share in zip(model.states, model.populations, strict=True)
            ),
        )
    return model if model.stated else infer_hierarchy(model)


def _refuse_other_crystal(ground: Multiconformer, changed: Multiconformer) -> None:
    if ground.crystal is None or changed.crystal is None:
        return
    ours, theirs = ground.crystal.unit_cell, changed.crystal.unit_cell
    if not np.allclose(ours, theirs, rtol=0.02):
        raise InputError(
            "the two models are of different crystals",
            found=f"cells {ours} and {theirs}",
            fix="give two models of one crystal form, in the same setting",
        )


def _both(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts)


def _any_aniso(parts: tuple[_Part, _Part]) -> bool:
    return any(part.model.u_aniso is not None for part in parts)


def _aniso(part: _Part) -> np.ndarray:
    if part.model.u_aniso is None:
        return np.full((len(part.rows), 6), np.nan)
    return np.asarray(part.model.u_aniso[part.rows])
