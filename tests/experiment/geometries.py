"""Experiments with nothing at right angles, for the tests of the geometry."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from unstill.crystal import Crystal
from unstill.experiment import Beam, Detector, Experiment, Goniometer, Lattice, Panel, Scan

CELL = (41.3, 52.7, 60.1, 90.0, 103.4, 90.0)


def tilted_panel(
    *, distance: float = 120.0, tilt: float = 12.0, size: int = 256, sensor: bool = True
) -> Panel:
    """Return a panel that is tilted, swung out and rotated."""
    turn = Rotation.from_euler("yxz", [tilt, -7.0, 3.0], degrees=True).as_matrix()
    center = np.array([4.0, -3.0, -distance])
    fast, slow = turn @ [1, 0, 0], turn @ [0, -1, 0]
    pixel = 0.172
    origin = center - size / 2 * pixel * (fast + slow)
    more = {"thickness": 0.45, "mu": 2.9, "material": "Si", "parallax": True} if sensor else {}
    return Panel(tuple(origin), tuple(fast), tuple(slow), (pixel, pixel), (size, size), **more)


def lattice(seed: int = 0, *, n_frames: int = 0, drift: float = 0.3) -> Lattice:
    """Return a lattice in some orientation; with ``n_frames`` it drifts (degrees)."""
    crystal = Crystal(CELL, "P 1 21 1")
    u = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    constant = Lattice.oriented(crystal, u)
    if not n_frames:
        return constant
    share = np.linspace(0, 1, n_frames + 1)
    turns = Rotation.from_rotvec(
        np.radians(drift) * share[:, None] * np.array([0.4, -0.7, 0.6])
    ).as_matrix()
    stretch = np.eye(3) + 1e-3 * share[:, None, None] * np.array(
        [[1.0, 0.2, 0.0], [0.2, -0.5, 0.3], [0.0, 0.3, 0.4]]
    )
    return Lattice(crystal, constant.a_matrix, turns @ constant.a_matrix @ stretch)


def sweep(
    seed: int = 0,
    *,
    n_frames: int = 20,
    step: float = 0.7,
    drifts: bool = False,
    sensor: bool = True,
) -> Experiment:
    """Return a sweep with a skew axis and fixed and setting rotations."""
    turned = Rotation.from_euler("xyz", [[20, -35, 10], [3, 2, -4]], degrees=True).as_matrix()
    return Experiment(
        beam=Beam(0.9, (0.01, -0.02, 1.0), (0.0, 1.0, 0.0), 0.98),
        detector=Detector((tilted_panel(sensor=sensor),)),
        goniometer=Goniometer((1.0, 0.05, -0.02), turned[0], turned[1]),
        scan=Scan(n_frames, -12.0, step, exposure_times=np.full(n_frames, 0.1)),
        lattice=lattice(seed, n_frames=n_frames if drifts else 0),
    )


def closed_box(n: int, *, half: float = 50.0) -> Detector:
    """Return six square panels that form a cube around the sample."""
    panels = []
    for axis in range(3):
        for sign in (1.0, -1.0):
            normal = np.zeros(3)
            normal[axis] = sign
            fast = np.roll(np.abs(normal), 1)
            slow = np.cross(normal, fast)
            origin = half * (normal - fast - slow)
            panels.append(
                Panel(tuple(origin), tuple(fast), tuple(slow), (2 * half / n,) * 2, (n, n))
            )
    return Detector(tuple(panels))
