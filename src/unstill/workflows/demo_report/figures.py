"""Figures of the demo's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from unstill.disorder.fit_result import FitResult
from unstill.maps import IntensityMap
from unstill.maps.common_split import outside_limits
from unstill.maps.correlation import ShellCorrelation
from unstill.maps.difference import DifferenceMap
from unstill.maps.isotropic import split_isotropic
from unstill.report.curves import (
    Curve,
    convergence_curves,
    fisher_interval,
    resolution_curves,
)
from unstill.report.slices import (
    ColourScale,
    SlicePanel,
    draw_slices,
    holds_plane,
    scale_for,
)
from unstill.report.svg import italic
from unstill.workflows.demo_ensemble import EnsembleAgreement
from unstill.workflows.demo_fits import FittedModel

LABELS = {
    "liquid-like": "Liquid-like",
    "rigid-body": "Rigid body (TLS)",
    "translation": "Rigid translation",
}
_LOOKS = {"liquid-like": "main", "rigid-body": "other", "translation": "third"}


def planes_of(data: IntensityMap) -> tuple[float, float]:
    """L = 0 and ½, or l = 0 and 1 where the map holds whole indices only."""
    return (0.0, 0.5) if holds_plane(data, "l", 0.5) else (0.0, 1.0)


def data_slices(observed: IntensityMap, *, d_min: float, d_max: float, unit: str) -> str:
    """Total and anisotropic data in two planes."""
    s = np.sqrt(observed.s_squared())
    outside = outside_limits(s, d_min=d_min, d_max=d_max)
    total = observed.replace(mask=observed.mask | outside)
    aniso = split_isotropic(total).anisotropic
    scales = (
        scale_for([total], f"I ({unit})", signed=False),
        scale_for([aniso], f"I − isotropic ({unit})", signed=True),
    )
    rows = [
        [
            SlicePanel(f"Total, {_plane(value)}", total, "l", value, scales[0]),
            SlicePanel(f"Anisotropic, {_plane(value)}", aniso, "l", value, scales[1]),
        ]
        for value in planes_of(observed)
    ]
    return draw_slices(rows, name="data", title="Slices of the measured map")


def fit_slices(fit: FitResult, *, unit: str) -> str:
    """Anisotropic data, model and what is left, on one scale."""
    split = fit.comparison.split
    data, model = split.split_b.anisotropic, split.split_a.anisotropic
    left = data.replace(intensity=data.intensity - model.intensity, sigma=None)
    scale = scale_for([data], f"I − isotropic ({unit})", signed=True)
    rows = [
        [
            SlicePanel(f"Data, {_plane(value)}", data, "l", value, scale),
            SlicePanel("Liquid-like model", model, "l", value, scale),
            SlicePanel("Data − model", left, "l", value, scale),
        ]
        for value in planes_of(data)
    ]
    return draw_slices(rows, name="fit", title="Slices of data, model and difference")


def difference_slices(delta: DifferenceMap) -> str:
    """Draw the difference in units of its uncertainty."""
    scale = ColourScale(-4.0, 4.0, "z = Δ/σ", signed=True)
    row = [
        SlicePanel(f"Difference, {_plane(value)}", delta.z, "l", value, scale)
        for value in planes_of(delta.z)
    ]
    return draw_slices([row], name="delta", title="Slices of the difference map")


def shell_curves(fits: Mapping[str, FittedModel], *, multiplicity: int) -> str:
    """Anisotropic CC by shell for each model, with CC_max and the null control."""
    curves = []
    for name in ("liquid-like", "rigid-body", "translation"):
        if name not in fits:
            continue
        shells = fits[name].fit.comparison.shells
        x, cc = _shell_axis(shells)
        low = high = None
        if name == "liquid-like":
            independent = np.array([shell.n for shell in shells]) / multiplicity
            low, high = fisher_interval(cc, independent)
        curves.append(Curve(LABELS[name], x, cc, low, high, look=_LOOKS[name]))
    best = fits["liquid-like"]
    x, _ = _shell_axis(best.fit.comparison.shells)
    if np.isfinite(best.ceiling).any():
        curves.append(Curve("CC_max (data)", x, best.ceiling, look="ceiling"))
    x, null = _shell_axis(best.null.shells)
    curves.append(Curve("Null control", x, null, look="null"))
    return resolution_curves(
        curves,
        name="shells",
        title="Anisotropic correlation against resolution",
        ylabel="Anisotropic correlation (CC)",
    )


def ensemble_curves(ensemble: EnsembleAgreement) -> str:
    """Agreement of the ensemble as frames are added."""
    points = ensemble.points
    n = np.array([p.n_frames for p in points], dtype=float)

    def column(name: str) -> np.ndarray:
        return np.array([getattr(p, name) for p in points])

    curves = [
        Curve(
            "Ensemble",
            n,
            column("cc_aniso"),
            column("low"),
            column("high"),
            look="main",
        ),
        Curve("CC_max (frames)", n, column("cc_max"), look="ceiling"),
        Curve("Exact model × CC_max", n, column("predicted"), look="third"),
        Curve("Exact model", n, np.full(len(n), ensemble.exact), look="soft"),
        Curve("Null control", n, column("null"), look="null"),
    ]
    return convergence_curves(curves, name="growth", title="Correlation against frames")


def _shell_axis(shells: Sequence[ShellCorrelation]) -> tuple[np.ndarray, np.ndarray]:
    x = np.array([1 / shell.d**2 for shell in shells])
    return x, np.array([shell.cc_aniso for shell in shells])


def _plane(value: float) -> str:
    return f"{italic('l')} = {'½' if value == 0.5 else f'{value:g}'}"
