"""The highest correlation that noise allows."""

from __future__ import annotations

import numpy as np

from unstill.maps.common_split import CommonSplit
from unstill.maps.mate_spread import sigma_from_mates


def noise_ceiling(common: CommonSplit) -> tuple[float | None, float | None]:
    r"""CC of each map with its own noise-free self, from its sigma or its mates.

    .. math:: CC_{max} = \sqrt{1 - \langle\sigma^2\rangle / \mathrm{Var}(I_{aniso})}

    over the common voxels. A perfect model without noise reaches it; two noisy
    maps reach the product of their ceilings. Sigmas must be of the voxels as
    they are (after averaging), and independent of the values. A map without
    sigma is judged by how well its Laue mates agree
    (:func:`~unstill.maps.mate_spread.sigma_from_mates`).

    Returns
    -------
    a, b
        Between 0 and 1; ``None`` for a map whose noise cannot be told: no sigma,
        and mates that are equal or absent.
    """
    return _of(common, "a"), _of(common, "b")


def _of(common: CommonSplit, which: str) -> float | None:
    full, aniso = (common.a, common.aniso_a()) if which == "a" else (common.b, common.aniso_b())
    variance = float(np.var(aniso)) if aniso.size else 0.0
    sigma = sigma_from_mates(full, usable=common.usable) if full.sigma is None else full.sigma
    if sigma is None or variance <= 0:
        return None
    noise = float(np.mean(sigma[common.usable].astype(float) ** 2))
    return float(np.sqrt(max(0.0, 1 - noise / variance)))
