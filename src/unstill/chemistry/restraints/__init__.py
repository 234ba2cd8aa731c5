"""What the geometry of a molecule should be, from the chemistry of its components."""

from unstill.chemistry.restraints.build import build_restraints
from unstill.chemistry.restraints.tables import GeometryRestraints

__all__ = ["GeometryRestraints", "build_restraints"]
