"""Whether populations leave room for an exclusion of states, given those there are."""

from __future__ import annotations

import numpy as np

from unstill.ensembles.multiconformer import Multiconformer
from unstill.shapes import Bool

_MOST_STEPS = 10_000
"""Steps of one search; what was found by then is a bound as well, if not the largest."""


def forced_share(
    model: Multiconformer, apart: Bool[np.ndarray, "n_states n_states"], a: int, b: int
) -> float:
    r"""Share of copies that must be in both of two states, by occupancies and exclusions.

    If :math:`c_1, c_2, …` exclude each other, and both a and b, they need room as well:

    .. math:: p_{ab} \ge p_a + p_b + \sum_k p_{c_k} - p_\text{shared ancestor}.

    The largest such bound that is found over sets of that kind is returned.

    Parameters
    ----------
    apart
        ``(n_states, n_states)`` which states exclude each other (``consistency.excluded``).
    a, b
        Indices of the states.

    Returns
    -------
    float
        0 where nothing forces them together.
    """
    closure, share = model.tree.closure, model.populations
    witnesses = np.flatnonzero(apart[a] & apart[b])
    bound = 0.0
    for ancestor in np.flatnonzero(closure[a] & closure[b]).tolist():
        whole = 1.0 if ancestor == model.tree.root else float(share[ancestor])
        left = [c for c in witnesses.tolist() if closure[c, ancestor]]
        left.sort(key=lambda c: (-share[c], c))
        others = _heaviest(left, share, apart)
        bound = max(bound, float(share[a] + share[b]) + others - whole)
    return bound


def _heaviest(
    candidates: list[int], share: np.ndarray, apart: Bool[np.ndarray, "n_states n_states"]
) -> float:
    """Largest total of states that exclude each other in pairs, by branch and bound."""
    best, steps = 0.0, 0

    def grow(total: float, left: list[int]) -> None:
        nonlocal best, steps
        best = max(best, total)
        steps += 1
        rest = float(share[left].sum()) if left else 0.0
        for place, chosen in enumerate(left):
            if total + rest <= best + 1e-12 or steps > _MOST_STEPS:
                return
            grow(total + float(share[chosen]), [c for c in left[place + 1 :] if apart[chosen, c]])
            rest -= float(share[chosen])

    grow(0.0, candidates)
    return best
