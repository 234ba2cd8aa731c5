"""What we model: atoms in several places at once.

``Ensemble`` holds members × atoms × 3 coordinates with weights, occupancies
and displacements, over biotite annotations and a ``Crystal``. ``Trajectory``
is its lazy sibling: frames that are read in chunks and never all at once.
Atoms are chosen by words (``select_atoms``); ``expand_to_cell`` and
``build_supercell`` make the symmetry mates. Files are read by ``io``,
scattering is computed by ``scattering`` and ``diffuse``.
"""

from unstill.ensembles.ensemble import Ensemble
from unstill.ensembles.selection import atom_mask, select_atoms
from unstill.ensembles.supercell import build_supercell, expand_to_cell
from unstill.ensembles.trajectory import FrameChunk, Trajectory

__all__ = [
    "Ensemble",
    "FrameChunk",
    "Trajectory",
    "atom_mask",
    "build_supercell",
    "expand_to_cell",
    "select_atoms",
]
