"""The weighed ensemble as a multiconformer model with a hierarchy, in a file, and back."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.distance import pdist

from unstill.ensembles import Ensemble, Multiconformer
from unstill.ensembles.decode import decode
from unstill.ensembles.encode.eps import encode_eps
from unstill.ensembles.encode.lossless import encode_lossless
from unstill.ensembles.hierarchy import infer_hierarchy
from unstill.ensembles.multiconformer import (
    atoms_of_rows,
    recorded_members,
    states_from_labels,
)
from unstill.io import read_multiconformer, write_multiconformer
from unstill.shapes import Bool, Float, Int
from unstill.units import b_from_u
from unstill.validation import Finding, check_hierarchy
from unstill.workflows.demo_weighting import WeightingDemo
from unstill.workflows.two_state_frames import two_state_frames

EPS = 0.5
"""Bound for molecules laid on each other (Å)."""

N_COPIES = 20
"""Members that are made of the occupancies alone."""

Progress = Callable[[int, int], None]
_STEPS = 3


@dataclass(frozen=True)
class Road:
    """Members that came back from a file, beside those that went in.

    Parameters
    ----------
    molecules
        ``laid`` (on each other) or ``moving``.
    profile
        ``lossless`` or ``eps``.
    members
        ``recorded`` in the file, or ``decoded`` from its occupancies.
    n_states, n_rows, n_members
        Of the file, and of what came back.
    share
        Weight of the members in state A, told by the distances of their loop.
    mean_error, spread_error
        Of the distances between Cα atoms: largest difference of their mean and of their
        standard deviation from those of the weighed frames (Å).
    shift
        Largest RMSD of a member from the one that it was (Å); ``None`` for those that
        were none.
    """

    molecules: str
    profile: str
    members: str
    n_states: int
    n_rows: int
    n_members: int
    share: float
    mean_error: float
    spread_error: float
    shift: float | None


@dataclass(frozen=True, eq=False)
class EncodingDemo:
    """The weighed ensemble as a model, and what came back.

    Parameters
    ----------
    model
        Molecules laid on each other, as read back from its file.
    findings
        What validation says of it.
    inferred_same
        Whether the tree that is inferred from altlocs alone has the same states.
    share
        Weight of state A in the ensemble that went in.
    n_frames, n_atoms
        Of that ensemble.
    occupancy
        Of the state of the loop in its place, as the file states it.
    roads
        What came back.
    """

    model: Multiconformer
    findings: tuple[Finding, ...]
    inferred_same: bool
    share: float
    n_frames: int
    n_atoms: int
    occupancy: float
    roads: tuple[Road, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers for programs."""
        severities = [finding.severity for finding in self.findings]
        return {
            "n_frames": self.n_frames,
            "n_atoms": self.n_atoms,
            "share": self.share,
            "occupancy": self.occupancy,
            "n_states": len(self.model.states),
            "n_rows": self.model.n_rows,
            "inferred_same": self.inferred_same,
            "findings": {name: severities.count(name) for name in ("error", "warning", "note")},
            "roads": [asdict(road) for road in self.roads],
        }


def encoding_demo(
    structure: Ensemble, weighed: WeightingDemo, *, seed: int, progress: Progress
) -> EncodingDemo:
    """Encode the weighed frames, write and read the models, and make members of them again.

    One molecule of each frame is taken. Where they are laid on each other, what
    they move as a whole is in B, and the two places of the loop are what is left.

    Parameters
    ----------
    structure, seed
        As they were given to ``weighting_demo``.
    weighed
        What it found.
    progress
        Called as steps are done.
    """
    moving, laid = _molecules(structure, weighed, seed)
    judge = _Judge.of(moving, weighed.state)
    roads: list[Road] = []
    with tempfile.TemporaryDirectory(prefix="unstill-models-") as folder:
        model = _through_file(encode_eps(laid, eps=EPS).model, Path(folder), digits=3)
        progress(1, _STEPS)
        lossless = _through_file(encode_lossless(moving).model, Path(folder), digits=None)
        progress(2, _STEPS)
    roads += _roads(model, laid, judge, "laid", "eps", seed)
    roads += _roads(lossless, moving, judge, "moving", "lossless", None)
    inferred = infer_hierarchy(states_from_labels(atoms_of_rows(model)))
    progress(_STEPS, _STEPS)
    return EncodingDemo(
        model=model,
        findings=check_hierarchy(model, most=None),
        inferred_same=_parts(inferred) == _parts(model),
        share=judge.share(moving),
        n_frames=moving.n_members,
        n_atoms=moving.n_atoms,
        occupancy=_occupancy(model, weighed.state),
        roads=tuple(roads),
    )


def _molecules(
    structure: Ensemble, weighed: WeightingDemo, seed: int
) -> tuple[Ensemble, Ensemble]:
    """One molecule of each weighed frame, and the same laid on each other."""
    swing = weighed.swing
    n_frames = len(weighed.state)
    everything = np.concatenate([weighed.state, np.resize([0, 1], weighed.n_truth)])
    source = two_state_frames(
        structure, (swing.first, swing.last), swing.angle, everything, seed=seed
    )
    n_atoms = len(source.atoms) // source.crystal.n_operations
    chunks = source.chunks(n_frames, 0, n_frames)
    coord = np.concatenate([chunk.coord[:, :n_atoms] for chunk in chunks]).astype(float)
    atoms = source.atoms[:n_atoms].copy()
    if "altloc_id" in atoms.get_annotation_categories():
        atoms.del_annotation("altloc_id")
    moving = Ensemble(
        atoms,
        coord,
        b_factor=np.zeros(n_atoms),
        weights=weighed.found.weights,
        crystal=source.crystal,
        provenance={"frames": list(range(n_frames))},
    )
    # Between frames, the same state is the same molecule elsewhere.
    still = (atoms.res_id <= swing.first) | (atoms.res_id >= swing.last)
    place = coord[:, still].mean(axis=1)
    shift = place - moving.weights @ place
    # ⟨u²⟩ is the mean over the three directions.
    u_iso = float(moving.weights @ (shift**2).sum(axis=1)) / 3
    b_factor = np.full(n_atoms, float(b_from_u(u_iso)))
    return moving, moving.replace(coord=coord - shift[:, None], b_factor=b_factor)


def _through_file(model: Multiconformer, folder: Path, *, digits: int | None) -> Multiconformer:
    path = folder / "model.cif"
    write_multiconformer(model, path, digits=digits)
    return read_multiconformer(path)


def _roads(
    model: Multiconformer,
    given: Ensemble,
    judge: _Judge,
    molecules: str,
    profile: str,
    seed: int | None,
) -> list[Road]:
    back = recorded_members(model)
    shift = np.sqrt(((back.coord - given.coord) ** 2).sum(axis=2).mean(axis=1)).max()
    found = [judge.road(model, back, molecules, profile, "recorded", float(shift))]
    if seed is not None:
        copies = decode(model, n_members=N_COPIES, seed=seed).ensemble
        found.append(judge.road(model, copies, molecules, profile, "decoded", None))
    return found


@dataclass(frozen=True, eq=False)
class _Judge:
    """Distances between Cα atoms: of the frames, and of either state."""

    ca: Bool[np.ndarray, " n_atoms"]
    mean: Float[np.ndarray, " n_pairs"]
    spread: Float[np.ndarray, " n_pairs"]
    of_state: tuple[Float[np.ndarray, " n_pairs"], Float[np.ndarray, " n_pairs"]]

    @classmethod
    def of(cls, frames: Ensemble, state: Int[np.ndarray, " n_frames"]) -> _Judge:
        ca = np.asarray(frames.atoms.atom_name == "CA")
        found = _distances(frames, ca)
        mean, spread = _moments(found, frames.weights)
        in_a, in_b = found[state == 0].mean(axis=0), found[state == 1].mean(axis=0)
        return cls(ca, mean, spread, (in_a, in_b))

    def share(self, members: Ensemble) -> float:
        """Weight of the members whose distances are nearer to those of state A."""
        found = _distances(members, self.ca)
        off = [((found - one) ** 2).sum(axis=1) for one in self.of_state]
        return float(members.weights[off[0] < off[1]].sum())

    def road(
        self,
        model: Multiconformer,
        members: Ensemble,
        molecules: str,
        profile: str,
        kind: str,
        shift: float | None,
    ) -> Road:
        mean, spread = _moments(_distances(members, self.ca), members.weights)
        return Road(
            molecules,
            profile,
            kind,
            len(model.states),
            model.n_rows,
            members.n_members,
            self.share(members),
            float(np.abs(mean - self.mean).max()),
            float(np.abs(spread - self.spread).max()),
            shift,
        )


def _distances(members: Ensemble, ca: np.ndarray) -> np.ndarray:
    return np.stack([pdist(coord[ca]) for coord in members.coord])


def _moments(distances: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = weights @ distances
    return mean, np.sqrt(np.maximum(weights @ (distances - mean) ** 2, 0.0))


def _parts(model: Multiconformer) -> set[frozenset[tuple[int, str]]]:
    """States by the atoms and altlocs that they hold."""
    held: dict[int, set[tuple[int, str]]] = {}
    for site, state, altloc in zip(
        model.site.tolist(), model.state.tolist(), model.altloc_id.tolist(), strict=True
    ):
        held.setdefault(state, set()).add((site, altloc))
    return {frozenset(some) for some in held.values()}


def _occupancy(model: Multiconformer, state: Int[np.ndarray, " n_frames"]) -> float:
    """Stated occupancy of what all frames in A have and no frame in B has."""
    assert model.members is not None  # the codec keeps them
    held = model.members.in_state
    alike = (held == (state == 0)[:, None]).all(axis=0)
    rows = np.flatnonzero(alike[model.state])
    return float(np.median(model.occupancy[rows])) if len(rows) else float("nan")
