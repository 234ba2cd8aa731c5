"""Which voxels an experiment can reach: what completeness is fairly measured against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unstill.crystal.hkl_grid import Triple
from unstill.crystal.reindexing import IDENTITY, ReindexOperator
from unstill.errors import InputError
from unstill.experiment import Experiment
from unstill.experiment.predict import predict_spots
from unstill.reduction.crystals.reindex import index_matrix
from unstill.reduction.merging.statistics import Accessible
from unstill.shapes import Int

STILL_EXCITATION = 2e-3
"""Å⁻¹ from the Ewald sphere within which a voxel counts as seen by a still."""


def accessible_voxels(
    experiments: Sequence[Experiment],
    divisions: Triple,
    operations: Int[np.ndarray, "n_operations 3 3"],
    *,
    moves: Sequence[ReindexOperator] | None = None,
) -> Accessible:
    """Tell of voxels whether one of their mates crosses the Ewald sphere on a panel.

    The blind region along the rotation axis, the corners beyond the detector
    and gaps between panels are out of reach; masked pixels are not known here.

    Parameters
    ----------
    experiments
        One a sweep or still.
    divisions
        Voxels a reciprocal-lattice vector.
    operations
        What makes voxels one (``merged.operations``).
    moves
        What brought each experiment to the common indexing; nothing by default.

    Returns
    -------
    accessible
        For :func:`~unstill.reduction.merging.statistics.merging_statistics`.

    Raises
    ------
    InputError
        If experiments and moves differ in number, or an experiment is not indexed.
    """
    moves = [IDENTITY] * len(experiments) if moves is None else moves
    if len(moves) != len(experiments):
        raise InputError(
            "every experiment needs its own move",
            found=f"{len(moves)} moves for {len(experiments)} experiments",
            fix="give one operator an experiment",
        )
    back = [index_matrix(move.inverse, divisions) for move in moves]

    def reached(index: np.ndarray) -> np.ndarray:
        seen = np.zeros(len(index), dtype=bool)
        for experiment, matrix in zip(experiments, back, strict=True):
            for operation in operations:
                left = np.flatnonzero(~seen)
                if not len(left):
                    return seen
                hkl = index[left] @ operation @ matrix / np.array(divisions)
                spots = predict_spots(experiment, hkl, max_excitation=STILL_EXCITATION)
                seen[left[spots.index]] = True
        return seen

    return reached
