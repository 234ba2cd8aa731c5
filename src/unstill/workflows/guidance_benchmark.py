"""How well guidance finds both states of a model: synthetic two-state maps, strengths swept.

For every model with alternate locations its two main states make a map, half
and half; guidance starts from the first state alone. Segments where the states
differ are judged: real-space correlation, and how near the nearest member comes
to each state.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from unstill.diffuse.density import add_noise, density_of
from unstill.ensembles import Ensemble
from unstill.errors import InputError
from unstill.guidance.protocols import EnsembleState
from unstill.guidance.run import RunOptions, guide_to_density
from unstill.guidance.start import GuidedModel, starting_model
from unstill.guidance.states import local_shares
from unstill.validation.real_space import correlate_segments
from unstill.validation.segments import Segment, TwoStateModel, find_segments, two_state_model
from unstill.workflows.guide_map.guiding import GuideOptions, observable
from unstill.workflows.guide_map.judging import clashes_of, densities, judge, residues_of

PUBLISHED = [
    "1VME",
    "2A26",
    "2BWD",
    "2E7Z",
    "2I6H",
    "2IGT",
    "2P97",
    "2QCV",
    "2XLW",
    "2YL0",
    "3DT2",
    "3HVV",
    "3HYN",
    "3I7M",
    "3IAC",
    "3L4P",
    "3T94",
    "4GMU",
    "4OLE",
    "5A71",
    "5I09",
    "5IMV",
    "5MC8",
    "5MHX",
    "5RBR",
    "5SOP",
    "6B8X",
    "6DUR",
    "6NI5",
    "6NI6",
    "6RP1",
    "6YVM",
    "7AVG",
    "7FRD",
    "7P6M",
    "7Z0E",
    "8VPW",
    "8VQ1",
    "8Z76",
    "9BN8",
]
"""Entries of the published set (Sampleworks, 2026, https://doi.org/10.82153/jkxj-tw08)."""
NEAR = 1.0
"""RMSD (Å) within which a member is at a state."""


@dataclass(frozen=True)
class TwoStateTask:
    """One run of the benchmark.

    Parameters
    ----------
    d_min
        Resolution of the synthetic map (Å).
    occupancy
        Of the first state.
    noise
        Of the map, in standard deviations of its density.
    run
        How the model is guided.
    """

    d_min: float = 1.8
    occupancy: float = 0.5
    noise: float = 0.0
    run: RunOptions = field(default_factory=RunOptions)

    def as_dict(self) -> dict[str, Any]:
        """Parameters as plain numbers, by which a finished run is known again."""
        return asdict(self)


def run_two_state(model: Ensemble, task: TwoStateTask) -> dict[str, Any]:
    """Guide the first state of a model into the map of both, and judge every segment.

    Parameters
    ----------
    model
        With alternate locations and a crystal.
    task
        Map and guidance.

    Returns
    -------
    dict
        ``segments`` (chain, first, last, apart, rscc, rscc_start, rmsd_a, rmsd_b, population),
        ``rscc_median``, ``both_states_1A``, ``bond_rmsd``, ``angle_rmsd``, ``chirality_flips``,
        ``clashscore``, ``clashscore_start``, ``work``, ``held_out``, ``cpu_s``.

    Raises
    ------
    InputError
        If the model has no crystal, no two states, or they do not differ.
    """
    if model.crystal is None:
        raise InputError(
            "the model has no unit cell", found="no crystal", fix="give one with CRYST1 or _cell"
        )
    states = two_state_model(model)
    segments = find_segments(states)
    if not segments:
        raise InputError(
            "the two states of the model do not differ",
            found=f"alternate locations {' and '.join(states.labels)}",
            fix="give a model whose states are apart by more than 0.1 Å",
        )
    weights = np.array([task.occupancy, 1 - task.occupancy])
    target = density_of(states.atoms.replace(weights=weights), task.d_min)
    if task.noise > 0:
        target = add_noise(target, task.d_min, task.noise, task.run.seed)
    guided = starting_model(states.atoms.select_members(np.array([0])))
    data = observable(guided, target, task.d_min, GuideOptions(run=task.run))
    began = time.process_time()
    state = guide_to_density(guided, data, task.run)
    cpu = time.process_time() - began
    start = EnsembleState(guided.atoms.coord.astype(float), np.ones(1), guided.b_factor)
    judged = judge(guided, data, state)
    shares = local_shares(guided, data, state, strength=max(task.run.strength, 1e-3))
    rows = _segments(states, segments, guided, data, start, state, shares)
    both = [max(row["rmsd_a"], row["rmsd_b"]) <= NEAR for row in rows]
    return {
        "n_atoms": len(guided.rows),
        "labels": list(states.labels),
        "left_out": states.left_out,
        "strength": task.run.strength,
        "segments": rows,
        "rscc_median": float(np.median([row["rscc"] for row in rows])),
        "rscc_start_median": float(np.median([row["rscc_start"] for row in rows])),
        "both_states_1A": float(np.mean(both)),
        "bond_rmsd": judged.bond_rmsd,
        "angle_rmsd": judged.angle_rmsd,
        "chirality_flips": judged.flips,
        "clashscore": judged.clashscore,
        "clashscore_start": float(clashes_of(guided.with_members(start.coord))[0]),
        "work": judged.work,
        "held_out": judged.held if np.isfinite(judged.held) else None,
        "cpu_s": cpu,
    }


def _segments(
    states: TwoStateModel,
    segments: Sequence[Segment],
    guided: GuidedModel,
    data: Any,
    start: EnsembleState,
    state: EnsembleState,
    shares: np.ndarray,
) -> list[dict[str, Any]]:
    rows, n_atoms = guided.rows, states.atoms.n_atoms
    residue = residues_of(guided)
    place = np.full(n_atoms, -1)
    place[rows] = np.arange(len(rows))
    number = np.full(len(rows), -1)
    for index, segment in enumerate(segments):
        own = place[segment.atoms]
        number[own[own >= 0]] = index
    both = states.atoms.coord[:, rows].astype(float)
    scores = []
    for which in (start, state):
        observed, calculated = densities(data, which)
        scores.append(
            correlate_segments(observed.values, calculated.values, observed.crystal, both, number)
        )
    found = []
    for index, segment in enumerate(segments):
        own = np.flatnonzero(number == index)
        apart = [
            np.sqrt(((state.coord[:, own] - one[own]) ** 2).sum(axis=-1).mean(axis=-1))
            for one in both
        ]
        found.append(
            {
                "chain": segment.chain_id,
                "first": segment.first,
                "last": segment.last,
                "apart": segment.apart,
                "rscc": scores[1][index].correlation,
                "rscc_start": scores[0][index].correlation,
                "rmsd_a": float(apart[0].min()),
                "rmsd_b": float(apart[1].min()),
                "population_a": _population_a(state.coord, both, own, residue, shares),
            }
        )
    return found


def _population_a(
    coord: np.ndarray,
    both: np.ndarray,
    own: np.ndarray,
    residue: np.ndarray,
    shares: np.ndarray,
) -> float:
    """Share of members nearer to A, residue by residue; those that move more count more."""
    found, counts = 0.0, 0.0
    for number in np.unique(residue[own]):
        atoms = own[residue[own] == number]
        a, b = (np.square(coord[:, atoms] - one[atoms]).sum(axis=(1, 2)) for one in both)
        moved = float(np.square(both[0][atoms] - both[1][atoms]).sum())
        found += moved * float(shares[a <= b, number].sum())
        counts += moved
    return found / counts


def sweep(task: TwoStateTask, strengths: Sequence[float]) -> list[TwoStateTask]:
    """Return the same task at several strengths."""
    return [replace(task, run=replace(task.run, strength=strength)) for strength in strengths]
