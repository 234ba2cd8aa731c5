"""What a gain is: supported by held-out data, or something else by its name."""

from __future__ import annotations

SUPPORTED = "supported"
WITHIN_CHANCE = "within chance"
ISOTROPIC = "isotropic only"
NO_AGREEMENT = "no agreement"
UNCONFIRMED = "unconfirmed"
OVERFITTED = "overfitted"
NO_GAIN = "no gain"

MEANING = {
    SUPPORTED: "the weights raise the anisotropic correlation of data that no fit has seen, by "
    "more than chance and by more than in any permutation of the data; cross-validation agrees",
    WITHIN_CHANCE: "the anisotropic correlation of the free set rises, but by no more than chance "
    "or permuted data would give",
    ISOTROPIC: "total correlation rises without the anisotropic correlation of the free set: the "
    "weights adjust the fall with resolution and say nothing about where the atoms are",
    NO_AGREEMENT: "the anisotropic correlation of the free set rises, but is not above zero: the "
    "members explain nothing of what no fit has seen",
    UNCONFIRMED: "the anisotropic correlation of the free set rises, but cross-validation in the "
    "work set does not confirm it by three standard errors, or was not done: data without "
    "information reach such a gain too",
    OVERFITTED: "the work set agrees better and the free set does not: the weights fit noise",
    NO_GAIN: "the data do not ask for other weights than the prior ones",
}
"""Each verdict in one sentence."""

CLEAR = 3.0
"""Standard errors by which held-out folds must be predicted better than by the prior weights."""

_TOLERANCE = 1e-4
"""Changes of a correlation below this are none."""


def judge(
    *,
    work_gain: float,
    free_gain: float,
    free_total_gain: float,
    gain_interval: tuple[float, float],
    free_interval: tuple[float, float],
    null_gains: list[float],
    support: float,
) -> str:
    """Name a gain.

    Parameters
    ----------
    work_gain, free_gain
        Rise of the anisotropic CC in the work set and in the free set.
    free_total_gain
        Rise of the total CC in the free set.
    gain_interval
        95 % interval of ``free_gain``.
    free_interval
        95 % interval of the anisotropic CC itself in the free set.
    null_gains
        ``free_gain`` of every permutation, at the correlation of these data
        (:meth:`unstill.weighting.result.NullRun.gains_at`); empty without a null control.

    support
        Standard errors by which the weights predict held-out folds of the work
        set better than the prior does; NaN where that was not tried.

    Returns
    -------
    verdict
        A key of :data:`MEANING`.

    Examples
    --------
    >>> judge(work_gain=0.04, free_gain=0.03, free_total_gain=0.02,
    ...       gain_interval=(0.02, 0.04), free_interval=(0.7, 0.8), null_gains=[0.004, -0.002],
    ...       support=8.1)
    'supported'
    >>> judge(work_gain=0.05, free_gain=-0.006, free_total_gain=0.12,
    ...       gain_interval=(-0.02, 0.01), free_interval=(0.7, 0.8), null_gains=[0.004, -0.002],
    ...       support=0.0)
    'isotropic only'
    """
    if free_gain > _TOLERANCE:
        beyond = gain_interval[0] > 0 and free_gain > max(null_gains, default=0.0)
        if not beyond:
            return WITHIN_CHANCE
        if free_interval[0] <= 0:
            return NO_AGREEMENT
        return SUPPORTED if support > CLEAR else UNCONFIRMED
    if free_total_gain > _TOLERANCE:
        return ISOTROPIC
    return OVERFITTED if work_gain > _TOLERANCE else NO_GAIN
