"""Whether the cell of a geometry file has the symmetry that the file names."""

from __future__ import annotations

from unstill.crystal.symmetry import check_metric
from unstill.errors import InputError
from unstill.experiment import Lattice


def checked_metric(lattice: Lattice, where: str, *, overridden: bool) -> None:
    """Refuse a space group that the unit cell does not have."""
    try:
        check_metric(lattice.crystal)
    except InputError as error:
        crystal = lattice.crystal
        cell = ", ".join(f"{value:.3f}" for value in crystal.unit_cell)
        raise InputError(
            f"the unit cell does not have the symmetry of {crystal.space_group}",
            found=f"cell {cell} at {where}",
            fix="give a space group that the cell allows"
            if overridden
            else "give the right one: --space-group",
        ) from error
