"""Restraints of molecules: what bonds, angles, planes and centres of chirality should be."""

from unstill.chemistry.restraints.build import GeometryRestraints, build_restraints

__all__ = ["GeometryRestraints", "build_restraints"]
