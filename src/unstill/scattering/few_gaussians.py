r"""As few Gaussians for a form factor as a resolution needs.

.. math:: f(s) \approx \sum_{i \le n} a_i\, e^{-b_i s^2/4}, \qquad s \le 1/d_{min}

International Tables need four or five terms to hold to sin θ/λ = 2 Å⁻¹, one of
them as narrow as a nucleus. Within the sphere of a map two are often enough,
and none is narrow, so that atoms on a grid cost a fraction. The table itself is
returned where no fewer terms reach the tolerance.

Widths are fitted, heights follow by linear least squares (variable projection,
Golub & Pereyra, https://doi.org/10.1137/0710036).
"""

from __future__ import annotations

from functools import lru_cache

import gemmi
import numpy as np
import scipy.optimize

from unstill.errors import InputError
from unstill.shapes import Float

_NARROWEST = 2.0
_WIDEST = 300.0
_POINTS = 48


def few_gaussians(
    element: np.ndarray, d_min: float, tolerance: float, *, electron: bool = False
) -> tuple[Float[np.ndarray, "n_atoms n_terms"], Float[np.ndarray, "n_atoms n_terms"]]:
    """Heights a and widths b (Å²) of the terms of every atom, the same number for all.

    Parameters
    ----------
    element
        ``(n_atoms,)`` symbols.
    d_min
        Resolution (Å) to which they hold.
    tolerance
        Largest relative error of f up to 1/d_min.
    electron
        Scattering of electrons (Å) instead of X-rays (electrons).

    Raises
    ------
    InputError
        If an element has no form factor.

    Examples
    --------
    >>> height, width = few_gaussians(np.array(["C"]), 2.0, 0.01)
    >>> height.shape, float(height.sum().round(1))
    ((1, 2), 6.0)
    """
    kinds, kind = np.unique(np.char.upper(np.asarray(element, dtype=str)), return_inverse=True)
    names = [str(symbol) for symbol in kinds]
    for n_terms in (1, 2, 3):
        fits = [_fitted(name, float(d_min), n_terms, electron) for name in names]
        if all(error <= tolerance for _, _, error in fits):
            found = [(height, width) for height, width, _ in fits]
            break
    else:
        found = [_terms(name, electron) for name in names]
    height = np.array([a for a, _ in found]).reshape(len(found), -1)
    width = np.array([b for _, b in found]).reshape(len(found), -1)
    return height[kind], width[kind]


@lru_cache(maxsize=4096)
def _fitted(
    symbol: str, d_min: float, n_terms: int, electron: bool
) -> tuple[tuple[float, ...], tuple[float, ...], float]:
    """Heights, widths and the largest relative error of the best fit with so many terms."""
    s_squared = np.linspace(0, 1 / d_min, _POINTS) ** 2
    a, b = (np.array(part) for part in _terms(symbol, electron))
    truth = np.exp(-np.outer(s_squared, b) / 4) @ a

    def heights(log_width: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        columns = np.exp(-np.outer(s_squared, np.exp(log_width)) / 4) / truth[:, None]
        height = np.linalg.lstsq(columns, np.ones(_POINTS), rcond=None)[0]
        return height, columns @ height - 1

    def misfit(log_width: np.ndarray) -> np.ndarray:
        return heights(log_width)[1]

    best: tuple[np.ndarray, np.ndarray, float] | None = None
    for low, high in ((4.0, 40.0), (8.0, 25.0)):
        start = np.log(np.geomspace(low, high, n_terms)) if n_terms > 1 else np.log([10.0])
        bounds = (np.log(_NARROWEST), np.log(_WIDEST))
        fit = scipy.optimize.least_squares(misfit, start, bounds=bounds)
        error = float(np.abs(fit.fun).max())
        if best is None or error < best[2]:
            best = heights(fit.x)[0], np.exp(fit.x), error
    assert best is not None
    height, width, error = best
    return tuple(height.tolist()), tuple(width.tolist()), error


def _terms(symbol: str, electron: bool) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Heights and widths (Å²) of the tabulated fit; a constant has no width."""
    atom = gemmi.Element("H" if symbol == "D" else symbol)
    table = atom.c4322 if electron else atom.it92
    if table is None or atom.atomic_number == 0:
        raise InputError(
            "an element has no form factor",
            found=repr(symbol),
            fix="name the element of every atom, or leave such atoms out",
        )
    numbers = table.get_coefs()
    if electron:
        return tuple(numbers[:5]), tuple(numbers[5:10])
    return (*numbers[:4], numbers[8]), (*numbers[4:8], 0.0)
