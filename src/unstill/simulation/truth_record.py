"""What was put in, for whoever compares it with what comes out."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from unstill.crystal import HklGrid
from unstill.crystal.hkl_grid import Triple
from unstill.errors import InputError
from unstill.experiment import Experiment
from unstill.maps import IntensityMap
from unstill.simulation.frames import SimulatedFrames
from unstill.simulation.places import places_at

_MOST_VOXELS = 60_000_000


def truth_map(
    frames: SimulatedFrames, divisions: Triple, d_min: float | None = None
) -> IntensityMap:
    """Diffuse truth on a grid (e² per cell), the sphere up to d_min.

    Parameters
    ----------
    frames
        With a truth.
    divisions
        Voxels a reciprocal-lattice vector.
    d_min
        Å; by default what the corners of the detector see.

    Raises
    ------
    InputError
        If there is no truth, or the grid would be too large.
    """
    truth = frames.truth
    if truth is None:
        raise InputError(
            "these frames have no truth", found="None", fix="give frames of a crystal"
        )
    limit = d_min or detector_d_min(frames)
    grid = HklGrid.covering(truth.crystal, limit, divisions)
    if grid.size > _MOST_VOXELS:
        raise InputError(
            "the map of the truth would be too large",
            found=f"{grid.size:.2e} voxels",
            fix="ask for fewer divisions or a larger d_min of the truth map",
        )
    intensity = np.full(grid.shape, np.nan)
    k, l = np.meshgrid(*grid.axes()[1:], indexing="ij")
    for i, h in enumerate(grid.axes()[0]):
        hkl = np.stack([np.full_like(k, h), k, l], axis=-1)
        inside = truth.crystal.s_squared(hkl) <= 1 / limit**2
        plane = np.full(k.shape, np.nan)
        out = np.zeros(int(inside.sum()))
        truth.add(out, np.ascontiguousarray(hkl[inside]), np.eye(3), 1.0)
        plane[inside] = out
        intensity[i] = plane
    return IntensityMap(truth.crystal, grid, intensity, provenance={"seed": frames.seed})


def detector_d_min(frames: SimulatedFrames) -> float:
    """Smallest spacing (Å) that a corner of the detector sees."""
    largest = 0.0
    for number, panel in enumerate(frames.experiment.detector.panels):
        x = np.array([0.5, panel.image_size[0] - 0.5])[None, :]
        y = np.array([0.5, panel.image_size[1] - 0.5])[:, None]
        largest = max(largest, float(places_at(frames.experiment, number, x, y).s.max()))
    return 1 / largest


def truth_record(frames: SimulatedFrames) -> dict[str, Any]:
    """Every parameter of the frames, and the exact values of b, a, c, d at some places."""
    experiment = frames.experiment
    return {
        "seed": frames.seed,
        "flux": frames.flux,
        "flux_unit": "photons a second and a steradian for 1 e^2 per unit cell",
        "n_frames": frames.n_frames,
        "n_steps": frames.n_steps,
        "exposure_time": frames.seconds(0),
        "transmission": experiment.beam.transmission,
        "geometry": _geometry(experiment),
        "unit_cell": None if experiment.lattice is None else experiment.crystal.unit_cell,
        "space_group": None if experiment.lattice is None else experiment.crystal.space_group,
        "truth": None if frames.truth is None else frames.truth.as_dict(),
        "bragg": None if frames.peaks is None else frames.peaks.as_dict(),
        "background": repr(frames.background),
        "effects": frames.effects.as_dict(),
        "faults": frames.faults.as_dict(),
        "curves": effect_curves(frames),
    }


def _geometry(experiment: Experiment) -> dict[str, Any]:
    """Where everything really was, whatever the geometry file says."""
    lattice = experiment.lattice
    models = (experiment.beam, experiment.detector, experiment.goniometer, experiment.scan)
    return {
        name: None if model is None else asdict(model)
        for name, model in zip(("beam", "detector", "goniometer", "scan"), models, strict=True)
    } | {
        "a_matrix": None if lattice is None else lattice.a_matrix,
        "a_at_scan_points": None if lattice is None else lattice.a_at_scan_points,
    }


def effect_curves(frames: SimulatedFrames) -> dict[str, Any]:
    """Exact b at every frame; c on (s, φ); a on (y, x, φ) and d on (y, x) of the first panel."""
    experiment, effects = frames.experiment, frames.effects
    panel = experiment.detector.panels[0]
    x = np.linspace(0.5, panel.image_size[0] - 0.5, 9)[None, :]
    y = np.linspace(0.5, panel.image_size[1] - 0.5, 9)[:, None]
    board = places_at(experiment, 0, x, y)
    line = places_at(
        experiment,
        0,
        np.linspace(0.5, panel.image_size[0] - 0.5, 41),
        np.full(41, panel.image_size[1] / 2),
    )
    frame_phi = [experiment.phi(i + 0.5) for i in range(frames.n_frames)]
    some = sorted({frame_phi[0], frame_phi[len(frame_phi) // 2], frame_phi[-1]})
    full = np.ones(board.s.shape)
    return {
        "phi": frame_phi,
        "b": [float(np.mean(effects.scale(board, phi))) for phi in frame_phi],
        "places": {"x": x.ravel(), "y": y.ravel(), "phi": some, "s": line.s},
        "a": [full * effects.absorption(board, phi) for phi in some],
        "c": [np.ones(line.s.shape) * effects.offset(line, phi) for phi in some],
        "d": full * effects.response(board, some[0]),
    }
