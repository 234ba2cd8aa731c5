"""Where things are: lattice and symmetry, in direct and reciprocal space.

``Crystal`` is a unit cell with a space group. Around it stand the fractional
hkl ↔ q ↔ d conversions, regular boxes of fractional hkl (``HklGrid``), Laue
orbits, supercells, candidate reindexing operators and displacement tensors.
gemmi knows the symmetry; this room knows that Miller coordinates may be
fractional. Nothing here knows files, atoms or intensities.
"""

from unstill.crystal.crystal import Crystal
from unstill.crystal.hkl_grid import HklGrid

__all__ = ["Crystal", "HklGrid"]
