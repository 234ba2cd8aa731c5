"""Walks from noise to an ensemble, one method a file.

``OdeHeun`` (default) keeps the variance of what it samples; ``ReverseSde`` is
the one that Feynman–Kac steering runs on; ``Renoise`` suits denoisers that
answer with the most probable coordinates; ``ChurnedHeun`` and
``AnnealedLangevin`` stir; ``Af3`` does what AlphaFold 3 does, for comparison.
"""

from unstill.guidance.samplers.af3 import Af3
from unstill.guidance.samplers.churn import ChurnedHeun
from unstill.guidance.samplers.heun import OdeHeun
from unstill.guidance.samplers.langevin import AnnealedLangevin
from unstill.guidance.samplers.renoise import Renoise
from unstill.guidance.samplers.reverse_sde import ReverseSde

__all__ = ["Af3", "AnnealedLangevin", "ChurnedHeun", "OdeHeun", "Renoise", "ReverseSde"]
