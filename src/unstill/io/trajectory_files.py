"""Open trajectories: XTC, TRR, DCD, AMBER NetCDF, multi-model PDB."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unstill.ensembles import Trajectory
from unstill.errors import FormatError, InputError, UnstillWarning
from unstill.io.amber_netcdf import open_netcdf
from unstill.io.atom_table import VIRTUAL_SITE
from unstill.io.dcd import open_dcd
from unstill.io.pdb_frames import open_pdb_frames
from unstill.io.reading import parsing
from unstill.io.structure_files import looks_like_structure, read_structure
from unstill.io.topology import read_topology
from unstill.io.xdr_trajectory import open_trr, open_xtc

_OPENERS: dict[str, Callable[[Path], Any]] = {
    ".xtc": open_xtc,
    ".trr": open_trr,
    ".dcd": open_dcd,
    ".nc": open_netcdf,
    ".ncdf": open_netcdf,
    ".netcdf": open_netcdf,
    ".pdb": open_pdb_frames,
    ".ent": open_pdb_frames,
}


def open_trajectory(
    topology: Path,
    paths: Sequence[Path] = (),
    *,
    stride: int = 1,
    selection: str | np.ndarray | None = None,
) -> Trajectory:
    """Open trajectory files, one after the other, without reading their frames.

    Parameters
    ----------
    topology
        The atoms: PDB, mmCIF, BinaryCIF, GRO, PSF or AMBER ``.prmtop``.
    paths
        XTC, TRR, DCD, AMBER NetCDF or multi-model PDB files. Without any, the
        models of the topology are the frames.
    stride
        Keep frames 0, stride, 2·stride, … counted through all files.
    selection
        Atoms to read: an expression, a bool mask or indices into the topology.

    Returns
    -------
    Trajectory
        Its crystal is that of the topology, if it has one. Virtual sites
        (massless water sites) do not scatter and are left out, with a
        warning. Where a file breaks off, its whole frames are used, with a
        warning that names the frame.

    Raises
    ------
    InputError
        If the atoms of topology and trajectory differ in number.
    FormatError
        If a file is damaged from its beginning, or of an unknown format.
    """
    if not paths:
        return _models(topology, stride, selection)
    _warn_of_repeats(paths)
    atoms, crystal = read_topology(topology)
    files = [_opened(Path(path)) for path in paths]
    n_atoms = atoms.array_length()
    for path, file in zip(paths, files, strict=True):
        if file.n_atoms != n_atoms:
            raise InputError(
                "the topology does not belong to the trajectory",
                found=f"{n_atoms} atoms in {Path(topology).name}, "
                f"{file.n_atoms} in {Path(path).name}",
                fix="give the topology that the trajectory was written with",
            )
    trajectory = Trajectory(atoms, files, stride=stride, crystal=crystal)
    if selection is not None:
        trajectory = trajectory.select(selection)
    return _without_virtual_sites(trajectory)


def _models(topology: Path, stride: int, selection: str | np.ndarray | None) -> Trajectory:
    if not looks_like_structure(Path(topology)):
        raise InputError(
            "no trajectory was given",
            found=f"only the topology {topology}",
            fix="give at least one trajectory file, or a multi-model PDB or mmCIF file",
        )
    ensemble = read_structure(topology)
    found = Trajectory.from_ensemble(ensemble)
    found = Trajectory(found.atoms, found.files, stride=stride, crystal=ensemble.crystal)
    return found if selection is None else found.select(selection)


def _opened(path: Path) -> Any:
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        raise FormatError(
            f"{path.name} is no trajectory that unstill can read",
            found=repr(path.suffix),
            fix=f"give one of: {', '.join(_OPENERS)}",
        )
    with parsing(path, "a trajectory"):
        file = opener(path)
    if file.n_frames == 0:
        raise FormatError(
            f"{path.name} holds no whole frame", found=path, fix="copy the file again"
        )
    index = getattr(file, "index", None)
    if index is not None and index.broken is not None:
        warnings.warn(
            f"{path.name} breaks off at frame {file.n_frames} (counting from 0): "
            f"{index.broken}; the {file.n_frames} frames before it are used",
            UnstillWarning,
            stacklevel=3,
        )
    return file


def _warn_of_repeats(paths: Sequence[Path]) -> None:
    places = [Path(path).resolve() for path in paths]
    repeated = sorted({place.name for place in places if places.count(place) > 1})
    if repeated:
        warnings.warn(
            f"{', '.join(repeated)} is given more than once: its frames count as often, and "
            "halves of the run that share frames agree too well (CC_max)",
            UnstillWarning,
            stacklevel=4,
        )


def _without_virtual_sites(trajectory: Trajectory) -> Trajectory:
    virtual = trajectory.atoms.element == VIRTUAL_SITE
    if not virtual.any():
        return trajectory
    warnings.warn(
        f"{int(virtual.sum())} virtual sites do not scatter and are left out",
        UnstillWarning,
        stacklevel=3,
    )
    return trajectory.select(~virtual)
