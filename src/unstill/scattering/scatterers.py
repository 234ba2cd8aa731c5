"""What scatters: elements, occupancies and displacements, without positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.scattering.form_factors import Symbols
from unstill.shapes import Bool, Float, PerAtom


@dataclass(frozen=True, eq=False)
class Scatterers:
    """Atoms as scatterers; positions come later, one frame after another.

    Parameters
    ----------
    element
        ``(n_atoms,)`` symbols, any case; ions as ``"Fe3+"``.
    occupancy
        ``(n_atoms,)``, ones by default.
    b_factor
        ``(n_atoms,)`` in Å², zeros by default. Right for the frames of a
        simulation, whose motion is in the frames.
    u_aniso
        ``(n_atoms, 6)`` U11, U22, U33, U12, U13, U23 in the Cartesian frame
        (Å²), NaN for atoms that have none. Where present it replaces
        ``b_factor``.

    Raises
    ------
    InputError
        If a shape does not fit or a number is not finite.

    Examples
    --------
    >>> Scatterers(element=["C", "N"]).b_factor.tolist()
    [0.0, 0.0]
    """

    element: Symbols
    occupancy: PerAtom = None  # type: ignore[assignment]
    b_factor: PerAtom = None  # type: ignore[assignment]
    u_aniso: Float[np.ndarray, "n_atoms 6"] | None = None

    def __post_init__(self) -> None:
        element = np.char.upper(np.atleast_1d(np.asarray(self.element, dtype=str)))
        object.__setattr__(self, "element", element)
        for name, default in (("occupancy", 1.0), ("b_factor", 0.0)):
            value = getattr(self, name)
            value = np.full(len(element), default) if value is None else np.asarray(value, float)
            _check(name, value, (len(element),), np.isfinite(value).all())
            object.__setattr__(self, name, value)
        if self.u_aniso is not None:
            u_aniso = np.asarray(self.u_aniso, float)
            whole = np.isfinite(u_aniso).all(axis=-1) | np.isnan(u_aniso).all(axis=-1)
            _check("u_aniso", u_aniso, (len(element), 6), whole.all())
            object.__setattr__(self, "u_aniso", u_aniso)

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.element)

    @property
    def anisotropic(self) -> Bool[np.ndarray, " n_atoms"]:
        """Whether an atom has a displacement tensor that replaces its B factor."""
        if self.u_aniso is None:
            return np.zeros(self.n_atoms, dtype=bool)
        has: np.ndarray = np.isfinite(self.u_aniso).all(axis=-1)
        return has

    @property
    def displacement(self) -> Float[np.ndarray, "n_atoms 6"]:
        """Displacement tensor U of every atom (Å²), B/8π² on the diagonal where isotropic."""
        tensor = np.zeros((self.n_atoms, 6))
        tensor[:, :3] = (self.b_factor / (8 * np.pi**2))[:, None]
        if self.u_aniso is not None:
            tensor = np.where(self.anisotropic[:, None], self.u_aniso, tensor)
        return tensor


def _check(name: str, value: np.ndarray, shape: tuple[int, ...], finite: bool) -> None:
    if value.shape != shape:
        raise InputError(
            f"{name} does not fit the atoms",
            found=f"shape {value.shape}",
            fix=f"give an array of shape {shape}",
        )
    if not finite:
        raise InputError(
            f"{name} is not finite", found="NaN or infinity", fix="repair or leave out these atoms"
        )
