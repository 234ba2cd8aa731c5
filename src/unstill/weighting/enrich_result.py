"""What enrichment found: the members that are kept, and what that is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unstill.shapes import Bool, Int
from unstill.weighting.greedy import Removal
from unstill.weighting.result import Weighed


@dataclass(frozen=True, eq=False)
class EnrichResult(Weighed):
    """Members that are kept; what they are worth is in :class:`unstill.weighting.result.Weighed`.

    ``weights`` are the prior weights of those that are kept, and zero else.

    Parameters
    ----------
    trace
        What each pass led to.
    null_n_kept
        ``(n_permutations,)`` members that permuted data keep.
    criterion, stop
        What was raised and what ended it, as in the options.
    per_pass
        Members that went at a time.
    """

    trace: Removal
    null_n_kept: Int[np.ndarray, " permutations"]
    criterion: str
    stop: str
    per_pass: int

    @property
    def kept(self) -> Bool[np.ndarray, " members"]:
        """``(n_members,)`` True for those that are kept."""
        return self.trace.kept

    @property
    def n_kept(self) -> int:
        """Number of members that are kept."""
        return int(np.count_nonzero(self.kept))

    @property
    def removed(self) -> Int[np.ndarray, " removed"]:
        """Members that went, in their order."""
        return self.trace.removed

    def as_dict(self) -> dict[str, Any]:
        """Return the keys of the JSON; NaN becomes null when it is written."""
        return {
            **super().as_dict(),
            "criterion": self.criterion,
            "stop": self.stop,
            "per_pass": self.per_pass,
            "n_kept": self.n_kept,
            "kept": np.flatnonzero(self.kept).tolist(),
            "removed": self.removed.tolist(),
            "null_n_kept": self.null_n_kept.tolist(),
            "trace": self.trace.as_dict(),
        }
