"""What a reduction found, as far as it went: for the report, for JSON, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unstill.reduction.merging.merged import Merged
from unstill.reduction.merging.statistics import MergingStatistics
from unstill.reduction.survey.frame_statistics import FrameStatistics
from unstill.reduction.survey.peaks_found import PeaksFound

if TYPE_CHECKING:
    from unstill.reduction.background.background import Background
    from unstill.reduction.scaling.damage import Decay
    from unstill.reduction.scaling.scale import ScaleResult


@dataclass(frozen=True, eq=False)
class SweepOutcome:
    """One sweep.

    Parameters
    ----------
    name
        Of the sweep.
    n_frames, n_pixels
        Integrated.
    n_observations
        Rows of the coarse map.
    frames, shell_edges
        Statistics of every frame, and the edges of their shells in 1/d (Å⁻¹).
    peaks
        Shape of the Bragg peaks, and what is none of them.
    check
        Faults that were looked for.
    background
        What was subtracted, or ``None``.
    used
        Whether it is in the map.
    reason
        Why it is not.
    """

    name: str
    n_frames: int
    n_pixels: int
    n_observations: int
    frames: FrameStatistics | None
    shell_edges: np.ndarray | None
    peaks: PeaksFound | None
    check: Any = None
    background: Background | None = None
    used: bool = True
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        found: dict[str, Any] = {
            "name": self.name,
            "n_frames": self.n_frames,
            "n_pixels": self.n_pixels,
            "observations": self.n_observations,
            "used": self.used,
            "reason": self.reason,
        }
        if self.peaks is not None:
            shape = self.peaks.shape
            found["peaks"] = {
                "center": shape.center,
                "widths": shape.widths,
                "n_peaks": shape.n_peaks,
                "n_rejected": shape.n_rejected,
                "n_strong": self.peaks.n_strong,
                "n_foreign": self.peaks.n_foreign,
                "rings": self.peaks.rings,
            }
        if self.frames is not None:
            found["pixels"] = {
                name: int(getattr(self.frames, name).sum())
                for name in ("used", "masked", "strong", "overloaded", "invalid", "unusable")
            }
        return found


@dataclass(frozen=True, eq=False)
class Outcome:
    """A reduction, as far as it went; what was not done is ``None``.

    Parameters
    ----------
    done
        Names of the steps that were done or found.
    sweeps
        In their order.
    crystals
        Which crystals were kept, and why others were not.
    scale
        Scales, outliers and error model.
    decay
        Relative B factor along each sweep that is long enough.
    rows
        Centroids of the observations, to show where outliers lie.
    merged, statistics
        The map and its figures.
    fine
        Divisions of the fine map.
    outputs
        Files by name.
    """

    done: tuple[str, ...]
    sweeps: tuple[SweepOutcome, ...]
    crystals: Any = None
    scale: ScaleResult | None = None
    decay: tuple[Decay, ...] = ()
    merged: Merged | None = None
    statistics: MergingStatistics | None = None
    outliers: Mapping[str, np.ndarray] = field(default_factory=dict)
    fine: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Path] = field(default_factory=dict)

    @property
    def n_frames(self) -> int:
        """Frames that were integrated."""
        return sum(sweep.n_frames for sweep in self.sweeps)

    @property
    def observations(self) -> int:
        """Rows of the coarse map."""
        return sum(sweep.n_observations for sweep in self.sweeps)

    @property
    def rejected(self) -> dict[str, int]:
        """Rows that were left out: too bright, too dark, of a bad range."""
        if self.scale is None:
            return {"bright": 0, "dark": 0, "bad_range": 0}
        why = np.asarray(self.scale.rejected)
        return {
            name: int(np.count_nonzero(why == number))
            for number, name in enumerate(("bright", "dark", "bad_range"), start=1)
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        total = None if self.statistics is None else self.statistics.overall
        found: dict[str, Any] = {
            "n_frames": self.n_frames,
            "n_pixels": sum(sweep.n_pixels for sweep in self.sweeps),
            "observations": self.observations,
            "resolution": None if total is None else total.d_min,
            "cc_half": None if total is None else total.cc_half,
            "cc_friedel": None if total is None else total.cc_friedel,
            "chi2": None if self.scale is None else self.scale.chi2,
            "rejected": self.rejected,
            "steps": list(self.done),
            "sweeps": [sweep.as_dict() for sweep in self.sweeps],
        }
        if self.statistics is not None:
            found["statistics"] = self.statistics.as_dict()
        if self.scale is not None:
            found["error_model"] = vars(self.scale.error_model)
            found["decay"] = [
                {
                    "name": self.sweeps[one.sweep].name,
                    "rate": one.rate,
                    "rate_sigma": one.rate_sigma,
                    "significant": one.significant,
                }
                for one in self.decay
            ]
            found["bad_ranges"] = [vars(one) for one in self.scale.bad_ranges]
            found["scaled"] = [part.name for part in self.scale.model.components]
        if self.crystals is not None:
            found["crystals"] = self.crystals.choice.as_dict()
            found["crystals"]["indexing"] = list(self.crystals.operators)
        if self.fine:
            found["fine"] = dict(self.fine)
        return found

    def lines(self) -> list[str]:
        """Text for people."""
        shown = [
            f"{self.n_frames} frames of {len(self.sweeps)} sweep{'s' * (len(self.sweeps) > 1)}, "
            f"{self.observations} observations; steps: {', '.join(self.done)}"
        ]
        if self.scale is not None:
            model, out = self.scale.error_model, self.rejected
            shown.append(
                f"χ² {self.scale.chi2:.3f} with gain {model.gain:.3f} and relative error "
                f"{model.relative:.4f}; left out: {out['bright']} bright, {out['dark']} dark"
            )
        if self.statistics is not None:
            shown += _table(self.statistics)
        return shown


def _table(statistics: MergingStatistics) -> list[str]:
    lines = ["", "    d (Å)     CC1/2  CC_Friedel  expected   complete  multiplicity"]
    for shell in (*statistics.shells, statistics.overall):
        lines.append(
            f"{shell.d_max:6.2f} {shell.d_min:5.2f}{shell.cc_half:9.3f}{shell.cc_friedel:11.3f}"
            f"{shell.cc_expected:11.3f}{shell.completeness:10.1%}{shell.redundancy:12.1f}"
        )
    return lines
