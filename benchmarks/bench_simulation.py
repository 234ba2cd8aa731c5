"""Simulated frames: seconds a frame on one core, by detector.

Run by ``make bench``. Everything is on: diffuse truth, Bragg peaks in five steps,
effects, background, Poisson noise.
"""

from __future__ import annotations

import time

from unstill.crystal import Crystal
from unstill.simulation.analytic_truth import AnalyticTruth
from unstill.simulation.bragg import wilson_peaks
from unstill.simulation.recipe import Recipe

CRYSTAL = Crystal((79.0, 79.0, 38.0, 90.0, 90.0, 90.0), "P 43 21 2")
FRAMES = {"pilatus-2m": 5, "eiger-16m": 2}


def main() -> None:
    truth, peaks = AnalyticTruth(CRYSTAL), wilson_peaks(CRYSTAL, 1.4)
    for detector, n in FRAMES.items():
        frames = Recipe(detector=detector, n_frames=n + 1, background=0.5, effects=True).frames(
            truth, peaks
        )
        frames.read(0)  # compiles, and makes the tables
        start, busy = time.perf_counter(), time.process_time()
        for i in range(n):
            frames.read(i + 1)
        wall, cpu = (time.perf_counter() - start) / n, (time.process_time() - busy) / n
        pixels = frames.experiment.detector.n_pixels / 1e6
        print(f"{detector:12s} {wall:6.2f} s a frame ({cpu:.2f} CPU-s), {pixels / cpu:5.1f} Mpx/s")


if __name__ == "__main__":
    main()
