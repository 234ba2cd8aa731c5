"""Observations of a known truth: random voxels, mates in other sweeps and places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.symmetry import index_operations
from unstill.maps.observations import Observations

CRYSTAL = Crystal((60.0, 60.0, 90.0, 90.0, 90.0, 90.0), "P 41")
DIVISIONS = (2, 2, 2)
SIZE = 1000.0
SPAN = 90.0


@dataclass(frozen=True)
class Truth:
    observations: Observations
    intensity: np.ndarray  # of the voxel of each row
    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    d: np.ndarray
    expected: np.ndarray  # counts

    @property
    def scale(self):
        return self.a * self.b * self.d

    @property
    def offset(self):
        return self.a * self.d * self.c


def mean_intensity(s):
    return 200.0 * np.exp(-((s / 0.35) ** 2)) + 40.0


def make(
    n_voxels=4000,
    multiplicity=8,
    counts=1000.0,
    *,
    n_sweeps=2,
    effects="abcd",
    contrast=0.3,
    background=0.3,
    relative=0.0,
    span=SPAN,
    amplitude=1.0,
    n_panels=1,
    crystal=CRYSTAL,
    seed=0,
):
    """Rows with about `counts` photons; voxels differ by `contrast` from their shell."""
    rng = np.random.default_rng(seed)
    index = _random_index(rng, n_voxels, crystal)
    s_voxel = np.sqrt(crystal.s_squared(index / np.array(DIVISIONS)))
    shape = 1 / contrast**2
    truth = mean_intensity(s_voxel) * rng.gamma(shape, 1 / shape, n_voxels)
    voxel = np.repeat(np.arange(n_voxels), multiplicity)
    n = len(voxel)
    operations = index_operations(crystal, DIVISIONS)
    chosen = operations[rng.integers(len(operations), size=n)]
    measured = np.einsum("ni,nij->nj", index[voxel], chosen)
    sweep = rng.integers(n_sweeps, size=n).astype(np.int32)
    phi = rng.uniform(0, span, n)
    x, y = rng.uniform(0, SIZE, (2, n))
    s = s_voxel[voxel]
    a, b, c, d = effects_at(effects, x, y, phi, s, sweep, span, amplitude)
    exposure = rng.uniform(0.5, 1.5, n)
    intensity = truth[voxel]
    ideal = exposure * a * d * (b * intensity + c)
    size = counts / np.median(ideal)
    flat = np.median(ideal) * background * rng.uniform(0.8, 1.2, n) * size
    expected = ideal * size + flat
    rate = expected
    if relative:
        rate = np.maximum(expected + relative * ideal * size * rng.normal(size=n), 0)
    observations = Observations(
        crystal=crystal,
        divisions=DIVISIONS,
        index=measured.astype(np.int32),
        sweep=sweep,
        block=np.floor(phi).astype(np.int32),
        n_pixels=np.full(n, 9, np.int32),
        counts=rng.poisson(rate).astype(float),
        exposure=exposure * size,
        background=flat,
        background_sigma=np.zeros(n),
        volume=np.full(n, 1e-6),
        x=x,
        y=y,
        panel=rng.integers(n_panels, size=n).astype(np.int32),
        phi=phi,
        s=s,
        sweep_names=tuple(f"sweep {k + 1}" for k in range(n_sweeps)),
    )
    return Truth(observations, intensity, a, b, c, d, expected)


def effects_at(effects, x, y, phi, s, sweep, span, amplitude=1.0):
    """Smooth a ±20 %, b ±10 %, c up to 15 % of the mean intensity, d ±3 %."""
    n = len(x)
    u, v, t = x / SIZE - 0.5, y / SIZE - 0.5, 2 * np.pi * phi / span
    ones = np.ones(n)
    a, b, c, d = ones, ones, np.zeros(n), ones
    if "a" in effects:
        a = 1 + amplitude * 0.4 * (u * np.cos(t + sweep) + v * np.sin(t)) / np.sqrt(2)
    if "b" in effects:
        b = (1 + amplitude * 0.1 * np.cos(1.5 * t + sweep)) * np.where(sweep % 2 == 1, 1.3, 1.0)
    if "c" in effects:
        profile = np.exp(-(((s - 0.3) / 0.1) ** 2))
        c = amplitude * 0.15 * mean_intensity(s) * profile * (1 - np.cos(t + 2 * sweep)) / 2
    if "d" in effects:
        d = 1 + amplitude * 0.03 * np.sin(7 * u) * np.cos(9 * v)
    return a, b, c, d


def _random_index(rng, n_voxels, crystal):
    span = 60
    candidates = rng.integers(-span, span + 1, size=(40 * n_voxels, 3))
    s = np.sqrt(crystal.s_squared(candidates / np.array(DIVISIONS)))
    candidates = candidates[(s > 0.05) & (s < 0.5)]
    from unstill.crystal.symmetry import map_to_asu

    unique = np.unique(map_to_asu(crystal, candidates, DIVISIONS), axis=0)
    return unique[rng.permutation(len(unique))[:n_voxels]]
