"""What we model: atoms in several places at once.

``Ensemble`` holds members × atoms × 3 coordinates with weights, occupancies
and displacements, over biotite annotations and a ``Crystal``. ``Trajectory``
is its lazy sibling: frames that are read in chunks and never all at once.
Supercells of an ensemble and symmetry expansion live here too. Files are
read by ``io``, scattering is computed by ``scattering`` and ``diffuse``.
"""

from unstill.ensembles.ensemble import Ensemble

__all__ = ["Ensemble"]
