"""Van der Waals and covalent radii, and which elements are metals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np

from unstill.errors import InputError
from unstill.shapes import Bool, Float


def vdw_radii(elements: np.ndarray) -> Float[np.ndarray, " n"]:
    """Van der Waals radii (Å).

    Non-metals: Bondi (1964), doi:10.1021/j100785a001; metals and boron: Alvarez
    (2013), doi:10.1039/c3dt50599e. Deuterium is hydrogen.

    Parameters
    ----------
    elements
        ``(n,)`` symbols, upper or lower case.

    Raises
    ------
    InputError
        If no radius of an element is known.

    Examples
    --------
    >>> vdw_radii(np.array(["C", "O", "ZN"])).tolist()
    [1.7, 1.52, 2.39]
    """
    return _looked_up(elements, "vdw")


def covalent_radii(elements: np.ndarray) -> Float[np.ndarray, " n"]:
    """Covalent radii (Å): Cordero et al. (2008), doi:10.1039/b801115j.

    Carbon as sp³; Mn, Fe and Co high-spin, the longer of two.

    Parameters
    ----------
    elements
        ``(n,)`` symbols, upper or lower case.

    Raises
    ------
    InputError
        If no radius of an element is known.
    """
    return _looked_up(elements, "covalent")


def are_metals(elements: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Which symbols are metals.

    Raises
    ------
    InputError
        If a symbol is no element with known radii.
    """
    return _looked_up(elements, "metal") > 0


def are_hydrogens(elements: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Which symbols are hydrogen or deuterium."""
    return np.isin(np.char.upper(np.char.strip(np.asarray(elements, dtype=str))), ["H", "D"])


@dataclass(frozen=True)
class _Radii:
    vdw: float
    covalent: float
    metal: float


@lru_cache(maxsize=1)
def _table() -> dict[str, _Radii]:
    text = (files("unstill.chemistry") / "radii.csv").read_text("utf-8")
    lines = [line.split(",") for line in text.splitlines() if not line.startswith("#")][1:]
    table = {
        name.upper(): _Radii(float(vdw), float(covalent), float(metal))
        for name, vdw, _, covalent, metal in lines
    }
    return {**table, "D": table["H"]}


def _looked_up(elements: np.ndarray, column: str) -> np.ndarray:
    names, inverse = np.unique(np.asarray(elements, dtype=str), return_inverse=True)
    table = _table()
    wanted = [str(name).strip().upper() for name in names]
    unknown = [name for name in wanted if name not in table]
    if unknown:
        raise InputError(
            "no radius of an element is known",
            found=", ".join(repr(name) for name in unknown),
            fix="give every atom the symbol of its element",
        )
    values = np.array([getattr(table[name], column) for name in wanted], dtype=float)
    return values[inverse.reshape(-1)]
