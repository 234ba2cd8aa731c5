r"""Rigid-body motion to first order: translation, libration and screw (TLS).

A molecule shifts by t and turns by ω about its centre, :math:`\mathbf u_j =
\mathbf t + \boldsymbol\omega \times \mathbf r_j`, with the 6 × 6 covariance C of
(t, ω), whose blocks are T, S and L. To first order in C,

.. math::
   I(\mathbf q) = \sum_m G_m^\dagger C\, G_m\; e^{-\mathbf q^T \bar U \mathbf q},
   \qquad
   G = \sum_j f_j e^{i\mathbf q\cdot\mathbf r_j}
   \begin{pmatrix} \mathbf q \\ \mathbf r_j \times \mathbf q \end{pmatrix},

with :math:`\bar U` the mean displacement tensor of the atoms. Good while
:math:`\mathbf q^T U \mathbf q` is below about 1; beyond that it falls off too fast.

References
----------
Schomaker, V. & Trueblood, K. N. (1968). *Acta Cryst.* B24, 63–76.
https://doi.org/10.1107/S0567740868001718
Van Benschoten, A. H. et al. (2015). Predicting X-ray diffuse scattering from
translation–libration–screw structural ensembles. *Acta Cryst.* D71, 1657–1667.
https://doi.org/10.1107/S1399004715007415
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unstill.crystal.hkl_grid import Triple
from unstill.disorder.cholesky import chained, factor, factor_parameters, free_entries
from unstill.disorder.model import Displacer, Parameter, Theta
from unstill.disorder.rigid_translation import RigidDisplacer, elongated, tensor_entries
from unstill.disorder.transform import ModelAtoms
from unstill.shapes import Complex, Float, Integer, Matrix3

_SIGMA, _LIBRATION = 0.3, 1.5
"""First guess: root-mean-square shift (Å) and turn (degrees) along and about an axis."""


@dataclass(frozen=True, eq=False)
class RigidBody:
    """Rigid-body TLS to first order, 21 parameters.

    The free parameters are the entries of the Cholesky factor of C, with the
    rotations times the radius of gyration, so that all are lengths of one size.
    The trace of S changes no intensity; it is reported as zero.

    Parameters
    ----------
    atoms
        Average structure; its bodies move independently, with the same C.
    debye_waller
        Whether the mean displacement damps the intensity. Without it C and the
        scale of the map cannot be told apart, and a fit says so.
    """

    atoms: ModelAtoms
    debye_waller: bool = True

    @property
    def name(self) -> str:
        """``"rigid-body"``."""
        return "rigid-body"

    @cached_property
    def radius(self) -> float:
        """Radius of gyration (Å): the lever that makes a turn a length."""
        second = np.zeros((3, 3))
        electrons = 0.0
        for body in self.atoms.each_body():
            second += second_moment(body) * body.electrons().sum()
            electrons += float(body.electrons().sum())
        return max(float(np.sqrt(np.trace(second) / electrons)), 1e-3)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Entries of the Cholesky factor of C (Å)."""
        turn = np.radians(_LIBRATION) * self.radius
        return factor_parameters(6, np.array([_SIGMA] * 3 + [turn] * 3), largest=5.0)

    def theta(
        self,
        sigma: float = _SIGMA,
        libration: float = _LIBRATION,
        *,
        translation: Matrix3 | None = None,
        libration_tensor: Matrix3 | None = None,
        screw: Matrix3 | None = None,
    ) -> Theta:
        """θ of isotropic motion, or of tensors.

        Parameters
        ----------
        sigma, libration
            Root-mean-square shift (Å) and turn (degrees), if no tensor is given.
        translation, libration_tensor, screw
            T (Å²), L (degrees²), S = ⟨ω tᵀ⟩ (Å degrees).
        """
        lever = np.pi / 180 * self.radius
        covariance = np.zeros((6, 6))
        covariance[:3, :3] = np.eye(3) * sigma**2 if translation is None else translation
        turns = np.eye(3) * libration**2 if libration_tensor is None else libration_tensor
        covariance[3:, 3:] = turns * lever**2
        if screw is not None:
            covariance[3:, :3] = screw * lever
            covariance[:3, 3:] = covariance[3:, :3].T
        return free_entries(covariance)

    def starts(self) -> tuple[Theta, ...]:
        """One isotropic start, and one long in each direction, as each may be a minimum."""
        return self.theta(), *(self.theta(translation=long) for long in elongated(_SIGMA))

    def report(self, theta: Theta) -> dict[str, float]:
        """σ (Å), libration (degrees), T (Å²), L (degrees²), S (Å degrees, traceless)."""
        covariance = self.covariance(theta)
        degrees = 180 / np.pi
        t, l = covariance[:3, :3], covariance[3:, 3:] * degrees**2
        s = covariance[3:, :3] * degrees
        s = s - np.eye(3) * np.trace(s) / 3
        return {
            "sigma": float(np.sqrt(np.trace(t) / 3)),
            "libration": float(np.sqrt(np.trace(l) / 3)),
            **tensor_entries("T", t),
            **tensor_entries("L", l),
            **tensor_entries("S", s, symmetric=False),
        }

    def covariance(self, theta: Theta) -> Float[np.ndarray, "6 6"]:
        """C of (t, ω) in Å and radians, in the frame of the asymmetric unit."""
        lower = factor(theta, 6)
        lower[3:] /= self.radius
        covariance: np.ndarray = lower @ lower.T
        return covariance

    def prepare(
        self, index: Integer[np.ndarray, "points 3"], divisions: Triple
    ) -> PreparedRigidBody:
        """Compute the molecular transforms and their moments once."""
        return PreparedRigidBody(self, index, divisions)

    def displacer(self, theta: Theta, divisions: Triple) -> Displacer:
        """Independent shifts and turns (linearised) of all molecules."""
        return RigidDisplacer.of(self.atoms, divisions, self.covariance(theta))


@dataclass(frozen=True, eq=False)
class _Orientation:
    """One body in one orientation: G (6 × points), and what Ū needs."""

    g: Complex[np.ndarray, "6 points"]
    q: Float[np.ndarray, "points 3"]
    lever: Float[np.ndarray, "points 3 3"]


class PreparedRigidBody:
    """Rigid-body motion at fixed points; see :class:`RigidBody`."""

    def __init__(
        self, model: RigidBody, index: Integer[np.ndarray, "points 3"], divisions: Triple
    ) -> None:
        atoms = model.atoms
        hkl = index / np.array(divisions)
        q = atoms.crystal.q(hkl)
        self._model = model
        self._independent = atoms.independent_scattering(atoms.crystal.s_squared(hkl))
        self._orientations: list[_Orientation] = []
        scale = np.sqrt(atoms.rotations[2])
        for body in atoms.each_body():
            moment = second_moment(body) / model.radius**2
            for rotation, transforms in body.molecular_transforms(index, divisions, moments=True):
                # The molecule, at rest in its own frame, sees q turned back: q_m = Mᵀq.
                seen = q @ rotation
                turning = np.cross(transforms[1:].T, seen) / model.radius
                shifting = transforms[0][:, None] * seen
                g = scale * np.concatenate([shifting, turning], axis=1).T
                crossed = _cross_matrix(seen)
                lever = crossed @ moment @ np.swapaxes(crossed, 1, 2)
                self._orientations.append(_Orientation(np.ascontiguousarray(g), seen, lever))

    def intensity(self, theta: Theta) -> Float[np.ndarray, " points"]:
        """Diffuse intensity, e² per unit cell."""
        lower = factor(theta, 6)
        total = self._independent.copy()
        for one in self._orientations:
            power = np.sum(np.abs(lower.T @ one.g) ** 2, axis=0)
            total += power * np.exp(-self._mean_square(one, lower))
        return total

    def with_jacobian(
        self, theta: Theta
    ) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, "21 points"]]:
        """Diffuse intensity and its derivatives to θ."""
        lower = factor(theta, 6)
        total = self._independent.copy()
        by_lower = np.zeros((6, 6, len(total)))
        for one in self._orientations:
            projected = lower.T @ one.g
            damping = np.exp(-self._mean_square(one, lower))
            damped = np.sum(np.abs(projected) ** 2, axis=0) * damping
            total += damped
            # d|Lᵀ G|²/dL_ij = 2 Re G_i* (LᵀG)_j; only i ≥ j is free.
            for j in range(6):
                by_lower[j:, j] += 2 * damping * np.real(one.g[j:].conj() * projected[j])
            if self._model.debye_waller:
                by_lower -= damped * self._mean_square_slope(one, lower)
        return total, chained(by_lower, lower)

    def at(self, numbers: Integer[np.ndarray, " chosen"]) -> PreparedRigidBody:
        """Return the same for some of the points."""
        some = copy(self)
        some._independent = self._independent[numbers]
        some._orientations = [
            _Orientation(one.g[:, numbers], one.q[numbers], one.lever[numbers])
            for one in self._orientations
        ]
        return some

    def _mean_square(self, one: _Orientation, lower: np.ndarray) -> np.ndarray:
        """qᵀ Ū q, Ū the mean over the atoms."""
        if not self._model.debye_waller:
            return np.zeros(len(one.q))
        shifts = one.q @ lower[:3]
        turns = np.einsum("aj,pab,bj->p", lower[3:], one.lever, lower[3:], optimize=True)
        mean_square: np.ndarray = np.sum(shifts**2, axis=1) + turns
        return mean_square

    def _mean_square_slope(self, one: _Orientation, lower: np.ndarray) -> np.ndarray:
        slope = np.zeros((6, 6, len(one.q)))
        slope[:3] = 2 * one.q.T[:, None, :] * (one.q @ lower[:3]).T[None]
        slope[3:] = 2 * np.einsum("pab,bj->ajp", one.lever, lower[3:])
        return slope


def second_moment(body: ModelAtoms) -> Matrix3:
    """⟨r rᵀ⟩ about the centre, weighted by electrons (Å²)."""
    about_centre = body.coord - body.centre()
    weights = body.electrons()
    moment: np.ndarray = (about_centre.T * weights) @ about_centre / weights.sum()
    return moment


def _cross_matrix(q: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 3 3"]:
    """[q]×, so that [q]× r = q × r."""
    matrix = np.zeros((len(q), 3, 3))
    matrix[:, 0, 1], matrix[:, 0, 2], matrix[:, 1, 2] = -q[:, 2], q[:, 1], -q[:, 0]
    matrix[:, 1, 0], matrix[:, 2, 0], matrix[:, 2, 1] = q[:, 2], -q[:, 1], q[:, 0]
    return matrix
