"""What weighted members are held against: one target a file.

A target sees calculated intensities x and says how bad they are and in which
direction they would be better, in closed form and for many problems at a
time. Its formula lines use only the array API, so that they run on numpy,
JAX, torch and CuPy alike. Every target is minimised.
"""

from unstill.weighting.targets.autodiff import AutodiffTarget
from unstill.weighting.targets.chi_square import ChiSquare
from unstill.weighting.targets.correlation import AnisotropicCorrelation, TotalCorrelation
from unstill.weighting.targets.cross_entropy import CrossEntropy
from unstill.weighting.targets.likelihood import Likelihood
from unstill.weighting.targets.target import PreparedTarget, Target

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        ChiSquare(),
        Likelihood(),
        TotalCorrelation(),
        AnisotropicCorrelation(),
        CrossEntropy(),
    )
}
"""The targets that have a name on the command line."""

__all__ = [
    "TARGETS",
    "AnisotropicCorrelation",
    "AutodiffTarget",
    "ChiSquare",
    "CrossEntropy",
    "Likelihood",
    "PreparedTarget",
    "Target",
    "TotalCorrelation",
]
