r"""How far the places of a residue's atoms spread, over members and alternate locations.

.. math::
   \mathrm{RMSF}^2 = \frac1{n_{sites}}\sum_{site}\sum_k p_k |x_k - \bar x|^2,
   \qquad p_k = w_m o_k \Big/ \sum w_m o_k

where k runs over the members m and the alternate locations of the site (an atom name of the
residue), and :math:`o_k` is the occupancy.
"""

from __future__ import annotations

import numpy as np

from unstill.ensembles import Ensemble
from unstill.shapes import Float
from unstill.validation.residue_table import ResidueTable


def residue_rmsf(ensemble: Ensemble, residues: ResidueTable) -> Float[np.ndarray, " n_residues"]:
    """Root mean square spread of each residue's heavy atoms (Å); NaN where none has occupancy.

    Parameters
    ----------
    ensemble
        Members in one frame, with weights.
    residues
        Its rows.
    """
    heavy = np.flatnonzero(~np.isin(ensemble.element, ["H", "D"]))
    names, name = np.unique(
        np.asarray(ensemble.atoms.atom_name, dtype=str)[heavy], return_inverse=True
    )
    row = residues.of_atom[heavy]
    _, first, site = np.unique(
        row * len(names) + name.reshape(-1), return_index=True, return_inverse=True
    )
    n_sites = len(first)
    # Relative to one atom of the site: squares of large numbers would lose digits.
    centre = ensemble.coord[0, heavy[first]].astype(float)
    occupancy = np.broadcast_to(ensemble.occupancy, (ensemble.n_members, ensemble.n_atoms))
    total, mean, square = np.zeros(n_sites), np.zeros((n_sites, 3)), np.zeros(n_sites)
    for member, weight in enumerate(ensemble.weights):
        share = weight * occupancy[member, heavy]
        apart = ensemble.coord[member, heavy].astype(float) - centre[site]
        total += np.bincount(site, share, n_sites)
        square += np.bincount(site, share * np.einsum("ai,ai->a", apart, apart), n_sites)
        for axis in range(3):
            mean[:, axis] += np.bincount(site, share * apart[:, axis], n_sites)
    there = total > 0
    mean[there] /= total[there, None]
    square[there] /= total[there]
    variance = np.maximum(square - np.einsum("si,si->s", mean, mean), 0.0)
    of_site = row[first][there]
    count = np.bincount(of_site, minlength=residues.n)
    summed = np.bincount(of_site, variance[there], minlength=residues.n)
    rmsf = np.full(residues.n, np.nan)
    rmsf[count > 0] = np.sqrt(summed[count > 0] / count[count > 0])
    return rmsf
