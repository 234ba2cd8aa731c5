"""Displacement tensors: mean squares U of atoms, their frames and what they do to F.

U (Å²) is the mean-square displacement ⟨u uᵀ⟩; B = 8π²U. Six numbers stand for
a symmetric tensor, in the order U11, U22, U33, U12, U13, U23 of mmCIF and PDB.

References
----------
Trueblood, K. N. et al. (1996). Atomic displacement parameter nomenclature.
*Acta Cryst.* A52, 770–781. https://doi.org/10.1107/S0108767396005697
"""

from __future__ import annotations

import numpy as np

from unstill.crystal.crystal import Crystal
from unstill.errors import InputError
from unstill.shapes import Float, Matrix3

_ROWS, _COLUMNS = (0, 1, 2, 0, 0, 1), (0, 1, 2, 1, 2, 2)

Six = Float[np.ndarray, "*atoms 6"]
"""U11, U22, U33, U12, U13, U23 (Å²)."""

Tensor = Float[np.ndarray, "*atoms 3 3"]
"""Symmetric 3 × 3 tensors (Å²)."""


def tensor_from_six(six: Six) -> Tensor:
    """Return the symmetric 3 × 3 tensors of six numbers each.

    Examples
    --------
    >>> tensor_from_six(np.array([1.0, 2, 3, 4, 5, 6])).tolist()
    [[1.0, 4.0, 5.0], [4.0, 2.0, 6.0], [5.0, 6.0, 3.0]]
    """
    six = np.asarray(six)
    tensor = np.empty((*six.shape[:-1], 3, 3), dtype=six.dtype)
    tensor[..., _ROWS, _COLUMNS] = six
    tensor[..., _COLUMNS, _ROWS] = six
    return tensor


def six_from_tensor(tensor: Tensor) -> Six:
    """Return the six numbers of symmetric tensors."""
    six: np.ndarray = np.asarray(tensor)[..., _ROWS, _COLUMNS]
    return six


def u_iso_from_u_aniso(u_aniso: Six) -> Float[np.ndarray, "*atoms"]:
    """Equivalent isotropic U (Å²), a third of the trace of the Cartesian tensor."""
    u_iso: np.ndarray = np.asarray(np.asarray(u_aniso)[..., :3].mean(axis=-1))
    return u_iso


def u_aniso_from_u_iso(u_iso: Float[np.ndarray, "*atoms"]) -> Six:
    """Cartesian tensor (six numbers) of isotropic displacements."""
    u_iso = np.asarray(u_iso)
    six = np.zeros((*u_iso.shape, 6), dtype=u_iso.dtype)
    six[..., :3] = u_iso[..., np.newaxis]
    return six


def u_cart_from_u_cif(crystal: Crystal, u_cif: Six) -> Six:
    """Cartesian U of the Uᵢⱼ of a CIF, which stand in the frame a*â, b*b̂, c*ĉ.

    U_cart = (A N) U (A N)ᵀ, N = diag(a*, b*, c*), A the orthogonalization
    matrix (Grosse-Kunstleve & Adams, 2002, https://doi.org/10.1107/S0021889802008580).
    The two agree for cells with right angles only.
    """
    return rotated(u_cif, _cif_frame(crystal))


def u_cif_from_u_cart(crystal: Crystal, u_cart: Six) -> Six:
    """Uᵢⱼ of a CIF from the Cartesian U; the inverse of :func:`u_cart_from_u_cif`."""
    return rotated(u_cart, np.linalg.inv(_cif_frame(crystal)))


def u_frac_from_u_cart(crystal: Crystal, u_cart: Six) -> Tensor:
    """⟨x xᵀ⟩ of fractional displacements x (dimensionless), so that hᵀ U h is in cycles²."""
    return tensor_from_six(rotated(u_cart, crystal.fractionalization_matrix))


def rotated(u_aniso: Six, matrix: Matrix3) -> Six:
    """Tensors in another frame or moved by an operation, M U Mᵀ."""
    return six_from_tensor(matrix @ tensor_from_six(u_aniso) @ matrix.T)


def cartesian_rotation(crystal: Crystal, rotation: Matrix3) -> Matrix3:
    """Cartesian form A R A⁻¹ of a rotation R of fractional coordinates.

    Raises
    ------
    InputError
        If the operation does not preserve lengths in this cell by better than 1 %.
    """
    cartesian: np.ndarray = (
        crystal.orthogonalization_matrix @ rotation @ crystal.fractionalization_matrix
    )
    misfit = float(np.abs(cartesian @ cartesian.T - np.eye(3)).max())
    if misfit > 0.02:
        raise InputError(
            "a symmetry operation does not fit the unit cell",
            found=f"space group {crystal.space_group} in the cell {crystal.unit_cell}",
            fix="check the unit cell and the space group",
        )
    return cartesian


def debye_waller(
    s: Float[np.ndarray, "*points 3"], u_aniso: Float[np.ndarray, "6"]
) -> Float[np.ndarray, "*points"]:
    """Debye–Waller factor exp(−2π² sᵀ U s) of one Cartesian tensor.

    Parameters
    ----------
    s
        ``(..., 3)`` reciprocal-space vectors (Å⁻¹), of length 1/d.
    u_aniso
        Six numbers (Å²), Cartesian.

    Examples
    --------
    An isotropic U is a B factor of 8π²U, exp(−B s²/4):

    >>> s, u = np.array([0.0, 0.0, 0.5]), 0.25
    >>> factor = debye_waller(s, u_aniso_from_u_iso(np.array(u)))
    >>> bool(np.isclose(factor, np.exp(-8 * np.pi**2 * u * 0.25 / 4)))
    True
    """
    quadratic = np.einsum("...i,ij,...j->...", s, tensor_from_six(u_aniso), s)
    factor: np.ndarray = np.asarray(np.exp(-2 * np.pi**2 * quadratic))
    return factor


def is_physical(u_aniso: Six, *, tolerance: float = 1e-6) -> np.ndarray:
    """Whether each tensor has no negative mean square along any direction (NaN: False)."""
    tensor = tensor_from_six(u_aniso)
    finite = np.isfinite(tensor).all(axis=(-1, -2))
    safe = np.where(finite[..., np.newaxis, np.newaxis], tensor, -np.eye(3))
    physical: np.ndarray = np.asarray(np.linalg.eigvalsh(safe)[..., 0] >= -tolerance)
    return physical


def _cif_frame(crystal: Crystal) -> np.ndarray:
    lengths = np.linalg.norm(crystal.fractionalization_matrix, axis=1)
    frame: np.ndarray = crystal.orthogonalization_matrix * lengths
    return frame
