"""Decoding deposited models: populations, clashes and time, beside greedy exchange of labels.

Run by ``make bench`` with ``UNSTILL_DATA`` set. The reference deals copies at random with exact
counts and then exchanges labels between copies as long as that lowers the number of clashes,
which keeps all populations and stops in a local minimum; ours is proven to be the least.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from unstill.ensembles.decode import Decoded, decode
from unstill.ensembles.decode.copies import fill_at_random, states_of_values
from unstill.ensembles.decode.costs import find_conflicts
from unstill.ensembles.decode.counts import whole_counts
from unstill.ensembles.decode.factors import can_meet
from unstill.ensembles.decode.groups import state_groups
from unstill.ensembles.hierarchy import infer_hierarchy
from unstill.ensembles.multiconformer import Multiconformer
from unstill.io import read_multiconformer

FILES = (
    "altloc/6b8x.pdb",
    "altloc/1vme_0.5A_0.5B.cif",
    "altloc/2yl0.pdb",
    "altloc/6ni6.pdb",
    "altloc/4i39.cif",
    "altloc/3o5r.cif",
    "bragg/1g8a_qfit.pdb",
)


def main() -> None:
    folder = os.environ.get("UNSTILL_DATA")
    if not folder:
        print("set UNSTILL_DATA to decode deposited models")
        return
    for name in FILES:
        model = read_multiconformer(Path(folder) / name)
        for n_members in (20, 100):
            started = time.process_time()
            decoded = decode(model, n_members=n_members)
            seconds = time.process_time() - started
            report = decoded.report
            greedy, greedy_seconds = exchanged(model, n_members)
            print(
                f"{Path(name).name:20s} M = {n_members:3d}: {seconds:4.1f} CPU s, populations to "
                f"{report.max_marginal_error:.4f} (1/2M {0.5 / n_members:.4f}), clashes "
                f"{report.clashes_random:g} → {report.clashes:g} (floor {report.clashes_floor:g}, "
                f"proven {report.proven}; greedy exchange {greedy:g} in {greedy_seconds:.1f} s); "
                f"avoidable C–N off {report.junctions_random:g} → {report.junctions:g}, "
                f"all of them {broken(decoded)}"
            )


def broken(decoded: Decoded) -> float:
    """Bonds C–N of members off by more than 0.1 Å, counted on coordinates."""
    sites, row = decoded.model.sites, decoded.ensemble
    carbon = np.flatnonzero(sites.atom_name == "C")
    there = np.broadcast_to(row.occupancy, row.coord.shape[:2]) > 0
    following = {
        (str(sites.chain_id[s]), int(sites.res_id[s])): s
        for s in np.flatnonzero(sites.atom_name == "N").tolist()
    }
    found = 0
    for c in carbon.tolist():
        n = following.get((str(sites.chain_id[c]), int(sites.res_id[c]) + 1))
        if n is not None:
            length = np.linalg.norm(row.coord[:, c] - row.coord[:, n], axis=1)
            off = (np.abs(length - 1.33) > 0.1) & (length < 3.0) & there[:, c] & there[:, n]
            found += int(off.sum())
    return found


def exchanged(model: Multiconformer, n_members: int) -> tuple[float, float]:
    """Clashes left by greedy exchange, and the CPU seconds that it takes."""
    started = time.process_time()
    groups = state_groups(model if model.stated else infer_hierarchy(model))
    conflicts = find_conflicts(groups.model, overlap=0.6, symmetry=False)
    clashes = {pair: k for pair, k in conflicts.clashes.items() if can_meet(groups, *pair)}
    rng = np.random.default_rng(0)
    values = np.full((len(groups.groups), n_members), -1)
    fill_at_random(groups, whole_counts(groups, n_members, rng), values, rng)

    def met() -> float:
        held = states_of_values(groups, values)
        return float(sum(k * (held[:, a] & held[:, b]).sum() for (a, b), k in clashes.items()))

    now = met()
    for _ in range(3):
        before = now
        for group in range(len(values)):
            for _ in range(n_members):
                one, two = rng.integers(0, n_members, 2)
                if -1 in values[group, [one, two]] or values[group, one] == values[group, two]:
                    continue
                values[group, [one, two]] = values[group, [two, one]]
                after = met()
                if after > now:
                    values[group, [one, two]] = values[group, [two, one]]
                now = min(now, after)
        if now == before:
            break
    return now, time.process_time() - started


if __name__ == "__main__":
    main()
