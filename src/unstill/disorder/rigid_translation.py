r"""Rigid translation: each molecule shifts as a whole, independently of all others.

.. math::
   I(\mathbf q) = \sum_m |F_m(\mathbf q)|^2 \left(1 - e^{-\mathbf q^T U_m \mathbf q}\right)

over the molecules m of the unit cell, exact for Gaussian shifts of mean square
U. Symmetry turns U with the molecule. For small U it becomes
:math:`|F_m|^2\, \mathbf q^T U \mathbf q`.

References
----------
Moore, P. B. (2009). On the relationship between diffraction patterns and
motions in macromolecular crystals. *Structure* 17, 1307–1315.
https://doi.org/10.1016/j.str.2009.08.015
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np

from unstill.crystal.hkl_grid import Triple
from unstill.disorder.cholesky import chained, factor, factor_parameters, free_entries
from unstill.disorder.displacement_field import independent
from unstill.disorder.model import Displacer, Parameter, Theta, encode
from unstill.disorder.transform import ModelAtoms
from unstill.shapes import Float, Integer, Matrix3

_SIGMA = Parameter("sigma", "Å", 0.4, 0.005, 3.0)


@dataclass(frozen=True, eq=False)
class RigidTranslation:
    r"""Rigid translations with one parameter σ (Å), or a tensor U (Å²).

    Parameters
    ----------
    atoms
        Average structure; its bodies move independently.
    anisotropic
        Six parameters U in the Cartesian frame of the asymmetric unit instead
        of :math:`U = \sigma^2 1`.
    first_order
        :math:`\mathbf q^T U \mathbf q\, e^{-\mathbf q^T U \mathbf q}` in place of
        :math:`1 - e^{-\mathbf q^T U \mathbf q}`.
    """

    atoms: ModelAtoms
    anisotropic: bool = False
    first_order: bool = False

    @property
    def name(self) -> str:
        """``"translation"``."""
        return "translation"

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """σ, or the entries of the Cholesky factor of U."""
        if not self.anisotropic:
            return (_SIGMA,)
        return factor_parameters(3, np.full(3, _SIGMA.start), largest=_SIGMA.upper)

    def theta(self, sigma: float | None = None, *, u: Matrix3 | None = None) -> Theta:
        """θ of σ (Å), or of a tensor U (Å²) where anisotropic."""
        if not self.anisotropic:
            return encode(self.parameters, {} if sigma is None else {"sigma": sigma})
        isotropic = np.eye(3) * (_SIGMA.start if sigma is None else sigma) ** 2
        return free_entries(isotropic if u is None else u)

    def starts(self) -> tuple[Theta, ...]:
        """One start; for a tensor also one long in each direction, as each may be a minimum."""
        if not self.anisotropic:
            return (self.theta(),)
        return self.theta(), *(self.theta(u=long) for long in elongated(_SIGMA.start))

    def report(self, theta: Theta) -> dict[str, float]:
        """σ (Å), the root mean square along an axis; where anisotropic also U (Å²)."""
        if not self.anisotropic:
            return {"sigma": _SIGMA.decode(theta[0])}
        u = self._tensor(theta)
        sigma = float(np.sqrt(np.trace(u) / 3))
        return {"sigma": sigma, **tensor_entries("U", u)}

    def prepare(
        self, index: Integer[np.ndarray, "points 3"], divisions: Triple
    ) -> PreparedTranslation:
        """Compute the molecular transforms once."""
        return PreparedTranslation(self, index, divisions)

    def displacer(self, theta: Theta, divisions: Triple) -> Displacer:
        """Independent shifts of all molecules."""
        covariance = np.zeros((6, 6))
        covariance[:3, :3] = self._tensor(theta)
        return RigidDisplacer.of(self.atoms, divisions, covariance)

    def _tensor(self, theta: Theta) -> Matrix3:
        lower = factor(theta, 3) if self.anisotropic else np.eye(3) * _SIGMA.decode(theta[0])
        tensor: np.ndarray = lower @ lower.T
        return tensor


class PreparedTranslation:
    """Rigid translations at fixed points; see :class:`RigidTranslation`."""

    def __init__(
        self, model: RigidTranslation, index: Integer[np.ndarray, "points 3"], divisions: Triple
    ) -> None:
        atoms = model.atoms
        hkl = index / np.array(divisions)
        q = atoms.crystal.q(hkl)
        copies = atoms.rotations[2]
        power = np.zeros((len(atoms.rotations[0]), len(index)))
        for body in atoms.each_body():
            for number, (_, transforms) in enumerate(body.molecular_transforms(index, divisions)):
                power[number] += copies * np.abs(transforms[0]) ** 2
        turned = np.einsum("pi,rij->rpj", q, atoms.rotations[1])
        if not model.anisotropic:
            # All orientations look alike: one is enough.
            power, turned = power.sum(axis=0)[None], turned[:1]
        self._model, self._power, self._q = model, power, turned
        self._independent = atoms.independent_scattering(atoms.crystal.s_squared(hkl))

    def intensity(self, theta: Theta) -> Float[np.ndarray, " points"]:
        """Diffuse intensity, e² per unit cell."""
        return self.with_jacobian(theta)[0]

    def with_jacobian(
        self, theta: Theta
    ) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, "n_parameters points"]]:
        """Diffuse intensity and its derivatives to θ."""
        model = self._model
        lower = factor(theta, 3) if model.anisotropic else np.eye(3) * np.exp(theta[0])
        projected = self._q @ lower
        x = np.einsum("rpi,rpi->rp", projected, projected)
        decay = np.exp(-x)
        share = x * decay if model.first_order else -np.expm1(-x)
        slope = (1 - x) * decay if model.first_order else decay
        intensity = np.einsum("rp,rp->p", self._power, share) + self._independent
        by_x = self._power * slope
        if not model.anisotropic:
            return intensity, 2 * (by_x * x).sum(axis=0)[None]
        # dx/dL_ij = 2 q_i (Lᵀq)_j.
        by_lower = 2 * np.einsum("rp,rpi,rpj->ijp", by_x, self._q, projected)
        return intensity, chained(by_lower, lower)

    def at(self, numbers: Integer[np.ndarray, " chosen"]) -> PreparedTranslation:
        """Return the same for some of the points."""
        some = copy(self)
        some._power, some._q = self._power[:, numbers], self._q[:, numbers]
        some._independent = self._independent[numbers]
        return some


@dataclass(frozen=True, eq=False)
class RigidDisplacer:
    """Draws t + ω × r for every molecule of a supercell.

    Parameters
    ----------
    bodies
        For each body of the asymmetric unit: which atoms, and their positions
        from its centre (Å).
    rotations
        Cartesian rotation of each operation.
    n_cells
        Unit cells.
    root
        ``(6, 6)`` square root of the covariance of (t, ω) in the frame of the
        molecule, Å and radians.
    own
        ``(n_asu_atoms,)`` variance of each atom's own displacement (Å²).
    """

    bodies: tuple[tuple[np.ndarray, Float[np.ndarray, "_ 3"]], ...]
    rotations: Float[np.ndarray, "operations 3 3"]
    n_cells: int
    root: Float[np.ndarray, "6 6"]
    own: Float[np.ndarray, " n_asu_atoms"]

    @classmethod
    def of(
        cls, atoms: ModelAtoms, divisions: Triple, covariance: Float[np.ndarray, "6 6"]
    ) -> RigidDisplacer:
        """Rigid bodies of a supercell."""
        values, vectors = np.linalg.eigh(covariance)
        bodies = tuple(
            (np.flatnonzero(atoms.bodies == number), body.coord - body.centre())
            for number, body in zip(np.unique(atoms.bodies), atoms.each_body(), strict=True)
        )
        return cls(
            bodies,
            atoms.operation_rotations(),
            int(np.prod(divisions)),
            vectors * np.sqrt(np.maximum(values, 0.0)),
            atoms.u_iso,
        )

    def __call__(self, rng: np.random.Generator) -> Float[np.ndarray, "n_atoms 3"]:
        """One draw (Å)."""
        n_operations = len(self.rotations)
        moved = np.empty((self.n_cells, n_operations, len(self.own), 3))
        for chosen, about_centre in self.bodies:
            drawn = rng.standard_normal((self.n_cells, n_operations, 6)) @ self.root.T
            turned = np.cross(drawn[..., None, 3:], about_centre)
            moved[:, :, chosen] = drawn[..., None, :3] + turned
        moved = np.einsum("oij,coaj->coai", self.rotations, moved)
        flat: np.ndarray = moved.reshape(-1, 3)
        own = independent(rng, np.tile(self.own, len(flat) // len(self.own)))
        total: np.ndarray = flat + own
        return total


def elongated(sigma: float) -> list[Matrix3]:
    """Tensors U of root mean square σ (Å), each three times longer along one axis."""
    squares = (1 + 8 * np.eye(3)) * 3 / 11
    return [np.diag(sigma**2 * row) for row in squares]


def tensor_entries(name: str, tensor: Matrix3, *, symmetric: bool = True) -> dict[str, float]:
    """Entries of a tensor by name: ``U11 … U23``, or all nine."""
    pairs = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
    every = tuple((i, j) for i in range(3) for j in range(3))
    return {
        f"{name}{i + 1}{j + 1}": float(tensor[i, j]) for i, j in (pairs if symmetric else every)
    }
