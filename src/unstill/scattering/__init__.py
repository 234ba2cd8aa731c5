"""How atoms scatter: arrays in, arrays out; no files and no models of motion.

Form factors (X-ray, electron, neutron) and their low-rank form; engines that
turn coordinates into structure factors at the points of a supercell —
``nufft`` (default), ``density`` (anisotropic atoms) and ``direct`` (the
oracle) — and the adjoint that returns gradients to coordinates, occupancies
and B. The formula lines are written on the array-API namespace.
"""

from unstill.scattering.engine import StructureFactorEngine, make_engine
from unstill.scattering.form_factors import form_factors
from unstill.scattering.gradients import Gradients
from unstill.scattering.low_rank import LowRank, low_rank
from unstill.scattering.scatterers import Scatterers

__all__ = [
    "Gradients",
    "LowRank",
    "Scatterers",
    "StructureFactorEngine",
    "form_factors",
    "low_rank",
    "make_engine",
]
