"""How surprising a cluster of strong pixels is, when there are very many pixels.

A pixel that stands out by three standard deviations is common among 10⁸ of
them, and three that touch are not rare: where few photons are counted, most
small clusters are noise. A cluster is believed if noise alone would show fewer
than one as good in all frames together. Of n pixels that are strong by chance,
each with the same tail probability p₁ of being so, and of -Σ ln p as large as
that of the cluster, there are

    N kⁿ⁻¹ Π p₁ Q(n, Σ ln p₁ - Σ ln p)

with N pixels, about k times more shapes with every pixel added, and Q the upper
incomplete gamma function: -ln (p/p₁) has an exponential distribution.
"""

from __future__ import annotations

import numpy as np

SHAPES = 8.0
"""More shapes of clusters with each pixel added: touching in a frame or on the next one."""

_RAREST = 1e-300


def surprise(
    excess: np.ndarray, background: np.ndarray, noise: np.ndarray, sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """-ln of the chance that background gives as many photons, and that it is strong at all.

    Parameters
    ----------
    excess, background
        ``(n,)`` photons above background, and background, of strong pixels.
    noise
        ``(n,)`` ratio of variance to mean; counts over it are taken as Poisson's.
    sigma
        Standard deviations that make a pixel strong.

    Examples
    --------
    >>> own, least = surprise(np.array([4.0]), np.array([1.0]), np.array([1.0]), 3.0)
    >>> round(float(np.exp(-own[0])), 5) # five or more where one is expected
    0.00366
    """
    from scipy.special import gammainc

    mean = background / noise
    least = np.floor(background + sigma * np.sqrt(noise * background)) + 1
    chances = (gammainc(count / noise, mean) for count in (excess + background, least))
    own, at_least = (-np.log(np.maximum(chance, _RAREST)) for chance in chances)
    # Backgrounds are no whole numbers: a pixel may be strong by less than a photon.
    return own, np.minimum(at_least, own)


def is_significant(
    n_pixels: np.ndarray, own: np.ndarray, least: np.ndarray, n_tried: float
) -> np.ndarray:
    """``(n,)`` bool: which clusters noise would not show once.

    Parameters
    ----------
    n_pixels
        ``(n,)`` pixels of each cluster.
    own, least
        ``(n,)`` sums of :func:`surprise` over them.
    n_tried
        Pixels of all frames together.
    """
    from scipy.special import gammaincc

    chance = gammaincc(n_pixels, np.maximum(own - least, 0))
    expected = (
        np.log(n_tried) + (n_pixels - 1) * np.log(SHAPES) - least
        + np.log(np.maximum(chance, _RAREST))
    )  # fmt: skip
    believed: np.ndarray = expected < 0
    return believed
