"""Operations on maps: ours beside a plain loop over gemmi or over boxes, in one run.

Run by ``make bench``. The map has the size of the staphylococcal-nuclease
reference (62 × 62 × 80 voxels, P 41). The loops run on a sample of the voxels
and are scaled up; their results on the sample must equal ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import product

import gemmi
import numpy as np

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.reindexing import parse_operator
from unstill.crystal.symmetry import map_to_asu
from unstill.maps import IntensityMap
from unstill.maps.bragg import mask_bragg
from unstill.maps.compare import compare
from unstill.maps.difference import difference
from unstill.maps.reindex import reindex
from unstill.maps.resample import resample
from unstill.maps.symmetrize import symmetrize

CRYSTAL = Crystal((48.5, 48.5, 63.43, 90.0, 90.0, 90.0), "P 41")
SAMPLE = 2000
REPEATS = 3


def main() -> None:
    rng = np.random.default_rng(0)
    full = make_map(rng, HklGrid((-31, -31, -40), (62, 62, 80)))
    other = reindex(full, parse_operator("k,h,-l"))
    print(f"{full.grid.size} voxels, {full.n_measured} usable, one thread")
    report("compare, both indexings", best(lambda: compare(full, other, d_min=1.6, d_max=20.0)))
    report("difference, 200 draws", best(lambda: difference(full, full, d_min=1.6)))
    ours = best(lambda: symmetrize(full))
    report("symmetrise 4/m", ours, loop_over_gemmi(full, rng))
    fine = mask_bragg(make_map(rng, HklGrid((-60, -60, -80), (121, 121, 161), (4, 4, 4))))
    print(f"{fine.grid.size} voxels, divisions 4, Bragg voxels masked")
    report("resample 4 to 2", best(lambda: resample(fine, (2, 2, 2))), loop_over_boxes(fine, rng))


def make_map(rng: np.random.Generator, grid: HklGrid) -> IntensityMap:
    s_squared = CRYSTAL.s_squared(grid.hkl())
    intensity = 1000 * np.exp(-4 * s_squared) + 30 * rng.normal(size=grid.shape)
    return IntensityMap(CRYSTAL, grid, intensity, mask=s_squared > 1 / 1.6**2)


def best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def report(what: str, ours: float, reference: float | None = None) -> None:
    beside = "" if reference is None else f"   loop {reference:8.2f} s   {reference / ours:6.0f} x"
    print(f"{what:28s} ours {ours:7.3f} s{beside}")


def loop_over_gemmi(full: IntensityMap, rng: np.random.Generator) -> float:
    """Put each voxel into the asymmetric unit by gemmi and add it to its orbit."""
    index = full.grid.index().reshape(-1, 3)
    chosen = rng.choice(len(index), SAMPLE, replace=False)
    group = gemmi.SpaceGroup(CRYSTAL.space_group)
    asu, operations = gemmi.ReciprocalAsu(group), group.operations()
    start = time.perf_counter()
    sums: dict[tuple[int, ...], float] = {}
    keys = []
    for place in chosen:
        key = tuple(asu.to_asu(index[place].tolist(), operations)[0])
        keys.append(key)
        sums[key] = sums.get(key, 0.0) + full.intensity.ravel()[place]
    elapsed = time.perf_counter() - start
    own = list(map(tuple, map_to_asu(CRYSTAL, index[chosen]).tolist()))
    if len(set(zip(own, keys, strict=True))) != len(set(keys)):
        raise SystemExit("orbits differ from gemmi's")
    return elapsed * len(index) / SAMPLE


def loop_over_boxes(full: IntensityMap, rng: np.random.Generator) -> float:
    """Average the 27 voxels around each new one, one after the other."""
    coarse = resample(full, (2, 2, 2))
    inner = np.argwhere(coarse.measured)
    inner = inner[np.all((inner > 0) & (inner < np.array(coarse.grid.shape) - 1), axis=1)]
    chosen = inner[rng.choice(len(inner), SAMPLE, replace=False)]
    start = time.perf_counter()
    worst = 0.0
    for place in chosen:
        centre = 2 * (np.array(coarse.grid.start) + place) - full.grid.start
        total = weighted = 0.0
        for offset in product((-1, 0, 1), repeat=3):
            at = tuple(centre + offset)
            if not full.mask[at]:
                weight = 0.5 ** np.count_nonzero(offset)
                total += weight
                weighted += weight * full.intensity[at]
        worst = max(worst, abs(weighted / total - coarse.intensity[tuple(place)]))
    elapsed = time.perf_counter() - start
    if worst > 1e-6:
        raise SystemExit(f"resampled voxels differ by {worst}")
    return elapsed * coarse.grid.size / SAMPLE


if __name__ == "__main__":
    main()
