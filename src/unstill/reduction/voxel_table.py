"""The table that voxels are summed in: made, enlarged, and turned into observations."""

from __future__ import annotations

import numpy as np

from unstill.crystal.hkl_grid import Triple
from unstill.errors import InputError
from unstill.experiment import Experiment
from unstill.maps.observations import Observations
from unstill.reduction import kernel as k
from unstill.reduction.swept_volume import look_up, volume_factors
from unstill.reduction.tables import PixelTables

START_ROWS = 1 << 15


def new_table(
    divisions: Triple, reach: np.ndarray, n_panels: int, n_rows: int = START_ROWS
) -> k.VoxelTable:
    """Make an empty table.

    Parameters
    ----------
    divisions
        Voxels a reciprocal-lattice vector.
    reach
        ``(3,)`` largest |h|, |k|, |l| that a usable pixel can have.
    n_panels
        Rows of different panels are kept apart.
    n_rows
        Rows to make room for at first.

    Raises
    ------
    InputError
        If there are more voxels than can be numbered.
    """
    half = np.ceil(np.asarray(reach) * np.array(divisions)).astype(np.int64) + 2
    sizes = 2 * half + 1
    if float(np.prod(sizes.astype(float))) * n_panels > 2.0**62 or sizes.max() > 2**30:
        raise InputError(
            "the map has more voxels than can be numbered",
            found=f"{' × '.join(map(str, sizes))} voxels and {n_panels} panels",
            fix="choose fewer divisions, or a larger d_min",
        )
    rows = 1 << int(np.ceil(np.log2(max(n_rows, 16))))
    return k.VoxelTable(
        places=np.full((2 * rows, 2), -1, np.int64),
        recent=np.full((k.RECENT + 1, 2), -1, np.int64),
        slot_keys=np.zeros(rows, np.int64),
        sums=np.zeros((rows, k.N_SUMS)),
        used=np.zeros(1, np.int64),
        divisions=np.array(divisions, float),
        box=np.array([*half, sizes[0], sizes[1], sizes[2]], np.int64),
    )


def enlarged(table: k.VoxelTable, needed: int) -> k.VoxelTable:
    """Return the table with room for ``needed`` further rows; unchanged if it has."""
    used = int(table.used[0])
    rows = len(table.slot_keys)
    if used + needed <= rows:
        return table
    while used + needed > rows:
        rows *= 2
    places = np.full((2 * rows, 2), -1, np.int64)
    slot_keys, sums = np.zeros(rows, np.int64), np.zeros((rows, k.N_SUMS))
    slot_keys[:used], sums[:used] = table.slot_keys[:used], table.sums[:used]
    k.fill_table(places, slot_keys, used)
    return table._replace(places=places, slot_keys=slot_keys, sums=sums)


def observations_of(
    table: k.VoxelTable,
    experiment: Experiment,
    tables: PixelTables,
    *,
    sweep: int,
    block: int,
    sweep_names: tuple[str, ...],
) -> Observations:
    """Turn the sums into rows, sorted by panel, h, k, l, so that hashing leaves no trace.

    |s| and the swept volume are those at the centroid on the detector.
    """
    used = int(table.used[0])
    order = np.argsort(table.slot_keys[:used], kind="stable")
    panel, index = _unpacked(table.slot_keys[:used][order], table.box)
    column = {number: table.sums[:used, number][order] for number in range(k.N_SUMS)}
    n, exposure = column[k.N_PIXELS], column[k.EXPOSURE]
    x, y, phi = (column[number] / exposure for number in (k.X, k.Y, k.PHI))
    s, volume, counts = np.empty(used), np.empty(used), column[k.VALUES]
    # Rows are sorted by panel.
    ends = np.searchsorted(panel, np.arange(len(tables.panels) + 1))
    for number, device in enumerate(experiment.detector.panels):
        rows = slice(ends[number], ends[number + 1])
        factors = volume_factors(experiment, device)
        look_up(tables.panels[number].s, x[rows], y[rows], factors, s[rows], volume[rows])
        counts[rows] = (counts[rows] - n[rows] * device.pedestal) / device.gain
    return Observations(
        crystal=experiment.crystal,
        divisions=tuple(int(n) for n in table.divisions),  # type: ignore[arg-type]
        index=index,
        sweep=np.full(used, sweep, np.int32),
        block=np.full(used, block, np.int32),
        n_pixels=n.astype(np.int32),
        counts=counts,
        exposure=exposure,
        background=column[k.BACKGROUND],
        background_sigma=column[k.BACKGROUND_SIGMA],
        volume=volume * n,
        x=x,
        y=y,
        panel=panel,
        phi=phi,
        s=s,
        sweep_names=sweep_names,
    )


def _unpacked(keys: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, l = np.divmod(keys, box[5])
    first, middle = np.divmod(first, box[4])
    panel, h = np.divmod(first, box[3])
    index = np.stack([h - box[0], middle - box[1], l - box[2]], axis=1)
    return panel.astype(np.int32), index.astype(np.int32)
