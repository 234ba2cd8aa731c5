"""Weights of members: cost of one value and gradient, and of a whole run with its proof.

Run by ``make bench``. 47,150 reflections are those of the published work (2×2×2
supercell, 3.5 Å). The reference is the same function written plainly in numpy,
complex numbers and all, as one would at first. Targets: 10 ms for 100 blocks,
0.15 s for 1000 frames on two cores, at most 1 GB; 10,000 frames out of core.
"""

from __future__ import annotations

# ruff: noqa: E402
from unstill.parallel.threads import keep_to_one_thread

# Before numpy is loaded: the threads are ours, one matrix product each.
keep_to_one_thread()

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unstill.crystal import Crystal
from unstill.maps.members import Member
from unstill.parallel import cpu_count
from unstill.weighting.backends import weighting_backend
from unstill.weighting.data import Observed
from unstill.weighting.objective import Objective
from unstill.weighting.orbits import Orbits, find_orbits
from unstill.weighting.problems import Problems
from unstill.weighting.table import MemberTable, gather
from unstill.weighting.targets import ChiSquare, TotalCorrelation
from unstill.weighting.targets.target import Target

N_REFLECTIONS = 47_150
CRYSTAL = Crystal((67.0, 69.0, 75.0, 90.0, 90.0, 90.0))


def main() -> None:
    workers = cpu_count()
    print(f"{N_REFLECTIONS} reflections, {workers} threads; median of several, milliseconds")
    print(
        f"{'members':>8} {'target':>8} {'value+gradient':>15} {'plain numpy':>12} {'peak MB':>8}"
    )
    for n_members in (100, 1000):
        table = random_table(n_members)
        data = random_data(table.orbits)
        for target in (ChiSquare(), TotalCorrelation()):
            ours = 1e3 * evaluation_seconds(table, data, target, workers)
            plain = "" if target.name != "cc" else f"{1e3 * plain_seconds(table, data):12.1f}"
            print(f"{n_members:8d} {target.name:>8} {ours:15.1f} {plain:>12} {peak():8.0f}")
        batch = evaluation_seconds(table, data, ChiSquare(), workers, n_problems=32)
        print(f"{n_members:8d} {'chi2':>8} {1e3 * batch / 32:15.1f}   a problem, 32 side by side")
    for name in ("jax", "torch", "cupy"):
        other_backend(name)
    out_of_core()


def random_table(
    n_members: int, *, memory: int = 1 << 31, folder: Path | None = None
) -> MemberTable:
    """Members without any physics: the cost does not depend on it."""
    source = Random(n_members)
    return gather(source, points(), memory=memory, folder=folder)


def points() -> Orbits:
    """Exactly as many Friedel-unique points as the published work has reflections."""
    from unstill.crystal.half_space import friedel_half

    index = friedel_half(CRYSTAL, 3.0, (2, 2, 2))
    s = CRYSTAL.s_squared(index / 2)
    order = np.argsort(s, kind="stable")[1 : N_REFLECTIONS + 1]
    return find_orbits(CRYSTAL, (2, 2, 2), index[np.sort(order)])


@dataclass
class Random:
    """A source of members without physics."""

    n_members: int
    crystal: Crystal = CRYSTAL
    divisions: tuple[int, int, int] = (2, 2, 2)

    @property
    def index(self) -> np.ndarray:
        """Points."""
        return points().index

    def members(self) -> Iterator[Member]:
        """Yield random members."""
        rng = np.random.default_rng(0)
        mean = 100 * rng.normal(size=(2, N_REFLECTIONS))
        for _ in range(self.n_members):
            re, im = mean + 10 * rng.normal(size=(2, N_REFLECTIONS))
            yield Member(re + 1j * im, re**2 + im**2)

    def describe(self) -> dict[str, Any]:
        """Nothing to say."""
        return {}


def random_data(orbits: Orbits) -> Observed:
    rng = np.random.default_rng(1)
    intensity = 100 + 10 * rng.normal(size=orbits.n_orbits)
    return Observed(orbits, intensity, np.full(orbits.n_orbits, 0.01), "file")


def evaluation_seconds(
    table: MemberTable, data: Observed, target: Target, workers: int, *, n_problems: int = 1
) -> float:
    work = np.ones(data.orbits.n_orbits)
    problems = Problems.of([data] * n_problems, [work] * n_problems)
    evaluate = Objective(table, target, workers=workers).evaluation(
        problems, np.full(n_problems, 0.1)
    )
    logits = np.repeat(np.log(table.prior)[None], n_problems, axis=0)
    return median(lambda: evaluate(logits, np.arange(n_problems)))


def plain_seconds(table: MemberTable, data: Observed) -> float:
    """1 − CC and its gradient as the formulae stand on paper."""
    f = np.concatenate([slab.re + 1j * slab.im for slab in table.slabs], axis=1)
    w, y = table.prior, data.intensity - data.intensity.mean()

    def evaluate() -> np.ndarray:
        a = np.abs(f) ** 2
        m = w @ f
        x = w @ a - np.abs(m) ** 2
        xc = x - x.mean()
        nx, ny = np.linalg.norm(xc), np.linalg.norm(y)
        g = -(y / (nx * ny) - (xc @ y) / (nx**3 * ny) * xc)
        return a @ g - 2 * (f @ (g * m.conj())).real

    return median(evaluate, n=3)


def other_backend(name: str) -> None:
    from unstill.errors import MissingExtraError

    try:
        backend = weighting_backend(name)
    except MissingExtraError:
        print(f"{name}: not installed")
        return
    with backend.scope():
        table = random_table(1000).on(backend)
    ours = evaluation_seconds(table, random_data(table.orbits), ChiSquare(), 1)
    print(f"{1000:8d} {'chi2':>8} {1e3 * ours:15.1f}   {name}")


def out_of_core() -> None:
    """10,000 frames: the table lies in a scratch file, 4.4 GB."""
    if "--large" not in sys.argv:
        print("10,000 frames out of core: python benchmarks/bench_weighting.py --large")
        return
    with tempfile.TemporaryDirectory(dir=".") as folder:
        start = time.perf_counter()
        table = random_table(10_000, memory=1 << 20, folder=Path(folder))
        print(f"   10000 members gathered in {time.perf_counter() - start:.0f} s")
        seconds = evaluation_seconds(table, random_data(table.orbits), ChiSquare(), cpu_count())
        print(f"   10000     chi2 {1e3 * seconds:15.0f}   out of core")


def median(task: Callable[[], Any], n: int = 7) -> float:
    task()
    seconds = []
    for _ in range(n):
        start = time.perf_counter()
        task()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
