r"""How smooth each surface is, told by the data: restricted maximum likelihood.

The penalty α uᵀSu is the prior of a random surface; its strength follows from
how rough the fitted surface is beyond what noise and smoothing leave, by the
Fellner–Schall update

.. math:: \alpha_j \leftarrow \alpha_j\,
          \frac{\mathrm{tr}(\Lambda^- \alpha_j S_j) - \mathrm{tr}(H^{-1} \alpha_j S_j)}
               {\alpha_j\, u^T S_j u}

with Λ = Σ α S and H = JᵀWJ + Λ of the component. Weak data are smoothed more
and strong data less, which fixed strengths in units of the data cannot do.

References
----------
Wood, S. N. & Fasiolo, M. (2017). *Biometrics* 73, 1071–1081.
https://doi.org/10.1111/biom.12666
"""

from __future__ import annotations

import numpy as np

from unstill.reduction.scaling.design import Alphas, Design, Vector
from unstill.reduction.scaling.irls import Step
from unstill.reduction.scaling.system import Block, positive_solver

_PROBES = 8
_LEAP = 1.5
"""The update is known to be slow: further along it."""
_LARGEST_FACTOR = 30.0
_LIMITS = (1e-4, 1e7)


def first_alphas(design: Design) -> Alphas:
    """Strengths of the options."""
    return tuple(tuple(term.alpha for term in terms) for terms in design.roughness)


def refined_alphas(design: Design, step: Step, alphas: Alphas) -> Alphas:
    """Update every strength once, for the values that it led to."""
    return tuple(
        _refined(block, step.theta[where], strengths)
        for block, where, strengths in zip(step.blocks, design.slices, alphas, strict=True)
    )


def largest_change(before: Alphas, after: Alphas) -> float:
    """Largest change of the logarithm of a strength."""
    pairs = zip(sum(before, ()), sum(after, ()), strict=True)
    return max((abs(float(np.log(new / old))) for old, new in pairs), default=0.0)


def _refined(block: Block, values: Vector, strengths: tuple[float, ...]) -> tuple[float, ...]:
    if not strengths:
        return ()
    # The same probes each time: traces are estimated, but never at random.
    probes = np.random.default_rng([7, len(values)]).choice([-1.0, 1.0], (len(values), _PROBES))
    with_data = block.solve(probes)
    without = positive_solver(block.penalty)(probes)
    refined = []
    for strength, unit in zip(strengths, block.units, strict=True):
        image = unit @ probes
        freedom = strength * float(np.sum((without - with_data) * image)) / _PROBES
        rough = strength * float(np.sum(values * (unit @ values)))
        factor = (max(freedom, 1e-3) / max(rough, 1e-12)) ** _LEAP
        factor = float(np.clip(factor, 1 / _LARGEST_FACTOR, _LARGEST_FACTOR))
        refined.append(float(np.clip(strength * factor, *_LIMITS)))
    return tuple(refined)
