"""A molecule of five atoms in two states, and its density."""

from __future__ import annotations

import biotite.structure
import numpy as np

from unstill.crystal import Crystal
from unstill.diffuse.density import density_of
from unstill.ensembles import Ensemble
from unstill.maps.density_map import DensityMap

MONOCLINIC = Crystal((14.0, 15.0, 16.0, 90.0, 100.0, 90.0), "P 1 21 1")
ELEMENT = np.array(["C", "N", "C", "O", "S"])
PLACES = np.array(
    [[4.0, 5.0, 5.0], [5.4, 5.2, 5.1], [6.1, 6.4, 5.6], [7.2, 6.3, 6.2], [5.5, 7.7, 5.0]]
)
B = np.array([14.0, 18.0, 22.0, 15.0, 20.0])


def map_of(coord: np.ndarray, weights: np.ndarray, d_min: float) -> DensityMap:
    atoms = biotite.structure.AtomArray(len(ELEMENT))
    atoms.element[:] = ELEMENT
    return density_of(
        Ensemble(atoms, coord, b_factor=B, weights=weights, crystal=MONOCLINIC), d_min
    )


def two_states() -> tuple[np.ndarray, np.ndarray]:
    moved = PLACES.copy()
    moved[3:] += [0.6, -0.9, 0.8]
    return np.stack([PLACES, moved]), np.array([0.6, 0.4])
