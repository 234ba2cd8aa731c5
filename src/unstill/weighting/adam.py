"""Adam, for comparison with published work.

Kingma, D. P. & Ba, J. (2015). *Adam: a method for stochastic optimization*.
https://arxiv.org/abs/1412.6980
"""

from __future__ import annotations

import numpy as np

from unstill.shapes import Float
from unstill.weighting.lbfgs import Evaluate, Minimum

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8


def adam(
    evaluate: Evaluate,
    start: Float[np.ndarray, "problems parameters"],
    *,
    n_steps: int = 500,
    learning_rate: float = 0.05,
) -> Minimum:
    """Take a fixed number of steps from a start; the best point on the way is returned.

    Parameters
    ----------
    evaluate
        Values and gradients.
    start
        ``(n_problems, k)``.
    n_steps, learning_rate
        How many steps of about which size.
    """
    x = np.array(start, dtype=float)
    everything = np.arange(len(x))
    first, second = np.zeros_like(x), np.zeros_like(x)
    best, best_value = x.copy(), np.full(len(x), np.inf)
    for step in range(1, n_steps + 1):
        value, gradient = evaluate(x, everything)
        better = value < best_value
        best[better], best_value[better] = x[better], value[better]
        first = _BETA_1 * first + (1 - _BETA_1) * gradient
        second = _BETA_2 * second + (1 - _BETA_2) * gradient**2
        unbiased = first / (1 - _BETA_1**step), second / (1 - _BETA_2**step)
        x = x - learning_rate * unbiased[0] / (np.sqrt(unbiased[1]) + _EPSILON)
    value, _ = evaluate(x, everything)
    better = value < best_value
    best[better], best_value[better] = x[better], value[better]
    iterations = np.full(len(x), n_steps)
    return Minimum(best, best_value, iterations, np.zeros(len(x), dtype=bool))
