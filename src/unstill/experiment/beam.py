"""The incident beam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.errors import InputError
from unstill.experiment.vectors import Vector, unit_vector


@dataclass(frozen=True)
class Beam:
    """A monochromatic beam.

    Parameters
    ----------
    wavelength
        λ (Å).
    direction
        From the sample to the source, as DIALS has it; made a unit vector.
    polarization_normal
        Normal to the plane of polarisation; made a unit vector.
    polarization_fraction
        Share of the intensity that is polarised in that plane; 0.5 is unpolarised.
    transmission
        Share of the beam that filters let through; 1 without filters.

    Raises
    ------
    InputError
        If the wavelength or the transmission is not positive, a direction has no
        length, or the normal lies along the beam.
    """

    wavelength: float
    direction: Vector = (0.0, 0.0, 1.0)
    polarization_normal: Vector = (0.0, 1.0, 0.0)
    polarization_fraction: float = 0.999
    transmission: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.wavelength < 100:
            raise InputError(
                "the wavelength is impossible",
                found=f"{self.wavelength} Å",
                fix="give the wavelength of the beam in angstroms",
            )
        if not 0 <= self.polarization_fraction <= 1:
            raise InputError(
                "the polarisation fraction is no share",
                found=self.polarization_fraction,
                fix="give a number from 0 to 1; 0.5 is unpolarised",
            )
        if not 0 < self.transmission < np.inf:
            raise InputError(
                "the transmission of the filters is impossible",
                found=self.transmission,
                fix="give a number above 0; 1 is a beam without filters",
            )
        for name in ("direction", "polarization_normal"):
            object.__setattr__(self, name, unit_vector(getattr(self, name), name))
        if np.linalg.norm(np.cross(self.direction, self.polarization_normal)) < 1e-3:
            raise InputError(
                "the normal of the plane of polarisation lies along the beam",
                found=f"{self.polarization_normal} and a beam along {self.direction}",
                fix="give a normal across the beam, for example 0 1 0",
            )

    @property
    def s0(self) -> np.ndarray:
        """``(3,)`` incident wave vector s₀ = −direction/λ (Å⁻¹), from source to sample."""
        return -np.array(self.direction) / self.wavelength

    @property
    def energy(self) -> float:
        """Photon energy (eV)."""
        return 12398.419843320026 / self.wavelength
