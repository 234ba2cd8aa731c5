"""The oracle: what a perfect reduction of noiseless frames gives, in plain numpy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from unstill.crystal.hkl_grid import Triple
from unstill.crystal.symmetry import map_to_asu
from unstill.experiment.pixels import pixel_centers, scattering_vectors
from unstill.shapes import Float, Int
from unstill.simulation.frames import SimulatedFrames, response_at


@dataclass(frozen=True, eq=False)
class VoxelTruth:
    """Average of the truth over the pixels that fell into each voxel.

    Parameters
    ----------
    divisions
        Voxels a reciprocal-lattice vector.
    index
        ``(n, 3)`` voxels that were covered, lexicographically sorted.
    intensity
        ``(n,)`` K ΣtΩAEP·I / ΣtΩAEP (photons a second and a steradian): the flux times
        the truth, without effects and without Bragg peaks.
    exposure
        ``(n,)`` ΣtΩAEP (s sr).
    n_pixels
        ``(n,)`` pixels, over all frames.
    """

    divisions: Triple
    index: Int[np.ndarray, "n 3"]
    intensity: Float[np.ndarray, " n"]
    exposure: Float[np.ndarray, " n"]
    n_pixels: Int[np.ndarray, " n"]

    def at(self, index: Int[np.ndarray, "m 3"]) -> Float[np.ndarray, " m"]:
        """Intensity at some voxels; NaN where nothing was covered."""
        keys, wanted = _keys(self.index), _keys(np.asarray(index, dtype=np.int64))
        place = np.clip(np.searchsorted(keys, wanted), 0, len(keys) - 1)
        found: np.ndarray = np.where(keys[place] == wanted, self.intensity[place], np.nan)
        return found


def voxel_truth(
    frames: SimulatedFrames,
    divisions: Triple,
    *,
    symmetry: bool = True,
    which: Iterable[int] | None = None,
    masks: tuple[np.ndarray, ...] | None = None,
    peak_radius: float = 0.0,
) -> VoxelTruth:
    """Average the truth as the frames sampled it.

    Independent of the reduction: plain numpy, from the formulae in ``experiment``.

    Parameters
    ----------
    frames
        Their experiment, truth and flux; effects, faults and noise play no part.
    divisions
        Voxels a reciprocal-lattice vector.
    symmetry
        Bring Laue mates together (:func:`unstill.crystal.symmetry.map_to_asu`).
    which
        Frames, counted from 0; all by default.
    masks
        Boolean array a panel, True for pixels that are left out; gaps always are.
    peak_radius
        Leave out pixels within this distance of a lattice point (r.l.u.), those
        that the mask of Bragg peaks takes.
    """
    truth, experiment = frames.truth, frames.experiment
    sums: dict[str, np.ndarray] = {}
    for number, panel in enumerate(experiment.detector.panels):
        x, y = pixel_centers(panel)
        used = np.ones(panel.shape, dtype=bool)
        for fast0, slow0, fast1, slow1 in panel.masked:
            used[slow0:slow1, fast0:fast1] = False
        if masks is not None:
            used &= ~masks[number]
        s = scattering_vectors(experiment.beam, panel, x, y)[used]
        response = response_at(experiment, number, x, y)[used]
        for i in range(frames.n_frames) if which is None else which:
            hkl = s @ experiment.hkl_matrix(i + 0.5).T
            keep = np.ones(len(hkl), dtype=bool)
            if peak_radius > 0:
                keep = np.linalg.norm(hkl - np.rint(hkl), axis=1) > peak_radius
            exposure = frames.seconds(i) * response[keep]
            intensity = np.zeros(len(exposure)) if truth is None else truth.at(hkl[keep])
            index = np.rint(hkl[keep] * np.array(divisions)).astype(np.int64)
            sums = _merged(sums, _summed(_keys(index), exposure, exposure * intensity))
    index = _index(sums["key"])
    if symmetry:
        mates = map_to_asu(experiment.crystal, index, divisions)
        sums = _merged({}, _grouped(_keys(mates), sums))
        index = _index(sums["key"])
    return VoxelTruth(
        divisions=divisions,
        index=index,
        intensity=frames.flux * sums["weighted"] / sums["exposure"],
        exposure=sums["exposure"],
        n_pixels=sums["n"].astype(np.int64),
    )


_SPAN = 1 << 20


def _keys(index: np.ndarray) -> np.ndarray:
    half = _SPAN // 2
    keys: np.ndarray = ((index[:, 0] + half) * _SPAN + index[:, 1] + half) * _SPAN + (
        index[:, 2] + half
    )
    return keys


def _index(keys: np.ndarray) -> np.ndarray:
    half = _SPAN // 2
    return np.stack(
        [keys // _SPAN**2 - half, keys // _SPAN % _SPAN - half, keys % _SPAN - half], 1
    )


def _summed(keys: np.ndarray, exposure: np.ndarray, weighted: np.ndarray) -> dict[str, np.ndarray]:
    return _grouped(keys, {"exposure": exposure, "weighted": weighted, "n": np.ones(len(keys))})


def _grouped(keys: np.ndarray, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    unique, place = np.unique(keys, return_inverse=True)
    return {"key": unique} | {
        name: np.bincount(place, columns[name], len(unique))
        for name in ("exposure", "weighted", "n")
    }


def _merged(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    if not first:
        return second
    joined = {name: np.concatenate([first[name], second[name]]) for name in first}
    return _grouped(joined["key"], joined)
