"""Guide a model into a map, hold part of the map out, choose how hard, judge the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.guidance.anneal import Walk
from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.protocols import EnsembleState, Prior
from unstill.guidance.refine_members import refine_members
from unstill.guidance.run import RunOptions, guide_to_density
from unstill.guidance.start import GuidedModel, starting_model
from unstill.guidance.states import local_shares
from unstill.maps.density_map import DensityMap
from unstill.maps.half_maps import compare_half_maps
from unstill.maps.intensity_map import IntensityMap
from unstill.scattering.grid_scattering import GridScattering
from unstill.scattering.synthesis import Synthesis
from unstill.shapes import Float
from unstill.validation.held_out import split_reflections
from unstill.validation.real_space import voxels_near
from unstill.workflows.guide_map.diffuse import check_diffuse, with_diffuse
from unstill.workflows.guide_map.frame import check_coverage, check_crystals, check_frame
from unstill.workflows.guide_map.judging import Judged, judge, residues_of
from unstill.workflows.guide_map.prior_choice import PriorChoice, built_in
from unstill.workflows.guide_map.waters import WaterCount, ordered_waters

SIGMA_SHARE = 0.15
"""Standard deviation of a map's noise at strength 1, in units of the spread of the map within 2 Å
of the model: about what is left where half of a conformer is missing."""
TRIED = (0.25, 1.0, 4.0)
"""Strengths that ``auto`` tries."""
_AROUND = 6.0
_FEW_LEVELS, _FEW_MEMBERS = 7, 4


@dataclass(frozen=True)
class GuideOptions:
    """What the user chooses.

    Parameters
    ----------
    run
        How the model is guided; its strength is replaced where ``strength`` is ``None``.
    strength
        Factor on the log-likelihood of the map; ``None`` takes the one of
        :data:`TRIED` that predicts held-out terms best.
    select
        Atoms that move; everything by default. The map then counts near them only.
    holdout
        Share of the Fourier terms that is held out.
    electron
        The map is of electrons.
    half
        The other half map, where the target is one half: terms count by the Fourier shell
        correlation of both, none is held out, and this half judges.
    diffuse
        Diffuse intensity of the same crystal, which the members at the end are refined against
        together with the other data.
    waters
        Add, move and delete ordered waters at the end.
    """

    run: RunOptions = field(default_factory=RunOptions)
    strength: float | None = None
    select: str | None = None
    holdout: float = 0.05
    electron: bool = False
    half: DensityMap | None = None
    diffuse: IntensityMap | None = None
    waters: bool = False


@dataclass(frozen=True)
class RFactors:
    """R of reflections that were fitted, and of free ones."""

    work: float
    free: float


@dataclass(frozen=True, eq=False)
class GuideResult:
    """An ensemble with what speaks for and against it.

    Parameters
    ----------
    model
        What was guided.
    data
        The map, with held-out terms.
    start, state
        The conformer at the start (one member) and the ensemble at the end.
    before, after
        Both judged alike.
    shares
        ``(n_members, n_residues)`` of the members in the density of every residue.
    strength
        That was used, and ``tried``: held-out correlation of every strength that was tried.
    r_start, r_end
        R factors at the start and the end, where amplitudes guided.
    diffuse_cc
        Anisotropic correlation with the diffuse map at the end, where there is one.
    waters
        What became of waters, where they were asked for.
    """

    model: GuidedModel
    data: DensityObservable
    start: EnsembleState
    state: EnsembleState
    before: Judged
    after: Judged
    shares: Float[np.ndarray, "n_members n_residues"]
    strength: float
    tried: dict[float, float]
    r_start: RFactors | None = None
    r_end: RFactors | None = None
    diffuse_cc: float | None = None
    waters: WaterCount | None = None

    @property
    def ensemble(self) -> Ensemble:
        """The ensemble in the rows of the source."""
        return self.model.with_members(self.state.coord, self.state.weights, self.state.b_factor)


Progress = Callable[[str, int, int], None]
"""Told of the part, what is done and how much there is."""


def guide_map(
    source: Ensemble,
    target: DensityMap,
    d_min: float,
    options: GuideOptions | None = None,
    *,
    name: str = "the map",
    prior: PriorChoice | None = None,
    resume: Walk | None = None,
    on_level: Callable[[Walk, float], None] | None = None,
    progress: Progress | None = None,
) -> GuideResult:
    """Guide a model into a density map.

    Parameters
    ----------
    source
        The model; one of its conformers is the start.
    target
        The map.
    d_min
        Its resolution (Å).
    options
        Choices.
    name
        Of the map, for messages.
    prior
        From :mod:`~unstill.workflows.guide_map.prior_choice`; the built-in one by default.
    resume
        A walk of the same inputs and options that was interrupted.
    on_level
        Told of the walk and the noise level after every step of the main run.
    progress
        Told of parts ``"strength"`` and ``"levels"``.

    Raises
    ------
    InputError
        If map and model do not belong together, or nothing can move.
    """
    options = options or GuideOptions()
    tell = progress or (lambda part, done, total: None)
    check_crystals(target.crystal, source.crystal, name)
    check_diffuse(options.diffuse, source.crystal)
    model = starting_model(source, select=options.select)
    check_coverage(target, model, name)
    data = observable(model, target, d_min, options)
    start = EnsembleState(model.atoms.coord.astype(float), np.ones(1), model.b_factor)
    fit = check_frame(data, target, start, name)
    tried: dict[float, float] = {}
    strength = options.strength
    if fit.flat:
        # A constant map says nothing, and nothing of it may move an atom.
        strength = 0.0

    with (prior or built_in())(model) as opened:
        if strength is None:
            tried = _tried(model, data, options, opened, tell)
            strength = max(tried, key=lambda w: tried[w])
        state = guide_to_density(
            model,
            data,
            replace(options.run, strength=strength),
            prior=opened,
            resume=resume,
            on_level=followed(tell, options, on_level),
        )
    both = with_diffuse(model, data, options)
    if options.diffuse is not None and strength > 0:
        state = refine_members(
            model,
            both.joint,
            state,
            data.d_min,
            strength=strength,
            b_factors=options.run.b_factors,
            progress=lambda done, total: tell("refinement", done, total),
        )
    before, waters = judge(model, data, start), None
    if options.waters and strength > 0:
        bare = observable(replace(model, context=model.context[:0]), target, d_min, options)
        model, waters = ordered_waters(model, bare, state)
        data = observable(model, target, d_min, options)
    return GuideResult(
        model,
        data,
        start,
        state,
        before,
        judge(model, data, state),
        shares_of(model, data, state, strength),
        strength,
        tried,
        diffuse_cc=both.agreement(state),
        waters=waters,
    )


def followed(
    tell: Progress, options: GuideOptions, on_level: Callable[[Walk, float], None] | None
) -> Callable[[Walk, float], None]:
    """Tell of levels as parts of progress, and pass them on."""

    def told(walk: Walk, sigma: float) -> None:
        tell("levels", walk.n_done, options.run.n_levels)
        if on_level is not None:
            on_level(walk, sigma)

    return told


def shares_of(
    model: GuidedModel, data: DensityObservable, state: EnsembleState, strength: float
) -> Float[np.ndarray, "n_members n_residues"]:
    """Shares of members in residues, as :class:`GuideResult` holds them."""
    if strength == 0:
        # What nobody asked the map about has the weights of the members.
        return np.repeat(state.weights[:, None], int(residues_of(model).max()) + 1, axis=1)
    return local_shares(model, data, state, strength=strength)


def observable(
    model: GuidedModel, target: DensityMap, d_min: float, options: GuideOptions
) -> DensityObservable:
    """Make the map an observable of a model's atoms, part of its terms held out."""
    crystal = target.crystal
    if not 0 <= options.holdout < 0.5:
        raise InputError(
            "the share of held-out terms lies between 0 and 0.5",
            found=options.holdout,
            fix="give, for example, 0.05",
        )
    synthesis = Synthesis(crystal, d_min, target.shape)
    held = None
    trust = None
    if options.half is not None:
        trust = compare_half_maps(target, options.half, synthesis).weight
        if not trust.any():
            raise InputError(
                "the half maps have nothing in common",
                found="a Fourier shell correlation below 0.143 in every shell",
                fix="give two halves of one reconstruction, and its --resolution",
            )
    elif options.holdout > 0:
        held = split_reflections(
            crystal, synthesis.index, fraction=options.holdout, seed=options.run.seed
        )
    near = voxels_near(crystal, target.shape, model.atoms.coord) & target.known
    values = target.values[near if near.any() else target.known]
    region = None
    if options.select is not None:
        region = model.atoms.coord[0][model.movable]
    return DensityObservable(
        target,
        d_min,
        model.element,
        occupancy=model.occupancy,
        sigma=SIGMA_SHARE * float(values.std()) or 1.0,
        region=region,
        radius=_AROUND,
        electron=options.electron,
        held=held,
        trust=trust,
        judge=options.half,
        context=_context(model, synthesis, electron=options.electron),
    )


def _context(model: GuidedModel, synthesis: Synthesis, *, electron: bool) -> np.ndarray | None:
    """F of the waters."""
    if not len(model.context):
        return None
    water = model.source.select(model.context)
    grid = GridScattering(synthesis, water.element, electron=electron)
    shape = (1, water.n_atoms)
    f = grid.structure_factors(
        water.coord.astype(float),
        np.broadcast_to(water.occupancy, shape).astype(float),
        np.maximum(np.broadcast_to(water.b_factor, shape), 2.0),
    )
    return synthesis.of_cell(f)


def _tried(
    model: GuidedModel,
    data: DensityObservable,
    options: GuideOptions,
    prior: Prior | None,
    tell: Progress,
) -> dict[float, float]:
    """Held-out correlation of short runs, by strength."""
    found: dict[float, float] = {}
    for number, strength in enumerate(TRIED):
        short = replace(
            options.run,
            strength=strength,
            n_levels=_FEW_LEVELS,
            n_members=min(_FEW_MEMBERS, options.run.n_members),
            # Loops are dear, and leap alike at any strength.
            loops=False,
            b_factors=False,
        )
        state = guide_to_density(model, data, short, prior=prior)
        work, held = data.agreement(state)
        # Without held-out terms the fit itself has to do.
        found[strength] = held if np.isfinite(held) else work
        tell("strength", number + 1, len(TRIED))
    return found
