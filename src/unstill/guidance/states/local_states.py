r"""From many vague members to a few states of every residue, as the data ask for.

Members of a walk differ everywhere, for noise moved them everywhere; a map
asks for several places only here and there, and B factors of the start say the
rest. Every residue chooses among its places in the start and in all members:
the fewest that explain the map, by the Bayesian information criterion

.. math:: L + \tfrac12\,(3 n_{atoms} + 1)\,\ln(n_{data})

for every place beyond the first (Schwarz, 1978,
https://doi.org/10.1214/aos/1176344136), where L is a negative log-likelihood.
Members are put together from the chosen places so that links and contacts
hold. The idea of choosing from many conformers is qFit's (van den Bedem et al.,
2009, https://doi.org/10.1107/S0907444909030613); here all residues choose at
once and hear of their neighbours' choices.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse

from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.priors.geometry import united_radii
from unstill.guidance.protocols import EnsembleState
from unstill.guidance.start import GuidedModel
from unstill.guidance.states.assembly import assemble
from unstill.guidance.states.choice import choose_candidates
from unstill.guidance.states.costs import PairCosts
from unstill.guidance.states.overlaps import candidate_overlaps
from unstill.shapes import Coords, Float
from unstill.validation.residue_conformers import residue_numbers

_ROUNDS, _SETTLED = 3, 0.02
"""Times, at most, that the loss is measured anew and the choice repeated, for the scale of the map
moves with it; and the share that the loss must fall by to go on."""
_AGAIN = 1.0
"""What a place must gain when shares alone are asked for: two places are never one."""


def sparing_members(
    model: GuidedModel,
    data: DensityObservable,
    state: EnsembleState,
    n_members: int,
    *,
    strength: float = 1.0,
) -> Coords:
    """Members (Å) made of the fewest places of every residue that explain the map.

    Parameters
    ----------
    model
        What is guided; its start is a candidate too.
    data
        The map.
    state
        Members whose places are the candidates, with B.
    n_members
        Members to make, of equal weight.
    strength
        Factor on the loss.

    Returns
    -------
    Coords
        ``(n_members, n_atoms, 3)``; links between residues may be stretched.
    """
    start = model.atoms.coord.astype(float)
    candidates = np.concatenate([start, state.coord])
    group = residue_numbers(model.atoms)
    even = np.full((group.max() + 1, len(candidates)), 1 / len(state.coord))
    even[:, 0] = 0.0
    alone = np.zeros(even.shape)
    alone[:, 0] = 1.0
    n_atoms = np.bincount(group)
    n_data = np.maximum(data.n_data_per_atom(len(group)) * n_atoms, 2.0)
    price = 0.5 * (3 * n_atoms + 1) * np.log(n_data)
    shares = _chosen(model, data, candidates, state.b_factor, (even, alone), price, strength)
    radii = united_radii(model.element, model.restraints)
    costs = PairCosts(candidates, group, model.restraints, radii)
    which = assemble(shares, n_members, costs.links, costs.neighbours(shares > 0), costs)
    made: np.ndarray = candidates[which[:, group], np.arange(len(group))]
    return made


def local_shares(
    model: GuidedModel,
    data: DensityObservable,
    state: EnsembleState,
    *,
    strength: float = 1.0,
) -> Float[np.ndarray, "n_members n_residues"]:
    """Share of every member in every residue, as the map has it, of sum 1 over members.

    Members that a residue does not need have none there: their places are those of others.

    Parameters
    ----------
    model, data, strength
        As for :func:`sparing_members`.
    state
        The ensemble.
    """
    group = residue_numbers(model.atoms)
    shares = np.repeat(state.weights[None], group.max() + 1, axis=0)
    price = np.full(len(shares), _AGAIN)
    return _chosen(model, data, state.coord, state.b_factor, (shares,), price, strength).T


def _chosen(
    model: GuidedModel,
    data: DensityObservable,
    candidates: Coords,
    b_factor: np.ndarray,
    starts: tuple[np.ndarray, ...],
    price: np.ndarray,
    strength: float,
) -> np.ndarray:
    group = residue_numbers(model.atoms)
    overlaps = candidate_overlaps(
        candidates,
        group,
        model.element,
        data.occupancy,
        b_factor,
        data.d_min,
        crystal=data.crystal,
        electron=data.electron,
    )
    places = EnsembleState(candidates, np.full(len(candidates), 1 / len(candidates)), b_factor)
    # Vague members need a larger scale, which would ask for vagueness: begin where it fits best.
    found, shares = min(
        ((data.amount_gradient(start[group].T, places, data.d_min), start) for start in starts),
        key=lambda begun: begun[0].loss,
    )
    for _ in range(_ROUNDS):
        gradient = np.zeros(shares.shape)
        np.add.at(gradient, group, strength * found.amount.T)
        curvature = scipy.sparse.csr_array(strength * found.overlap_weight * overlaps)
        shares = choose_candidates(curvature, gradient, shares, price)
        before, found = found, data.amount_gradient(shares[group].T, places, data.d_min)
        if found.loss > (1 - _SETTLED) * before.loss:
            break
    return shares
