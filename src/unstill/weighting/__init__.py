"""Which frames explain the data: weights of members, with held-out proof.

``weigh`` finds weights by maximum entropy: a target (chi-square, correlation,
cross-entropy) against the relative entropy to the prior weights, whose price θ
is chosen by cross-validation in blocks of reciprocal space. A free set that no
choice has seen, a bootstrap and a null control with permuted data stand
beside every gain. ``enrich`` removes members greedily instead. Members are
frames or blocks of frames (:class:`unstill.maps.members.MemberSource`); their
intensities run on numpy, JAX, torch or CuPy by the same lines.
"""

from unstill.weighting.enrich import EnrichOptions, enrich
from unstill.weighting.enrich_result import EnrichResult
from unstill.weighting.options import Options
from unstill.weighting.result import NullRun, WeighResult
from unstill.weighting.targets import TARGETS, AutodiffTarget, ChiSquare, Target
from unstill.weighting.weigh import weigh

__all__ = [
    "TARGETS",
    "AutodiffTarget",
    "ChiSquare",
    "EnrichOptions",
    "EnrichResult",
    "NullRun",
    "Options",
    "Target",
    "WeighResult",
    "enrich",
    "weigh",
]
