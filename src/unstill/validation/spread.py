r"""How wide an ensemble is, and how many members it really has.

.. math::
   \mathrm{RMSF}_a^2 = \sum_m w_m |x_{ma} - \bar x_a|^2, \qquad
   n_{eff} = 1\big/\sum_m w_m^2

(Kish's number; the exponential of the entropy stands beside it.) The mean over pairs of
different members is of the RMSD in the common frame, each pair counted by :math:`w_m w_n`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.shapes import Bool, Float


@dataclass(frozen=True, eq=False)
class Spread:
    """Width and diversity of an ensemble.

    Parameters
    ----------
    rmsf
        ``(n_atoms,)`` Å, root mean square distance of the selected atoms from their mean
        place, by weight.
    mean_pair_rmsd
        Å, between different members; NaN where one member has all the weight.
    nearest_pair_rmsd
        Å, of the two most similar members that have weight: 0 if one is there twice. NaN as
        above.
    n_effective
        1/Σw², 1 to the number of members.
    n_by_entropy
        exp(−Σ w ln w), not less than ``n_effective``.
    """

    rmsf: Float[np.ndarray, " n_atoms"]
    mean_pair_rmsd: float
    nearest_pair_rmsd: float
    n_effective: float
    n_by_entropy: float


def ensemble_spread(
    ensemble: Ensemble, selected: Bool[np.ndarray, " n_atoms"] | None = None
) -> Spread:
    """Measure the spread of the members about their mean and about each other.

    Parameters
    ----------
    ensemble
        Members in one frame, with weights.
    selected
        ``(n_atoms,)`` atoms that count. All by default.

    Raises
    ------
    InputError
        If no atom is selected, or the selection is not of the atoms.
    """
    chosen = np.ones(ensemble.n_atoms, dtype=bool) if selected is None else np.asarray(selected)
    if chosen.shape != (ensemble.n_atoms,) or not chosen.any():
        raise InputError(
            "the selection holds no atom, or is not one of the atoms",
            found=f"shape {chosen.shape}, {int(chosen.sum())} of {ensemble.n_atoms} atoms",
            fix="give a mask of the atoms with at least one of them",
        )
    weights = ensemble.weights
    coord = ensemble.coord[:, chosen].astype(float)
    apart = coord - np.tensordot(weights, coord, axes=1)
    rmsf = np.sqrt(np.einsum("m,mai,mai->a", weights, apart, apart))
    positive = weights > 0
    pair = pair_rmsd(coord[positive])
    first, second = np.triu_indices(len(pair), 1)
    shares = weights[positive]
    by_pair = shares[first] * shares[second]
    alone = len(first) == 0
    return Spread(
        rmsf,
        float("nan") if alone else float(by_pair @ pair[first, second] / by_pair.sum()),
        float("nan") if alone else float(pair[first, second].min()),
        float(1 / np.sum(weights**2)),
        float(np.exp(-np.sum(shares * np.log(shares)))),
    )


def pair_rmsd(
    coord: Float[np.ndarray, "n_members n_atoms 3"],
) -> Float[np.ndarray, "n_members n_members"]:
    """RMSD between all pairs of members in their common frame (Å).

    Parameters
    ----------
    coord
        ``(n_members, n_atoms, 3)`` Å.
    """
    rmsd = np.zeros((len(coord), len(coord)))
    for member in range(len(coord) - 1):
        apart = coord[member + 1 :] - coord[member]
        row = np.sqrt(np.einsum("mai,mai->m", apart, apart) / coord.shape[1])
        rmsd[member, member + 1 :] = rmsd[member + 1 :, member] = row
    return rmsd
