r"""Ordered waters of an ensemble: added, moved and deleted on what its density leaves.

A water is added where the residual density has a peak of so many standard deviations, a polar
atom of some member (or of a mate, or another water) is 2.4 to 3.4 Å away, and not all members
have an atom too near. Each has an occupancy and a B, from the least squares of its profile

.. math:: p_B(r) = \int_0^{1/d} f_O(s)\, e^{-Bs^2/4}\, \frac{\sin 2\pi s r}{2\pi s r}\, 4\pi s^2 ds

in the density within 1.6 Å once itself is taken out, and follows the density's slope. It is
deleted if its own density sinks below the standard deviations that keep it, or if it has lost
its polar neighbours or its room. The occupancy is at most the weight of the members that leave
room: waters make way for other states.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.ndimage
from scipy.spatial import cKDTree

from unstill.crystal import Crystal
from unstill.crystal.supercell import symmetry_operations
from unstill.errors import InputError
from unstill.guidance.moves.oxygen_profile import LARGEST_STEP, RADIUS, OxygenProfile
from unstill.guidance.observables.density import DensityObservable, DensityResidual
from unstill.guidance.protocols import EnsembleState
from unstill.scattering.grid_scattering import GridScattering
from unstill.shapes import Coord, Coords, Float

POLAR_RANGE = (2.4, 3.4)
"""Å to a polar atom."""
_ROOM_POLAR, _ROOM = 2.3, 3.0
"""Å: nearer to a polar atom, or to another, there is no room."""
_SLACK = 0.2
"""Å by which a water that is there may miss these."""
_CROWDED = 0.9
"""Weight of members without room from which there is no room for a water."""


@dataclass(frozen=True, eq=False)
class WaterSites:
    """Waters of an ensemble.

    Parameters
    ----------
    coord
        ``(n, 3)`` Å of their oxygens.
    b_factor
        ``(n,)`` Å².
    occupancy
        ``(n,)``.
    peak
        ``(n,)`` height of their density, in standard deviations of what is left.
    """

    coord: Coord
    b_factor: Float[np.ndarray, " n"]
    occupancy: Float[np.ndarray, " n"]
    peak: Float[np.ndarray, " n"]

    @classmethod
    def none(cls) -> WaterSites:
        """No waters."""
        return cls(np.zeros((0, 3)), np.zeros(0), np.zeros(0), np.zeros(0))

    def __len__(self) -> int:
        return len(self.coord)


@dataclass(frozen=True, eq=False)
class WaterUpdate:
    """Waters after a round, and what became of those before.

    Parameters
    ----------
    sites
        Those that stay, in their order, and then new ones.
    added, deleted
        How many.
    moved
        Root mean square shift (Å) of those that stay.
    """

    sites: WaterSites
    added: int
    deleted: int
    moved: float


@dataclass(frozen=True, eq=False)
class WaterMove:
    """Rounds of waters for an ensemble in a map.

    Parameters
    ----------
    observable
        The map, with the atoms of the ensemble (without these waters).
    crystal
        Cell and space group.
    add, keep
        Standard deviations of the residual density that a new water needs, and one that is
        there.

    Raises
    ------
    InputError
        If a new water needs less than one that is there.
    """

    observable: DensityObservable
    crystal: Crystal
    add: float = 4.5
    keep: float = 3.0
    _heavy: np.ndarray = field(init=False)
    _polar: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        if not 0 < self.keep <= self.add < np.inf:
            raise InputError(
                "a new water needs at least the density of one that is kept",
                found=f"{self.add:g} and {self.keep:g} standard deviations",
                fix="give for example add 4.5 and keep 3",
            )
        element = self.observable.element
        object.__setattr__(self, "_heavy", np.flatnonzero(~np.isin(element, ["H", "D"])))
        object.__setattr__(self, "_polar", np.isin(element, ["N", "O", "S"])[self._heavy])

    def update(
        self, state: EnsembleState, sites: WaterSites, resolution: float, *, n_rounds: int = 1
    ) -> WaterUpdate:
        """Add, move and delete waters.

        Parameters
        ----------
        state
            Members, weights and B; not changed.
        sites
            Waters so far.
        resolution
            Å.
        n_rounds
            Times over; new waters uncover weaker ones.
        """
        left = self.observable.residual(state, resolution)
        around = _Surroundings(
            state.coord[:, self._heavy], state.weights, self._polar, self.crystal
        )
        new, kept, moved = 0, np.arange(len(sites)), 0.0
        n_before = len(sites)
        for _ in range(n_rounds):
            difference, spread = self._difference(left, sites)
            refined, peak = self._refined(left, difference, spread, sites, around)
            stays = (peak >= self.keep) & around.has_room(refined, _SLACK)
            old = stays[: len(kept)]
            shift = refined.coord[: len(kept)][old] - sites.coord[: len(kept)][old]
            moved = float(np.sqrt((shift**2).sum(axis=1).mean())) if len(shift) else 0.0
            kept = kept[old]
            refined = _chosen(refined, stays)
            difference, spread = self._difference(left, refined)
            found = _peaks(difference, self.add * spread, self.crystal)
            found = around.home(found)
            found = _apart(found, refined.coord)
            fresh = WaterSites(
                found, np.full(len(found), 25.0), np.zeros(len(found)), np.zeros(len(found))
            )
            fresh, _ = self._refined(left, difference, spread, fresh, around)
            good = (fresh.peak >= self.add) & around.has_room(fresh, 0.0, refined.coord)
            sites = _joined(refined, _chosen(fresh, good))
            new = len(sites) - len(kept)
            if not good.any() and stays.all():
                break
        return WaterUpdate(sites, new, n_before - len(kept), moved)

    def density(self, left: DensityResidual, sites: WaterSites) -> np.ndarray:
        """Density of the waters on the grid of a residual, symmetry mates in it."""
        if not len(sites):
            return np.zeros(left.values.shape)
        synthesis = left.synthesis
        oxygens = GridScattering(
            synthesis, np.full(len(sites), "O"), electron=self.observable.electron
        )
        f = oxygens.structure_factors(
            sites.coord[None], sites.occupancy[None], sites.b_factor[None]
        )
        return synthesis.density(synthesis.of_cell(f))

    def _difference(self, left: DensityResidual, sites: WaterSites) -> tuple[np.ndarray, float]:
        """Calculate what ensemble and waters leave, on the scale of the map, and its spread."""
        difference = -left.values - left.scale * self.density(left, sites) * left.mask
        difference[left.mask] -= difference[left.mask].mean()
        return difference, float(max(difference[left.mask].std(), 1e-12))

    def _refined(
        self,
        left: DensityResidual,
        difference: np.ndarray,
        spread: float,
        sites: WaterSites,
        around: _Surroundings,
    ) -> tuple[WaterSites, np.ndarray]:
        """Occupancy, B and place by least squares, one water at a time."""
        table = OxygenProfile(left.synthesis.d_min, self.observable.electron, left.scale)
        coord, b, occupancy = sites.coord.copy(), sites.b_factor.copy(), sites.occupancy.copy()
        peak = np.zeros(len(sites))
        room = 1.0 - around.occupied(sites.coord)
        for water in range(len(sites)):
            near, values = _ball(difference, coord[water], self.crystal)
            own = occupancy[water] * table.at(
                np.linalg.norm(near - coord[water], axis=1), b[water]
            )
            coord[water], b[water], occupancy[water] = table.fit(
                near, values + own, coord[water], b[water], max(room[water], 0.0)
            )
            peak[water] = occupancy[water] * table.at(np.zeros(1), b[water])[0] / spread
        return WaterSites(coord, b, occupancy, peak), peak


class _Surroundings:
    """Heavy atoms of all members and their mates in one cell and a rim."""

    def __init__(
        self, coord: Coords, weights: np.ndarray, polar: np.ndarray, crystal: Crystal
    ) -> None:
        self._crystal = crystal
        n_atoms = coord.shape[1]
        coord = coord.reshape(-1, 3).astype(float)
        heights = 1 / np.linalg.norm(crystal.fractionalization_matrix, axis=1)
        rim = (POLAR_RANGE[1] + 1.0) / heights
        frac = crystal.fractional(coord)
        places, source, operation, cells = [], [], [], []
        rotations, translations = symmetry_operations(crystal)
        for number, (rotation, translation) in enumerate(
            zip(rotations, translations, strict=True)
        ):
            image = frac @ rotation.T + translation
            base = np.floor(image)
            for cell in np.stack(np.meshgrid(*[np.arange(-1, 2)] * 3, indexing="ij"), -1).reshape(
                -1, 3
            ):
                placed = image - base + cell
                inside = np.flatnonzero(((placed >= -rim) & (placed < 1 + rim)).all(axis=1))
                places.append(placed[inside])
                source.append(inside)
                operation.append(np.full(len(inside), number))
                cells.append(cell - base[inside])
        self._places = crystal.cartesian(np.concatenate(places))
        self._source = np.concatenate(source)
        self._operation = np.concatenate(operation)
        self._cell = np.concatenate(cells)
        self._rotations, self._translations = rotations, translations
        self._tree = cKDTree(self._places)
        self._is_polar = polar[self._source % n_atoms]
        self._member = self._source // n_atoms
        self._weights = weights

    def home(self, places: Coord) -> Coord:
        """Mates of places that stand at the atoms themselves, each once."""
        if not len(places):
            return places
        frac = self._crystal.fractional(places)
        frac = frac - np.floor(frac)
        _, nearest = self._tree.query(self._crystal.cartesian(frac))
        frac = frac - self._cell[nearest]
        frac = frac - self._translations[self._operation[nearest]]
        back = np.linalg.inv(self._rotations)[self._operation[nearest]]
        found = self._crystal.cartesian(np.einsum("nij,nj->ni", back, frac))
        kept: list[int] = []
        for place in range(len(found)):
            if all(np.linalg.norm(found[place] - found[other]) > 0.5 for other in kept):
                kept.append(place)
        return found[kept]

    def occupied(self, places: Coord) -> Float[np.ndarray, " n"]:
        """Weight of the members that leave no room."""
        return self._shares(places, 0.0)[0]

    def has_room(self, sites: WaterSites, slack: float, others: Coord | None = None) -> np.ndarray:
        """Tell which waters have a polar neighbour and room; of two too near, the higher."""
        occupied, polar = self._shares(sites.coord, slack)
        able = (occupied < _CROWDED) & (sites.occupancy > 0)
        good = np.zeros(len(sites), dtype=bool)
        known = np.zeros((0, 3)) if others is None else others
        # A water may hang on another that comes with it: twice over all, the highest first.
        for _ in range(2):
            for place in np.argsort(-sites.peak, kind="stable"):
                if good[place] or not able[place]:
                    continue
                near = np.linalg.norm(known - sites.coord[place], axis=1)
                bonded = (near >= POLAR_RANGE[0] - slack) & (near <= POLAR_RANGE[1] + slack)
                if (near >= _ROOM_POLAR - slack).all() and (polar[place] > 0 or bonded.any()):
                    good[place] = True
                    known = np.concatenate([known, sites.coord[place : place + 1]])
        return good

    def _shares(self, places: Coord, slack: float) -> tuple[np.ndarray, np.ndarray]:
        """Weights of members without room, and of members with a polar neighbour."""
        occupied, polar = np.zeros(len(places)), np.zeros(len(places))
        frac = self._crystal.fractional(places)
        wrapped = self._crystal.cartesian(frac - np.floor(frac))
        for number, near in enumerate(
            self._tree.query_ball_point(wrapped, POLAR_RANGE[1] + slack)
        ):
            index = np.array(near, dtype=int)
            apart = np.linalg.norm(self._places[index] - wrapped[number], axis=1)
            least = np.where(self._is_polar[index], _ROOM_POLAR, _ROOM) - slack
            blocked = np.unique(self._member[index[apart < least]])
            good = self._is_polar[index] & (apart >= POLAR_RANGE[0] - slack)
            occupied[number] = self._weights[blocked].sum()
            polar[number] = self._weights[np.unique(self._member[index[good]])].sum()
        return occupied, polar


def _peaks(difference: np.ndarray, least: float, crystal: Crystal) -> Coord:
    """Places (Å) of local maxima above a height, the highest first."""
    highest = scipy.ndimage.maximum_filter(difference, size=3, mode="wrap")
    at = np.argwhere((difference == highest) & (difference >= least))
    height = difference[tuple(at.T)]
    at = at[np.argsort(-height, kind="stable")]
    return crystal.cartesian(at / np.array(difference.shape))


def _apart(found: Coord, known: Coord) -> Coord:
    """Places that are no nearer than a hydrogen bond to waters that are known."""
    if not len(known) or not len(found):
        return found
    near, _ = cKDTree(known).query(found)
    return found[near >= _ROOM_POLAR]


def _ball(
    difference: np.ndarray, place: np.ndarray, crystal: Crystal
) -> tuple[np.ndarray, np.ndarray]:
    """Grid points (Å) around a place, and the density at them."""
    shape = np.array(difference.shape)
    centre = crystal.fractional(place[None])[0] * shape
    heights = 1 / np.linalg.norm(crystal.fractionalization_matrix, axis=1)
    reach = np.ceil((RADIUS + LARGEST_STEP) / heights * shape).astype(int)
    axes = [np.arange(-n, n + 1) + int(np.rint(c)) for n, c in zip(reach, centre, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    near = crystal.cartesian(points / shape)
    inside = np.linalg.norm(near - place, axis=1) <= RADIUS + LARGEST_STEP
    return near[inside], difference[tuple((points[inside] % shape).T)]


def _chosen(sites: WaterSites, chosen: np.ndarray) -> WaterSites:
    return WaterSites(
        sites.coord[chosen], sites.b_factor[chosen], sites.occupancy[chosen], sites.peak[chosen]
    )


def _joined(one: WaterSites, other: WaterSites) -> WaterSites:
    return WaterSites(
        np.concatenate([one.coord, other.coord]),
        np.concatenate([one.b_factor, other.b_factor]),
        np.concatenate([one.occupancy, other.occupancy]),
        np.concatenate([one.peak, other.peak]),
    )
