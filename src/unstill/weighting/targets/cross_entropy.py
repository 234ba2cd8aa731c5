r"""Cross-entropy of the two maps read as distributions over reciprocal space.

With :math:`P = p\,y / \sum p\,y` and :math:`Q = p\,x / \sum p\,x`,

.. math:: L = \sum_h P \ln (P/Q), \qquad
          \partial L/\partial x = -P/x + p / \textstyle\sum p\,x .

It is the deviance of counts whose total was measured too (the scale is
eliminated by normalising), so weak intensities weigh more than in least
squares. σ and the isotropic curve play no part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unstill.errors import InputError
from unstill.weighting.backends import Backend
from unstill.weighting.problems import Problems

_FLOOR = 1e-12

_MOST_NEGATIVE = 0.01
"""Share of negative voxels that may count as zero: a rare outlier must not stop a run."""


@dataclass(frozen=True)
class CrossEntropy:
    """Σ P ln(P/Q) of normalised intensities; negative data (1 % at most) count as zero."""

    name: str = "cross-entropy"

    def prepare(self, problems: Problems, backend: Backend) -> _Prepared:
        """Bring the data to a backend."""
        negative = problems.intensity[problems.work > 0] < 0
        if np.mean(negative) > _MOST_NEGATIVE:
            raise InputError(
                "cross-entropy reads intensities as a distribution, and too many are negative",
                found=f"{np.mean(negative):.1%} of the voxels of the observed map",
                fix="use --target chi2, which keeps them; clipping them would bias the weak ones",
            )
        return _Prepared(problems, backend)


class _Prepared:
    def __init__(self, problems: Problems, backend: Backend) -> None:
        self._xp = backend.xp
        weight = problems.work * problems.observed.multiplicity
        counted = weight * np.maximum(problems.intensity, 0.0)
        counted = counted / counted.sum(axis=1, keepdims=True)
        self._weight, self._p = backend.array(weight), backend.array(counted)
        logs = np.log(np.where(counted > 0, counted / np.maximum(weight, _FLOOR), 1.0))
        self._constant = backend.array(np.sum(counted * logs, axis=1))

    def value_and_gradient(self, x: Any, which: Any) -> tuple[Any, Any]:
        """Σ P ln(P/Q) and its gradient."""
        xp = self._xp
        weight, p = self._weight[which], self._p[which]
        total = xp.sum(weight * x, axis=1)
        # A variance is positive up to rounding.
        floor = (_FLOOR * total / xp.sum(weight, axis=1))[:, None]
        x = xp.where(x > floor, x, 0 * x + floor)
        value = self._constant[which] - xp.sum(p * xp.log(x), axis=1) + xp.log(total)
        return value, -p / x + weight / total[:, None]
