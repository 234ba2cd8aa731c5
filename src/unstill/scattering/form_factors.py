"""Form factors of atoms and ions for X-rays, electrons and neutrons."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Literal, get_args

import gemmi
import numpy as np

from unstill.errors import InputError
from unstill.shapes import Float, Inexact, PerPoint

Table = Literal["xray", "electron", "neutron"]
"""Which radiation is scattered; decides the table and the unit of F."""

Symbols = Sequence[str] | np.ndarray
"""Element symbols, one an atom or one a kind."""

_SYMBOL = re.compile(r"([A-Za-z]{1,2})(\d?[+-]|[+-]\d)?")
# gemmi holds "ignore charges" as one global switch; it is borrowed, and put back, under a lock.
_CHARGE_SWITCH = threading.Lock()


def form_factors(
    element: Symbols,
    s_squared: PerPoint,
    *,
    table: Table = "xray",
    energy: float | None = None,
) -> Inexact[np.ndarray, "elements *points"]:
    r"""Form factors :math:`f_e(s)` of a list of elements.

    X-rays: the four-Gaussian fit of *International Tables* vol. C (1992),
    table 6.1.1.4, :math:`f = \sum_i a_i e^{-b_i s^2/4} + c` with s = 1/d, plus
    f' + if'' where an energy is given. Electrons: the five-Gaussian fit of
    vol. C (2011), table 4.3.2.2. Neutrons: coherent scattering lengths, the
    same at all s.

    Parameters
    ----------
    element
        Symbols in any case, ``"D"`` for deuterium, with a charge for ions
        (``"Fe3+"``, X-rays only).
    s_squared
        1/d² (Å⁻²).
    table
        ``"xray"``, ``"electron"`` or ``"neutron"``.
    energy
        Photon energy in **eV**; adds f' + if'' of Cromer and Liberman. The
        result is complex then, and F(−H) is no longer the conjugate of F(H).

    Returns
    -------
    array
        ``(n_elements, *points)``: electrons for X-rays, Å for electrons, fm
        for neutrons.

    Raises
    ------
    InputError
        If an element or ion is not in the table, or an energy is given for
        anything but X-rays.

    References
    ----------
    Cromer, D. T. & Liberman, D. A. (1981). *Acta Cryst.* A37, 267–268,
    doi:10.1107/S0567739481000600.
    Neutron News (1992). **3** (3), 29–37, doi:10.1080/10448639208218770.

    Examples
    --------
    Forward scattering of oxygen is its eight electrons:

    >>> float(form_factors(["O"], np.array([0.0]))[0, 0].round(2))
    8.0
    >>> form_factors(["H", "D"], np.array([0.0]), table="neutron")[:, 0].round(3).tolist()
    [-3.739, 6.671]
    """
    table = checked_table(table)
    s_squared = np.asarray(s_squared, dtype=float)
    f0 = np.array([_at_rest(symbol, s_squared, table) for symbol in element])
    f0 = f0.reshape(len(element), *s_squared.shape)
    if energy is None:
        return f0
    shift = dispersion(element, energy=energy, table=table)
    complex_f: np.ndarray = f0 + shift.reshape(-1, *([1] * s_squared.ndim))
    return complex_f


def dispersion(
    element: Symbols, *, energy: float, table: Table = "xray"
) -> Inexact[np.ndarray, " elements"]:
    """Anomalous part f' + if'' (electrons) of elements at a photon energy (eV).

    Raises
    ------
    InputError
        If the energy is not positive, or the table is not that of X-rays.
    """
    if table != "xray":
        raise InputError(
            "only X-rays have anomalous dispersion",
            found=f"energy {energy:g} eV with table {table!r}",
            fix="leave the energy out, or use table='xray'",
        )
    if not (np.isfinite(energy) and energy > 0):
        raise InputError("the photon energy must be positive", found=energy, fix="give it in eV")
    numbers = [parse_symbol(symbol)[0].atomic_number for symbol in element]
    return np.array([complex(*gemmi.cromer_liberman(z, energy)) for z in numbers])


def parse_symbol(symbol: str) -> tuple[gemmi.Element, int]:
    """Element and charge of a symbol such as ``"C"``, ``"CA"``, ``"D"`` or ``"Fe3+"``.

    Raises
    ------
    InputError
        If there is no such element.
    """
    match = _SYMBOL.fullmatch(str(symbol).strip())
    if match is None:
        raise _unknown(symbol, "no element of this name is known")
    name, charge = match.group(1), match.group(2) or "0"
    element = gemmi.Element(name)
    if element.atomic_number == 0 or str(element.name).upper() != name.upper():
        raise _unknown(symbol, "no element of this name is known")
    size = int(charge.strip("+-") or 1)
    return element, -size if "-" in charge else size


def checked_table(table: str) -> Table:
    """Return the table if it is one of the three.

    Raises
    ------
    InputError
        If it is not.
    """
    for known in get_args(Table):
        if table == known:
            return known  # type: ignore[no-any-return]
    raise InputError(
        "unknown table of form factors",
        found=repr(table),
        fix=f"choose one of {', '.join(get_args(Table))}",
    )


def _at_rest(symbol: str, s_squared: np.ndarray, table: Table) -> Float[np.ndarray, "*points"]:
    element, charge = parse_symbol(symbol)
    if table == "neutron":
        return np.full(s_squared.shape, _neutron_length(symbol, element))
    fit = _xray if table == "xray" else _electron
    amplitude, width, constant = fit(symbol, element, charge)
    total = np.full(s_squared.shape, constant)
    for a, b in zip(amplitude, width, strict=True):
        total += a * np.exp(-b / 4 * s_squared)
    return total


def _xray(
    symbol: str, element: gemmi.Element, charge: int
) -> tuple[list[float], list[float], float]:
    fit = element.it92 if charge == 0 else _tabulated_ion(element, charge)
    if fit is None:
        raise _unknown(symbol, "it has no X-ray form factor in International Tables C")
    return list(fit.a), list(fit.b), float(fit.c)


def _electron(
    symbol: str, element: gemmi.Element, charge: int
) -> tuple[list[float], list[float], float]:
    # The factor of an ion diverges at s = 0 and has no Gaussian fit.
    if charge != 0 or element.c4322 is None:
        raise _unknown(symbol, "it has no electron form factor in International Tables C")
    return list(element.c4322.a), list(element.c4322.b), 0.0


def _neutron_length(symbol: str, element: gemmi.Element) -> float:
    length = float(element.neutron92.get_coefs()[0])
    if length == 0:  # gemmi's mark for "not measured"
        raise _unknown(symbol, "its coherent neutron scattering length is not tabulated")
    return length


def _tabulated_ion(element: gemmi.Element, charge: int) -> gemmi.IT92Coef | None:
    with _CHARGE_SWITCH:
        ignored = gemmi.IT92_get_ignore_charge()
        gemmi.IT92_set_ignore_charge(False)
        try:
            return gemmi.IT92_get_exact(element, charge)
        finally:
            gemmi.IT92_set_ignore_charge(ignored)


def _unknown(symbol: str, reason: str) -> InputError:
    return InputError(
        f"element {str(symbol)!r} cannot scatter: {reason}",
        found=repr(str(symbol)),
        fix="correct the element column of the file, or leave these atoms out",
    )
