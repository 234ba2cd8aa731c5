r"""Weights of the phonon orders of a liquid-like model.

.. math::
   e^{-x}\left(e^{x C} - 1\right) = \sum_{n\ge1} p_n(x)\, C^n,
   \qquad p_n(x) = \frac{x^n}{n!} e^{-x}, \qquad x = q^2\sigma^2
"""

from __future__ import annotations

import numpy as np

from unstill.shapes import Float


def order_weights(
    x: Float[np.ndarray, " points"], orders: int, *, remainder: bool
) -> tuple[Float[np.ndarray, "orders points"], Float[np.ndarray, "orders points"]]:
    r"""Weights of orders 1 … N, and their derivatives to x.

    Parameters
    ----------
    x
        :math:`q^2\sigma^2`.
    orders
        N.
    remainder
        Give the last order the weight of all higher ones too,
        :math:`1 - \sum_{n<N} p_n`. The weights then sum to :math:`1 - e^{-x}`
        whatever N, so that the limits of perfect and of no correlation are
        exact, and what is neglected between them is at most
        :math:`(1 - \sum_{n\le N} p_n)\,(C^N - C^{N+1})`.
    """
    poisson = np.empty((orders + 1, len(x)))
    poisson[0] = np.exp(-x)
    for n in range(1, orders + 1):
        poisson[n] = poisson[n - 1] * x / n
    weights = poisson[1:].copy()
    slopes = poisson[:-1] - poisson[1:]
    if remainder:
        weights[-1] = -np.expm1(-x) - weights[:-1].sum(axis=0)
        slopes[-1] = poisson[orders - 1]
    return weights, slopes
