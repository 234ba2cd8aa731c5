"""What we model: atoms in several places at once.

``Ensemble`` holds members × atoms × 3 coordinates with weights, occupancies
and displacements, over biotite annotations and a ``Crystal``. ``Trajectory``
is its lazy sibling: frames that are read in chunks and never all at once.
``Multiconformer`` is one set of atoms in several states; ``encode`` makes it of an
ensemble and ``decode`` leads back, ``hierarchy`` infers and edits the tree of its
states, ``contacts`` finds what is bonded and what clashes.
Atoms are chosen by words (``select_atoms``); ``expand_to_cell`` and
``build_supercell`` make the symmetry mates. Files are read by ``io``,
scattering is computed by ``scattering`` and ``diffuse``.
"""

from unstill.ensembles.ensemble import Ensemble
from unstill.ensembles.multiconformer import Multiconformer
from unstill.ensembles.selection import atom_mask, select_atoms
from unstill.ensembles.supercell import build_supercell, expand_to_cell
from unstill.ensembles.trajectory import FrameChunk, Trajectory

__all__ = [
    "Ensemble",
    "FrameChunk",
    "Multiconformer",
    "Trajectory",
    "atom_mask",
    "build_supercell",
    "expand_to_cell",
    "select_atoms",
]
