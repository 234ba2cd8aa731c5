"""Inelastic (Compton) scattering: featureless, known, and no part of what a map should show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files

import numpy as np

from unstill.errors import InputError
from unstill.maps import IntensityMap
from unstill.shapes import Float

MAX_S = 3.0
"""Largest 1/d (Å⁻¹) that the table holds for."""

COMPTON_WAVELENGTH = 0.024263102
"""h/(m c) in Å."""


def incoherent_scattering(
    elements: Sequence[str], s: Float[np.ndarray, "*points"], *, wavelength: float | None = None
) -> Float[np.ndarray, "elements *points"]:
    r"""Compton scattering of free atoms, in electron units.

    .. math:: S(x) = Z - \sum_{i=1}^5 a_i e^{-b_i x^2}, \qquad x = s/2 = \sin\theta/\lambda

    fitted to the incoherent scattering functions of Hubbell et al. (1975)
    for 0 ≤ x ≤ 1.5 Å⁻¹; within 0.01 electrons for the elements of biology.

    Parameters
    ----------
    elements
        Symbols, H to Xe.
    s
        1/d (Å⁻¹), up to 3.
    wavelength
        Of the X-rays (Å): includes that fewer photons come back than a
        stationary charge would scatter, (E'/E)². Left out by default.

    Returns
    -------
    array
        ``(n_elements, *points)``, e² an atom.

    Raises
    ------
    InputError
        If an element is not in the table, or s is beyond it.

    References
    ----------
    Hubbell, J. H. et al. (1975). *J. Phys. Chem. Ref. Data* 4, 471–538,
    https://doi.org/10.1063/1.555523. Form of the fit: Balyuzi, H. H. M. (1975).
    *Acta Cryst.* A31, 600–602, https://doi.org/10.1107/S0567739475001295.

    Examples
    --------
    Far out all six electrons of carbon scatter by themselves:

    >>> incoherent_scattering(["C"], np.array([0.0, 0.2, 3.0])).round(2).tolist()
    [[0.0, 1.04, 5.78]]
    """
    s = np.asarray(s, dtype=float)
    if s.size and not (s.min() >= 0 and s.max() <= MAX_S * (1 + 1e-9)):
        raise InputError(
            "the table of Compton scattering does not reach so far",
            found=f"1/d from {s.min():g} to {s.max():g} Å⁻¹",
            fix=f"stay within {MAX_S:g} Å⁻¹",
        )
    x_squared = (s / 2) ** 2
    found = np.empty((len(elements), *s.shape))
    for number, element in enumerate(elements):
        a, b = _coefficients(element)
        left = np.einsum("i,i...->...", a, np.exp(-np.multiply.outer(b, x_squared)))
        found[number] = a.sum() - left
    # A free electron at rest: λ'/λ = 1 + (h/mc)(1 − cos 2θ)/λ, and 1 − cos 2θ = λ² s²/2.
    if wavelength is not None:
        found /= (1 + COMPTON_WAVELENGTH * wavelength * s**2 / 2) ** 2
    return found


def compton_of_cell(
    contents: Mapping[str, float],
    s: Float[np.ndarray, "*points"],
    *,
    wavelength: float | None = None,
) -> Float[np.ndarray, "*points"]:
    """Compton scattering of a unit cell (e²).

    Parameters
    ----------
    contents
        Atoms of each element in the cell.
    s, wavelength
        As in :func:`incoherent_scattering`.
    """
    elements = list(contents)
    number = np.array([contents[element] for element in elements], dtype=float)
    of_atoms = incoherent_scattering(elements, s, wavelength=wavelength)
    total: np.ndarray = np.asarray(np.einsum("e,e...->...", number, of_atoms))
    return total


def subtract_compton(
    absolute: IntensityMap, contents: Mapping[str, float], *, wavelength: float | None = None
) -> IntensityMap:
    """Subtract Compton scattering from a map on the absolute scale.

    Parameters
    ----------
    absolute
        Intensity in e² a unit cell; see :func:`~unstill.reduction.absolute.absolute.to_absolute`.
    contents
        Atoms of each element in the cell.
    wavelength
        As in :func:`incoherent_scattering`.
    """
    s = np.sqrt(absolute.s_squared())
    inside = s <= MAX_S
    compton = np.full(s.shape, np.nan)
    compton[inside] = compton_of_cell(contents, s[inside], wavelength=wavelength)
    note = {"compton": {"contents": dict(contents), "wavelength": wavelength}}
    return absolute.replace(
        intensity=absolute.intensity - compton, provenance={**absolute.provenance, **note}
    )


@lru_cache(maxsize=1)
def _table() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    text = (files("unstill.reduction.absolute") / "incoherent.csv").read_text("utf-8")
    rows = [line.split(",") for line in text.splitlines() if not line.startswith("#")][1:]
    table = {}
    for name, *words in rows:
        numbers = np.array([float(word) for word in words[:10]])
        table[name] = numbers[0::2], numbers[1::2]
    return table


def _coefficients(element: str) -> tuple[np.ndarray, np.ndarray]:
    name = element.strip().capitalize()
    name = "H" if name == "D" else name
    found = _table().get(name)
    if found is None:
        raise InputError(
            "no Compton scattering is known for an element",
            found=repr(element),
            fix=f"give one of: {', '.join(_table())}",
        )
    return found
