r"""The geometry prior: the nearest coordinates that chemistry allows.

.. math::
   D(x, \sigma) = \arg\min_y\; \sum_j |y_j - x_j|^2 / 2\sigma^2 + U(y)

U holds bonds, angles (as distances), flat groups and signed volumes to their
targets, keeps atoms apart that are not bonded, symmetry mates included, and
ties one atom of every residue loosely to its neighbours in the reference, so
that a fold stays a fold while side chains and loops are free. It is the most
probable answer and not the mean, as in plug-and-play methods; it belongs with
:class:`~unstill.guidance.samplers.Renoise`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import scipy.spatial

from unstill.chemistry.radii import are_metals, vdw_radii
from unstill.chemistry.restraints import GeometryRestraints
from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.guidance.priors.mates import mates_near
from unstill.guidance.priors.relax import hold_distances, hold_volumes, keep_apart, not_listed
from unstill.guidance.priors.springs import Springs
from unstill.parallel.cpu import cpu_count
from unstill.shapes import Bool, Coord, Coords, Float, Int

_FREE, _HYDROGEN_BOND = 0.38, 0.2
"""Å that atoms may overlap, a little less than a clash, and what hydrogen bonds add."""
_UNITED = 0.2
_SKIN = 0.8
"""Å added to contacts when they are listed, for what moves between two lists."""
_BOND_REACH, _METAL_REACH = 2.0, 3.0
"""Å within which atoms of the reference are bonded, or one of them is a metal's ligand."""
_VOLUME_SIGMA = 0.15
_PLANAR_SIGMA = 0.03
_LEAST = 1e-3
_MATES = 8.0
"""Å within which symmetry mates matter."""


@dataclass(frozen=True, eq=False)
class ContactRadii:
    """How near atoms may come that are not bonded.

    Two atoms may overlap by 0.4 Å, by 0.6 Å if one can give the other a
    hydrogen bond: where :mod:`unstill.validation.clashscore` begins to count.

    Parameters
    ----------
    radius
        ``(n_atoms,)`` Å.
    acceptor
        ``(n_atoms,)`` N, O and S.
    donor
        ``(n_atoms,)`` hydrogens on these; none where hydrogens are in the radii of carbons.
    """

    radius: Float[np.ndarray, " n_atoms"]
    acceptor: Bool[np.ndarray, " n_atoms"]
    donor: Bool[np.ndarray, " n_atoms"]


def united_radii(element: np.ndarray, restraints: GeometryRestraints) -> ContactRadii:
    """Radii of heavy atoms that stand for their hydrogens too.

    Carbons that have a place for a hydrogen are wider by 0.2 Å, about what those of a CH₂ add
    to the mean of its directions; the finish has explicit hydrogens.

    Parameters
    ----------
    element
        ``(n_atoms,)`` symbols.
    restraints
        Bonds and planes of the atoms.
    """
    symbol = np.char.upper(np.asarray(element, dtype=str))
    n_bonds = np.bincount(restraints.bonds.ravel().astype(int), minlength=len(symbol))
    flat = np.zeros(len(symbol), dtype=bool)
    flat[restraints.planes[:, 0].astype(int)] = True
    bare = (flat & (n_bonds >= 3)) | (n_bonds >= 4)
    radius = vdw_radii(symbol) + _UNITED * ((symbol == "C") & ~bare)
    nothing = np.zeros(len(symbol), dtype=bool)
    return ContactRadii(radius, np.isin(symbol, ["N", "O", "S"]), nothing)


class GeometryPrior:
    """A denoiser that knows the chemistry of a molecule and where it began.

    Parameters
    ----------
    restraints
        Of the atoms, from :func:`unstill.chemistry.restraints.build_restraints`.
    element
        ``(n_atoms,)`` symbols, for radii.
    reference
        ``(n_atoms, 3)`` where the molecule began (Å).
    springs
        Distances held besides, such as :func:`fold_springs`; none by default.
    contacts
        Radii; those of heavy atoms with their hydrogens by default.
    crystal
        With it, symmetry mates keep their distance too.
    movable
        ``(n_atoms,)`` False for atoms that stand still at the reference. All move by default.
    contact_sigma
        Standard deviation of contacts (Å).
    n_sweeps
        Over all constraints, at most.

    Raises
    ------
    InputError
        If restraints and coordinates have different atoms.
    """

    def __init__(
        self,
        restraints: GeometryRestraints,
        element: np.ndarray,
        reference: Coord,
        *,
        springs: Springs | None = None,
        contacts: ContactRadii | None = None,
        crystal: Crystal | None = None,
        movable: Bool[np.ndarray, " n_atoms"] | None = None,
        contact_sigma: float = 0.1,
        n_sweeps: int = 40,
    ) -> None:
        self.reference = np.asarray(reference, dtype=float)
        if self.reference.shape != (restraints.n_atoms, 3) or len(element) != restraints.n_atoms:
            raise InputError(
                "restraints and coordinates have different atoms",
                found=f"{restraints.n_atoms} restrained, {len(element)} elements, coordinates of "
                f"shape {self.reference.shape}",
                fix="build the restraints from the same atoms",
            )
        self.restraints = restraints
        self.movable = np.ones(len(element), dtype=bool) if movable is None else movable
        self._distances = _distances(restraints, springs)
        # A plane is a centre whose volume is nothing.
        self._fours = np.concatenate([restraints.planes, restraints.chirals]).astype(int)
        self._volumes = np.concatenate([np.zeros(len(restraints.planes)), restraints.volumes])
        self._radii = contacts or united_radii(element, restraints)
        bonded = _bonded(np.asarray(element, dtype=str), self.reference)
        self._starts, self._partners = _excluded(restraints, bonded)
        self._contact_sigma, self._n_sweeps = contact_sigma, n_sweeps
        self._mates = [] if crystal is None else mates_near(self.reference, crystal, _MATES)

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.reference)

    def sample_init(self, n_members: int, sigma: float, rng: np.random.Generator) -> Coords:
        """Return copies of the reference with noise of s.d. ``sigma`` (Å) where atoms move."""
        noise = sigma * rng.standard_normal((n_members, self.n_atoms, 3))
        members: np.ndarray = self.reference + noise * self.movable[:, None]
        return members

    def denoise(self, x: Coords, sigma: float) -> Coords:
        """Nearest coordinates that chemistry allows, for noise of s.d. ``sigma`` (Å)."""
        x = np.where(self.movable[:, None], x, self.reference)
        with ThreadPoolExecutor(min(len(x), cpu_count())) as pool:
            found = list(pool.map(lambda member: self._relaxed(member, max(sigma, _LEAST)), x))
        return np.stack(found)

    def energy(self, x: Coords) -> Float[np.ndarray, " n_members"]:
        """U of every member (kT); the network included, symmetry mates too."""
        return np.array([self._energy(np.asarray(member, dtype=float)) for member in x])

    def _relaxed(self, x: np.ndarray, sigma: float) -> np.ndarray:
        y = np.array(x, dtype=float)
        variance = sigma**2 * self.movable
        held = self._distances
        compliance = held.sigma**2
        multiplier = np.zeros(len(held.pairs))
        turned = np.zeros(len(self._volumes))
        listed = max(1, self._n_sweeps // 4)
        volume_variance = _VOLUME_SIGMA**2
        contacts = _Contacts.none()
        for sweep in range(self._n_sweeps):
            if sweep % listed == 0:
                contacts = self._contacts(y, variance)
            hold_distances(
                y, variance, held.pairs, held.lengths, compliance, held.most, multiplier
            )
            hold_volumes(
                y, variance, self._fours, self._volumes, volume_variance,
                turned,
            )  # fmt: skip
            both = np.concatenate([y, contacts.still]) if len(contacts.still) else y
            keep_apart(
                both, contacts.variance, contacts.pairs, contacts.nearest,
                self._contact_sigma**2, contacts.multiplier,
            )  # fmt: skip
            if both is not y:
                y = np.ascontiguousarray(both[: self.n_atoms])
        return y

    def _contacts(self, y: np.ndarray, variance: np.ndarray) -> _Contacts:
        radii = self._radii
        reach = 2 * float(radii.radius.max()) - _FREE + _SKIN
        pairs = scipy.spatial.cKDTree(y).query_pairs(reach, output_type="ndarray")
        pairs = pairs[not_listed(pairs, self._starts, self._partners)]
        still, owner = self._images(y)
        if len(still):
            # Only movable atoms near an image matter; images stand still until the next list.
            near = scipy.spatial.cKDTree(still).query_ball_point(y, reach)
            own = np.repeat(np.arange(len(y)), [len(found) for found in near])
            other = np.concatenate([np.asarray(found, dtype=int) for found in near])
            pairs = np.concatenate([pairs, np.stack([own, self.n_atoms + other], axis=1)])
        pairs = pairs[np.lexsort(pairs.T[::-1])]
        source = np.concatenate([np.arange(self.n_atoms), owner])[pairs]
        nearest = radii.radius[source].sum(axis=1) - _FREE
        acceptor, donor = radii.acceptor[source], radii.donor[source]
        bonds = (acceptor | donor).all(axis=1) & acceptor.any(axis=1)
        nearest -= _HYDROGEN_BOND * bonds
        apart = np.linalg.norm(
            np.concatenate([y, still])[pairs[:, 0]] - np.concatenate([y, still])[pairs[:, 1]],
            axis=1,
        )
        kept = apart < nearest + _SKIN
        return _Contacts(
            np.ascontiguousarray(pairs[kept]),
            nearest[kept],
            still,
            np.concatenate([variance, np.zeros(len(still))]),
            np.zeros(int(kept.sum())),
        )

    def _images(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Symmetry mates near the molecule: places (Å) and whose they are."""
        if not self._mates:
            return np.zeros((0, 3)), np.zeros(0, dtype=int)
        parts, owners = [], []
        for rotation, shift, atoms in self._mates:
            parts.append(y[atoms] @ rotation.T + shift)
            owners.append(atoms)
        return np.concatenate(parts), np.concatenate(owners)

    def _energy(self, x: np.ndarray) -> float:
        held = self._distances
        length = np.linalg.norm(x[held.pairs[:, 0]] - x[held.pairs[:, 1]], axis=1)
        off = np.abs(length - held.lengths)
        force = np.minimum(off / held.sigma**2, held.most)
        total = float((force * (off - 0.5 * force * held.sigma**2)).sum())
        corners = x[self._fours]
        u, v, w = (corners[:, k] - corners[:, 0] for k in (1, 2, 3))
        volume = (u * np.cross(v, w)).sum(axis=1)
        total += 0.5 * float((((volume - self._volumes) / _VOLUME_SIGMA) ** 2).sum())
        contacts = self._contacts(x, np.zeros(self.n_atoms))
        both = np.concatenate([x, contacts.still])
        apart = np.linalg.norm(both[contacts.pairs[:, 0]] - both[contacts.pairs[:, 1]], axis=1)
        into = np.maximum(contacts.nearest - apart, 0) / self._contact_sigma
        # A contact with a mate is seen from both sides.
        share = np.where(contacts.pairs[:, 1] >= self.n_atoms, 0.5, 1.0)
        return total + 0.5 * float((share * into**2).sum())


@dataclass(frozen=True, eq=False)
class _Held:
    pairs: Int[np.ndarray, "m 2"]
    lengths: Float[np.ndarray, " m"]
    sigma: Float[np.ndarray, " m"]
    most: Float[np.ndarray, " m"]


@dataclass(frozen=True, eq=False)
class _Contacts:
    pairs: Int[np.ndarray, "m 2"]
    nearest: Float[np.ndarray, " m"]
    still: Float[np.ndarray, "k 3"]
    variance: Float[np.ndarray, " n"]
    multiplier: Float[np.ndarray, " m"]

    @classmethod
    def none(cls) -> _Contacts:
        empty = np.zeros(0)
        return cls(np.zeros((0, 2), dtype=int), empty, np.zeros((0, 3)), empty, empty)


def _distances(restraints: GeometryRestraints, springs: Springs | None) -> _Held:
    r = restraints
    pairs = [r.bonds, r.angles[:, [0, 2]], r.planar[:, [0, 3]]]
    lengths = [r.lengths, r.one_three, r.planar_distances]
    sigma = [r.length_sigmas, r.one_three_sigmas, np.full(len(r.planar), _PLANAR_SIGMA)]
    most = [np.full(len(part), np.inf) for part in sigma]
    if springs is not None:
        pairs.append(springs.pairs)
        lengths.append(springs.lengths)
        sigma.append(springs.sigmas)
        most.append(springs.reach / springs.sigmas**2)
    # The loose ones first: what is stiff has the last word in a sweep.
    joined = np.concatenate(pairs[::-1]).astype(int).reshape(-1, 2)
    values = (np.concatenate(part[::-1]) for part in (lengths, sigma, most))
    return _Held(np.ascontiguousarray(joined), *values)


def three_bonds_apart(restraints: GeometryRestraints) -> Int[np.ndarray, "m 2"]:
    """Return pairs (i < j) of atoms that three bonds part, none nearer."""
    n = restraints.n_atoms
    both = np.concatenate([restraints.bonds, restraints.bonds[:, ::-1]]).astype(int)
    step = scipy.sparse.csr_array((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(n, n))
    near = (step @ step + step + scipy.sparse.eye_array(n)).tocsr()
    third = (step @ step @ step).tocsr()
    third.data[:] = 1.0
    near.data[:] = 1.0
    apart = scipy.sparse.triu(third - third.multiply(near), k=1).tocoo()
    chosen = apart.data > 0
    pairs = np.stack([apart.row[chosen], apart.col[chosen]], axis=1).astype(int)
    found: np.ndarray = pairs[np.lexsort(pairs.T[::-1])]
    return found


def _two_bonds_apart(restraints: GeometryRestraints) -> Int[np.ndarray, "m 2"]:
    n = restraints.n_atoms
    both = np.concatenate([restraints.bonds, restraints.bonds[:, ::-1]]).astype(int)
    step = scipy.sparse.csr_array((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(n, n))
    second = scipy.sparse.triu(step @ step, k=1).tocoo()
    return np.stack([second.row, second.col], axis=1).astype(int)


def _bonded(element: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Pairs at the distance of a bond that no dictionary names: linked ligands, metals."""
    pairs = scipy.spatial.cKDTree(reference).query_pairs(_METAL_REACH, output_type="ndarray")
    apart = np.linalg.norm(reference[pairs[:, 0]] - reference[pairs[:, 1]], axis=1)
    chosen: np.ndarray = pairs[(apart < _BOND_REACH) | are_metals(element)[pairs].any(axis=1)]
    return chosen


def _excluded(restraints: GeometryRestraints, bonded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs up to three bonds apart, which are no contacts, by their first atom."""
    r = restraints
    parts = [r.bonds, r.angles[:, [0, 2]], r.planar[:, [0, 3]], three_bonds_apart(r), bonded]
    # Not every two bonds have an angle in the tables: those at a metal have none.
    parts.append(_two_bonds_apart(r))
    pairs = np.concatenate(parts).reshape(-1, 2)
    pairs = np.unique(np.sort(pairs.astype(int), axis=1), axis=0)
    starts = np.searchsorted(pairs[:, 0], np.arange(r.n_atoms + 1))
    return starts, np.ascontiguousarray(pairs[:, 1])
