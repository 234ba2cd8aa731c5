r"""The Gaussian elastic network: a prior whose every answer is known exactly.

.. math::
   x \sim \mathcal N(x_{ref}, H^{-1}), \qquad
   D(x, \sigma) = x_{ref} + (1 + \sigma^2 H)^{-1} (x - x_{ref}), \qquad
   H = \sum_{ij} k_{ij} u_{ij} u_{ij}^T + \epsilon

Springs join atoms within a cut-off, stiff ones those that are bonded or one
bond apart; a weak anchor ε keeps rigid motion finite. It holds for motions of
an ångström; its worth is that samplers and guides can be held against it.

Source: Atilgan et al. (2001), https://doi.org/10.1016/S0006-3495(01)76033-X.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
import scipy.spatial

from unstill.errors import InputError
from unstill.shapes import Coord, Coords, Float

_KEPT = 8
_ONE_APART = 2.7


class ElasticPrior:
    """Exact Gaussian prior around a reference.

    Parameters
    ----------
    reference
        ``(n_atoms, 3)`` coordinates of least energy (Å).
    cutoff
        Distance (Å) up to which atoms are joined.
    stiffness
        Of a spring (kT/Å²).
    covalent
        Of springs between atoms closer than 2.7 Å, which are bonded or one bond apart (kT/Å²).
    anchor
        Of the spring that holds every atom in place (kT/Å²).

    Raises
    ------
    InputError
        If a coordinate is not finite, or a stiffness not positive.
    """

    def __init__(
        self,
        reference: Coord,
        *,
        cutoff: float = 7.0,
        stiffness: float = 1.0,
        covalent: float = 100.0,
        anchor: float = 0.1,
    ) -> None:
        reference = np.asarray(reference, dtype=float)
        if reference.ndim != 2 or reference.shape[1] != 3 or not np.isfinite(reference).all():
            raise InputError(
                "the reference of an elastic network needs finite coordinates",
                found=f"shape {reference.shape}",
                fix="give an array of shape (n_atoms, 3)",
            )
        if min(stiffness, covalent, anchor, cutoff) <= 0:
            raise InputError(
                "springs need positive stiffness and length",
                found=f"{stiffness:g}, {covalent:g}, {anchor:g} kT/Å² within {cutoff:g} Å",
                fix="give positive numbers",
            )
        self.reference = reference
        self._root = _root_of_hessian(reference, cutoff, stiffness, covalent, anchor)
        self.hessian = (self._root.T @ self._root).tocsc()
        self._solvers: OrderedDict[float, Any] = OrderedDict()

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.reference)

    def denoise(self, x: Coords, sigma: float) -> Coords:
        """Posterior mean of the clean coordinates, exact."""
        clean: np.ndarray = self.reference + self.pullback(x, sigma, x - self.reference)
        return clean

    def pullback(self, x: Coords, sigma: float, gradient: Coords) -> Coords:
        """Transposed Jacobian of ``denoise`` times a gradient; the Jacobian is symmetric."""
        del x
        flat = np.asarray(gradient, dtype=float).reshape(len(gradient), -1)
        solved: np.ndarray = self._solver(float(sigma)).solve(np.ascontiguousarray(flat.T)).T
        return np.ascontiguousarray(solved).reshape(gradient.shape)

    def sample(self, n_members: int, rng: np.random.Generator) -> Coords:
        """Independent members of the prior itself, exact."""
        # H = BᵀB, so that H⁻¹Bᵀz has the covariance H⁻¹.
        kicks = self._root.T @ rng.standard_normal((self._root.shape[0], n_members))
        moved: np.ndarray = scipy.sparse.linalg.splu(self.hessian).solve(kicks).T
        members: np.ndarray = self.reference + moved.reshape(n_members, self.n_atoms, 3)
        return members

    def sample_init(self, n_members: int, sigma: float, rng: np.random.Generator) -> Coords:
        """Members of the prior with noise of s.d. ``sigma`` (Å), exact."""
        clean = self.sample(n_members, rng)
        return clean + sigma * rng.standard_normal(clean.shape)

    def energy(self, x: Coords) -> Float[np.ndarray, " n_members"]:
        """Energy of every member (kT)."""
        moved = (np.asarray(x, dtype=float) - self.reference).reshape(len(x), -1)
        energy: np.ndarray = 0.5 * ((self._root @ moved.T) ** 2).sum(axis=0)
        return energy

    def variances(self) -> Float[np.ndarray, " modes"]:
        """Variances of the modes (Å²), the softest first; dense, for small molecules."""
        variances: np.ndarray = 1 / np.linalg.eigvalsh(self.hessian.toarray())
        return variances

    def _solver(self, sigma: float) -> Any:
        if sigma not in self._solvers:
            identity = scipy.sparse.identity(3 * self.n_atoms, format="csc")
            self._solvers[sigma] = scipy.sparse.linalg.splu(identity + sigma**2 * self.hessian)
            if len(self._solvers) > _KEPT:
                self._solvers.popitem(last=False)
        return self._solvers[sigma]


def _root_of_hessian(
    reference: np.ndarray, cutoff: float, stiffness: float, covalent: float, anchor: float
) -> Any:
    """B with H = BᵀB: a row a spring, then three an atom for the anchor."""
    n = len(reference)
    pairs = scipy.spatial.cKDTree(reference).query_pairs(cutoff, output_type="ndarray")
    pairs = pairs[np.lexsort(pairs.T[::-1])].reshape(-1, 2)
    apart = reference[pairs[:, 0]] - reference[pairs[:, 1]]
    length = np.linalg.norm(apart, axis=1)
    if (length < 1e-6).any():
        raise InputError(
            "two atoms stand at the same place",
            found=f"atoms {pairs[length < 1e-6][0].tolist()}",
            fix="keep one alternate location",
        )
    strength = np.where(length < _ONE_APART, covalent, stiffness)
    rows = np.sqrt(strength)[:, None] * apart / length[:, None]
    row = np.repeat(np.arange(len(pairs)), 3)
    column = (3 * pairs[:, :, None] + np.arange(3)).transpose(1, 0, 2).reshape(2, -1)
    springs = scipy.sparse.coo_array(
        (
            np.concatenate([rows.ravel(), -rows.ravel()]),
            (np.concatenate([row, row]), column.ravel()),
        ),
        shape=(len(pairs), 3 * n),
    )
    held = np.sqrt(anchor) * scipy.sparse.identity(3 * n)
    return scipy.sparse.vstack([springs, held]).tocsc()
