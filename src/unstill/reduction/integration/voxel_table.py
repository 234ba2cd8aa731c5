"""The table that voxels are summed in: made, enlarged, and turned into observations."""

from __future__ import annotations

import numpy as np

from unstill.crystal.hkl_grid import Triple
from unstill.errors import InputError
from unstill.experiment import Experiment
from unstill.maps.observations import Observations
from unstill.reduction.integration import kernel as k
from unstill.reduction.integration.swept_volume import look_up, volume_factors
from unstill.reduction.integration.tables import PixelTables


def new_table(divisions: Triple, reach: np.ndarray, n_panels: int, n_bricks: int) -> k.VoxelTable:
    """Make an empty table.

    Parameters
    ----------
    divisions
        Voxels a reciprocal-lattice vector.
    reach
        ``(3,)`` largest |h|, |k|, |l| that a usable pixel can have.
    n_panels
        Rows of different panels are kept apart.
    n_bricks
        Bricks of 64 voxels to make room for at first. The system gives memory
        when it is first written, so room costs nothing.

    Raises
    ------
    InputError
        If there are more voxels than can be numbered.
    """
    half = np.ceil(np.asarray(reach) * np.array(divisions)).astype(np.int64) + 2
    sizes = (2 * half + 1) // 4 + 1
    if float(np.prod(sizes.astype(float))) * n_panels > 2.0**55 or sizes.max() > 2**30:
        raise InputError(
            "the map has more voxels than can be numbered",
            found=f"{' × '.join(map(str, 4 * sizes))} voxels and {n_panels} panels",
            fix="choose fewer divisions, or a larger d_min",
        )
    slots = 1 << int(np.ceil(np.log2(max(n_bricks, 16))))
    return k.VoxelTable(
        places=np.full((2 * slots, 2), -1, np.int64),
        recent=np.full((k.RECENT + 1, 2), -1, np.int64),
        slot_keys=np.zeros(slots, np.int64),
        sums=np.zeros((64 * slots, k.N_SUMS)),
        used=np.zeros(1, np.int64),
        divisions=np.array(divisions, float),
        box=np.array([*half, sizes[0], sizes[1], sizes[2]], np.int64),
    )


def enlarged(table: k.VoxelTable, needed: int) -> k.VoxelTable:
    """Return the table with room for ``needed`` further bricks; unchanged if it has."""
    used = int(table.used[0])
    slots = len(table.slot_keys)
    if used + needed <= slots:
        return table
    while used + needed > slots:
        slots *= 2
    places = np.full((2 * slots, 2), -1, np.int64)
    slot_keys, sums = np.zeros(slots, np.int64), np.zeros((64 * slots, k.N_SUMS))
    slot_keys[:used], sums[: 64 * used] = table.slot_keys[:used], table.sums[: 64 * used]
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
    rows = np.flatnonzero(table.sums[: 64 * int(table.used[0]), k.N_PIXELS])
    panel, index = _unpacked(table, rows)
    order = np.argsort(_rank(panel, index, table.box))
    panel, index, rows = panel[order], index[order], rows[order]
    used = len(rows)
    column = {number: table.sums[rows, number] for number in range(k.N_SUMS)}
    n, exposure = column[k.N_PIXELS], column[k.EXPOSURE]
    x, y, phi = (column[number] / exposure for number in (k.X, k.Y, k.PHI))
    s, volume, counts = np.empty(used), np.empty(used), column[k.VALUES]
    # Rows are sorted by panel.
    ends = np.searchsorted(panel, np.arange(len(tables.panels) + 1))
    for number, device in enumerate(experiment.detector.panels):
        part = slice(ends[number], ends[number + 1])
        factors = volume_factors(experiment, device)
        look_up(tables.panels[number].s, x[part], y[part], factors, s[part], volume[part])
        counts[part] = (counts[part] - n[part] * device.pedestal) / device.gain
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


def _unpacked(table: k.VoxelTable, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Panel and grid index of rows of the sums."""
    box, brick, inside = table.box, rows >> 6, rows & 63
    first, l = np.divmod(table.slot_keys[: int(table.used[0])], box[5])
    first, middle = np.divmod(first, box[4])
    panel, h = np.divmod(first, box[3])
    index = np.empty((len(rows), 3), np.int32)
    for axis, (corner, shift) in enumerate(((h, 4), (middle, 2), (l, 0))):
        index[:, axis] = (4 * corner - box[axis])[brick] + ((inside >> shift) & 3)
    return panel.astype(np.int32)[brick], index


def _rank(panel: np.ndarray, index: np.ndarray, box: np.ndarray) -> np.ndarray:
    """One number a row that sorts by panel, h, k, l; no two rows have the same."""
    rank = panel.astype(np.int64)
    for axis in range(3):
        rank = rank * (4 * box[3 + axis]) + index[:, axis] + box[axis]
    return rank
