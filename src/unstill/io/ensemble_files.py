"""An ensemble from models of a file or frames of a trajectory, with weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from unstill.ensembles import Ensemble
from unstill.ensembles.multiconformer import atoms_of_rows, recorded_members
from unstill.ensembles.selection import atom_mask
from unstill.errors import FormatError, InputError
from unstill.io.conformers import read_multiconformer
from unstill.io.structure_files import looks_like_structure
from unstill.io.trajectory_files import open_trajectory
from unstill.io.weights_csv import read_weights_csv

_CHUNK = 16


def read_ensemble(
    path: Path,
    *,
    topology: Path | None = None,
    weights: Path | None = None,
    stride: int = 1,
    select: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Ensemble:
    """Read all members of an ensemble into memory.

    Parameters
    ----------
    path
        A file of models (mmCIF, BinaryCIF, PDB) that need not hold the same atoms, or a
        trajectory.
    topology
        Atoms of the trajectory.
    weights
        CSV of ``unstill weigh``, or text with one weight a member.
    stride
        Keep members 0, stride, 2·stride, …
    select
        Atoms to keep.
    progress
        Called with (members read, all members).

    Returns
    -------
    Ensemble
        An atom that a member does not have has occupancy 0 there. Members of no weight are
        left out; where weights are given or known, ``frames`` says which they were.

    Raises
    ------
    FormatError
        If a file is damaged.
    InputError
        If models have altlocs, the topology is missing or does not fit, or weights do not.
    """
    path = Path(path)
    if topology is None and not looks_like_structure(path):
        raise InputError(
            "a trajectory does not say which atoms it holds",
            found=path,
            fix="give the file that names its atoms with --topology",
        )
    if topology is None:
        found = _models(path, stride)
    else:
        found = _frames(path, topology, stride, progress)
    if select is not None:
        found = found.select(atom_mask(found.atoms, select))
    if weights is not None:
        found = _weighted(found, weights)
    return found


def _models(path: Path, stride: int) -> Ensemble:
    model = read_multiconformer(path)
    if model.members is None and (model.altloc_id != "").any():
        raise InputError(
            "the models have altlocs, so this is no ensemble yet",
            found=f"{int((model.altloc_id != '').sum())} atoms with altlocs in {path.name}",
            fix="make an ensemble of it first: unstill convert MODEL OUT --to ensemble",
        )
    found = atoms_of_rows(model) if model.members is None else recorded_members(model)
    return found.select_members(np.arange(0, found.n_members, stride)) if stride > 1 else found


def _frames(
    path: Path, topology: Path, stride: int, progress: Callable[[int, int], None] | None
) -> Ensemble:
    trajectory = open_trajectory(topology, [path], stride=stride)
    n = trajectory.n_frames
    coord = np.empty((n, trajectory.n_atoms, 3))
    at = 0
    for chunk in trajectory.chunks(_CHUNK):
        coord[at : at + len(chunk.coord)] = chunk.coord
        at += len(chunk.coord)
        if progress is not None:
            progress(at, n)
    # Fewer frames come where the file breaks off, which was warned of.
    return Ensemble(trajectory.atoms, coord[:at], crystal=trajectory.crystal)


def _weighted(ensemble: Ensemble, path: Path) -> Ensemble:
    weights = _read_weights(Path(path), ensemble.n_members)
    bad = ~np.isfinite(weights) | (weights < 0)
    if len(weights) != ensemble.n_members or bad.any() or not weights.sum() > 0:
        raise InputError(
            "the weights do not fit the ensemble",
            found=f"{len(weights)} weights, {int(bad.sum())} of them negative or no number, "
            f"sum {weights.sum():g}, for {ensemble.n_members} members",
            fix="give one weight a member, none negative and not all zero",
        )
    used = np.flatnonzero(weights > 0)
    frames = ensemble.frames
    numbers = used if frames is None else frames[used]
    return ensemble.select_members(used).replace(
        weights=weights[used] / weights.sum(),
        provenance={**ensemble.provenance, "frames": numbers.tolist()},
    )


def _read_weights(path: Path, n_members: int) -> np.ndarray:
    try:
        start = path.read_bytes()[:4096]
    except OSError as error:
        raise InputError(
            "the weights cannot be read", found=str(error), fix="check the path"
        ) from error
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"member"):
        return read_weights_csv(path).frame_weights(n_members)
    try:
        return np.loadtxt(path, dtype=float, ndmin=1)
    except ValueError as error:
        raise FormatError(
            "the weights cannot be read",
            found=str(error),
            fix="give the CSV of unstill weigh, or text with one number a line",
        ) from error
