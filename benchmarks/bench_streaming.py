"""Streaming a trajectory: peak memory against its length, and speed against the workers.

Run by ``make bench``. Every run is a process of its own, so that peak memory
(``ru_maxrss``) is its own; the reference is what it takes to hold F of every
frame, as a two-pass variance does.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import mdtraj
import numpy as np

N_ATOMS = 12_000
CELL = (60.0, 60.0, 60.0)
D_MIN = 2.5
LENGTHS = (50, 500)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        write_model(path / "top.pdb")
        for n_frames in LENGTHS:
            write_frames(path / f"run{n_frames}.xtc", n_frames)
        print(f"{N_ATOMS} atoms, 60 Å cubic cell, {D_MIN} Å, XTC, 16 blocks")
        print("frames workers  peak RSS  frames/s   F of all frames would take")
        found = {
            (n_frames, workers): run(path, n_frames, workers)
            for n_frames, workers in ((LENGTHS[0], 1), (LENGTHS[1], 1), (LENGTHS[1], 2))
        }
        for (n_frames, workers), result in found.items():
            held = n_frames * result["points"] * 16 / 2**20
            print(
                f"{n_frames:6d} {workers:7d} {result['peak']:6.0f} MiB "
                f"{n_frames / result['seconds']:9.1f} {held:17.0f} MiB"
            )
        short, long = (found[n_frames, 1]["peak"] for n_frames in LENGTHS)
        print(f"peak memory, {LENGTHS[1]} over {LENGTHS[0]} frames: {long / short:.3f}")
        same = found[LENGTHS[1], 1]["digest"] == found[LENGTHS[1], 2]["digest"]
        print(f"one and two workers give the same bits: {'yes' if same else 'NO'}")


def write_model(path: Path) -> None:
    rng = np.random.default_rng(0)
    coord = rng.random((N_ATOMS, 3)) * CELL
    lines = [
        "CRYST1{:9.3f}{:9.3f}{:9.3f}{:7.2f}{:7.2f}{:7.2f} P 1           1".format(
            *CELL, 90, 90, 90
        )
    ]
    for number, (x, y, z) in enumerate(coord):
        name, element = (("CA", "C"), ("N", "N"), ("O", "O"), ("C", "C"))[number % 4]
        lines.append(
            f"ATOM  {number % 99999 + 1:5d}  {name:<3s} ALA A{number // 4 % 9999 + 1:4d}    "
            f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {element:>2s}"
        )
    path.write_text("\n".join([*lines, "END", ""]))
    np.save(path.with_suffix(".npy"), coord)


def write_frames(path: Path, n_frames: int) -> None:
    mean = np.load(path.with_name("top.npy"))
    rng = np.random.default_rng(1)
    box = np.diag(np.array(CELL) / 10)[None].astype(np.float32)
    with mdtraj.formats.XTCTrajectoryFile(str(path), "w") as file:
        for _ in range(n_frames):
            moved = mean + 0.4 * rng.normal(size=mean.shape)
            file.write((moved[None] / 10).astype(np.float32), box=box)


def run(folder: Path, n_frames: int, workers: int) -> dict[str, float]:
    command = [sys.executable, __file__, str(folder), str(n_frames), str(workers)]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, float] = json.loads(out)
    return found


def measure(folder: Path, n_frames: int, workers: int) -> None:
    import hashlib

    from unstill.diffuse import stream_block_sums
    from unstill.io import open_trajectory

    trajectory = open_trajectory(folder / "top.pdb", [folder / f"run{n_frames}.xtc"])
    # The first transform compiles and plans; it is not part of the speed.
    stream_block_sums(_Short(trajectory), (1, 1, 1), D_MIN, n_blocks=2)
    began = time.perf_counter()
    sums = stream_block_sums(trajectory, (1, 1, 1), D_MIN, workers=workers)
    seconds = time.perf_counter() - began
    peak = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    digest = hashlib.sha256(sums.s1.tobytes() + sums.s2.tobytes()).hexdigest()
    print(
        json.dumps(
            {
                "peak": peak / 1024,
                "seconds": seconds,
                "points": len(sums.index),
                "digest": digest,
            }
        )
    )


class _Short:
    """The first two frames of a trajectory."""

    n_frames = 2

    def __init__(self, trajectory: object) -> None:
        self.atoms, self.crystal = trajectory.atoms, trajectory.crystal  # type: ignore[attr-defined]
        self.chunks = trajectory.chunks  # type: ignore[attr-defined]


if __name__ == "__main__":
    if len(sys.argv) == 4:
        measure(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
