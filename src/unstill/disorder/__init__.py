"""Models of motion: parameters to a diffuse map, and the fit that finds them.

Rigid translation, liquid-like motions and rigid-body TLS, one a file, all on
one transform of the model; each with analytic gradients and a sampled twin
(an ensemble drawn from the same statistics). ``fit`` is one optimiser for
all of them.
"""

from unstill.disorder.fit import fit
from unstill.disorder.fit_result import FitResult
from unstill.disorder.liquid_like import LiquidLike
from unstill.disorder.model import DisorderModel, intensity_map
from unstill.disorder.rigid_body import RigidBody
from unstill.disorder.rigid_translation import RigidTranslation
from unstill.disorder.sample import SampledFrames, sample
from unstill.disorder.transform import ModelAtoms

__all__ = [
    "DisorderModel",
    "FitResult",
    "LiquidLike",
    "ModelAtoms",
    "RigidBody",
    "RigidTranslation",
    "SampledFrames",
    "fit",
    "intensity_map",
    "sample",
]
