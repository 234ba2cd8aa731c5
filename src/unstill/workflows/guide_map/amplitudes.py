"""Guide a model by measured amplitudes: a density of them leads, their likelihood decides.

Leaps need a density, and amplitudes with the phases of the start make one. It
leads the walk and chooses the states of residues; then members and B are
refined against the likelihood of the amplitudes themselves. Free reflections
are in neither and judge the result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.guidance.anneal import Walk
from unstill.guidance.observables.amplitudes import AmplitudeObservable, FixedAtoms
from unstill.guidance.observables.likely_density import likely_density
from unstill.guidance.protocols import EnsembleState
from unstill.guidance.refine_members import refine_members
from unstill.guidance.run import guide_to_density
from unstill.guidance.start import GuidedModel, starting_model
from unstill.guidance.states import sparing_members
from unstill.maps.amplitudes import Amplitudes
from unstill.workflows.guide_map.diffuse import check_diffuse, with_diffuse
from unstill.workflows.guide_map.frame import check_crystals
from unstill.workflows.guide_map.guiding import (
    SIGMA_SHARE,
    GuideOptions,
    GuideResult,
    Progress,
    RFactors,
    followed,
    shares_of,
)
from unstill.workflows.guide_map.judging import Judged, judge
from unstill.workflows.guide_map.prior_choice import PriorChoice, built_in

LEAD = 1.5
"""Å: the walk does not need finer data, which make it slower."""
_CYCLES = 3
_LEAST = 0.4
"""Correlation of amplitudes, within shells, below which model and data do not belong together."""
_SHELL = 300
_FEWEST_FREE = 50


def guide_amplitudes(
    source: Ensemble,
    observed: Amplitudes,
    options: GuideOptions | None = None,
    *,
    name: str = "the data",
    prior: PriorChoice | None = None,
    resume: Walk | None = None,
    on_level: Callable[[Walk, float], None] | None = None,
    progress: Progress | None = None,
) -> GuideResult:
    """Guide a model by amplitudes.

    Parameters
    ----------
    source
        The model; one of its conformers is the start.
    observed
        Amplitudes with free flags.
    options
        Choices. Strength 1 is taken where none is given: the likelihood knows its errors.
    name
        Of the data, for messages.
    prior, resume, on_level
        As for :func:`~unstill.workflows.guide_map.guide_map`.
    progress
        Told of parts ``"levels"`` and ``"refinement"``.

    Raises
    ------
    InputError
        If data and model do not belong together, too few reflections are free, or nothing can
        move.
    """
    options = options or GuideOptions()
    tell = progress or (lambda part, done, total: None)
    if options.waters:
        raise InputError(
            "waters are added in a density only",
            found=f"waters asked for with {name}",
            fix="leave --waters out, or give 2mFo-DFc coefficients (--columns FWT,PHWT)",
        )
    check_crystals(observed.crystal, source.crystal, name)
    check_diffuse(options.diffuse, source.crystal)
    _check_free(observed, name)
    model = starting_model(source, select=options.select)
    data = AmplitudeObservable(
        observed, model.element, occupancy=model.occupancy, fixed=_waters(model)
    )
    start = EnsembleState(model.atoms.coord.astype(float), np.ones(1), model.b_factor)
    r_start = RFactors(*data.r_factors(start))
    agreement = _agreement(data, start)
    if agreement < _LEAST:
        raise InputError(
            f"the model does not explain {name}",
            found=f"correlation of amplitudes {agreement:.2f} within shells, "
            f"R_work {r_start.work:.2f}",
            fix="give a model that was refined against these data, in their cell and origin",
        )
    region = model.atoms.coord[0][model.movable] if options.select is not None else None
    lead = likely_density(data, start, sigma_share=SIGMA_SHARE, region=region, d_min=LEAD)
    strength = 1.0 if options.strength is None else options.strength
    with (prior or built_in())(model) as opened:
        state = guide_to_density(
            model,
            lead,
            # B of the lead would be that of its resolution.
            replace(options.run, strength=strength, b_factors=False),
            prior=opened,
            resume=resume,
            on_level=followed(tell, options, on_level),
        )
    if strength > 0:
        state = _refined(
            model, data, state, strength, region, options, lambda n: tell("refinement", n, _CYCLES)
        )
    return GuideResult(
        model,
        lead,
        start,
        state,
        _judged(judge(model, lead, start)),
        _judged(judge(model, lead, state)),
        shares_of(model, lead, state, strength),
        strength,
        {},
        r_start=r_start,
        r_end=RFactors(*data.r_factors(state)),
        diffuse_cc=with_diffuse(model, data, options).agreement(state),
    )


def _refined(
    model: GuidedModel,
    data: AmplitudeObservable,
    state: EnsembleState,
    strength: float,
    region: np.ndarray | None,
    options: GuideOptions,
    told: Callable[[int], None],
) -> EnsembleState:
    """Refine, make the density anew with the better phases, and choose states again, in turn."""
    both = with_diffuse(model, data, options)
    for cycle in range(_CYCLES):
        state = refine_members(
            model,
            both.joint,
            state,
            data.d_min,
            refresh=lambda found: data.refresh(found, data.d_min),
            strength=strength,
            b_factors=options.run.b_factors,
        )
        told(cycle + 1)
        if cycle + 1 < _CYCLES:
            lead = likely_density(data, state, sigma_share=SIGMA_SHARE, region=region, d_min=LEAD)
            coord = sparing_members(model, lead, state, state.n_members, strength=strength)
            state = replace(state, coord=coord)
    return state


def _judged(found: Judged) -> Judged:
    """Terms that the density leaves out have no values in it; R_free judges instead."""
    return replace(found, held=float("nan"))


def _agreement(data: AmplitudeObservable, state: EnsembleState) -> float:
    """Correlation of measured and calculated amplitudes, mean over shells of resolution.

    An R factor does not tell: scales of small shells bring it down for any model.
    """
    size, observed = np.abs(data.fit(state).f_model), data.observed
    order = np.argsort(observed.crystal.s_squared(observed.hkl), kind="stable")
    shells = np.array_split(order, max(1, len(order) // _SHELL))
    found = [np.corrcoef(size[shell], observed.f_obs[shell])[0, 1] for shell in shells]
    return float(np.mean(found))


def _waters(model: GuidedModel) -> FixedAtoms | None:
    if not len(model.context):
        return None
    water = model.source.select(model.context)

    def each(values: np.ndarray) -> np.ndarray:
        return np.broadcast_to(values, (1, water.n_atoms)).ravel().astype(float)

    return FixedAtoms(
        water.coord[0].astype(float),
        water.element,
        each(water.occupancy),
        np.maximum(each(water.b_factor), 2.0),
    )


def _check_free(observed: Amplitudes, name: str) -> None:
    n_free = int(observed.free.sum())
    if n_free < _FEWEST_FREE:
        raise InputError(
            f"{name} has too few free reflections to judge by",
            found=f"{n_free} of {len(observed.free)}",
            fix="add free flags to the file (freerflag, or phenix.reflection_file_converter)",
        )
