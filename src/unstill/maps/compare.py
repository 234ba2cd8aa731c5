"""Everything that one asks when two maps are laid side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unstill.crystal.reindexing import IDENTITY, parse_operator
from unstill.maps.ceiling import noise_ceiling
from unstill.maps.common_split import CommonSplit, split_on_common_mask
from unstill.maps.correlation import ShellCorrelation, correlate_split
from unstill.maps.intensity_map import IntensityMap
from unstill.maps.reindex import Candidate, choose_indexing
from unstill.maps.reindex import reindex as reindex_map


@dataclass(frozen=True, eq=False)
class Comparison:
    """How well two maps agree, and under which indexing.

    Parameters
    ----------
    cc_total, cc_aniso
        Correlation of the intensities, and of their anisotropic parts.
    cc_max
        Anisotropic correlation that a perfect model would reach given the
        noise of both maps; ``None`` if the noise is not known.
    n_voxels
        Voxels on the common mask.
    operator
        Indexing of ``b``, for example ``"k,h,-l"``.
    margin
        Lead of that indexing over the next in anisotropic CC; ``None`` if
        there was no choice.
    candidates
        All indexings that were tried, best first.
    shells
        Agreement by resolution, low resolution first.
    reindexed
        ``b`` in the indexing of ``a``.
    split
        Both maps on their common mask.
    """

    cc_total: float
    cc_aniso: float
    cc_max: float | None
    n_voxels: int
    operator: str
    margin: float | None
    candidates: tuple[Candidate, ...]
    shells: tuple[ShellCorrelation, ...]
    reindexed: IntensityMap
    split: CommonSplit

    def as_dict(self) -> dict[str, Any]:
        """Return the keys of ``unstill compare --json``; NaN becomes null when it is written."""
        return {
            "cc_total": self.cc_total,
            "cc_aniso": self.cc_aniso,
            "cc_max": self.cc_max,
            "n_voxels": self.n_voxels,
            "operator": self.operator,
            "candidates": [
                {"operator": candidate.operator.name, "cc_aniso": candidate.cc_aniso}
                for candidate in self.candidates
            ],
            "shells": [
                {"d": shell.d, "cc_aniso": shell.cc_aniso, "n": shell.n} for shell in self.shells
            ],
        }


def compare(
    a: IntensityMap,
    b: IntensityMap,
    *,
    reindex: str = "auto",
    d_min: float | None = None,
    d_max: float | None = None,
    n_shells: int = 20,
    ceiling_b: float | None = None,
) -> Comparison:
    """Compare two maps of one lattice.

    Space groups may differ; boxes may differ, and are cropped to what they
    share; divisions must be equal.

    Parameters
    ----------
    a, b
        The maps; ``b`` is the one that is reindexed.
    reindex
        ``"auto"`` tries every indexing that the lattice allows and keeps the
        one with the best anisotropic CC; ``"none"`` keeps ``b`` as it is; an
        operator such as ``"k,h,-l"`` is applied.
    d_min, d_max
        Resolution limits (Å).
    n_shells
        Shells of equal width in |s|.
    ceiling_b
        Ceiling of the CC that the noise of ``b`` sets, where it is known from
        elsewhere (half-blocks of a simulation). By default from its sigma.

    Raises
    ------
    InputError
        If cells differ by more than 1 %, divisions differ, no voxel is
        common, or the operator cannot be applied.
    """
    if reindex == "auto":
        choice = choose_indexing(a, b, d_min=d_min, d_max=d_max)
        operator, moved, common = choice.operator, choice.reindexed, choice.split
        candidates, margin = choice.candidates, choice.margin
    else:
        operator = IDENTITY if reindex == "none" else parse_operator(reindex)
        moved = reindex_map(b, operator)
        common = split_on_common_mask(a, moved, d_min=d_min, d_max=d_max)
        candidates, margin = (), float("nan")
    correlation = correlate_split(common, n_shells=n_shells)
    ceiling_a, own_ceiling_b = noise_ceiling(common)
    return Comparison(
        cc_total=correlation.cc_total,
        cc_aniso=correlation.cc_aniso,
        cc_max=_product(ceiling_a, own_ceiling_b if ceiling_b is None else ceiling_b),
        n_voxels=correlation.n_voxels,
        operator=operator.name,
        margin=None if np.isnan(margin) else margin,
        candidates=candidates or (Candidate(operator, correlation.cc_aniso),),
        shells=correlation.shells,
        reindexed=moved,
        split=common,
    )


def _product(a: float | None, b: float | None) -> float | None:
    # A map whose noise is not known counts as noise-free, as a model is.
    known = [value for value in (a, b) if value is not None]
    return float(np.prod(known)) if known else None
