"""The demo's result as numbers for programs."""

from __future__ import annotations

from typing import Any

import numpy as np

from unstill.maps.difference import DifferenceMap
from unstill.workflows.demo import DemoResult
from unstill.workflows.demo_ensemble import EnsembleAgreement
from unstill.workflows.demo_fits import FittedModel


def demo_dict(result: DemoResult) -> dict[str, Any]:
    """Everything that the report shows, without the maps; NaN becomes null when written."""
    data = result.observed
    return {
        "dataset": result.dataset.name,
        "simulated": result.dataset.simulated,
        "truth": None if result.dataset.truth is None else dict(result.dataset.truth),
        "licence": result.dataset.licence,
        "citation": result.dataset.citation,
        "origins": dict(result.origins),
        "data": {
            "unit_cell": data.crystal.unit_cell,
            "space_group": data.crystal.space_group,
            "divisions": data.grid.divisions,
            "n_measured": data.n_measured,
            "n_unique": result.n_unique,
            "sigma_source": result.sigma_source,
            "d_min": result.settings.d_min,
            "d_max": result.settings.d_max,
            "n_atoms": result.structure.n_atoms,
        },
        "indexing": {
            "operator": result.indexing.operator,
            "margin": result.indexing.margin,
            "trials": [
                {
                    "operator": trial.operator,
                    "cc_total": trial.cc_total,
                    "cc_aniso": trial.cc_aniso,
                    "control": trial.control,
                }
                for trial in result.indexing.trials
            ],
        },
        "fits": {name: _fit(found) for name, found in result.fits.items()},
        "ensemble": None if result.ensemble is None else _ensemble(result.ensemble),
        "difference": None if result.difference is None else _difference(result.difference),
        "weighting": None if result.weighting is None else result.weighting.as_dict(),
        "encoding": None if result.encoding is None else result.encoding.as_dict(),
        "guidance": None if result.guidance is None else result.guidance.as_dict(),
        "reduction": None if result.reduction is None else result.reduction.as_dict(),
        "seed": result.seed,
        "seconds": dict(result.seconds),
    }


def _fit(found: FittedModel) -> dict[str, Any]:
    numbers = found.fit.details()
    return {
        **numbers,
        "cc_aniso_interval": list(found.interval),
        "null": {
            "cc_aniso": found.null.cc_aniso,
            "cc_total": found.null.cc_total,
            "cc_aniso_mean": found.null_mean,
            "chance": found.chance,
        },
        "shells": [
            {**shell, "cc_max": float(ceiling), "null": null.cc_aniso}
            for shell, ceiling, null in zip(
                numbers["shells"], found.ceiling, found.null.shells, strict=True
            )
        ],
    }


def _ensemble(ensemble: EnsembleAgreement) -> dict[str, Any]:
    return {
        "divisions": ensemble.divisions,
        "n_atoms": ensemble.n_atoms,
        "d_min": ensemble.d_min,
        "d_max": ensemble.d_max,
        "exact": ensemble.exact,
        "data_ceiling": ensemble.data_ceiling,
        "points": [
            {
                "n_frames": p.n_frames,
                "cc_aniso": p.cc_aniso,
                "interval": [p.low, p.high],
                "cc_max": p.cc_max,
                "expected": p.predicted,
                "null": p.null,
            }
            for p in ensemble.points
        ],
    }


def _difference(delta: DifferenceMap) -> dict[str, Any]:
    z = delta.z.intensity[delta.z.measured]
    return {
        "scale": delta.scale,
        "scale_sigma": delta.scale_sigma,
        "rms_ratio": delta.rms_ratio,
        "rms_ratio_sigma": delta.rms_ratio_sigma,
        "noise": delta.noise,
        "z_rms": float(np.sqrt(np.mean(z**2))),
        "share_beyond_3": float(np.mean(np.abs(z) > 3)),
    }
