"""A plane of a map as a table that any spreadsheet opens."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unstill.io.atomic import atomic_path
from unstill.maps.slices import Plane


def write_plane_csv(plane: Plane, path: Path) -> None:
    """Write h, k, l, intensity, one line a usable voxel; masked voxels are left out.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    x, y = np.meshgrid(plane.x, plane.y, indexing="ij")
    columns = {
        plane.axes[0]: x,
        plane.axes[1]: y,
        plane.normal: np.full(x.shape, plane.value),
    }
    used = np.isfinite(plane.intensity)
    table = np.column_stack(
        [columns[name][used] for name in "hkl"] + [plane.intensity[used].astype(float)]
    )
    with atomic_path(path) as temporary:
        np.savetxt(
            temporary, table, fmt="%.9g", delimiter=",", header="h,k,l,intensity", comments=""
        )
