"""Rounds of moves between noise levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.guidance.moves.backbone import BackrubMove, PeptideFlipMove
from unstill.guidance.moves.contacts import ContactFinder
from unstill.guidance.moves.residue_graph import ResidueGraph
from unstill.guidance.moves.scene import MapFit, Move, Scene, Tally
from unstill.guidance.moves.side_chains import RotamerMove
from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.protocols import EnsembleState
from unstill.shapes import Coords, Float, PerAtom


@dataclass(eq=False)
class Jumps:
    r"""A round of moves for every noise level; keeps the protocol ``Jumping``.

    Without data the moves sample exp(−E) of their own energies: repulsion, side-chain
    barriers, φ/ψ odds. With a map they sample that times its likelihood, to the resolution
    max(d_min, blur × σ). Contacts are softened by σ, as places are uncertain by so much.

    Parameters
    ----------
    graph
        Residues and bonds.
    moves
        In the order in which they are done; rotamers, backrubs and peptide flips by default.
    crystal
        Symmetry, for contacts with mates.
    observable
        The map.
    d_min
        Its resolution (Å); by default that of the observable.
    strength
        Factor on the loss; at 0 the map does not matter.
    blur
        Å of resolution to one Å of noise.
    weights, b_factor
        Of members (equal by default) and atoms (20 Å² by default).

    Raises
    ------
    InputError
        If the strength is negative or no number, or the observable has other atoms.
    """

    graph: ResidueGraph
    moves: Sequence[Move] | None = None
    crystal: Crystal | None = None
    observable: DensityObservable | None = None
    d_min: float | None = None
    strength: float = 1.0
    blur: float = 2.0
    weights: Float[np.ndarray, " n_members"] | None = None
    b_factor: PerAtom | None = None
    tallies: dict[str, Tally] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.strength < np.inf:
            raise InputError(
                "the strength of a map must be 0 or more", found=self.strength, fix="give 1"
            )
        if self.observable is not None and len(self.observable.element) != self.graph.n_atoms:
            raise InputError(
                "the map's observable has other atoms than the model",
                found=f"{len(self.observable.element)} and {self.graph.n_atoms}",
                fix="make it with the elements of the model",
            )
        if self.moves is None:
            self.moves = (
                RotamerMove(self.graph),
                BackrubMove(self.graph),
                PeptideFlipMove(self.graph),
            )
        self._finder = ContactFinder(self.graph, self.crystal)

    def jump(self, x: Coords, sigma: float, rng: np.random.Generator) -> Coords:
        """Coordinates (Å) after one round of all moves, at noise ``sigma`` (Å).

        What became of each kind of move is in ``tallies``, by the name of its class.
        """
        scene = self.scene(x, sigma)
        for number, move in enumerate(self.moves or ()):
            tally = move.apply(scene, rng)
            self.tallies[f"{number} {type(move).__name__}"] = tally
        return scene.coord

    def scene(self, x: Coords, sigma: float) -> Scene:
        """Return what moves see of members at a noise level.

        Raises
        ------
        InputError
            If coordinates do not fit the model, or are not finite.
        """
        if x.ndim != 3 or x.shape[1:] != (self.graph.n_atoms, 3) or not np.isfinite(x).all():
            raise InputError(
                "coordinates do not fit the model, or are not finite",
                found=f"shape {x.shape} for {self.graph.n_atoms} atoms",
                fix="give finite coordinates of shape (n_members, n_atoms, 3)",
            )
        n_members, n_atoms, _ = x.shape
        weights = np.full(n_members, 1 / n_members) if self.weights is None else self.weights
        b_factor = np.full(n_atoms, 20.0) if self.b_factor is None else self.b_factor
        state = EnsembleState(np.asarray(x, dtype=float), weights, b_factor)
        fit = None
        if self.observable is not None and self.strength > 0:
            d_min = self.observable.d_min if self.d_min is None else self.d_min
            fit = MapFit(self.observable, max(d_min, self.blur * sigma), self.strength)
        return Scene(state, self._finder, fit, softness=sigma)
