"""Guide a model into a density map, from its first conformer to a weighted ensemble."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unstill.errors import InputError
from unstill.guidance.anneal import Walk, anneal, begin
from unstill.guidance.guides.dps import DpsOnX0
from unstill.guidance.guides.feynman_kac import FeynmanKac
from unstill.guidance.guides.jumped import Jumped
from unstill.guidance.guides.proximal import Proximal, descend
from unstill.guidance.guides.steering import Steering
from unstill.guidance.levels import karras_levels
from unstill.guidance.moves.backbone import BackrubMove, PeptideFlipMove
from unstill.guidance.moves.contacts import ContactFinder
from unstill.guidance.moves.loop_moves import LoopMove
from unstill.guidance.moves.residue_graph import ResidueGraph
from unstill.guidance.moves.scene import MapFit, Move, Scene
from unstill.guidance.moves.side_chains import RotamerMove
from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.priors.finish import Finish, Staged
from unstill.guidance.priors.geometry import GeometryPrior
from unstill.guidance.priors.springs import fold_springs
from unstill.guidance.protocols import Denoiser, EnsembleState, Prior, Stepping
from unstill.guidance.refine_b import refine_b
from unstill.guidance.samplers import OdeHeun, Renoise, ReverseSde
from unstill.guidance.start import GuidedModel
from unstill.guidance.states import sparing_members
from unstill.shapes import Coords

Guiding = Callable[[Denoiser, Steering], Denoiser]
"""Makes a guide of a denoiser and data."""

GUIDES: dict[str, Guiding] = {
    "proximal": lambda prior, steering: Proximal(prior, steering, 1),
    "dps": DpsOnX0,
}
"""Guides by name: their denoisers. Feynman–Kac steering is a sampler and stands apart."""

SHRINKING = 0.1
"""σ (Å) of the last looks at chemistry: data may pull bonds by less than this."""
_ROOM, _CHOICES = 0.3, 3
"""σ (Å) at which members make room for hydrogens after a choice, and how often states are
chosen."""


@dataclass(frozen=True)
class RunOptions:
    """How a model is guided.

    Parameters
    ----------
    n_members
        Of the ensemble.
    guide
        ``"proximal"``, ``"dps"`` or ``"fk"``.
    strength
        Factor on the log-likelihood of the map; 0 leaves the prior alone.
    n_levels, sigma_max, sigma_min
        Noise levels (Å).
    jumps
        Let side chains leap.
    backbone
        With them, let peptides turn too: backrubs and flips.
    loops
        Before the walk, let loops of 5 to 14 residues leap to where the density leads that the
        start leaves over.
    b_factors
        Refine B at the end.
    n_particles
        Ensembles side by side, for ``"fk"``.
    seed
        Of all chance.
    """

    n_members: int = 8
    guide: str = "proximal"
    strength: float = 1.0
    n_levels: int = 10
    sigma_max: float = 1.5
    sigma_min: float = 0.06
    jumps: bool = True
    backbone: bool = False
    loops: bool = False
    b_factors: bool = True
    n_particles: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if self.guide not in (*GUIDES, "fk"):
            raise InputError(
                "there is no such guide",
                found=repr(self.guide),
                fix=f"choose one of {', '.join((*GUIDES, 'fk'))}",
            )
        if self.n_members < 1 or self.n_particles < 2:
            raise InputError(
                "an ensemble needs a member, and Feynman–Kac steering two particles",
                found=f"{self.n_members} members, {self.n_particles} particles",
                fix="give, for example, 8 members and 4 particles",
            )


def geometry_prior(model: GuidedModel) -> GeometryPrior:
    """Built-in prior of a model: its chemistry, its fold, its mates by symmetry."""
    reference = model.atoms.coord[0].astype(float)
    return GeometryPrior(
        model.restraints,
        model.element,
        reference,
        springs=fold_springs(reference, model.anchors),
        crystal=model.source.crystal,
        movable=model.movable,
    )


def guide_to_density(
    model: GuidedModel,
    data: DensityObservable,
    options: RunOptions,
    *,
    prior: Prior | None = None,
    moves: Sequence[Move] | None = None,
    resume: Walk | None = None,
    on_level: Callable[[Walk, float], None] | None = None,
) -> EnsembleState:
    """Guide a model into a density map.

    Parameters
    ----------
    model
        From :func:`unstill.guidance.start.starting_model`.
    data
        The map, for the atoms of the model.
    options
        How.
    prior
        A prior of the same atoms; the built-in geometry by default.
    moves
        Leaps; those of side chains by default, if the options want any.
    resume
        A walk that was interrupted, with the same options.
    on_level
        Told of the walk and the noise level (Å) after every step.

    Returns
    -------
    EnsembleState
        Members, weights and B (Å²) at the end.
    """
    built_in = geometry_prior(model)
    finish = Finish(model)
    prior = Staged(built_in, finish) if prior is None else prior
    if moves is None:
        graph = ResidueGraph(model.atoms)
        moving = np.unique(graph.number[model.movable])
        moves = (RotamerMove(graph, residues=moving.tolist()),) if options.jumps else ()
        if options.backbone:
            moves = (*moves, BackrubMove(graph), PeptideFlipMove(graph))
    else:
        graph = ResidueGraph(model.atoms)
    finder = ContactFinder(graph, model.source.crystal)
    rng = np.random.default_rng(options.seed)
    levels = karras_levels(options.sigma_max, options.sigma_min, options.n_levels)
    steering = Steering(data, options.strength, d_min=data.d_min, b_factor=model.b_factor)
    if options.guide == "fk":
        return _steered(model, prior, finish, steering, levels, options, rng)

    def guiding(walk: Walk) -> Denoiser:
        now = replace(steering, weights=walk.weights, b_factor=walk.b_factor)
        guided = GUIDES[options.guide](prior, now)
        # Chance that depends on where the walk stands, so that it can be taken up again.
        chance = np.random.default_rng([options.seed, walk.n_done])
        return Jumped(guided, moves, finder, now, chance)

    sampler: Stepping = OdeHeun(levels) if options.guide == "dps" else Renoise(levels)
    start = resume
    if start is None:
        x = prior.sample_init(options.n_members, options.sigma_max, rng)
        if options.loops and options.strength > 0:
            x = x + _leaped(model, graph, finder, steering, options) - model.atoms.coord
        start = begin(x, model.b_factor, rng)
    walk = anneal(sampler, guiding, start, on_level=on_level)
    leaping = _Leaping(moves, finder, np.random.default_rng([options.seed, len(levels)]))
    return _settled(model, finish, steering, walk.state, options, leaping)


@dataclass(frozen=True)
class _Leaping:
    """Moves on members that are few states: what the map has and they lack stands out."""

    moves: Sequence[Move]
    finder: ContactFinder
    rng: np.random.Generator
    softness: float = 0.1

    def __call__(self, steering: Steering, coord: Coords) -> Coords:
        data = steering.observable
        assert isinstance(data, DensityObservable)
        fit = MapFit(data, data.d_min, steering.strength)
        scene = Scene(steering.state(coord), self.finder, fit, self.softness)
        for move in self.moves:
            move.apply(scene, self.rng)
        return scene.coord


def _leaped(
    model: GuidedModel,
    graph: ResidueGraph,
    finder: ContactFinder,
    steering: Steering,
    options: RunOptions,
) -> Coords:
    """Return copies of the start (Å), some of which have their loops elsewhere."""
    data = steering.observable
    assert isinstance(data, DensityObservable)
    copies = np.repeat(model.atoms.coord.astype(float), options.n_members, axis=0)
    fit = MapFit(data, data.d_min, options.strength)
    scene = Scene(steering.state(copies), finder, fit)
    LoopMove(graph).apply(scene, np.random.default_rng([options.seed, options.n_members]))
    return np.where(model.movable[:, None], scene.coord, copies)


def _settled(
    model: GuidedModel,
    finish: Finish,
    steering: Steering,
    state: EnsembleState,
    options: RunOptions,
    leaping: _Leaping | None = None,
) -> EnsembleState:
    """Few states of every residue, in members that keep to chemistry, and B at the end."""
    data = steering.observable
    assert isinstance(data, DensityObservable)
    if steering.strength == 0:
        return replace(state, coord=finish.relax(state.coord, _ROOM))
    even = np.full(len(state.coord), 1 / len(state.coord))
    known = coord = state.coord
    for number in range(_CHOICES):
        # In turn: the map chooses and asks, chemistry answers, and what is left is leapt to.
        candidates = replace(state, coord=known)
        coord = sparing_members(model, data, candidates, len(even), strength=steering.strength)
        coord = finish.relax(coord, _ROOM, 1)
        now = replace(steering, weights=even, b_factor=state.b_factor)
        coord = finish.relax(descend(now, coord, SHRINKING, 1), SHRINKING, 1)
        known = coord
        if leaping is not None and number + 1 < _CHOICES:
            leapt = np.where(model.movable[:, None], leaping(now, coord), coord)
            known = np.concatenate([leapt, known])
    state = replace(state, coord=coord, weights=even)
    if options.b_factors:
        state = refine_b(
            data,
            state,
            data.d_min,
            reference=model.b_factor,
            strength=steering.strength,
            n_steps=2,
        )
    return state


def _steered(
    model: GuidedModel,
    prior: Prior,
    finish: Finish,
    steering: Steering,
    levels: np.ndarray,
    options: RunOptions,
    rng: np.random.Generator,
) -> EnsembleState:
    """Particles that are ensembles; the heaviest is the answer."""
    n = options.n_particles * options.n_members
    x: Coords = prior.sample_init(n, options.sigma_max, rng)
    x = x.reshape(options.n_particles, options.n_members, *x.shape[1:])
    found = FeynmanKac(ReverseSde(levels), steering).sample(prior, x, rng)
    best = int(np.argmax(found.weights))
    weights = np.full(options.n_members, 1 / options.n_members)
    state = EnsembleState(found.coord[best], weights, model.b_factor)
    return _settled(model, finish, steering, state, options)
