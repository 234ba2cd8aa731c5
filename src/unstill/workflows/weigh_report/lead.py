"""What stands above the sections: the verdict, the numbers behind it, four key figures."""

from __future__ import annotations

import numpy as np

from unstill.report.blocks import Block, KeyFigure, KeyFigures, Prose
from unstill.report.numbers import interval, number, signed
from unstill.weighting.agreement import Agreement
from unstill.weighting.result import Weighed
from unstill.workflows.weigh_report.words import answer, drawn_null, free_gain, kept_prior, plural


def lead_blocks(result: Weighed, left: KeyFigure, note: str = "") -> list[Block]:
    """Say what was found, and no more.

    Parameters
    ----------
    result
        Weights, however they were found.
    left
        How much of the ensemble is left.
    note
        One more sentence.
    """
    return [
        Prose(answer(result), lead=True),
        Prose(" ".join(part for part in (_in_numbers(result), note) if part)),
        KeyFigures([*_key_figures(result), left]),
    ]


def _in_numbers(result: Weighed) -> str:
    held = result.held
    n_blocks = len(np.unique(held.block[held.free & held.measured]))
    in_free = _change("the anisotropic correlation", result.uniform_free, result.cc_free)
    in_work = _change("it", result.uniform_work, result.cc_work)
    return (
        f"In the free set, {number(held.n_free, 0)} Laue-unique points in "
        f"{plural(n_blocks, 'block', 'blocks')} of reciprocal space, the weights {in_free}; in "
        f"the work set they {in_work}."
    )


def _change(what: str, before: Agreement, after: Agreement) -> str:
    old, new = number(before.aniso), number(after.aniso)
    return f"leave {what} at {old}" if old == new else f"take {what} from {old} to {new}"


def _key_figures(result: Weighed) -> list[KeyFigure]:
    low, high = result.gain_interval
    return [
        KeyFigure(
            "Free anisotropic CC",
            number(result.cc_free.aniso),
            f"Prior weights give {number(result.uniform_free.aniso)}; 1 is perfect. Total "
            "intensity is left out, because its fall with resolution agrees with anything.",
            interval(*result.free_interval),
        ),
        KeyFigure(
            "Gain",
            signed(free_gain(result)),
            "Rise of that correlation over the prior weights, with its 95 % interval. An interval "
            "that holds zero is no gain.",
            f"[{signed(low)}, {signed(high)}]",
        ),
        _null_figure(result),
    ]


def _null_figure(result: Weighed) -> KeyFigure:
    if result.null is None:
        return KeyFigure(
            "Null control",
            "–",
            "Not run: what the same procedure gains on data without features is not known.",
        )
    null, drawn = result.null, drawn_null(result.null)
    before = result.uniform_free.aniso
    gains = drawn.gains_at("free", "aniso", before)
    n = null.n_permutations
    kept = kept_prior(null, result.n_members)
    if drawn is null:
        how, anew = "of the same procedure", f" The procedure {kept}."
    else:
        largest = signed(float(null.gains_at("free", "aniso", before).max()))
        how = "at the same θ"
        anew = f" With θ chosen anew the procedure {kept}; its largest gain is {largest}."
    return KeyFigure(
        "Null control",
        signed(float(gains.mean())),
        f"Gain {how} on {plural(n, 'permutation', 'permutations')} of the data, "
        f"mean{' and standard deviation' if n > 1 else ''}; the largest is "
        f"{signed(float(gains.max()))}.{anew}",
        f"± {number(float(gains.std(ddof=1)))}" if n > 1 else "",
    )
