"""Whole copies: which states each member is in, and its weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unstill.ensembles.ensemble import Ensemble
from unstill.errors import InputError
from unstill.shapes import Bool, Float, Int

if TYPE_CHECKING:
    from unstill.ensembles.multiconformer.model import Multiconformer


@dataclass(frozen=True, eq=False)
class Members:
    """The exact joint distribution of the states, as weighted copies.

    Parameters
    ----------
    weights
        ``(n_members,)`` non-negative; normalised to sum to one.
    in_state
        ``(n_members, n_states)``; a member is in a state and in all its ancestors.
    names
        ``(n_members,)`` ids, ``1, 2, …`` by default.
    frames
        ``(n_members,)`` frame of a trajectory that each member was (from 0), or ``None``.

    Raises
    ------
    InputError
        If shapes do not agree, a weight is negative or not finite, or names repeat.
    """

    weights: Float[np.ndarray, " n_members"]
    in_state: Bool[np.ndarray, "n_members n_states"]
    names: tuple[str, ...] = ()
    frames: Int[np.ndarray, " n_members"] | None = None

    def __post_init__(self) -> None:
        weights = np.asarray(self.weights, dtype=float)
        n = len(weights)
        names = self.names or tuple(str(number + 1) for number in range(n))
        object.__setattr__(self, "names", names)
        if (
            n == 0
            or self.in_state.shape[0] != n
            or len(names) != n
            or len(set(names)) != n
            or not np.isfinite(weights).all()
            or weights.min() < 0
            or weights.sum() <= 0
            or (self.frames is not None and len(self.frames) != n)
        ):
            raise InputError(
                "members need one non-negative weight, one name of their own and one line of "
                "states each",
                found=f"{n} weights, {self.in_state.shape[0]} lines of states, "
                f"{len(set(names))} names",
                fix="give every member one of each",
            )
        # Weights that are normalised stay as they are: dividing again would change last bits.
        total = float(weights.sum())
        off = abs(total - 1) > 4 * n * np.finfo(float).eps
        object.__setattr__(self, "weights", weights / total if off else weights)

    @property
    def n_members(self) -> int:
        """Number of members."""
        return len(self.weights)

    @property
    def populations(self) -> Float[np.ndarray, " n_states"]:
        """``(n_states,)`` share of copies in each state: the marginals."""
        return np.asarray(self.weights @ self.in_state)

    @property
    def joint_populations(self) -> Float[np.ndarray, "n_states n_states"]:
        """``(n_states, n_states)`` share of copies that are in both states."""
        held = self.in_state.astype(float)
        return np.asarray((held * self.weights[:, None]).T @ held)


def recorded_members(model: Multiconformer) -> Ensemble:
    """Return the members that a model records, as an ensemble over all its sites.

    An atom that a member does not have gets occupancy 0 there, and the
    coordinates of its first row. Occupancies are those inside the member: of a
    row, its occupancy over that of its state.

    Raises
    ------
    InputError
        If the model records no members, or a member has an atom in two places.
    """
    members = model.members
    if members is None:
        raise InputError(
            "the model records no members",
            found=f"{len(model.states)} states and no member of theirs",
            fix="choose how many members to make (--members 20)",
        )
    row = rows_of_members(model, members.in_state)
    share = shares_of_rows(model)
    taken = np.where(row >= 0, row, model.first_row[None, :])
    occupancy = np.where(row >= 0, share[taken], 0.0)
    known = {} if members.frames is None else {"frames": members.frames.tolist()}
    return Ensemble(
        model.sites,
        model.coord[taken],
        occupancy=_shared(occupancy),
        b_factor=_shared(model.b_factor[taken]),
        u_aniso=None if model.u_aniso is None else _shared(model.u_aniso[taken]),
        weights=members.weights,
        crystal=model.crystal,
        provenance={**model.provenance, **known},
    )


def rows_of_members(
    model: Multiconformer, in_state: Bool[np.ndarray, "n_members n_states"]
) -> Int[np.ndarray, "n_members n_sites"]:
    """Row of every site in every member; −1 where a member does not have the atom.

    Raises
    ------
    InputError
        If a member has an atom in two places.
    """
    found = np.full((len(in_state), model.n_sites), -1)
    for number, held in enumerate(in_state):
        rows = np.flatnonzero(held[model.state])
        sites = model.site[rows]
        found[number, sites] = rows
        if len(np.unique(sites)) < len(sites):
            twice = np.flatnonzero(np.bincount(sites, minlength=model.n_sites) > 1)
            raise InputError(
                "a member has an atom in two places at once",
                found=f"member {number + 1}, {len(twice)} atoms, "
                f"the first {model.site_label(int(twice[0]))}",
                fix="states that hold the same atom exclude each other; correct the members",
            )
    return found


def shares_of_rows(model: Multiconformer) -> Float[np.ndarray, " n_rows"]:
    """Occupancy of each row inside its state, between 0 and 1.

    Rounding of what is written to a few digits must not show: shares within
    0.5 % of one are one.
    """
    of_state = model.populations[model.state]
    share = np.divide(
        model.occupancy, of_state, out=np.ones_like(model.occupancy), where=of_state > 0
    )
    share = np.clip(share, 0.0, 1.0)
    return np.where(np.abs(share - 1) <= 0.005, 1.0, share)


def _shared(values: np.ndarray) -> np.ndarray:
    """One value an atom where all members agree."""
    same = bool(((values == values[:1]) | (np.isnan(values) & np.isnan(values[:1]))).all())
    return values[0] if same else values
