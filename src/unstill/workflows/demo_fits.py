"""Three models of motion fitted to one map, each beside its null control."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from unstill.disorder.fit import fit
from unstill.disorder.fit_result import FitResult
from unstill.disorder.liquid_like import LiquidLike
from unstill.disorder.model import DisorderModel
from unstill.disorder.rigid_body import RigidBody
from unstill.disorder.rigid_translation import RigidTranslation
from unstill.disorder.transform import ModelAtoms
from unstill.errors import UnstillWarning
from unstill.maps import IntensityMap
from unstill.maps.common_split import CommonSplit
from unstill.maps.correlation import Correlation, correlate
from unstill.maps.correlation_interval import correlation_interval
from unstill.parallel import ordered_map

MODELS = ("liquid-like", "rigid-body", "translation")
"""Names of the models, the dearest first."""


@dataclass(frozen=True, eq=False)
class FittedModel:
    """A fit and what it is worth.

    Parameters
    ----------
    fit
        Parameters, intervals, agreement and maps.
    interval
        95 % interval of the anisotropic CC (block bootstrap).
    null
        Agreement of the same model with permuted data.
    null_mean, chance
        Mean and standard deviation of its anisotropic CC over all permutations.
    ceiling
        ``(n_shells,)`` CC_max by shell from the sigma of the data; NaN if unknown.
    """

    fit: FitResult
    interval: tuple[float, float]
    null: Correlation
    null_mean: float
    chance: float
    ceiling: np.ndarray


def fit_models(
    observed: IntensityMap,
    nulls: Sequence[IntensityMap],
    atoms: ModelAtoms,
    names: Sequence[str],
    *,
    d_min: float,
    d_max: float,
    seed: int,
    workers: int,
    progress: Callable[[int, int], None],
) -> dict[str, FittedModel]:
    """Fit the named models, several at once where there are workers."""
    setup = partial(_task, observed, atoms, d_min, d_max, seed)
    found = {}
    progress(0, len(names))
    results = ordered_map(setup, names, workers=min(workers, len(names)), prefetch=1)
    for done, (name, (result, notes)) in enumerate(zip(names, results, strict=True), start=1):
        for note in notes:
            # Said by a worker, whose warnings the caller would not hear.
            warnings.warn(f"{name}: {note}", UnstillWarning, stacklevel=2)
        split = result.comparison.split
        controls = [correlate(result.model_map, one, d_min=d_min, d_max=d_max) for one in nulls]
        by_chance = [one.cc_aniso for one in controls]
        found[name] = FittedModel(
            fit=result,
            interval=correlation_interval(split, seed=seed),
            null=controls[0],
            null_mean=float(np.mean(by_chance)),
            chance=float(np.std(by_chance, ddof=1)),
            ceiling=shell_ceilings(result, split),
        )
        progress(done, len(names))
    return found


def shell_ceilings(result: FitResult, split: CommonSplit) -> np.ndarray:
    """CC that a perfect model would reach in each shell, √(1 − ⟨σ²⟩/Var); NaN without σ."""
    shells = result.comparison.shells
    sigma = split.b.sigma
    if sigma is None:
        return np.full(len(shells), np.nan)
    s = split.s[split.usable]
    noise = sigma[split.usable].astype(float) ** 2
    observed = split.aniso_b()
    ceilings = np.full(len(shells), np.nan)
    for number, shell in enumerate(shells):
        here = (s >= 1 / shell.d_max) & (s <= 1 / shell.d_min)
        variance = float(np.var(observed[here]))
        if variance > 0:
            ceilings[number] = np.sqrt(max(0.0, 1 - float(noise[here].mean()) / variance))
    return ceilings


def model_named(name: str, atoms: ModelAtoms) -> DisorderModel:
    """Return one of :data:`MODELS`."""
    models: dict[str, Callable[[ModelAtoms], DisorderModel]] = {
        "liquid-like": LiquidLike,
        "rigid-body": RigidBody,
        "translation": RigidTranslation,
    }
    return models[name](atoms)


def _task(
    observed: IntensityMap, atoms: ModelAtoms, d_min: float, d_max: float, seed: int
) -> Callable[[str], tuple[FitResult, list[str]]]:
    def run(name: str) -> tuple[FitResult, list[str]]:
        model = model_named(name, atoms)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UnstillWarning)
            result = fit(observed, model, d_min=d_min, d_max=d_max, reindex="none", seed=seed)
        notes = [str(w.message) for w in caught if issubclass(w.category, UnstillWarning)]
        return result, notes

    return run
