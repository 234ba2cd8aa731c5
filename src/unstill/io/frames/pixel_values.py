"""From numbers in a file to counts: invalid and overloaded pixels are marked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unstill.compiled import kernel
from unstill.errors import FormatError
from unstill.experiment import INVALID, OVERLOADED

LIMIT = 2**31
"""Counts from here on do not fit in int32."""


@dataclass(frozen=True)
class ValueRule:
    """Which numbers of a file are not counts. Negative ones never are.

    Parameters
    ----------
    invalid
        This number marks a pixel without a measurement; −1 if none does.
    overloaded_from
        This number and larger ones mark pixels that counted too much.
    """

    invalid: int = -1
    overloaded_from: int = LIMIT


def as_counts(
    path: Path,
    raw: np.ndarray,
    rule: ValueRule,
    mask: np.ndarray | None = None,
    *,
    reuse: bool = False,
) -> np.ndarray:
    """Return int32 counts of the shape of ``raw``, with invalid and overloaded pixels marked.

    Parameters
    ----------
    path
        For messages.
    raw
        Integers, or whole numbers as floating point (NaN is invalid).
    rule
        Which numbers are not counts.
    mask
        Of the same shape; pixels that are not zero are invalid.
    reuse
        Whether an int32 ``raw`` may be changed in place: no second array then.

    Raises
    ------
    FormatError
        If floating-point pixels are not whole numbers.
    """
    if raw.dtype.kind not in "iuf":
        raise FormatError(
            f"the pixels of {path.name} are not numbers",
            found=f"{path}: {raw.dtype}",
            fix="write integers of 8 to 32 bits",
        )
    if raw.dtype.kind == "f":
        raw = _whole(path, raw)
    if not raw.dtype.isnative:
        raw = raw.astype(raw.dtype.newbyteorder("="))
    flat = np.ascontiguousarray(raw).reshape(-1)
    own = reuse and flat.dtype == np.int32 and flat.flags.writeable
    counts = flat if own else np.empty(flat.size, dtype=np.int32)
    top = min(rule.overloaded_from, LIMIT)
    bad = np.zeros(0, np.uint8) if mask is None else (mask != 0).view(np.uint8).reshape(-1)
    _convert(flat, rule.invalid, top, bad, counts)
    return counts.reshape(raw.shape)


def rule_for(dtype: np.dtype, saturation: float | None = None) -> ValueRule:
    """Return the rule of Dectris detectors: all bits set is invalid, one less is overloaded.

    Parameters
    ----------
    dtype
        Of the file. Signed numbers mark invalid pixels by being negative.
    saturation
        Largest count that can be trusted, if known.
    """
    top = LIMIT if saturation is None or not 0 < saturation < LIMIT else int(saturation) + 1
    if dtype.kind != "u":
        return ValueRule(overloaded_from=top)
    all_ones = int(np.iinfo(dtype).max)
    return ValueRule(all_ones if dtype.itemsize < 8 else -1, min(top, all_ones - 1))


def _whole(path: Path, raw: np.ndarray) -> np.ndarray:
    finite = np.where(np.isfinite(raw), raw, INVALID)
    if np.any(finite != np.rint(finite)):
        raise FormatError(
            f"the pixels of {path.name} are not whole numbers",
            found=f"{path}: {finite[finite != np.rint(finite)].flat[0]!s}",
            fix="reduce raw counts, not images that were corrected or averaged",
        )
    whole: np.ndarray = np.clip(finite, INVALID, LIMIT).astype(np.int64)
    return whole


@kernel
def _convert(raw: np.ndarray, invalid: int, top: int, bad: np.ndarray, counts: np.ndarray) -> None:
    """Fill ``counts``; ``bad`` is empty where no pixel is masked."""
    for i in range(raw.size):
        value = np.int64(raw[i])
        if value < 0 or value == invalid or (bad.size > 0 and bad[i] != 0):
            counts[i] = INVALID
        elif value >= top:
            counts[i] = OVERLOADED
        else:
            counts[i] = value
