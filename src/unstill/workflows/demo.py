"""The main job: how well models of motion explain a diffuse map, and how sure that is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from unstill.crystal.symmetry import map_to_asu
from unstill.datasets import Dataset, FetchedDataset, fetch
from unstill.disorder.fit_result import FitResult
from unstill.disorder.transform import ModelAtoms
from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.io import read_map, read_structure
from unstill.maps import IntensityMap
from unstill.maps.difference import DifferenceMap, difference
from unstill.maps.mate_spread import sigma_from_mates
from unstill.maps.null_control import permute_within_shells
from unstill.maps.overlap import overlap
from unstill.maps.symmetrize import symmetrize
from unstill.workflows.demo_encoding import EncodingDemo, encoding_demo
from unstill.workflows.demo_ensemble import EnsembleAgreement, ensemble_agreement
from unstill.workflows.demo_fits import MODELS, FittedModel, fit_models
from unstill.workflows.demo_guidance import GuidanceDemo, guidance_demo
from unstill.workflows.demo_indexing import Indexing, find_indexing
from unstill.workflows.demo_reduction import ReductionDemo, reduction_demo
from unstill.workflows.demo_weighting import Swing, WeightingDemo, weighting_demo

SECTIONS = (
    "indexing",
    "fit",
    "ensemble",
    "difference",
    "weighting",
    "encoding",
    "guidance",
    "reduction",
)
"""Parts of the job that can be chosen; the data are always shown."""

DEFAULT_DATASET = "bpti-simulated"

SigmaSource = Literal["file", "mates", "unknown"]
"""Where the uncertainty of the data comes from."""

N_NULL = 12
"""Permutations of the data that serve as null controls."""

Progress = Callable[[str, int, int], None]
"""Called with the name of a part, steps done, steps in all."""


@dataclass(frozen=True)
class DemoSettings:
    """What a data set needs.

    Parameters
    ----------
    d_min, d_max
        Resolution range of all comparisons and fits (Å).
    ensemble_d_min
        Limit (Å) of the ensemble's map; coarser than ``d_min`` where that saves the day.
    n_frames, n_blocks
        Frames of the supercell ensemble, and blocks they are summed in.
    control
        An indexing that is wrong on purpose, for lattices that allow only one.
    swing
        Loop that knows two places in the simulated ensemble that is weighed.
    """

    d_min: float
    d_max: float = 20.0
    ensemble_d_min: float = 2.5
    n_frames: int = 128
    n_blocks: int = 16
    control: str | None = None
    swing: Swing = field(default_factory=lambda: Swing(11, 19))


SETTINGS: Mapping[str, DemoSettings] = {
    DEFAULT_DATASET: DemoSettings(d_min=2.0, ensemble_d_min=2.0, n_frames=256, control="h,l,k"),
    "snase": DemoSettings(d_min=1.6, swing=Swing(43, 53, d_min=5.0)),
}
"""Settings by data set."""


@dataclass(frozen=True, eq=False)
class DemoResult:
    """Everything that the main job found.

    Parameters
    ----------
    dataset, paths, origins
        What was looked at, and where its files came from.
    settings, sections, seed
        How.
    observed
        The map over the whole sphere, in the indexing that was chosen.
    sigma_source
        Where the uncertainty of the data comes from: the file, or the spread
        of Laue mates before they were averaged.
    n_unique
        Laue-unique voxels that were measured.
    structure
        The coordinates.
    indexing
        Candidates and the choice.
    fits
        Name of a model → what its fit found.
    ensemble
        Agreement of the growing ensemble.
    difference
        Data minus the liquid-like model and its free isotropic curve.
    weighting
        Weights of a simulated ensemble of two states, beside the truth.
    encoding
        The weighed ensemble as a model with a hierarchy, and back.
    guidance
        Side chains in two places, found from one of them in a density.
    reduction
        Simulated images and the map reduced from them.
    seconds
        Wall time of each part.
    """

    dataset: Dataset
    paths: Mapping[str, Any]
    origins: Mapping[str, str]
    settings: DemoSettings
    sections: tuple[str, ...]
    seed: int
    observed: IntensityMap
    sigma_source: SigmaSource
    n_unique: int
    structure: Ensemble
    indexing: Indexing
    fits: Mapping[str, FittedModel]
    ensemble: EnsembleAgreement | None = None
    difference: DifferenceMap | None = None
    weighting: WeightingDemo | None = None
    encoding: EncodingDemo | None = None
    guidance: GuidanceDemo | None = None
    reduction: ReductionDemo | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def best(self) -> FitResult | None:
        """The liquid-like fit, on which ensemble and difference stand."""
        found = self.fits.get("liquid-like")
        return None if found is None else found.fit


def run_demo(
    dataset: str = DEFAULT_DATASET,
    *,
    sections: Sequence[str] = SECTIONS,
    seed: int = 0,
    workers: int = 1,
    n_frames: int | None = None,
    progress: Progress | None = None,
) -> DemoResult:
    """Run the main job on a named data set.

    Parameters
    ----------
    dataset
        ``"bpti-simulated"`` (embedded) or ``"snase"`` (measured).
    sections
        Which of :data:`SECTIONS`. The ensemble and the difference stand on
        the liquid-like fit, the encoding on the weights, which are then made
        whether shown or not.
    seed
        Of the ensemble, the null control and the bootstraps.
    workers
        Processes for fits and frames; the result does not depend on it.
    n_frames
        Frames of the ensemble, if not those of the settings.
    progress
        Called as parts advance.

    Raises
    ------
    InputError
        If the data set or a section is unknown, or the data cannot be had.
    """
    _check_sections(sections)
    clock = _Clock()
    report = progress or _silent
    with clock("data"):
        fetched = fetch(dataset)
        settings = SETTINGS.get(dataset, DemoSettings(d_min=2.0))
        structure, data, sigma_source = _load(fetched)
        report("data", 1, 1)
    atoms = ModelAtoms.of(structure)
    with clock("indexing"):
        indexing = find_indexing(
            data, atoms, d_min=settings.d_min, d_max=settings.d_max, control=settings.control
        )
        report("indexing", 1, 1)
    fits: dict[str, FittedModel] = {}
    agreement: EnsembleAgreement | None = None
    delta: DifferenceMap | None = None
    if set(sections) & {"fit", "ensemble", "difference"}:
        with clock("fit"):
            nulls = [
                permute_within_shells(indexing.observed, seed=seed + number)
                for number in range(N_NULL)
            ]
            fits = fit_models(
                indexing.observed,
                nulls,
                atoms,
                MODELS if "fit" in sections else ("liquid-like",),
                d_min=settings.d_min,
                d_max=settings.d_max,
                seed=seed,
                workers=workers,
                progress=lambda done, total: report("fit", done, total),
            )
    if "ensemble" in sections:
        with clock("ensemble"):
            agreement = ensemble_agreement(
                indexing.observed,
                nulls[0],
                atoms,
                fits["liquid-like"].fit,
                d_min=settings.ensemble_d_min,
                d_max=settings.d_max,
                n_frames=n_frames or settings.n_frames,
                n_blocks=settings.n_blocks,
                seed=seed,
                workers=workers,
                progress=lambda done, total: report("ensemble", done, total),
            )
    if "difference" in sections:
        with clock("difference"):
            delta = unexplained(fits["liquid-like"].fit, seed=seed)
            report("difference", 1, 1)
    weighed: WeightingDemo | None = None
    if set(sections) & {"weighting", "encoding"}:
        with clock("weighting"):
            weighed = weighting_demo(
                structure,
                settings.swing,
                seed=seed,
                workers=workers,
                progress=lambda done, total: report("weighting", done, total),
            )
    encoded: EncodingDemo | None = None
    if "encoding" in sections and weighed is not None:
        with clock("encoding"):
            encoded = encoding_demo(
                structure,
                weighed,
                seed=seed,
                progress=lambda done, total: report("encoding", done, total),
            )
    guided: GuidanceDemo | None = None
    if "guidance" in sections:
        with clock("guidance"):
            guided = guidance_demo(
                structure,
                seed=seed,
                progress=lambda done, total: report("guidance", done, total),
            )
    reduced: ReductionDemo | None = None
    if "reduction" in sections:
        with clock("reduction"):
            reduced = reduction_demo(
                seed=seed,
                workers=workers,
                progress=lambda done, total: report("reduction", done, total),
            )
    return DemoResult(
        dataset=fetched.dataset,
        paths=fetched.paths,
        origins=fetched.origins,
        settings=settings,
        sections=tuple(sections),
        seed=seed,
        observed=indexing.observed,
        sigma_source=sigma_source,
        n_unique=_count_unique(indexing.observed),
        structure=structure,
        indexing=indexing,
        fits=fits,
        ensemble=agreement,
        difference=delta,
        weighting=weighed if "weighting" in sections else None,
        encoding=encoded,
        guidance=guided,
        reduction=reduced,
        seconds=clock.seconds,
    )


def unexplained(fit: FitResult, *, seed: int = 0) -> DifferenceMap:
    """Difference map: data minus the model with its scale and free isotropic curve."""
    observed, residual = overlap(fit.observed, fit.residual)
    explained = observed.intensity - residual.intensity
    known = observed.sigma is not None
    model = residual.replace(
        intensity=explained,
        # The model has no noise; saying so lets the data's own sigma stand alone.
        sigma=np.zeros_like(explained) if known else None,
    )
    return difference(observed, model, d_min=fit.d_min, d_max=fit.d_max, seed=seed)


def _check_sections(sections: Sequence[str]) -> None:
    unknown = [name for name in sections if name not in SECTIONS]
    if unknown:
        raise InputError(
            "the demo has no such section",
            found=", ".join(unknown),
            fix=f"choose from {', '.join(SECTIONS)}",
        )


def _load(fetched: FetchedDataset) -> tuple[Ensemble, IntensityMap, SigmaSource]:
    structure = read_structure(fetched.paths["model"])
    data = read_map(fetched.paths["map"], crystal=structure.crystal)
    source: SigmaSource = "file"
    if data.sigma is None:
        sigma = sigma_from_mates(data)
        data, source = data.replace(sigma=sigma), "unknown" if sigma is None else "mates"
    # A map may be stored as its unique part only, or with mates that differ by noise.
    return structure, symmetrize(data, expand=True), source


def _count_unique(data: IntensityMap) -> int:
    index = data.grid.index()[data.measured]
    return len(np.unique(map_to_asu(data.crystal, index, data.grid.divisions), axis=0))


def _silent(part: str, done: int, total: int) -> None:
    del part, done, total


class _Clock:
    """Wall time by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[part] = time.perf_counter() - started
