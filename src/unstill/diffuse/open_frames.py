"""From files to frames of a supercell: which crystal, which cell, which coordinates."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.supercell import supercell
from unstill.crystal.symmetry import check_metric, index_operations
from unstill.diffuse.frames import MAX_BOX_DRIFT, box_deviation, cell_of, true_box
from unstill.ensembles import Ensemble
from unstill.ensembles.supercell import build_supercell
from unstill.ensembles.trajectory import Trajectory
from unstill.errors import InputError, UnknownCrystalError, UnstillWarning
from unstill.io import open_trajectory, read_structure
from unstill.io.crystal_source import parse_unit_cell
from unstill.io.structure_files import looks_like_structure

_SAME_CELL = 0.05
"""Cells closer than this are the same up to drift and thermal expansion (relative)."""


@dataclass(frozen=True, eq=False)
class SupercellFrames:
    """Frames of a supercell and the crystal that they are of.

    Parameters
    ----------
    frames
        A trajectory, or an ensemble whose members fill the supercell.
    crystal
        The *unit* cell and space group.
    """

    frames: Trajectory | Ensemble
    crystal: Crystal

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return self.frames.n_members if isinstance(self.frames, Ensemble) else self.frames.n_frames


def open_frames(
    model: Path,
    trajectories: Sequence[Path],
    divisions: Triple,
    *,
    unit_cell: str | Sequence[float] | None = None,
    space_group: str | None = None,
    stride: int = 1,
) -> SupercellFrames:
    """Open a simulation, or take the models of a file as frames.

    The cell of the model file may be the unit cell or the supercell; the box
    of the first frame tells which. Without trajectories the models of the
    file are the frames: a model of the unit cell or asymmetric unit is repeated
    over the supercell, all copies alike in each frame.

    Parameters
    ----------
    model
        Topology of the trajectories (its atoms fill the supercell), or a file
        with several models.
    trajectories
        Files, one after the other.
    divisions
        Unit cells along a, b, c of the supercell.
    unit_cell, space_group
        Of the true unit cell, where the model file does not have them.
    stride
        Use every ``stride``-th frame.

    Raises
    ------
    InputError
        If the cell fits neither the box nor the supercell, the symmetry does not
        allow the divisions, or there is only one configuration.
    UnknownCrystalError
        If neither the files nor the caller know the cell.
    """
    cell = None if unit_cell is None else parse_unit_cell(unit_cell)
    if trajectories:
        found = _of_trajectory(model, trajectories, divisions, cell, space_group, stride)
    else:
        found = _of_models(model, divisions, cell, space_group, stride)
    # Fails now rather than after hours of summing.
    index_operations(found.crystal, divisions)
    check_metric(found.crystal)
    if found.crystal.n_operations == 1 and space_group is None and np.prod(divisions) > 1:
        warnings.warn(
            "the space group is P 1, so nothing but Friedel mates is averaged; "
            "name the true one with --space-group",
            UnstillWarning,
            stacklevel=2,
        )
    return found


def model_coordinates(model: Path, frames: Trajectory | Ensemble) -> np.ndarray:
    """``(n_atoms, 3)`` coordinates (Å) of the model, as a reference for the drift.

    Raises
    ------
    InputError
        If the file has no coordinates, or other atoms than the frames.
    """
    n_atoms = frames.atoms.array_length()
    if not looks_like_structure(model):
        raise InputError(
            "the model has no coordinates to align to",
            found=model,
            fix="give a PDB or mmCIF file as the model, or align to the first frame",
        )
    coord: np.ndarray = read_structure(model).coord[0]
    if len(coord) != n_atoms:
        raise InputError(
            "the model cannot be aligned to, because it has other atoms than the frames",
            found=f"{len(coord)} atoms in the model, {n_atoms} in a frame",
            fix="align to the first frame",
        )
    return coord


def _of_trajectory(
    model: Path,
    trajectories: Sequence[Path],
    divisions: Triple,
    cell: tuple[float, ...] | None,
    space_group: str | None,
    stride: int,
) -> SupercellFrames:
    trajectory = open_trajectory(model, trajectories, stride=stride)
    known = trajectory.crystal
    group = space_group or (known.space_group if known else "P 1")
    first = trajectory.frame(0).box
    box = None if first is None or not first.any() else true_box(first[0])
    if cell is None:
        cell = _unit_cell(known, box, divisions)
    a, b, c, alpha, beta, gamma = cell
    return SupercellFrames(trajectory, Crystal((a, b, c, alpha, beta, gamma), group))


def _unit_cell(
    known: Crystal | None, box: np.ndarray | None, divisions: Triple
) -> tuple[float, ...]:
    """Find the unit cell from the cell of the model and the box of the first frame."""
    if known is None and box is None:
        raise UnknownCrystalError(
            "neither the model nor the trajectory knows the unit cell",
            found="no cell and no box",
            fix="give --unit-cell and --space-group",
        )
    if known is None:
        assert box is not None
        return _divided(cell_of(box), divisions)
    if divisions == (1, 1, 1):
        return known.unit_cell
    if box is None:
        if known.n_operations > 1:
            return known.unit_cell
        raise InputError(
            "it cannot be told whether the cell of the model is the unit cell or the supercell",
            found=f"space group P 1, {_in_words(known.unit_cell)}, and frames without a box",
            fix="give --unit-cell (and --space-group)",
        )
    as_unit = box_deviation(box, supercell(known, divisions))
    as_supercell = box_deviation(box, Crystal(known.unit_cell))
    if min(as_unit, as_supercell) > _SAME_CELL:
        raise InputError(
            "wrong cell: the box of the first frame is neither the cell of the model nor the "
            "supercell of it",
            found=f"box {_in_words(cell_of(box))}, model {_in_words(known.unit_cell)}, "
            f"supercell {divisions}",
            fix="correct --supercell, or give the unit cell with --unit-cell",
        )
    if as_unit <= as_supercell:
        return known.unit_cell
    return _divided(np.array(known.unit_cell), divisions)


def _of_models(
    model: Path,
    divisions: Triple,
    cell: tuple[float, ...] | None,
    space_group: str | None,
    stride: int,
) -> SupercellFrames:
    ensemble = read_structure(model)
    if stride > 1:
        ensemble = ensemble.select_members(np.arange(0, ensemble.n_members, stride))
    if ensemble.n_members < 2:
        raise InputError(
            "the diffuse intensity of one configuration is zero",
            found=f"one model in {model.name} and no trajectory",
            fix="give a trajectory, or a file with several models; for one model see unstill fit",
        )
    known = ensemble.crystal
    if known is None and cell is None:
        raise UnknownCrystalError(
            "the model does not know its unit cell",
            found=model.name,
            fix="give --unit-cell and --space-group",
        )
    group = space_group or (known.space_group if known else "P 1")
    if cell is None:
        assert known is not None
        cell = known.unit_cell
    a, b, c, alpha, beta, gamma = cell
    crystal = Crystal((a, b, c, alpha, beta, gamma), group)
    if np.prod(divisions) > 1 and _fills(known, crystal, divisions):
        return SupercellFrames(ensemble, crystal)
    if np.prod(divisions) > 1:
        warnings.warn(
            "in each frame all unit cells of the supercell are alike, so diffuse intensity lies "
            "on the Bragg positions only; a simulation of the supercell shows what lies between "
            "(models that fill the supercell already need --unit-cell)",
            UnstillWarning,
            stacklevel=3,
        )
    return SupercellFrames(build_supercell(ensemble.replace(crystal=crystal), divisions), crystal)


def _fills(known: Crystal | None, crystal: Crystal, divisions: Triple) -> bool:
    """Whether the models fill the supercell already, by their cell."""
    if known is None:
        return False
    cell = supercell(crystal, divisions)
    return box_deviation(known.orthogonalization_matrix.T, cell) <= MAX_BOX_DRIFT


def _divided(cell: np.ndarray, divisions: Triple) -> tuple[float, ...]:
    lengths = cell[:3] / np.array(divisions)
    return (*lengths.tolist(), *cell[3:].tolist())


def _in_words(cell: Sequence[float] | np.ndarray) -> str:
    return " ".join(f"{value:.2f}" for value in cell)
