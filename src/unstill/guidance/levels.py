r"""Noise levels, from the largest to the last.

.. math::
   \sigma_k = \Big[\sigma_{max}^{1/\rho} + \tfrac{k}{K}
   \big(\sigma_{min}^{1/\rho} - \sigma_{max}^{1/\rho}\big)\Big]^\rho

Source: Karras et al. (2022), https://doi.org/10.48550/arXiv.2206.00364.
"""

from __future__ import annotations

import numpy as np

from unstill.errors import InputError
from unstill.shapes import Float


def karras_levels(
    sigma_max: float, sigma_min: float, n_steps: int, *, rho: float = 7.0, to_zero: bool = True
) -> Float[np.ndarray, " levels"]:
    """Levels (Å) of a schedule; ``n_steps + 1`` of them, the last one 0 if ``to_zero``.

    Raises
    ------
    InputError
        If the levels do not fall, or there is no step.

    Examples
    --------
    >>> karras_levels(4.0, 1.0, 2, rho=1.0).tolist()
    [4.0, 1.0, 0.0]
    """
    falling = np.isfinite(sigma_max) and 0 < sigma_min < sigma_max
    if not falling or n_steps < 2 or not rho > 0:
        raise InputError(
            "noise levels must fall, in two steps or more",
            found=f"{sigma_max:g} to {sigma_min:g} Å in {n_steps} steps, rho {rho:g}",
            fix="give sigma_max > sigma_min > 0 and n_steps of 2 or more",
        )
    # Where the last level is 0, the one before it is sigma_min.
    last = n_steps - 1 if to_zero else n_steps
    share = np.arange(last + 1) / last
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    levels: np.ndarray = (high + share * (low - high)) ** rho
    return np.append(levels, 0.0) if to_zero else levels


def af3_levels(n_steps: int = 200) -> Float[np.ndarray, " levels"]:
    """Levels of AlphaFold 3 and its kin: 2560 to 0.0064 Å, never 0.

    Source: Abramson et al. (2024), https://doi.org/10.1038/s41586-024-07487-w.
    """
    sigma_data, s_max, s_min = 16.0, 160.0, 4e-4
    return karras_levels(sigma_data * s_max, sigma_data * s_min, n_steps, to_zero=False)


def checked_levels(levels: Float[np.ndarray, " levels"]) -> Float[np.ndarray, " levels"]:
    """Return the levels if they fall strictly and end at 0 or above.

    Raises
    ------
    InputError
        If they do not.
    """
    levels = np.asarray(levels, dtype=float)
    if levels.ndim != 1 or len(levels) < 2 or not (np.diff(levels) < 0).all() or levels[-1] < 0:
        raise InputError(
            "noise levels must fall strictly and end at 0 or above",
            found=f"{levels[:4].tolist()}...",
            fix="make them with karras_levels",
        )
    return levels
