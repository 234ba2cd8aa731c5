"""Join the block sums of separate runs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from unstill.errors import InputError
from unstill.maps.block_sums import BlockSums


def merge_block_sums(runs: Sequence[BlockSums], *, keep_order: bool = False) -> BlockSums:
    """Join the blocks of separate runs of the same crystal.

    Blocks stay blocks, so error estimates see the spread between runs. The
    runs are put in the order of their content (a digest), hence the result
    and everything computed from it do not depend on the order in which the
    runs are given.

    Parameters
    ----------
    runs
        At least one; same crystal, divisions, points and selections.
    keep_order
        Leave the runs in the order in which they are given, where frames are
        to be told from their place in it.

    Returns
    -------
    BlockSums
        With the blocks of all runs.

    Raises
    ------
    InputError
        If there are no runs, they do not describe the same points and
        selections, a run is given twice, or the runs removed their drift
        against different reference frames: their mean structure factors then
        differ by phases, and adding them would turn Bragg into diffuse intensity.
    """
    if not runs:
        raise InputError("nothing to merge", found="no block sums", fix="give at least one run")
    for other in runs[1:]:
        _check_alike(runs[0], other)
    digests = [_digest(run) for run in runs]
    if len(set(digests)) < len(digests):
        raise InputError(
            "the same block sums are given twice",
            found=f"{len(runs)} runs, {len(set(digests))} of them different",
            fix="give each run once",
        )
    ordered = list(runs) if keep_order else [runs[number] for number in np.argsort(digests)]
    provenance: dict[str, Any] = {"merged": [dict(run.provenance) for run in ordered]}
    if "reference" in runs[0].provenance:
        provenance["reference"] = runs[0].provenance["reference"]
    return BlockSums(
        crystal=runs[0].crystal,
        divisions=runs[0].divisions,
        index=runs[0].index,
        s1=np.concatenate([run.s1 for run in ordered]),
        s2=np.concatenate([run.s2 for run in ordered]),
        weight=np.concatenate([run.weight for run in ordered]),
        weight_squared=np.concatenate([run.weight_squared for run in ordered]),
        n_frames=np.concatenate([run.n_frames for run in ordered]),
        selections=runs[0].selections,
        provenance=provenance,
    )


def _check_alike(first: BlockSums, other: BlockSums) -> None:
    fix = "merge only runs of one crystal, made with the same options"
    for name in ("crystal", "divisions"):
        if getattr(first, name) != getattr(other, name):
            raise InputError(
                f"the runs have a different {name}",
                found=f"{getattr(first, name)} and {getattr(other, name)}",
                fix=fix,
            )
    if list(first.selections) != list(other.selections):
        raise InputError(
            "the runs have different selections",
            found=f"{', '.join(first.selections)} and {', '.join(other.selections)}",
            fix=fix,
        )
    if not np.array_equal(first.index, other.index):
        raise InputError(
            "the runs have different points",
            found=f"{len(first.index)} and {len(other.index)} points",
            fix="use the same --d-min for all runs",
        )
    references = first.provenance.get("reference"), other.provenance.get("reference")
    if references[0] != references[1]:
        raise InputError(
            "the runs removed their drift against different reference frames",
            found=f"{references[0]} and {references[1]}",
            fix="align all runs to one reference (--align-to model)",
        )


def _digest(run: BlockSums) -> str:
    digest = hashlib.sha256()
    for array in (run.s1, run.s2, run.weight, run.weight_squared, run.n_frames):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
