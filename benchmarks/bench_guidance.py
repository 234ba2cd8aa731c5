"""Both states of 6B8X from one of them: what guidance finds and what it costs.

Needs ``UNSTILL_DATA``. ``--seeds N`` runs so many seeds, ``--loops`` lets loops leap. The limits
beside the figures are those of the project.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from unstill.guidance.run import RunOptions, geometry_prior
from unstill.guidance.start import starting_model
from unstill.io.structure_files import read_structure
from unstill.workflows.guidance_benchmark import TwoStateTask, run_two_state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--loops", action="store_true")
    chosen = parser.parse_args()
    folder = os.environ.get("UNSTILL_DATA")
    if not folder:
        print("guidance: set UNSTILL_DATA to the folder of the real data")
        return
    model = read_structure(Path(folder) / "altloc" / "6b8x.pdb")
    guided = starting_model(model)
    prior = geometry_prior(guided)
    x = prior.sample_init(8, 0.5, np.random.default_rng(0))
    prior.denoise(x, 0.5)
    began = time.process_time()
    prior.denoise(x, 0.5)
    cost = time.process_time() - began
    print(f"geometry prior, 8 x {prior.n_atoms} atoms: {cost:.2f} CPU s a call")
    run = RunOptions(b_factors=False, loops=chosen.loops)
    rows = []
    for seed in range(chosen.seeds):
        found = run_two_state(model, TwoStateTask(d_min=1.74, run=replace(run, seed=seed)))
        near = [abs(one["population_a"] - 0.5) <= 0.07 for one in found["segments"]]
        figures = [found[key] for key in ("rscc_median", "both_states_1A", "clashscore", "cpu_s")]
        rows.append([*figures, np.mean(near)])
        print(
            f"seed {seed}: RSCC {found['rscc_median']:.3f}, both states "
            f"{100 * found['both_states_1A']:.0f} %, bonds {found['bond_rmsd']:.4f} A, "
            f"{found['chirality_flips']} flips, clashscore {found['clashscore']:.1f} "
            f"(start {found['clashscore_start']:.1f}), {found['cpu_s']:.0f} CPU s"
        )
    rscc, both, clashes, cpu, populations = np.mean(rows, axis=0)
    print(f"mean: RSCC {rscc:.3f} (limit 0.96), both states {100 * both:.0f} % (limit 80)")
    print(f"clashscore {clashes:.1f} (limit {found['clashscore_start'] + 2:.1f})")
    print(f"populations within 0.07 in {100 * populations:.0f} % of segments")
    print(f"{cpu:.0f} CPU s (limit 60)")


if __name__ == "__main__":
    main()
