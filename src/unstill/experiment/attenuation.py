"""How much matter absorbs: the sensor of a detector and the air before it."""

from __future__ import annotations

from functools import lru_cache

from unstill.errors import InputError

_AIR = (("N2", 0.781), ("O2", 0.209), ("Ar", 0.0093))
"""Share of the volume."""

_MOLAR_VOLUME = 24055.0
"""cm³ a mole at 20 °C and 1 atm."""

_MOLAR_MASS = {"N2": 28.014, "O2": 31.998, "Ar": 39.948}
"""g a mole."""

_DENSITY = {"Si": 2.329, "CdTe": 5.85, "GaAs": 5.318, "Ge": 5.323}
"""g/cm³."""

_NAMES = {"silicon": "Si", "germanium": "Ge"}


@lru_cache(maxsize=256)
def sensor_mu(material: str, energy: float) -> float:
    """Attenuation of a sensor material (mm⁻¹) at a photon energy (eV).

    Parameters
    ----------
    material
        ``"Si"`` (or silicon), ``"CdTe"``, ``"GaAs"`` or ``"Ge"``.
    energy
        eV.

    Raises
    ------
    InputError
        If the material is unknown.

    References
    ----------
    The tables of Elam et al., doi:10.1016/S0969-806X(01)00227-4, through xraydb.
    """
    known = {name.lower(): name for name in _DENSITY} | _NAMES
    name = known.get(material.strip().lower())
    if name is None:
        raise InputError(
            "the attenuation of this sensor is unknown",
            found=repr(material),
            fix=f"give one of {', '.join(_DENSITY)}, or mu in the geometry",
        )
    import xraydb

    return float(xraydb.material_mu(name, energy, density=_DENSITY[name])) / 10


@lru_cache(maxsize=256)
def air_mu(energy: float) -> float:
    """Attenuation of dry air at 20 °C and 1 atm (mm⁻¹) at a photon energy (eV)."""
    import xraydb

    # Gases at one pressure: the density of each is its share of the volume.
    total = sum(
        share * xraydb.material_mu(gas, energy, density=_MOLAR_MASS[gas] / _MOLAR_VOLUME)
        for gas, share in _AIR
    )
    return float(total) / 10
