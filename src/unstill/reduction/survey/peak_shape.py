"""The shape of Bragg peaks in fractional Miller indices: what is masked around each reflection."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from unstill.errors import FormatError, InputError

DEFAULT_RADIUS = 0.05
"""Standard deviation (r.l.u.) that is assumed where there are too few peaks to fit."""


@dataclass(frozen=True, eq=False)
class PeakShape:
    """A Gaussian about each allowed reflection, δ = h − round(h) ~ N(r0, Σ).

    Parameters
    ----------
    center
        ``(3,)`` r0: mean offset from the reflection (r.l.u.); 0 for a right geometry.
    covariance
        ``(3, 3)`` Σ (r.l.u.²).
    cutoff
        Pixels with |Σ^{-1/2} (δ − r0)| below it are masked.
    n_peaks, n_rejected
        Pixels that were used, and pixels that were too far off.

    Raises
    ------
    InputError
        If Σ is not positive definite, or the cutoff is negative.
    """

    center: np.ndarray = field(default_factory=lambda: np.zeros(3))
    covariance: np.ndarray = field(default_factory=lambda: np.eye(3) * DEFAULT_RADIUS**2)
    cutoff: float = 3.0
    n_peaks: int = 0
    n_rejected: int = 0

    def __post_init__(self) -> None:
        center = np.asarray(self.center, float).reshape(3)
        covariance = np.asarray(self.covariance, float).reshape(3, 3)
        object.__setattr__(self, "center", center)
        object.__setattr__(self, "covariance", covariance)
        finite = np.all(np.isfinite(covariance)) and np.all(np.isfinite(center))
        if not finite or np.linalg.eigvalsh(covariance).min() <= 0 or self.cutoff < 0:
            raise InputError(
                "the peak shape is no ellipsoid",
                found=f"covariance {covariance.tolist()}, cutoff {self.cutoff}",
                fix="give a positive definite matrix, and a cutoff of 0 or more",
            )

    @property
    def whitening(self) -> np.ndarray:
        """``(3, 3)`` lower triangular W with |W x|² = xᵀ Σ⁻¹ x."""
        return np.asarray(np.linalg.inv(np.linalg.cholesky(self.covariance)))

    @property
    def widths(self) -> np.ndarray:
        """``(3,)`` standard deviations along a*, b*, c* (r.l.u.)."""
        return np.sqrt(np.diag(self.covariance))

    def to_json(self) -> str:
        """Write as JSON."""
        values: dict[str, Any] = asdict(self)
        values["center"] = self.center.tolist()
        values["covariance"] = self.covariance.tolist()
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str) -> PeakShape:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        FormatError
            If it is something else.
        """
        try:
            values = json.loads(text)
            return cls(**values)
        except (ValueError, TypeError) as error:
            raise FormatError(
                "this is no peak shape", found=str(error), fix="fit it again"
            ) from error
