r"""The geometry prior: the nearest coordinates that are good chemistry.

.. math::
   D(x, \sigma) = \arg\min_y\; |y - x|^2 / 2\sigma^2 + U(y)

U holds bonds, distances of 1–3 and planar 1–4 atoms, flat groups and signed chiral
volumes, each as half its squared deviation in standard deviations; atoms that are
not bonded repel, their symmetry mates too; and a loose network of springs that
give way keeps the fold. It is a maximum, not a mean, as in DiffPIR (Zhu et al. 2023,
https://doi.org/10.48550/arXiv.2305.08995). The minimum is found by proximal steps of
sweeps, see ``geometry_kernels``.
"""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from unstill.chemistry.restraints import GeometryRestraints
from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.guidance.priors.contacts import Contacts, find_contacts
from unstill.guidance.priors.geometry_kernels import sweep, turn_over
from unstill.guidance.priors.geometry_terms import GeometryTerms, anchor_network
from unstill.parallel import cpu_count
from unstill.shapes import Bool, Coord, Coords, Float

_LONGEST_STEP = 0.5
"""Å that atoms may go in a proximal step, as a standard deviation."""
_KEPT = 64


class GeometryPrior:
    """Restraints, repulsion and a loose network around a reference.

    Equivariant under translation and rotation of ``x`` for σ of a few tenths of Å; with
    much noise it begins from the smoothed displacement from the reference, in its frame.

    Parameters
    ----------
    restraints
        From :func:`unstill.chemistry.restraints.build_restraints`.
    element
        ``(n_atoms,)`` symbols.
    reference
        ``(n_atoms, 3)`` coordinates of the model (Å), in the frame of the data.
    network_stiffness
        Of a spring of the network (kT/Å²).
    network_cutoff
        Distance (Å) up to which atoms of the network are joined.
    network_reach
        Deviation (Å) beyond which a spring pulls no harder.
    contact_sigma
        Standard deviation (Å) of contacts that are too short.
    crystal
        Repels symmetry mates, if given.
    movable
        ``(n_atoms,)``; the others stay at the reference, and repel. All, if not given.
    n_sweeps
        Sweeps a proximal step.
    n_steps
        Proximal steps.
    n_threads
        Members at a time; as many as processors, if not given. The bits do not depend on it.

    Raises
    ------
    InputError
        If shapes differ, a coordinate is not finite or a parameter not positive.
    """

    def __init__(
        self,
        restraints: GeometryRestraints,
        element: np.ndarray,
        reference: Coord,
        *,
        network_stiffness: float = 0.5,
        network_cutoff: float = 9.0,
        network_reach: float = 1.0,
        contact_sigma: float = 0.1,
        crystal: Crystal | None = None,
        movable: Bool[np.ndarray, " n_atoms"] | None = None,
        n_sweeps: int = 12,
        n_steps: int = 4,
        n_threads: int | None = None,
    ) -> None:
        reference = np.array(reference, dtype=float)
        n = restraints.n_atoms
        movable = np.ones(n, dtype=bool) if movable is None else np.array(movable, dtype=bool)
        if reference.shape != (n, 3) or len(element) != n or movable.shape != (n,):
            raise InputError(
                "restraints, elements, reference and movable atoms differ in number",
                found=f"{n}, {len(element)}, {reference.shape} and {movable.shape}",
                fix="give them for the same atoms",
            )
        if not np.isfinite(reference).all():
            raise InputError(
                "the reference has coordinates that are not finite",
                found=f"{int((~np.isfinite(reference)).any(axis=1).sum())} atoms",
                fix="leave those atoms out",
            )
        numbers = (network_stiffness, network_cutoff, network_reach, contact_sigma)
        whole = (n_sweeps, n_steps, n_threads or 1)
        if not (np.isfinite(numbers).all() and min(numbers) > 0 and min(whole) >= 1):
            raise InputError(
                "the geometry prior needs positive parameters",
                found=f"{numbers}, sweeps, steps and threads {whole}",
                fix="give positive numbers",
            )
        self.restraints, self.reference, self.movable = restraints, reference, movable
        self.n_sweeps, self.n_steps = n_sweeps, n_steps
        self.n_threads = n_threads or cpu_count()
        self._contact_variance = contact_sigma**2
        self._network = anchor_network(restraints, reference, network_cutoff)
        self._terms = GeometryTerms.of(
            restraints, reference, self._network, network_stiffness, network_reach
        )
        self._contacts = Contacts.of(restraints, self._terms.pairs, element, reference, crystal)
        self._laplacian = self._terms.laplacian(n)
        self._solvers: OrderedDict[float, Any] = OrderedDict()

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.reference)

    def denoise(self, x: Coords, sigma: float) -> Coords:
        """Clean coordinates (Å) of members with noise of s.d. ``sigma`` (Å); ``x`` if it is 0.

        Raises
        ------
        InputError
            If the shape is wrong, or coordinates or the noise are not finite.
        """
        x = self._checked(x)
        if not (np.isfinite(sigma) and sigma >= 0):
            raise InputError("the noise level is no length", found=sigma, fix="give 0 or more")
        if sigma == 0:
            return self._held(x)
        start = self._smoothed(x, float(sigma))
        jobs = list(zip(x, start, strict=True))
        if self.n_threads == 1 or len(jobs) == 1:
            return np.stack([self._settled(a, b, float(sigma)) for a, b in jobs])
        with ThreadPoolExecutor(min(self.n_threads, len(jobs))) as pool:
            done = pool.map(lambda job: self._settled(job[0], job[1], float(sigma)), jobs)
            return np.stack(list(done))

    def idealise(self, x: Coords, sigma: float = 0.1) -> Coords:
        """Coordinates of good geometry next to ``x``: the last step of a guided run."""
        return self.denoise(x, sigma)

    def sample_init(self, n_members: int, sigma: float, rng: np.random.Generator) -> Coords:
        """Members at the reference with noise of s.d. ``sigma`` (Å) where atoms may move."""
        noise = sigma * rng.standard_normal((n_members, self.n_atoms, 3))
        members: np.ndarray = self.reference + noise * self.movable[:, None]
        return members

    def energy(self, x: Coords) -> Float[np.ndarray, " n_members"]:
        """U of every member (kT)."""
        x = self._checked(x)
        energy = np.empty(len(x))
        for k, y in enumerate(x):
            near = find_contacts(self._contacts, y)
            energy[k] = self._terms.energy(y) + near.energy(y, self._contact_variance)
        return energy

    def _settled(self, x: np.ndarray, start: np.ndarray, sigma: float) -> np.ndarray:
        """One member: proximal steps from ``start`` towards ``x``."""
        terms, r = self._terms, self.restraints
        y = self._held(start[None])[0]
        # A step goes no further than a bond can follow; short of it, steps are of the noise.
        share = 1 / (1 + (sigma / _LONGEST_STEP) ** 2)
        mobility = np.where(self.movable, sigma**2 * share, 0.0)
        near = None
        for step in range(self.n_steps):
            turn_over(y, mobility, r.chirals, r.volumes)
            if near is None or step % 2 == 0:
                near = find_contacts(self._contacts, y)
            y += (x - y) * share * self.movable[:, None]
            turn_over(y, mobility, r.chirals, r.volumes)
            sweep(
                y,
                mobility,
                terms.pairs,
                terms.target,
                terms.variance,
                terms.most,
                terms.fours,
                terms.volume,
                terms.volume_variance,
                near.pairs,
                near.least,
                self._contact_variance,
                near.mates,
                near.mate_least,
                near.turns,
                near.shifts,
                self.n_sweeps,
            )
        return y

    def _smoothed(self, x: np.ndarray, sigma: float) -> np.ndarray:
        """Reference plus the displacement of x that neighbours share."""
        if sigma not in self._solvers:
            matrix = scipy.sparse.identity(self.n_atoms) + sigma**2 * self._laplacian
            self._solvers[sigma] = scipy.sparse.linalg.splu(matrix.tocsc())
            if len(self._solvers) > _KEPT:
                self._solvers.popitem(last=False)
        moved = (x - self.reference) * self.movable[:, None]
        columns = np.ascontiguousarray(moved.transpose(1, 0, 2).reshape(self.n_atoms, -1))
        solved = self._solvers[sigma].solve(columns).reshape(self.n_atoms, len(x), 3)
        start: np.ndarray = self.reference + solved.transpose(1, 0, 2)
        return start

    def _held(self, x: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.where(self.movable[:, None], x, self.reference))

    def _checked(self, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        if x.ndim != 3 or x.shape[1:] != self.reference.shape or not np.isfinite(x).all():
            raise InputError(
                "members need finite coordinates of every atom of the prior",
                found=f"shape {x.shape}, {int((~np.isfinite(x)).sum())} numbers not finite",
                fix=f"give an array of shape (n_members, {self.n_atoms}, 3)",
            )
        return x
