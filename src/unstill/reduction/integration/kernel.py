"""One pass over a frame: place every pixel, leave out what is no diffuse signal, sum by voxel.

Row by row: hkl = M s exactly for every pixel, in double precision; the distance
to the nearest reflection; what the pixel is worth; then runs of pixels of one
voxel along the row are summed in registers and flushed into a table that is
hashed by voxel. The first step is plain arithmetic on rows, which the compiler
turns into vector instructions; the table is touched once a run, not once a pixel.

Everything is done on one thread in one order, so the sums are the same to the
last bit however many blocks are worked on at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from unstill.compiled import kernel
from unstill.experiment import INVALID, OVERLOADED
from unstill.reduction.integration.absences import is_absent

UNUSABLE, INVALID_VALUE, TOO_HIGH, STRONG, MASKED, USED = range(6)
N_STATES = 6
"""What became of a pixel; every pixel is in one of these states."""

N_PIXELS, VALUES, EXPOSURE, X, Y, PHI, BACKGROUND, BACKGROUND_SIGMA = range(8)
N_SUMS = 8
"""Columns of the sums of a voxel, one line of the cache; X, Y, PHI are exposure-weighted."""


MIX = np.int64(-7046029254386353131)
"""An odd number near 2⁶⁴ / golden ratio: multiplication by it mixes the high bits of a key."""

RECENT = 1023
"""Bricks of the last rows that are found without a visit to the large table, less one."""


class Pixels(NamedTuple):
    """What is known of a panel before the frame is read; see ``tables.PanelTable``."""

    s: np.ndarray
    response: np.ndarray
    zone: np.ndarray
    panel: int


class Rules(NamedTuple):
    """Which pixels count.

    ``limits`` (n_zones + 1,) largest value a zone, ``low`` and ``high`` the trusted range,
    ``peak`` r0, the whitening matrix Σ^{-1/2} (lower triangle, row by row) and cutoff²,
    ``absent`` the absence rules.
    """

    limits: np.ndarray
    low: int
    high: int
    peak: np.ndarray
    absent: np.ndarray


class Moment(NamedTuple):
    """One frame: setting, angle, time and the background.

    ``rate`` and ``rate_sigma`` (photons a second and a pixel) stand on nodes at
    x0 + i dx and y0 + j dy; ``nodes`` is x0, dx, y0, dy.
    """

    matrix: np.ndarray
    phi: float
    time: float
    rate: np.ndarray
    rate_sigma: np.ndarray
    nodes: np.ndarray


class VoxelTable(NamedTuple):
    """Sums by voxel, in bricks of 4 × 4 × 4 voxels that are found by open addressing.

    Voxels of one brick lie together in memory, as their pixels do on the
    detector, and one look-up finds them all. ``places`` (n, 2) int64 number of
    a brick in the box, -1 where empty, and its slot; ``recent`` the same for
    bricks met last; ``slot_keys`` the numbers of the bricks in the slots,
    ``used`` (1,) how many; ``sums`` (64 slots, N_SUMS); ``divisions`` (3,)
    float64, ``box`` (6,) int64 offsets in voxels and sizes in bricks along h, k, l.
    """

    places: np.ndarray
    recent: np.ndarray
    slot_keys: np.ndarray
    sums: np.ndarray
    used: np.ndarray
    divisions: np.ndarray
    box: np.ndarray


class Runs(NamedTuple):
    """Room for the runs of one row: voxel, first and last column and pixels, values, weights."""

    keys: np.ndarray
    slots: np.ndarray
    ends: np.ndarray
    totals: np.ndarray
    weights: np.ndarray


@kernel
def add_frame(
    values: np.ndarray,
    pixels: Pixels,
    rules: Rules,
    moment: Moment,
    coarse: VoxelTable,
    fine: VoxelTable,
    with_fine: bool,
    states: np.ndarray,
    zone_pixels: np.ndarray,
    zone_values: np.ndarray,
    first_row: int,
) -> int:
    """Add the rows of one panel of one frame, from ``first_row`` on, to the tables.

    Parameters
    ----------
    values
        ``(slow, fast)`` int32.
    states
        ``(N_STATES,)`` int64; pixels by state are added.
    zone_pixels, zone_values
        ``(n_zones + 1,)`` int64; used pixels and their values are added.

    Returns
    -------
    row
        The first that was not added since a table is nearly full: enlarge it
        and go on from there. The number of rows when done.
    """
    n_rows, width = values.shape
    hkl = np.empty((3, width))
    near = np.empty(width, np.uint8)
    state = np.empty(width, np.uint8)
    keys = np.empty(width, np.int64)
    runs = Runs(
        np.empty(width, np.int64),
        np.empty(width, np.int64),
        np.empty((width, 3), np.int64),
        np.empty(width, np.int64),
        np.empty((width, 2)),
    )
    for y in range(first_row, n_rows):
        if coarse.used[0] + width > len(coarse.slot_keys):
            return int(y)
        if with_fine and fine.used[0] + width > len(fine.slot_keys):
            return int(y)
        _place_row(pixels.s, y, moment.matrix, rules.peak, hkl, near)
        _judge_row(values[y], pixels.zone[y], rules, hkl, near, state, states)
        _key_row(hkl, coarse.divisions, coarse.box, pixels.panel, keys)
        n_runs = _find_runs(values[y], pixels.response[y], keys, state, runs)
        _add_runs(n_runs, runs, y, moment, coarse)
        _sum_zones(values[y], pixels.zone[y], state, zone_pixels, zone_values)
        if with_fine:
            _key_row(hkl, fine.divisions, fine.box, pixels.panel, keys)
            n_runs = _find_runs(values[y], pixels.response[y], keys, state, runs)
            _add_runs(n_runs, runs, y, moment, fine)
    return int(n_rows)


@kernel
def _place_row(
    s: np.ndarray, y: int, m: np.ndarray, peak: np.ndarray, hkl: np.ndarray, near: np.ndarray
) -> None:
    """Hkl = M s, and whether |Σ^{-1/2} (h − round(h) − r0)| < cutoff."""
    s0, s1, s2 = s[0, y], s[1, y], s[2, y]
    out0, out1, out2 = hkl[0], hkl[1], hkl[2]
    m00, m01, m02 = m[0, 0], m[0, 1], m[0, 2]
    m10, m11, m12 = m[1, 0], m[1, 1], m[1, 2]
    m20, m21, m22 = m[2, 0], m[2, 1], m[2, 2]
    r0, r1, r2 = peak[0], peak[1], peak[2]
    w00, w10, w11, w20, w21, w22 = peak[3], peak[4], peak[5], peak[6], peak[7], peak[8]
    limit = peak[9]
    for x in range(len(near)):
        a, b, c = np.float64(s0[x]), np.float64(s1[x]), np.float64(s2[x])
        h = m00 * a + m01 * b + m02 * c
        k = m10 * a + m11 * b + m12 * c
        l = m20 * a + m21 * b + m22 * c
        out0[x], out1[x], out2[x] = h, k, l
        u = h - np.floor(h + 0.5) - r0
        v = k - np.floor(k + 0.5) - r1
        w = l - np.floor(l + 0.5) - r2
        p = w00 * u
        q = w10 * u + w11 * v
        r = w20 * u + w21 * v + w22 * w
        near[x] = p * p + q * q + r * r < limit


@kernel
def _judge_row(
    values: np.ndarray,
    zone: np.ndarray,
    rules: Rules,
    hkl: np.ndarray,
    near: np.ndarray,
    state: np.ndarray,
    states: np.ndarray,
) -> None:
    """State of every pixel of a row."""
    limits, low, high = rules.limits, rules.low, rules.high
    n_used = 0
    last_h, last_k, last_l, last_absent = 0, 0, 0, False
    for x in range(len(values)):
        value = values[x]
        # The usual case first: it costs one table look-up.
        if near[x] == 0 and low <= value <= high and value <= limits[zone[x]]:
            state[x] = USED
            n_used += 1
            continue
        found = _odd_state(value, zone[x], low, high)
        if found == USED and near[x]:
            h = int(np.floor(hkl[0, x] + 0.5))
            k = int(np.floor(hkl[1, x] + 0.5))
            l = int(np.floor(hkl[2, x] + 0.5))
            if h != last_h or k != last_k or l != last_l:
                last_h, last_k, last_l = h, k, l
                last_absent = is_absent(h, k, l, rules.absent)
            if not last_absent:
                found = MASKED
        if found == USED and value > limits[zone[x]]:
            found = STRONG
        state[x] = found
        states[found] += 1
    states[USED] += n_used


@kernel
def _odd_state(value: int, zone: int, low: int, high: int) -> int:
    if zone == 0:
        return UNUSABLE
    if value == OVERLOADED or value > high:
        return TOO_HIGH
    if value == INVALID or value < low:
        return INVALID_VALUE
    return USED


@kernel
def _key_row(
    hkl: np.ndarray, divisions: np.ndarray, box: np.ndarray, panel: int, keys: np.ndarray
) -> None:
    """Voxel round(h n), as 64 times the number of its brick plus its place there."""
    h, k, l = hkl[0], hkl[1], hkl[2]
    n0, n1, n2 = divisions[0], divisions[1], divisions[2]
    o0, o1, o2 = box[0], box[1], box[2]
    first, size1, size2 = panel * box[3], box[4], box[5]
    for x in range(len(keys)):
        i = np.int64(np.int32(np.floor(h[x] * n0 + 0.5))) + o0
        j = np.int64(np.int32(np.floor(k[x] * n1 + 0.5))) + o1
        m = np.int64(np.int32(np.floor(l[x] * n2 + 0.5))) + o2
        brick = ((first + (i >> 2)) * size1 + (j >> 2)) * size2 + (m >> 2)
        keys[x] = (brick << 6) | ((i & 3) << 4) | ((j & 3) << 2) | (m & 3)


@kernel
def _find_runs(
    values: np.ndarray, response: np.ndarray, keys: np.ndarray, state: np.ndarray, runs: Runs
) -> int:
    """Sum used pixels of one voxel that follow each other in a row; return the number of runs."""
    key, n, total, first, last = np.int64(-1), 0, np.int64(0), 0, 0
    weight, weight_x = 0.0, 0.0
    count = 0
    for x in range(len(keys)):
        if state[x] != USED:
            continue
        if keys[x] != key:
            if n:
                runs.ends[count, 0], runs.ends[count, 1], runs.ends[count, 2] = first, last, n
                runs.keys[count], runs.totals[count] = key, total
                runs.weights[count, 0], runs.weights[count, 1] = weight, weight_x
                count += 1
            key, n, total, first = keys[x], 0, np.int64(0), x
            weight, weight_x = 0.0, 0.0
        r = np.float64(response[x])
        n += 1
        total += values[x]
        weight += r
        weight_x += r * (x - first)
        last = x
    if n:
        runs.ends[count, 0], runs.ends[count, 1], runs.ends[count, 2] = first, last, n
        runs.keys[count], runs.totals[count] = key, total
        runs.weights[count, 0], runs.weights[count, 1] = weight, weight_x
        count += 1
    return count


@kernel
def _add_runs(n_runs: int, runs: Runs, y: int, moment: Moment, table: VoxelTable) -> None:
    """Add the runs of a row to the sums of their voxels."""
    time, phi, sums = moment.time, moment.phi, table.sums
    places, slot_keys, used, recent = table.places, table.slot_keys, table.used, table.recent
    keys, slots, ends = runs.keys, runs.slots, runs.ends
    totals, weights = runs.totals, runs.weights
    with_background = len(moment.nodes) == 4
    line = _background_of_row(moment.rate, moment.rate_sigma, moment.nodes, y + 0.5)
    last_node = len(line) - 1.0
    # A loop of its own: the look-ups do not wait for each other's memory.
    for i in range(n_runs):
        brick = keys[i] >> 6
        short = ((brick * MIX) >> 40) & RECENT
        if recent[short, 0] != brick:
            recent[short, 0] = brick
            recent[short, 1] = _slot_of(places, slot_keys, used, brick)
        slots[i] = (recent[short, 1] << 6) | (keys[i] & 63)
    for i in range(n_runs):
        first, last, n = ends[i, 0], ends[i, 1], ends[i, 2]
        slot = slots[i]
        exposure = weights[i, 0] * time
        sums[slot, N_PIXELS] += n
        sums[slot, VALUES] += totals[i]
        sums[slot, EXPOSURE] += exposure
        sums[slot, X] += weights[i, 1] * time + exposure * (first + 0.5)
        sums[slot, Y] += exposure * (y + 0.5)
        sums[slot, PHI] += exposure * phi
        if with_background:
            middle = 0.5 * (first + last) + 0.5
            u = min(max((middle - moment.nodes[0]) / moment.nodes[1], 0.0), last_node)
            node = int(u)
            after, u = min(node + 1, int(last_node)), u - node
            rate = (1 - u) * line[node, 0] + u * line[after, 0]
            sigma = (1 - u) * line[node, 1] + u * line[after, 1]
            sums[slot, BACKGROUND] += n * time * rate
            sums[slot, BACKGROUND_SIGMA] += n * time * sigma


@kernel
def _slot_of(places: np.ndarray, slot_keys: np.ndarray, used: np.ndarray, key: int) -> int:
    """Slot of a brick; a new one if there is none."""
    cut = len(places) - 1
    place = first_place(key, cut)
    while places[place, 0] != key:
        if places[place, 0] == -1:
            slot = used[0]
            places[place, 0] = key
            places[place, 1] = slot
            slot_keys[slot] = key
            used[0] = slot + 1
            return int(slot)
        place = (place + 1) & cut
    return int(places[place, 1])


@kernel
def first_place(key: int, cut: int) -> int:
    """Where to look for a brick first."""
    return int(((key * MIX) >> 30) & cut)


@kernel
def _background_of_row(r: np.ndarray, e: np.ndarray, nodes: np.ndarray, y: float) -> np.ndarray:
    """Rate r and its uncertainty e at the nodes along a row; linear, constant beyond the last."""
    if len(nodes) != 4:
        return np.zeros((1, 2))
    rows, columns = r.shape
    v = min(max((y - nodes[2]) / nodes[3], 0.0), rows - 1.0)
    j = int(v)
    j1, v = min(j + 1, rows - 1), v - j
    line = np.empty((columns, 2))
    for i in range(columns):
        line[i, 0] = (1 - v) * r[j, i] + v * r[j1, i]
        line[i, 1] = (1 - v) * e[j, i] + v * e[j1, i]
    return line


@kernel
def _sum_zones(
    values: np.ndarray,
    zone: np.ndarray,
    state: np.ndarray,
    zone_pixels: np.ndarray,
    zone_values: np.ndarray,
) -> None:
    """Sum used pixels and their values by zone, run by run."""
    here, n, total = 0, 0, np.int64(0)
    for x in range(len(values)):
        if state[x] != USED:
            continue
        if zone[x] != here:
            zone_pixels[here] += n
            zone_values[here] += total
            here, n, total = zone[x], 0, np.int64(0)
        n += 1
        total += values[x]
    zone_pixels[here] += n
    zone_values[here] += total


@kernel
def fill_table(places: np.ndarray, slot_keys: np.ndarray, n: int) -> None:
    """Enter the bricks of ``n`` slots into an empty table."""
    cut = len(places) - 1
    for slot in range(n):
        place = first_place(slot_keys[slot], cut)
        while places[place, 0] != -1:
            place = (place + 1) & cut
        places[place, 0] = slot_keys[slot]
        places[place, 1] = slot
