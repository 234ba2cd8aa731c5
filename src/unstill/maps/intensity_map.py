"""Intensity on a regular grid of fractional hkl."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from unstill.crystal import Crystal, HklGrid
from unstill.errors import InputError
from unstill.shapes import Float, Mask, Volume

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, eq=False)
class IntensityMap:
    """A merged intensity map: h, k, l axes, values, uncertainty and a mask.

    Operations never change a map; they return a new one (see :meth:`replace`).

    Parameters
    ----------
    crystal
        Unit cell and space group of the *unit* cell (not of a supercell).
    grid
        Where the voxels are.
    intensity
        ``(h, k, l)`` float; e² per unit cell when absolute, arbitrary
        otherwise. Undefined (by habit NaN) where masked.
    sigma
        ``(h, k, l)`` standard uncertainty in the same unit, or ``None``.
    n_obs
        ``(h, k, l)`` number of observations behind each voxel, or ``None``.
        0 where nothing was measured; a masked voxel with ``n_obs > 0`` was
        measured and then excluded.
    mask
        ``(h, k, l)`` bool, **True where the voxel must not be used**. By
        default the voxels whose intensity is not finite. Non-finite intensity
        or sigma always counts as masked.
    provenance
        What made this map; written into every output file.

    Raises
    ------
    InputError
        If an array does not have the shape of the grid.
    """

    crystal: Crystal
    grid: HklGrid
    intensity: Float[np.ndarray, "h k l"]
    sigma: Float[np.ndarray, "h k l"] | None = None
    n_obs: Volume | None = None
    mask: Mask = None  # type: ignore[assignment]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unusable = ~np.isfinite(self.intensity)
        if self.sigma is not None and self.sigma.shape == self.intensity.shape:
            unusable |= ~np.isfinite(self.sigma)
        given = np.zeros(self.intensity.shape, bool) if self.mask is None else self.mask
        for name, array in (
            ("intensity", self.intensity),
            ("sigma", self.sigma),
            ("n_obs", self.n_obs),
            ("mask", given),
        ):
            if array is not None and array.shape != self.grid.shape:
                raise InputError(
                    f"{name} does not have the shape of the grid",
                    found=f"{array.shape} for a grid of {self.grid.shape}",
                    fix="give one value a voxel",
                )
        object.__setattr__(self, "mask", np.asarray(given, bool) | unusable)

    @property
    def measured(self) -> Mask:
        """``(h, k, l)`` bool, True where the voxel may be used."""
        return ~self.mask

    @property
    def n_measured(self) -> int:
        """Number of usable voxels."""
        return int(np.count_nonzero(~self.mask))

    @property
    def d_min(self) -> float:
        """Smallest spacing d (Å) of a usable voxel; infinite for an empty map."""
        s_squared = self.s_squared()[self.measured]
        largest = float(s_squared.max()) if s_squared.size else 0.0
        return 1 / np.sqrt(largest) if largest > 0 else float("inf")

    def s_squared(self) -> Float[np.ndarray, "h k l"]:
        """1/d² (Å⁻²) of every voxel."""
        return self.crystal.s_squared(self.grid.hkl())

    def replace(self, **changes: Any) -> IntensityMap:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def to_xarray(self) -> xarray.Dataset:
        """Labelled view: dims h, k, l with fractional coordinates."""
        import xarray

        h, k, l = self.grid.axes()
        arrays = {
            "intensity": self.intensity,
            "sigma": self.sigma,
            "n_obs": self.n_obs,
            "mask": self.mask,
        }
        return xarray.Dataset(
            {
                name: (("h", "k", "l"), array)
                for name, array in arrays.items()
                if array is not None
            },
            coords={"h": h, "k": k, "l": l},
            attrs={
                "unit_cell": self.crystal.unit_cell,
                "space_group": self.crystal.space_group,
                "divisions": self.grid.divisions,
            },
        )
