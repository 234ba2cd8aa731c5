"""Measured Bragg amplitudes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.shapes import Bool, Float, Integer


@dataclass(frozen=True, eq=False)
class Amplitudes:
    r"""Bragg amplitudes \|F\|, one of each Laue orbit.

    Parameters
    ----------
    crystal
        The unit cell and space group.
    hkl
        ``(n, 3)`` representatives (:func:`unstill.crystal.symmetry.map_to_asu`).
    f_obs, sigma
        ``(n,)`` amplitude and its standard uncertainty, in one unit; σ > 0.
    free
        ``(n,)`` True for reflections that no fit may see (R_free).
    columns
        Names of the columns they came from.

    Raises
    ------
    InputError
        If a σ is not positive or a value is not finite.
    """

    crystal: Crystal
    hkl: Integer[np.ndarray, "reflections 3"]
    f_obs: Float[np.ndarray, " reflections"]
    sigma: Float[np.ndarray, " reflections"]
    free: Bool[np.ndarray, " reflections"]
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        good = np.isfinite(self.f_obs) & np.isfinite(self.sigma) & (self.sigma > 0)
        if not good.all():
            raise InputError(
                "amplitudes need finite values with a positive sigma",
                found=f"{int(np.count_nonzero(~good))} of {len(good)} without",
                fix="leave these reflections out",
            )
