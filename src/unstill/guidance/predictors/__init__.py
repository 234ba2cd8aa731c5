"""Networks that predict structures, each in a process and a Python of its own.

No two of them agree on the versions of their packages. unstill therefore
speaks with a small program (``NAME/worker.py``) that runs where the predictor
is installed; ``PredictorPrior`` makes it a prior like any other, ``open_prior``
one in the atoms and the frame of a model.
"""

from unstill.guidance.predictors.client import PredictorProcess
from unstill.guidance.predictors.model_prior import ModelPrior
from unstill.guidance.predictors.opening import open_prior
from unstill.guidance.predictors.packer import SideChainPacker, SideChainProposals, open_packer
from unstill.guidance.predictors.prior import PredictorPrior
from unstill.guidance.predictors.protocol import Hello, Molecule, Report

__all__ = [
    "Hello",
    "ModelPrior",
    "Molecule",
    "PredictorPrior",
    "PredictorProcess",
    "Report",
    "SideChainPacker",
    "SideChainProposals",
    "open_packer",
    "open_prior",
]
