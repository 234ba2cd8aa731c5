"""Encoding ensembles: atoms and fidelity beside leader clustering, time, memory, round trips.

Run by ``make bench``. The reference is what qFit's converter does with each residue by itself:
the first member makes a conformer, every further one joins the first conformer that is within a
cut-off, or makes a new one; no segments, no nesting, no repair. Its cut-off is chosen such that
the mean RMSD is ours (of the nearest conformer, its best case), and atoms are compared. qFit
itself takes 165 CPU s for 105 residues × 18 models, and about 45 minutes for 400 × 70.

The simulated chain needs no data; adenylate kinase comes with MDAnalysisTests, and 1GYA from
``UNSTILL_DATA``. Targets: bound kept by all residues; atoms ≤ 1.2 × the reference's; no bond
C–N off that is not off in the members; 428 × 70 written in ≤ 20 CPU s and ≤ 1 GB.
"""

from __future__ import annotations

import itertools
import os
import resource
import tempfile
import time
import warnings
from pathlib import Path

import biotite.structure
import numpy as np

from unstill.ensembles import Ensemble
from unstill.ensembles.encode import encode_eps, encode_legacy, encode_lossless
from unstill.ensembles.multiconformer import recorded_members
from unstill.io import read_multiconformer, read_structure, write_multiconformer


def main() -> None:
    warnings.simplefilter("ignore")
    small = kinase(6, 1)
    for encode in (encode_eps, encode_legacy):
        # Kernels are compiled once, and then kept on disk.
        encode(small, eps=0.7)
    for name, ensemble in inputs():
        print(f"{name}: {residues(ensemble)} residues, {ensemble.n_members} members")
        for eps in (0.5, 1.0):
            within_a_bound(ensemble, eps)
        flat(ensemble)
    for name, ensemble in (("98 frames", kinase(98, 1)), ("first 70", kinase(70, 1))):
        round_trip(f"adenylate kinase, {name}", ensemble)
    print("428 residues × 70 models, file written")
    for eps in (0.5, 1.0):
        within_a_bound(kinase(70, 2), eps, compare=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"  peak memory of the whole run {peak:.2f} GB")


def inputs() -> list[tuple[str, Ensemble]]:
    found = [("adenylate kinase × 70", kinase(70, 1)), ("its first 10", kinase(10, 1))]
    path = Path(os.environ.get("UNSTILL_DATA", ".")) / "nmr" / "1gya.cif"
    if path.is_file():
        ensemble = read_structure(path)
        found.insert(0, ("1GYA, heavy atoms", ensemble.select(ensemble.element != "H")))
        round_trip("1GYA", ensemble)
    return found


def kinase(n_frames: int, copies: int) -> Ensemble:
    """Heavy atoms of the transition of adenylate kinase, side by side."""
    from MDAnalysis import Universe
    from MDAnalysisTests.datafiles import DCD, PSF

    universe = Universe(PSF, DCD)
    element = np.array([name[0] for name in universe.atoms.names])
    heavy = universe.atoms[element != "H"]
    frames = np.array([heavy.positions for _ in universe.trajectory[:n_frames]])
    atoms = biotite.structure.AtomArray(len(heavy) * copies)
    atoms.chain_id = np.repeat([chr(65 + number) for number in range(copies)], len(heavy))
    atoms.res_id, atoms.res_name = np.tile(heavy.resids, copies), np.tile(heavy.resnames, copies)
    atoms.atom_name = np.tile(heavy.names, copies)
    atoms.element = np.tile(element[element != "H"], copies)
    shift = np.array([80.0, 0, 0])
    coord = np.concatenate([frames + number * shift for number in range(copies)], axis=1)
    return Ensemble(atoms, coord)


def residues(ensemble: Ensemble) -> int:
    return len(atoms_of_residues(ensemble))


def within_a_bound(ensemble: Ensemble, eps: float, *, compare: bool = True) -> None:
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        encoded = encode_eps(ensemble, eps=eps)
        write_multiconformer(encoded.model, Path(folder) / "model.cif")
        seconds = time.process_time() - started
    report = encoded.report
    print(
        f"  eps {eps}: {seconds:5.1f} CPU s, {report.n_rows} atoms, "
        f"mean {report.rmsd_mean:.3f} Å, most {report.rmsd_max:.3f} Å, "
        f"bound kept: {report.bound_holds}, C–N off {report.n_off} (given {report.n_off_given})"
    )
    if compare:
        atoms, mean, cutoff = leader_of_equal_mean(ensemble, report.rmsd_mean)
        print(
            f"    leader clustering at {cutoff:.2f} Å: {atoms} atoms, mean {mean:.3f} Å; "
            f"ours has {report.n_rows / atoms:.2f} times its atoms"
        )


def flat(ensemble: Ensemble) -> None:
    started = time.process_time()
    report = encode_legacy(ensemble, eps=0.5).report
    print(
        f"  legacy 0.5: {time.process_time() - started:5.1f} CPU s, {report.n_labels} letters, "
        f"same-letter C–N off {report.n_off} of {report.n_junctions}, "
        f"population dropped {100 * report.dropped:.2f} %"
    )


def round_trip(name: str, ensemble: Ensemble) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.cif"
        started = time.process_time()
        write_multiconformer(encode_lossless(ensemble).model, path, digits=None)
        back = recorded_members(read_multiconformer(path))
        seconds = time.process_time() - started
        size = path.stat().st_size / 1e6
    off = float(np.abs(back.coord - ensemble.coord).max())
    weights = float(np.abs(back.weights - ensemble.weights).max())
    print(
        f"lossless, {name}: {seconds:.1f} CPU s, {size:.1f} MB, coordinates off by {off:g} Å, "
        f"weights by {weights:g}, {back.n_members} members"
    )


def leader_of_equal_mean(ensemble: Ensemble, mean: float) -> tuple[int, float, float]:
    """Atoms, mean RMSD and cut-off of leader clustering, by bisection of the cut-off."""
    squared = [residue_distances(ensemble, own) for own in atoms_of_residues(ensemble)]
    sizes = [len(own) for own in atoms_of_residues(ensemble)]
    low, high = 0.0, 6.0
    for _ in range(25):
        cutoff = (low + high) / 2
        _, found = leader(squared, sizes, cutoff)
        low, high = (cutoff, high) if found < mean else (low, cutoff)
    atoms, found = leader(squared, sizes, high)
    return atoms, found, high


def leader(squared: list[np.ndarray], sizes: list[int], cutoff: float) -> tuple[int, float]:
    n_atoms, total = 0, 0.0
    for distances, size in zip(squared, sizes, strict=True):
        leaders: list[int] = []
        for member in range(len(distances)):
            if not leaders or distances[member, leaders].min() > cutoff**2:
                leaders.append(member)
        n_atoms += size * len(leaders)
        total += float(np.sqrt(distances[:, leaders].min(axis=1)).mean())
    return n_atoms, total / len(squared)


def atoms_of_residues(ensemble: Ensemble) -> list[np.ndarray]:
    starts = biotite.structure.get_residue_starts(ensemble.atoms, add_exclusive_stop=True)
    return [np.arange(a, b) for a, b in itertools.pairwise(starts)]


def residue_distances(ensemble: Ensemble, own: np.ndarray) -> np.ndarray:
    """``(n_members, n_members)`` mean squared distances, Å²."""
    flat = ensemble.coord[:, own].reshape(ensemble.n_members, -1).astype(float)
    norm = (flat**2).sum(axis=1)
    return np.maximum(norm[:, None] + norm[None] - 2 * flat @ flat.T, 0) / len(own)


if __name__ == "__main__":
    main()
