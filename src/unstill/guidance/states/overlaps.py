r"""How much the densities of candidates overlap, to a resolution.

.. math::
   \int \rho_i \rho_j\, dV = \sum_{g h} a_{ig} a_{jh}\,
   T\big(b_{ig} + b_{jh} + B_i + B_j,\; |r_i - r_j|\big), \qquad
   T(\beta, r) = \int_0^{1/d} 4\pi s^2\, e^{-\beta s^2/4}\,
   \frac{\sin 2\pi s r}{2\pi s r}\, ds

by Parseval, for form factors that are sums of Gaussians; T is tabulated. What
atoms do to each other farther away than two resolutions is left out.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
import scipy.spatial

from unstill.compiled import kernel
from unstill.crystal import Crystal
from unstill.guidance.priors.mates import mates_near
from unstill.scattering.few_gaussians import few_gaussians
from unstill.shapes import Coords, Int, PerAtom

_TOLERANCE = 0.01
_REACH = 2.0
"""Resolutions within which atoms overlap."""
_WIDTHS, _STEPS, _NODES = 96, 96, 48
"""Of the table in β and r, and of its quadrature."""


def candidate_overlaps(
    candidates: Coords,
    group: Int[np.ndarray, " n_atoms"],
    element: np.ndarray,
    amount: PerAtom,
    b_factor: PerAtom,
    d_min: float,
    *,
    crystal: Crystal | None = None,
    electron: bool = False,
) -> scipy.sparse.csr_array:
    """Overlaps of the densities of groups of atoms in every one of their candidates.

    Parameters
    ----------
    candidates
        ``(n_candidates, n_atoms, 3)`` places of the atoms (Å).
    group
        ``(n_atoms,)`` numbers from 0: atoms of a group are in the same candidate.
    element, amount, b_factor
        ``(n_atoms,)`` symbols, occupancies and B (Å²).
    d_min
        Resolution (Å).
    crystal
        With it, symmetry mates overlap too: those of one candidate with those of the others.
    electron
        Scattering of electrons.

    Returns
    -------
    scipy.sparse.csr_array
        ``(n_groups n_candidates, n_groups n_candidates)``, group by group, symmetric: the
        integral of the product of both densities over the asymmetric unit, in squared
        electrons (Å² for electrons) per Å³.
    """
    n_candidates, n_atoms, _ = candidates.shape
    n_all = (int(group.max()) + 1) * n_candidates
    places = candidates.reshape(-1, 3)
    owner = (group[None] * n_candidates + np.arange(n_candidates)[:, None]).ravel()
    height, width = few_gaussians(element, d_min, _TOLERANCE, electron=electron)
    height = height * amount[:, None]
    width = width + b_factor[:, None]
    table, widest, farthest = _table(float(width.max()), d_min)
    atom = np.tile(np.arange(n_atoms), n_candidates)
    total = scipy.sparse.csr_array((n_all, n_all))
    for image, source in _images(places, atom, crystal, candidates[0], farthest):
        tree = scipy.spatial.cKDTree(image)
        # One candidate at a time, so that the list of pairs stays short.
        for own in np.arange(len(places)).reshape(n_candidates, n_atoms):
            near = scipy.spatial.cKDTree(places[own]).sparse_distance_matrix(
                tree, farthest, output_type="ndarray"
            )
            first, second = own[near["i"]], source[near["j"]]
            values = np.empty(len(near))
            _overlaps(
                atom[first],
                atom[second],
                near["v"],
                height,
                width,
                table,
                widest,
                farthest,
                values,
            )
            entries = (values, (owner[first], owner[second]))
            total = total + scipy.sparse.coo_array(entries, shape=(n_all, n_all)).tocsr()
    # The matrix is symmetric but for rounding.
    return scipy.sparse.csr_array((total + total.T) / 2)


def _images(
    places: np.ndarray,
    atom: np.ndarray,
    crystal: Crystal | None,
    reference: np.ndarray,
    reach: float,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Places (Å) of the candidates and of their mates near them, with whose they are."""
    found = [(places, np.arange(len(places)))]
    if crystal is None:
        return found
    # Candidates stray from the reference by a few Å.
    for rotation, shift, atoms in mates_near(reference, crystal, reach + 4.0):
        source = np.flatnonzero(np.isin(atom, atoms))
        found.append((places[source] @ rotation.T + shift, source))
    return found


def _table(widest: float, d_min: float) -> tuple[np.ndarray, float, float]:
    """T over β and r, with the largest β and r (Å² and Å)."""
    most, farthest = 2 * widest, _REACH * max(d_min, 1.5)
    nodes, shares = np.polynomial.legendre.leggauss(_NODES)
    s = (nodes + 1) / (2 * d_min)
    share = shares / (2 * d_min) * 4 * np.pi * s**2
    r = np.linspace(0, farthest, _STEPS)
    beta = np.linspace(0, 1, _WIDTHS) ** 2 * most
    damping = np.exp(-beta[:, None] * s**2 / 4) * share
    return damping @ np.sinc(2 * s[:, None] * r), most, farthest


@kernel
def _overlaps(
    first: np.ndarray,
    second: np.ndarray,
    apart: np.ndarray,
    height: np.ndarray,
    width: np.ndarray,
    table: np.ndarray,
    widest: float,
    farthest: float,
    values: np.ndarray,
) -> None:
    n_widths, n_steps = table.shape
    for p in range(len(first)):
        i, j = first[p], second[p]
        r = apart[p] / farthest * (n_steps - 1)
        column = min(int(r), n_steps - 2)
        v = r - column
        total = 0.0
        for g in range(height.shape[1]):
            for h in range(height.shape[1]):
                b = np.sqrt((width[i, g] + width[j, h]) / widest) * (n_widths - 1)
                row = min(int(b), n_widths - 2)
                u = b - row
                low = (1 - v) * table[row, column] + v * table[row, column + 1]
                high = (1 - v) * table[row + 1, column] + v * table[row + 1, column + 1]
                total += height[i, g] * height[j, h] * ((1 - u) * low + u * high)
        values[p] = total
