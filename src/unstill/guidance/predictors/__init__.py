"""Networks that predict structures, each in a process and a Python of its own.

No two of them agree on the versions of their packages. unstill therefore
speaks with a small program (``NAME/worker.py``) that runs where the predictor
is installed; ``PredictorPrior`` makes it a prior like any other.
"""

from unstill.guidance.predictors.client import PredictorProcess
from unstill.guidance.predictors.prior import PredictorPrior
from unstill.guidance.predictors.protocol import Hello, Molecule, Report

__all__ = ["Hello", "Molecule", "PredictorPrior", "PredictorProcess", "Report"]
