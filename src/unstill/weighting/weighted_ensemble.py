"""A weighted ensemble of a few frames that stands for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.supercell import supercell
from unstill.diffuse.frames import MAX_BOX_DRIFT, FramePlacement, reference_atoms
from unstill.diffuse.open_frames import SupercellFrames
from unstill.ensembles import Ensemble, Trajectory, atom_mask
from unstill.errors import InputError
from unstill.shapes import Float, Int

N_MEMBERS = 50
"""Members of a weighted ensemble, if nobody says otherwise."""

_NOTHING = 1e-12
"""Weights below this share of the largest are left out."""


def weighted_ensemble(
    opened: SupercellFrames,
    divisions: Triple,
    weights: Float[np.ndarray, " members"],
    n_frames: Int[np.ndarray, " members"],
    *,
    n_members: int = N_MEMBERS,
    selection: str | np.ndarray | None = None,
    first_frame: Int[np.ndarray, " members"] | None = None,
    remove_drift: bool = True,
    max_box_drift: float | None = MAX_BOX_DRIFT,
) -> Ensemble:
    """Choose frames that stand for a weighted simulation, with their weights.

    Frames whose weight is below 1e-12 of the largest are left out. Where no
    more than ``n_members`` are left, these are the ensemble. Else frames are
    resampled systematically along time: those in which the cumulative weight
    passes (i + 1/2)/n, i = 0 … n − 1, each weighing as often as it was hit
    (Douc & Cappé 2005, https://doi.org/10.1109/ISPA.2005.195385). The weight
    of every stretch of time is then right to 1/n.

    Frames are read one at a time, in order. As for the diffuse map they are
    taken as fractions of their own box and, for a trajectory, freed of the
    drift from the first frame, so that the supercell of the result is theirs.

    Parameters
    ----------
    opened
        The frames that were weighed, and their crystal.
    divisions
        Unit cells along a, b, c of the supercell.
    weights
        ``(n_members,)`` of the frames, or of blocks of them.
    n_frames
        ``(n_members,)`` frames of each. Those of a block share its weight in
        equal parts, or by the weights of the models in a file.
    n_members
        Most members of the ensemble; only they are in memory.
    selection
        Atoms of the ensemble: an expression, a bool mask or indices; all by default.
    first_frame
        ``(n_members,)`` where the members begin, counting from 0. By default
        they follow one another from the first frame to the last; needed where
        a trajectory broke off, or members without weight were left out.
    remove_drift, max_box_drift
        Of a trajectory, as for :func:`unstill.diffuse.stream_block_sums`.

    Returns
    -------
    Ensemble
        Members in the order of time; ``frames`` says which frames they are.
        Its crystal is the supercell in P 1.

    Raises
    ------
    InputError
        If the weights do not fit the frames, or a frame that is needed is unusable.
    """
    by_frame = _frame_weights(opened, weights, n_frames, first_frame)
    frames, chosen_weights, how = representatives(by_frame, n_members)
    cell = supercell(opened.crystal, divisions)
    source = opened.frames
    known: Mapping[str, Any] = source.provenance if isinstance(source, Ensemble) else {}
    provenance = {
        **known,
        "frames": frames.tolist(),
        "frames_chosen": how,
        "n_frames": opened.n_frames,
    }
    atoms = _atoms(source, selection)
    # Models of a file keep their B factors and occupancies, and have no box.
    if isinstance(source, Ensemble):
        found = source.select_members(frames).select(atoms)
        return found.replace(weights=chosen_weights, crystal=cell, provenance=provenance)
    place = _Placing(source, cell, remove_drift, max_box_drift)
    coord = np.empty((len(frames), len(atoms), 3), dtype=np.float32)
    for number, frame in enumerate(frames.tolist()):
        coord[number] = place(frame)[atoms]
    return Ensemble(
        source.atoms[atoms],
        coord,
        weights=chosen_weights,
        crystal=cell,
        provenance=provenance,
    )


def representatives(
    frame_weights: Float[np.ndarray, " frames"], n: int
) -> tuple[Int[np.ndarray, " chosen"], Float[np.ndarray, " chosen"], str]:
    """Choose at most n frames that stand for all; see :func:`weighted_ensemble`.

    Returns
    -------
    frames
        Their numbers, counting from 0, in order.
    weights
        Their weights, which sum to one.
    how
        How they were chosen, in words.

    Raises
    ------
    InputError
        If n is not positive.

    Examples
    --------
    >>> representatives(np.array([0.1, 0.6, 0.1, 0.2]), 2)[:2]
    (array([1, 2]), array([0.5, 0.5]))
    """
    if n < 1:
        raise InputError(
            "an ensemble needs at least one member", found=n, fix="give a positive number"
        )
    used = np.flatnonzero(frame_weights > _NOTHING * frame_weights.max())
    if len(used) <= n:
        kept = frame_weights[used]
        return used, kept / kept.sum(), f"all {len(used)} frames that carry weight"
    cumulative = np.cumsum(frame_weights[used])
    positions = (np.arange(n) + 0.5) / n * cumulative[-1]
    hit = np.searchsorted(cumulative, positions, side="right")
    frames, count = np.unique(used[hit], return_counts=True)
    return frames, count / n, f"systematic resampling along time at {n} points"


@dataclass(frozen=True)
class MemberRow:
    """One member of an ensemble: its model number in a file (from 1), frame (from 0), weight."""

    model: int
    frame: int
    weight: float


def member_rows(ensemble: Ensemble) -> tuple[MemberRow, ...]:
    """Return the table of the members, as it stands beside the file of the ensemble.

    Raises
    ------
    InputError
        If the ensemble does not know its frames.
    """
    if ensemble.frames is None:
        raise InputError(
            "the members do not say which frames they are",
            found=f"{ensemble.n_members} members without frames",
            fix="give an ensemble that was chosen from frames",
        )
    pairs = zip(ensemble.frames.tolist(), ensemble.weights.tolist(), strict=True)
    return tuple(MemberRow(model, *pair) for model, pair in enumerate(pairs, start=1))


def _frame_weights(
    opened: SupercellFrames,
    weights: np.ndarray,
    n_frames: np.ndarray,
    first_frame: np.ndarray | None,
) -> Float[np.ndarray, " frames"]:
    weights, counts = np.asarray(weights, dtype=float), np.asarray(n_frames)
    total = opened.n_frames
    ends = np.cumsum(counts)
    starts = ends - counts if first_frame is None else np.asarray(first_frame)
    if not weights.shape == counts.shape == starts.shape or not weights.size:
        raise InputError(
            "the weights do not fit the members",
            found=f"{weights.size} weights, {counts.size} numbers of frames, {starts.size} starts",
            fix="give one of each a member",
        )
    if not np.isfinite(weights).all() or weights.min() < 0 or weights.max() <= 0:
        raise InputError(
            "weights must be non-negative, and not all zero",
            found=f"from {weights.min():g} to {weights.max():g}",
            fix="give the weights of the members",
        )
    ordered = (starts[1:] >= (starts + counts)[:-1]).all() and starts[0] >= 0
    inside = ordered and counts.min() > 0 and starts[-1] + counts[-1] <= total
    # Models of a file went into their blocks with their own weights.
    within = opened.frames.weights if isinstance(opened.frames, Ensemble) else np.ones(total)
    parts = [slice(start, start + count) for start, count in zip(starts, counts, strict=True)]
    carried = np.array([within[part].sum() for part in parts])
    if not inside or carried.min() <= 0 or (first_frame is None and ends[-1] != total):
        raise InputError(
            "the weights are not of these frames",
            found=f"{int(ends[-1])} frames in {len(weights)} members, {total} frames",
            fix="give the trajectory and the stride that were weighed, or the first frame of "
            "each member",
        )
    by_frame = np.zeros(total)
    for part, weight in zip(parts, weights / carried, strict=True):
        by_frame[part] = weight * within[part]
    shared: np.ndarray = by_frame / by_frame.sum()
    return shared


def _atoms(source: Trajectory | Ensemble, selection: str | np.ndarray | None) -> np.ndarray:
    n_atoms = int(source.atoms.array_length())
    if selection is None:
        return np.arange(n_atoms)
    mask = atom_mask(source.atoms, selection) if isinstance(selection, str) else selection
    chosen: np.ndarray = np.arange(n_atoms)[np.asarray(mask)]
    return chosen


class _Placing:
    """Coordinates of a frame of a trajectory in the supercell (Å)."""

    def __init__(
        self,
        source: Trajectory,
        cell: Crystal,
        remove_drift: bool,
        max_box_drift: float | None,
    ) -> None:
        self._source, self._cell = source, cell
        self._placement = FramePlacement(cell, source.n_atoms, max_box_drift)
        if remove_drift:
            first = self._fractional(0)
            self._placement = self._placement.aligned_to(first, reference_atoms(source.atoms))

    def __call__(self, frame: int) -> np.ndarray:
        frac = self._fractional(frame)
        reference, atoms = self._placement.reference, self._placement.reference_atoms
        if reference is not None and atoms is not None:
            # Whole supercells of drift change no intensity, but would part the members.
            frac -= np.rint(np.median(frac[atoms] - reference, axis=0))
        coord: np.ndarray = self._cell.cartesian(frac)
        return coord

    def _fractional(self, frame: int) -> np.ndarray:
        chunk = self._source.frame(frame)
        box = None if chunk.box is None else chunk.box[0]
        return self._placement.place(chunk.coord[0], box, frame)
