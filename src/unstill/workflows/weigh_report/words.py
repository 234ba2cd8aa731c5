"""Words that several parts of the report share."""

from __future__ import annotations

import numpy as np

from unstill.weighting.result import NullRun, Weighed
from unstill.weighting.verdict import MEANING, NO_GAIN, SUPPORTED, WITHIN_CHANCE

SIGMA_TEXT = {
    "file": "the sigma of the map",
    "mates": "the spread of Laue mates, pooled in shells",
    "shell": "the spread of the intensity itself in each shell, as nothing else is known",
}
"""Where the uncertainty of the data comes from, as part of a sentence."""

TARGET_TEXT = {
    "chi2": "½χ² a point, scale and a free smooth isotropic curve eliminated at every step",
    "likelihood": "likelihood of intensities that are known from few members as well as noise",
    "cc": "1 − CC of the intensities as they are; isotropic changes can please it",
    "cc-aniso": "1 − CC of the anisotropic parts",
    "cross-entropy": "cross-entropy of the intensities taken as distributions",
}
"""What was minimised."""

_SUPPORTED_WITHOUT_NULL = (
    "the weights raise the anisotropic correlation of data that no fit has seen, by more than "
    "chance; no permuted data were weighed, so that it is not known what the procedure gains on "
    "data without features"
)
_WITHIN_CHANCE_WITHOUT_NULL = (
    "the anisotropic correlation of the free set rises, but by no more than chance would give"
)
_MOVED_IN_VAIN = "the weights do not agree better with the data than the prior ones"

_STILL = 1e-4
"""Share of the members by which N_eff may fall while the prior weights count as kept."""


def answer(result: Weighed) -> str:
    """Return the verdict with its meaning, which says no more than what was tested."""
    verdict, meaning = result.verdict, MEANING[result.verdict]
    if verdict == NO_GAIN and result.n_eff_kl < (1 - _STILL) * result.n_members:
        meaning = _MOVED_IN_VAIN
    if result.null is None:
        meaning = {
            SUPPORTED: _SUPPORTED_WITHOUT_NULL,
            WITHIN_CHANCE: _WITHIN_CHANCE_WITHOUT_NULL,
        }.get(verdict, meaning)
    return f"{verdict[0].upper()}{verdict[1:]}: {meaning}."


def theta_text(theta: float) -> str:
    """Write a price of entropy.

    Examples
    --------
    >>> theta_text(0.24229), theta_text(float("inf"))
    ('0.242', '∞')
    """
    return "∞" if theta == float("inf") else f"{theta:.3g}"


def free_gain(result: Weighed) -> float:
    """Rise of the anisotropic correlation in the free set."""
    return result.cc_free.aniso - result.uniform_free.aniso


def drawn_null(null: NullRun) -> NullRun:
    """Return the permutations at the same θ where there are any, else with all choices anew."""
    return null if null.same_theta is None else null.same_theta


def beaten_by(result: Weighed) -> int:
    """Count the permutations that gained as much in the free set, or more, at either θ."""
    if result.null is None:
        return 0
    runs = [run for run in (result.null, result.null.same_theta) if run is not None]
    most = np.max(
        [run.gains_at("free", "aniso", result.uniform_free.aniso) for run in runs], axis=0
    )
    return int((most >= free_gain(result)).sum())


def kept_prior(null: NullRun, n_members: int) -> str:
    """Say how often the prior weights were kept.

    Examples
    --------
    >>> none = NullRun((), (), (), (), np.array([60.0, 60.0, 41.5]), np.zeros(0))
    >>> kept_prior(none, 60)
    'kept the prior weights in 2 of 3'
    """
    n = len(null.n_eff_kl)
    kept = int((null.n_eff_kl > (1 - _STILL) * n_members).sum())
    how = f"all {n}" if kept == n else f"{kept} of {n}"
    return f"kept the prior weights in {how}"


def plural(count: int, one: str, many: str) -> str:
    """Write a count with its noun.

    Examples
    --------
    >>> plural(1, "frame", "frames"), plural(12, "frame", "frames")
    ('1 frame', '12 frames')
    """
    return f"{count} {one if count == 1 else many}"
