"""Whether a map and a model belong together: cell, space group, frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.guidance.observables.density import DensityObservable
from unstill.guidance.protocols import EnsembleState
from unstill.guidance.start import GuidedModel
from unstill.maps.density_map import DensityMap
from unstill.scattering.synthesis import Synthesis

LEAST = 0.2
"""Correlation of model and map around the model below which they do not fit."""
_CELL = 0.01
_OUTSIDE = 0.05
_SURE = 0.35


def check_crystals(given: Crystal, crystal: Crystal | None, name: str) -> None:
    """Refuse data whose cell or space group is not the model's.

    Raises
    ------
    InputError
        If the model has no crystal, cells differ by more than 1 %, or space groups differ.
    """
    if crystal is None:
        raise InputError(
            "the model has no unit cell",
            found="neither cell nor space group",
            fix="give a model with a CRYST1 record, or _cell and _symmetry in mmCIF",
        )
    own, other = np.array(crystal.unit_cell), np.array(given.unit_cell)
    if (np.abs(own - other) > _CELL * own).any():
        raise InputError(
            f"{name} has another unit cell than the model",
            found=f"{_cell(other)} for {_cell(own)}",
            fix="use the data of this crystal form",
        )
    if given.space_group != crystal.space_group:
        raise InputError(
            f"{name} has another space group than the model",
            found=f"{given.space_group} for {crystal.space_group}",
            fix="write the data with the space group of the model, or the other way round",
        )


def check_coverage(target: DensityMap, model: GuidedModel, name: str) -> None:
    """Refuse a map that does not reach atoms that are to move.

    Raises
    ------
    InputError
        If more than a twentieth of them stand where the map is unknown.
    """
    moving = np.flatnonzero(model.movable)
    frac = target.crystal.fractional(model.atoms.coord[0][moving].astype(float))
    shape = target.values.shape
    voxel = np.rint(frac * shape).astype(int) % shape
    outside = ~target.known[tuple(voxel.T)]
    if outside.sum() <= _OUTSIDE * len(moving):
        return
    chains, counts = np.unique(
        np.asarray(model.atoms.atoms.chain_id, dtype=str)[moving[outside]], return_counts=True
    )
    listed = ", ".join(f"{n} of chain {c}" for c, n in zip(chains, counts, strict=True))
    raise InputError(
        f"{name} does not cover the model",
        found=f"{int(outside.sum())} of {len(moving)} atoms where it has no values: {listed}",
        fix="give a map of the whole molecule, or --select the atoms that it covers",
    )


@dataclass(frozen=True)
class Fit:
    """How a model stands in a map before guidance.

    Parameters
    ----------
    correlation
        Around the model.
    flat
        The map is constant: there is nothing to fit.
    """

    correlation: float
    flat: bool


def check_frame(
    data: DensityObservable, target: DensityMap, state: EnsembleState, name: str
) -> Fit:
    """Refuse a map in which the model does not stand, and say which shift would help.

    Raises
    ------
    InputError
        If model and map do not correlate.
    """
    values = target.values[target.known]
    if np.ptp(values) <= 1e-9 * max(float(np.abs(values).max()), 1e-30):
        return Fit(0.0, True)
    found = data.correlation(state, data.d_min)
    if found >= LEAST:
        return Fit(found, False)
    shift, best = _best_shift(data, target, state)
    if found <= -LEAST:
        text, fix = "the map is upside down", "change the sign of the map"
    elif best >= max(_SURE, 2 * found):
        x, y, z = shift
        text = f"after a shift of the model by ({x:.2f}, {y:.2f}, {z:.2f}) Å it is {best:.2f}"
        fix = "move the model there, or write the map in the frame of the model"
    else:
        text = f"no shift makes it better than {best:.2f}"
        fix = "check that map and model are of one crystal, and the resolution"
    raise InputError(
        f"the model does not stand in {name}",
        found=f"correlation {found:.2f} around the model; {text}",
        fix=fix,
    )


def _best_shift(
    data: DensityObservable, target: DensityMap, state: EnsembleState
) -> tuple[np.ndarray, float]:
    """Find the translation (Å) of the whole cell that correlates best, and its correlation."""
    f_model = data.structure_factors(state)
    synthesis = Synthesis(target.crystal, data.d_min, target.shape)
    model = synthesis.density(f_model)
    values = np.where(target.known, target.values, target.values[target.known].mean())
    one, other = model - model.mean(), values - values.mean()
    size = float(np.sqrt((one**2).sum() * (other**2).sum()))
    product = scipy.fft.rfftn(other) * scipy.fft.rfftn(one).conj()
    cross = scipy.fft.irfftn(product, s=model.shape)
    place = np.array(np.unravel_index(int(np.argmax(cross)), cross.shape))
    frac = place / np.array(model.shape)
    frac -= np.round(frac)
    shift: np.ndarray = target.crystal.orthogonalization_matrix @ frac
    return shift, float(cross.max() / size) if size > 0 else 0.0


def _cell(cell: np.ndarray) -> str:
    return " ".join(f"{value:.2f}" for value in cell)
