r"""Weights from logits, and how far they have come from where they started.

.. math:: w_t = e^{g_t} / \sum_u e^{g_u}

sums to one by construction. The relative entropy
:math:`KL = \sum_t w_t \ln(w_t/w^0_t)` is what it costs to leave the prior
weights w⁰.
"""

from __future__ import annotations

import numpy as np

from unstill.shapes import Float

_SMALLEST = 1e-4
"""Weights below this share of the mean count as this large."""


def softmax(
    logits: Float[np.ndarray, "sets members"],
) -> Float[np.ndarray, "sets members"]:
    """Weights of logits, row by row.

    Examples
    --------
    >>> softmax(np.array([[0.0, 0.0, np.log(2.0)]])).round(6).tolist()
    [[0.25, 0.25, 0.5]]
    """
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights: np.ndarray = raised / raised.sum(axis=1, keepdims=True)
    return weights


def to_logits(
    weights: Float[np.ndarray, "sets members"], gradient: Float[np.ndarray, "sets members"]
) -> Float[np.ndarray, "sets members"]:
    r"""Gradient to the logits, :math:`w_t (G_t - \sum_u w_u G_u)`."""
    mean = np.sum(weights * gradient, axis=1, keepdims=True)
    by_logits: np.ndarray = weights * (gradient - mean)
    return by_logits


def natural_metric(
    logits: Float[np.ndarray, "sets members"],
) -> Float[np.ndarray, "sets members"]:
    """Return 1/w: steps along it change all weights alike, however small they are.

    It is the inverse diagonal of the Fisher information of the weights; a
    search that begins with it needs a third of the steps.
    """
    weights = softmax(logits)
    metric: np.ndarray = 1 / np.maximum(weights, _SMALLEST / weights.shape[1])
    return metric


def relative_entropy(
    weights: Float[np.ndarray, "sets members"], prior: Float[np.ndarray, " members"]
) -> Float[np.ndarray, " sets"]:
    """KL of weights from the prior, ≥ 0."""
    entropy: np.ndarray = np.sum(weights * log_ratio(weights, prior), axis=1)
    entropy[entropy < 0] = 0.0
    return entropy


def log_ratio(
    weights: Float[np.ndarray, "sets members"], prior: Float[np.ndarray, " members"]
) -> Float[np.ndarray, "sets members"]:
    """Return ln(w/w⁰), finite for weights that have vanished."""
    tiny = np.finfo(float).tiny
    ratio: np.ndarray = np.log(np.maximum(weights, tiny) / prior)
    return ratio


def n_effective_kl(weights: Float[np.ndarray, " members"], prior: np.ndarray) -> float:
    """Return e^(−KL) times the number of members: all for the prior, 1 for one among equals."""
    return float(np.exp(-relative_entropy(weights[None], prior)[0]) * len(weights))


def n_effective(weights: Float[np.ndarray, " members"]) -> float:
    """Return 1/Σw² (Kish): members that would give this variance with equal weights."""
    return float(1 / np.sum(weights**2))
