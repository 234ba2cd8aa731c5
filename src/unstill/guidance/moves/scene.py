"""What moves of one round see and change: places, contacts, and the score of the density."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from unstill.guidance.moves.contacts import ContactFinder, Contacts
from unstill.guidance.moves.residual import LocalDensity, local_density, no_density
from unstill.guidance.moves.sweep import Pool, empty_pool, sweep
from unstill.guidance.moves.turns import Proposals, TurnTable
from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.protocols import EnsembleState
from unstill.shapes import Coords


@dataclass(frozen=True)
class Tally:
    """What became of a move's proposals.

    Parameters
    ----------
    tried, taken
        How many.
    energy
        Sum of the changes (kT) of those that were taken.
    """

    tried: int
    taken: int
    energy: float

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.tried + other.tried, self.taken + other.taken, self.energy + other.energy
        )


@dataclass(frozen=True, eq=False)
class MapFit:
    """A map, and how much of it counts.

    Parameters
    ----------
    observable
        The map.
    resolution
        Å.
    strength
        Factor on its loss.
    """

    observable: DensityObservable
    resolution: float
    strength: float = 1.0


@dataclass(eq=False)
class Scene:
    """An ensemble in the middle of a round of moves.

    Parameters
    ----------
    state
        Members, weights and B when the round begins.
    finder
        Finds contacts.
    fit
        The map; ``None`` without data.
    softness
        Å that places are uncertain by, for contacts.
    """

    state: EnsembleState
    finder: ContactFinder
    fit: MapFit | None = None
    softness: float = 0.0
    contacts: Contacts = field(init=False)
    density: LocalDensity = field(init=False)
    pool: Pool = field(init=False)

    def __post_init__(self) -> None:
        self._prepare(self.state)

    @property
    def coord(self) -> Coords:
        """``(n_members, n_atoms, 3)`` places now (Å)."""
        now: np.ndarray = self.contacts.places[:, : self.state.coord.shape[1]].copy()
        return now

    def now(self) -> EnsembleState:
        """State of the ensemble now."""
        return EnsembleState(self.coord, self.state.weights, self.state.b_factor)

    def refresh(self) -> None:
        """Make contacts and the grid of the density anew, from where atoms are now."""
        self._prepare(self.now())

    def run(self, table: TurnTable, proposals: Proposals) -> Tally:
        """Try proposals of turns in order."""
        accepted = np.zeros(len(proposals.member), dtype=np.bool_)
        change = np.zeros(len(accepted))
        sweep(self.contacts, self.density, self.pool, table, proposals, accepted, change)
        return Tally(len(accepted), int(accepted.sum()), float(change[accepted].sum()))

    def _prepare(self, state: EnsembleState) -> None:
        self.contacts = self.finder.find(state.coord, self.softness)
        if self.fit is None:
            self.density = no_density(*state.coord.shape[:2])
        else:
            self.density = local_density(
                self.fit.observable, state, self.fit.resolution, strength=self.fit.strength
            )
        self.pool = empty_pool(self.contacts)


class Move(Protocol):
    """One kind of leap."""

    def apply(self, scene: Scene, rng: np.random.Generator) -> Tally:
        """Try leaps in all members, and change the scene where they are taken."""
