"""What is scaled, how finely and how smoothly."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from unstill.errors import InputError

Switch = Literal["on", "off", "auto"]


@dataclass(frozen=True)
class ScaleOptions:
    """Which surfaces are fitted, their knots, their smoothness and when to stop.

    Knots are the finest that are used; where the counts do not support them
    (``min_rows``, ``precision``), or would take too long (``most_knots``), they
    are put further apart.

    Parameters
    ----------
    scale, absorption, offset, detector
        b, a, c and d: ``"on"``, ``"off"``, or ``"auto"``: on if rows that were
        left out of the fit are predicted better with it. Without b nothing is scaled.
    b_phi
        Distance of the knots of b (degrees).
    b_alpha
        Smoothness of b along φ.
    a_xy, a_phi, a_alpha_xy, a_alpha_phi
        Knots of a along each side of the detector, their distance in φ, and smoothness.
    c_s, c_phi, c_alpha_s, c_alpha_phi, c_ridge
        Knots of c in 1/d, their distance in φ, smoothness, and how strongly c is held at 0.
    d_xy, d_alpha
        Knots of d along each side of the detector, and smoothness.
    min_rows, precision
        A knot has so many rows at least, and its relative standard error on its
        own is at most this; smoothness makes it a small part of that.
    most_knots
        Of a surface, all sweeps and panels together.
    adapt
        Refine all α by restricted maximum likelihood, starting from those given.
    outlier_sigma
        Rows that their mates predict worse than this many standard errors are
        left out; ``None`` keeps all.
    reject_bad_ranges
        Leave out bad ranges too, which are named in any case.
    max_rows
        The surfaces are fitted to whole voxels with about so many rows, chosen
        at random; outliers and the error model use all rows.
    max_rounds, tolerance
        Rounds of fit, error model and outliers at most; they end when the
        scales change by less (relative, root mean square).
    """

    scale: Switch = "on"
    absorption: Switch = "auto"
    offset: Switch = "auto"
    detector: Switch = "auto"
    b_phi: float = 1.0
    b_alpha: float = 1.0
    a_xy: int = 20
    a_phi: float = 5.0
    a_alpha_xy: float = 10.0
    a_alpha_phi: float = 1.0
    c_s: int = 31
    c_phi: float = 2.5
    c_alpha_s: float = 1.0
    c_alpha_phi: float = 1.0
    c_ridge: float = 1e-3
    d_xy: int = 200
    d_alpha: float = 1.0
    min_rows: int = 10
    precision: float = 0.1
    most_knots: int = 4_000
    outlier_sigma: float | None = 6.0
    reject_bad_ranges: bool = False
    adapt: bool = True
    max_rows: int = 250_000
    max_rounds: int = 8
    tolerance: float = 2e-3

    def __post_init__(self) -> None:
        for name in ("scale", "absorption", "offset", "detector"):
            if getattr(self, name) not in ("on", "off", "auto"):
                raise InputError(
                    f"no such choice for {name}",
                    found=getattr(self, name),
                    fix='use "on", "off" or "auto"',
                )
        sizes = {name: value for name, value in asdict(self).items() if name in _POSITIVE}
        wrong = {name: value for name, value in sizes.items() if not value > 0}
        if self.outlier_sigma is not None and not self.outlier_sigma >= 3:
            wrong["outlier_sigma"] = self.outlier_sigma
        if wrong:
            raise InputError(
                "options of scaling out of range",
                found=wrong,
                fix="give positive numbers, and outlier_sigma of 3 at least",
            )

    def to_dict(self) -> dict[str, Any]:
        """All options by name."""
        return asdict(self)


_POSITIVE = (
    *("b_phi", "b_alpha", "a_xy", "a_phi", "a_alpha_xy", "a_alpha_phi", "c_s", "c_phi"),
    *(
        "c_alpha_s",
        "c_alpha_phi",
        "c_ridge",
        "d_xy",
        "d_alpha",
        "min_rows",
        "precision",
        "most_knots",
    ),
    *("max_rows", "max_rounds", "tolerance"),
)
