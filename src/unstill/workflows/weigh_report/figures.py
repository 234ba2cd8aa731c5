"""Figures of the report of weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from unstill.maps.intensity_map import IntensityMap
from unstill.report.curves import Curve, fisher_interval, resolution_curves
from unstill.report.ranges import Range, range_plot
from unstill.report.scan import ScanPanel, scan_plot
from unstill.report.shares import share_curve
from unstill.report.slices import SlicePanel, draw_slices, holds_plane, scale_for
from unstill.report.steps import Steps, step_plot
from unstill.report.strip import Judged, strip_plot
from unstill.report.svg import italic
from unstill.weighting.enrich_result import EnrichResult
from unstill.weighting.entropy_price import Path
from unstill.weighting.result import NullRun, Weighed
from unstill.weighting.states import StatePopulation

if TYPE_CHECKING:
    from unstill.workflows.weigh_report.members import WeightTrace
    from unstill.workflows.weigh_report.shells import ShellAgreement

_STILL = 1e-4
"""√KL below which weights have not moved."""


def null_strip(result: Weighed, null: NullRun) -> str:
    """Gains of the permutations, and the gain that is judged."""
    return strip_plot(
        null.gains_at("free", "aniso", result.uniform_free.aniso),
        Judged(
            "These data",
            result.cc_free.aniso - result.uniform_free.aniso,
            *result.gain_interval,
        ),
        name="null",
        title="Gain of the free anisotropic correlation, these data and permuted data",
        xlabel="Gain of the free anisotropic correlation",
        controls_label="permuted data",
        reference=(float(1 / np.sqrt(result.held.n_free)), "1/√n"),
    )


def shell_curves(shells: ShellAgreement) -> str:
    """Anisotropic CC by shell, with CC_max and permuted data."""
    x = shells.x
    curves = [
        Curve("Weighted, work set", x, shells.work, look="third"),
        Curve("Prior, free set", x, shells.free_prior, look="other"),
        Curve(
            "Weighted, free set",
            x,
            shells.free,
            *fisher_interval(shells.free, shells.n_free),
            look="main",
        ),
        Curve("Permuted data", x, shells.permuted, look="null"),
    ]
    if np.isfinite(shells.ceiling).any():
        curves.append(Curve("CC_max (data)", x, shells.ceiling, look="ceiling"))
    return resolution_curves(
        curves,
        name="shells",
        title="Anisotropic correlation against resolution",
        ylabel="Anisotropic correlation (CC)",
    )


def gain_curves(shells: ShellAgreement) -> str:
    """Gain by shell in both sets, and with permuted data."""
    x = shells.x
    gain, half = shells.free - shells.free_prior, 1.96 * shells.gain_error
    return resolution_curves(
        [
            Curve("Permuted data", x, shells.permuted - shells.permuted_prior, look="null"),
            Curve("Work set", x, shells.work - shells.work_prior, look="third"),
            Curve("Free set", x, gain, gain - half, gain + half, look="main"),
        ],
        name="shell-gain",
        title="Gain of the anisotropic correlation against resolution",
        ylabel="Gain, weighted − prior",
        difference=True,
    )


def weight_steps(trace: WeightTrace) -> str:
    """Weights over prior weights along the source."""
    return step_plot(
        Steps(trace.edges, trace.ratio, trace.low, trace.high),
        name="weights",
        title="Weight over prior weight along the source",
        xlabel="Frame of the source",
        ylabel="w / w⁰",
    )


def weight_shares(result: Weighed, n_half: int) -> str:
    """Cumulative weight of the heaviest members."""
    order = np.argsort(-result.weights / result.prior, kind="stable")
    even = np.ptp(result.prior) < 1e-9 * result.prior.max()
    x = np.concatenate([[0.0], np.cumsum(result.prior[order])])
    y = np.concatenate([[0.0], np.cumsum(result.weights[order])])
    if len(x) > 500:
        kept = np.unique(np.linspace(0, len(x) - 1, 500).astype(int))
        x, y = x[kept], y[kept]
    return share_curve(
        x,
        y,
        name="shares",
        title="Cumulative weight of the heaviest members",
        xlabel="Members, heaviest first" if even else "Prior weight, heaviest w/w⁰ first",
        ylabel="Weight",
        even="prior weights",
        half=f"half of the weight: {n_half} of {result.n_members} members"
        if even
        else "half of the weight",
    )


def price_scan(result: Weighed, path: Path) -> str:
    """Held-out loss and N_eff against θ, and misfit against KL."""
    n_eff = result.n_members * np.exp(-path.divergence)
    panels = [
        ScanPanel(
            "Held-out loss",
            path.theta,
            path.held_out,
            "θ",
            "loss a point",
            error=path.held_out_error,
            log=True,
        ),
        ScanPanel(
            f"N_eff of {result.n_members}",
            path.theta,
            n_eff,
            "θ",
            "N_eff",
            log=True,
            floor=0.0,
        ),
    ]
    moved = np.sqrt(path.divergence)
    # Weights that never left the prior have no curve.
    if moved.max() > _STILL:
        panels.append(ScanPanel("L-curve", moved, path.misfit, "√KL", "misfit, work set"))
    return scan_plot(
        panels, path.chosen, label="chosen", name="price", title="The path of θ and the choice"
    )


def removal_scan(result: EnrichResult) -> str:
    """Criterion, and held-out loss where there is one, against the members that are left."""
    trace = result.trace
    left = trace.n_kept.astype(float)
    panels = [ScanPanel("Fit", left, trace.fit, "members left", "criterion")]
    if np.isfinite(trace.held_out).any():
        panels.append(
            ScanPanel(
                "Held-out loss",
                left,
                trace.held_out,
                "members left",
                "loss a point",
                error=trace.held_out_error,
            )
        )
    return scan_plot(
        panels, trace.chosen, label="kept", name="removal", title="The removal and the choice"
    )


def state_ranges(populations: Sequence[StatePopulation]) -> str:
    """Draw populations before and after."""
    return range_plot(
        [
            Range(
                one.label,
                one.prior,
                one.population,
                max(0.0, one.population - 1.96 * one.error),
                min(1.0, one.population + 1.96 * one.error),
            )
            for one in populations
        ],
        name="states",
        title="Populations of the states, prior and weighted",
        xlabel="Population",
        limits=(0.0, 1.0),
    )


def planes_of(data: IntensityMap) -> list[float]:
    """L = 0, and l = ½ or else 1, as far as the map holds them."""
    second = 0.5 if holds_plane(data, "l", 0.5) else 1.0
    return [value for value in (0.0, second) if holds_plane(data, "l", value)]


def map_slices(observed: IntensityMap, weighted: IntensityMap, planes: Sequence[float]) -> str:
    """Anisotropic data, weighted members and difference, on one scale."""
    left = observed.replace(intensity=observed.intensity - weighted.intensity)
    scale = scale_for([observed], "I − isotropic (unit of the data)", signed=True)
    rows = [
        [
            SlicePanel(f"Data, {_plane(value)}", observed, "l", value, scale),
            SlicePanel("Weighted members", weighted, "l", value, scale),
            SlicePanel("Data − weighted", left, "l", value, scale),
        ]
        for value in planes
    ]
    return draw_slices(rows, name="maps", title="Slices of data, weighted members and difference")


def _plane(value: float) -> str:
    return f"{italic('l')} = {'½' if value == 0.5 else f'{value:g}'}"
