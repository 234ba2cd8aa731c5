r"""How near an ensemble comes to two known states, to both of them.

.. math::
   \mathrm{worse} = \max_{s \in \{A,B\}} \min_{m} \mathrm{RMSD}(x_m, x_s)

is small only if some member comes near each state. Distances are taken in the common frame
of the crystal, without superposition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.shapes import Bool, Coord, Coords, Float, Int, Integer
from unstill.validation.lddt import lddt


@dataclass(frozen=True, eq=False)
class TwoStates:
    """How members relate to two states.

    Parameters
    ----------
    rmsd
        ``(n_members, 2)`` Å, to the first and to the second state.
    nearest
        ``(n_members,)`` 0 or 1, the state of smaller RMSD (the first where equal).
    population
        ``(2,)`` weight of the members nearest to each state.
    nearest_rmsd
        ``(2,)`` Å, of the member nearest to each state.
    between
        RMSD of the two states to each other (Å): what a single state alone would score.
    """

    rmsd: Float[np.ndarray, "n_members 2"]
    nearest: Int[np.ndarray, " n_members"]
    population: Float[np.ndarray, "2"]
    nearest_rmsd: Float[np.ndarray, "2"]
    between: float

    @property
    def worse(self) -> float:
        """The larger of the two nearest RMSDs (Å): how well the worse state is met."""
        return float(self.nearest_rmsd.max())


def compare_two_states(
    coord: Coords,
    first: Coord,
    second: Coord,
    *,
    selected: Bool[np.ndarray, " n_atoms"] | None = None,
    weights: Float[np.ndarray, " n_members"] | None = None,
) -> TwoStates:
    """Measure how near the members of an ensemble come to each of two states.

    Parameters
    ----------
    coord
        ``(n_members, n_atoms, 3)`` Å.
    first, second
        ``(n_atoms, 3)`` Å, the same atoms in the same order and frame.
    selected
        ``(n_atoms,)`` atoms that count, such as those of a segment. All by default.
    weights
        ``(n_members,)`` of the members. Equal by default.

    Raises
    ------
    InputError
        If the shapes differ, there is no member or no atom is selected.

    Examples
    --------
    >>> a, b = np.zeros((1, 3)), np.array([[3.0, 0.0, 0.0]])
    >>> found = compare_two_states(np.array([[[0.1, 0, 0]], [[2.5, 0, 0]]]), a, b)
    >>> round(found.worse, 3), found.nearest.tolist(), found.population.tolist()
    (0.5, [0, 1], [0.5, 0.5])
    """
    coord = np.asarray(coord, dtype=float)
    chosen = np.ones(coord.shape[1], dtype=bool) if selected is None else np.asarray(selected)
    _check(coord, first, second, chosen)
    share = np.full(len(coord), 1 / len(coord)) if weights is None else np.asarray(weights)
    if share.shape != (len(coord),) or not share.sum() > 0 or share.min() < 0:
        raise InputError(
            "weights must be non-negative, one a member, and not all zero",
            found=f"{share.size} weights for {len(coord)} members",
            fix="pass one weight a member",
        )
    states = np.stack([first[chosen], second[chosen]])
    apart = coord[:, None, chosen] - states
    rmsd = np.sqrt(np.einsum("msai,msai->ms", apart, apart) / chosen.sum())
    nearest = rmsd.argmin(axis=1)
    between = states[0] - states[1]
    return TwoStates(
        rmsd,
        nearest,
        np.bincount(nearest, share / share.sum(), minlength=2),
        rmsd.min(axis=0),
        float(np.sqrt(np.sum(between**2) / chosen.sum())),
    )


def nearest_states(
    coord: Coords,
    states: Coords,
    residue: Integer[np.ndarray, " n_atoms"],
    *,
    selected: Bool[np.ndarray, " n_atoms"] | None = None,
) -> tuple[Int[np.ndarray, " n_members"], Float[np.ndarray, "n_members n_states"]]:
    """Assign members to the states of largest lDDT; no common frame is needed.

    Parameters
    ----------
    coord
        ``(n_members, n_atoms, 3)`` Å.
    states
        ``(n_states, n_atoms, 3)`` Å.
    residue, selected
        As of :func:`unstill.validation.lddt.lddt`.

    Returns
    -------
    state
        ``(n_members,)`` number of the state.
    score
        ``(n_members, n_states)`` lDDT.

    Raises
    ------
    InputError
        If there is no state, or the shapes do not fit together.
    """
    if len(states) == 0:
        raise InputError("members are assigned to states", found="none", fix="give one or more")
    score = np.stack(
        [lddt(coord, state, residue, selected=selected).score for state in states], axis=1
    )
    return score.argmax(axis=1), score


def _check(coord: np.ndarray, first: np.ndarray, second: np.ndarray, chosen: np.ndarray) -> None:
    atoms = coord.shape[1:]
    fits = first.shape == second.shape == atoms and chosen.shape == atoms[:1]
    if not fits or len(coord) == 0 or not chosen.any():
        raise InputError(
            "members, states and selection do not fit together, or are empty",
            found=f"shapes {coord.shape}, {first.shape}, {second.shape}, {chosen.shape}, "
            f"{int(chosen.sum())} atoms selected",
            fix="give the same atoms in all of them, and select at least one",
        )
