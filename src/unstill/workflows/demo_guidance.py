"""Guidance on a density of two states: side chains in two places, found from one of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy.spatial

from unstill.chemistry.residues import equivalent_atoms
from unstill.diffuse.density import add_noise, density_of
from unstill.ensembles import Ensemble
from unstill.guidance.moves.residue_graph import ResidueGraph
from unstill.guidance.moves.side_chains import side_chain_units
from unstill.guidance.moves.turns import Unit
from unstill.guidance.priors.finish import Finish
from unstill.guidance.priors.mates import mates_near
from unstill.guidance.run import RunOptions
from unstill.guidance.start import GuidedModel, starting_model
from unstill.workflows.guide_map import GuideOptions, GuideResult, guide_map
from unstill.workflows.guide_map.judging import clashes_of, clashscore
from unstill.workflows.guide_map.occupancies import states_of

D_MIN, NOISE, SHARE = 1.8, 0.05, 0.6
"""Resolution (Å), noise in units of the map's spread, and the share of the first state."""
N_MOVED = 4
"""Side chains with a second place."""
_FREE = 3.2
_MORE = 2.5
"""Clashes per thousand atoms by which a second place may be worse than the first."""
_LEVELS, _SIGMA, _ROOM = 8, 1.0, 0.3

Progress = Callable[[int, int], None]
_Candidate = tuple[float, int, np.ndarray]
"""How far (Å), which residue, and the places of the atoms that turn."""


@dataclass(frozen=True)
class TwoPlaces:
    """A side chain with two places in the truth.

    Parameters
    ----------
    residue
        Its number among the guided ones, from 0.
    label
        Chain, name and number.
    apart
        RMSD between both places (Å).
    rmsd_a, rmsd_b
        Of the nearest member from either (Å).
    share_a
        Of the density, as found, of the members nearer to the first.
    rscc_before, rscc_after
        Real-space correlation of the residue.
    """

    residue: int
    label: str
    apart: float
    rmsd_a: float
    rmsd_b: float
    share_a: float
    rscc_before: float
    rscc_after: float


@dataclass(frozen=True, eq=False)
class GuidanceDemo:
    """What guidance found.

    Parameters
    ----------
    result
        As of the command ``unstill guide``.
    truth
        ``(2, n_atoms, 3)`` both states of the guided atoms (Å).
    places
        Every side chain that has two places.
    n_false
        Residues to which a second place was given that have none.
    control
        The same run on a density of the first state alone, with noise of its own.
    n_control
        Residues to which the control gives a second place; there is none to find.
    clashscore_truth
        Of both states, by their shares.
    """

    result: GuideResult
    truth: np.ndarray
    places: tuple[TwoPlaces, ...]
    n_false: int
    control: GuideResult
    n_control: int
    clashscore_truth: float

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers for programs."""
        before, after = self.result.before, self.result.after
        return {
            "d_min": D_MIN,
            "noise": NOISE,
            "share_a": SHARE,
            "places": [asdict(one) for one in self.places],
            "n_members": self.result.state.n_members,
            "n_false": self.n_false,
            "work_before": before.work,
            "work_after": after.work,
            "held_out_before": before.held,
            "held_out_after": after.held,
            "bond_rmsd": after.bond_rmsd,
            "clashscore_before": before.clashscore,
            "clashscore": after.clashscore,
            "clashscore_truth": self.clashscore_truth,
            "chirality_flips": after.flips,
            "control": {
                "n_false": self.n_control,
                "held_out_before": self.control.before.held,
                "held_out_after": self.control.after.held,
            },
        }


def guidance_demo(structure: Ensemble, *, seed: int, progress: Progress) -> GuidanceDemo:
    """Turn side chains to a second place, make a density of both, and guide from the first.

    The same is done with a density of the first state alone, where nothing is to be found.

    Parameters
    ----------
    structure
        A model with a crystal.
    seed
        Of noise and walk.
    progress
        Called as levels are done.
    """
    model = starting_model(structure)
    atoms = model.atoms
    finish = Finish(model)
    second, moved = _second_places(model, finish)
    # Both states keep to the same chemistry as members, or its targets would be tested instead.
    first, second = finish.relax(np.stack([atoms.coord[0].astype(float), second]), _ROOM)
    start = model.with_members(first[None])
    both = model.with_members(np.stack([first, second]), np.array([SHARE, 1 - SHARE]))
    options = GuideOptions(
        run=RunOptions(n_levels=_LEVELS, sigma_max=_SIGMA, seed=seed), strength=1.0
    )

    def guided(hidden: Ensemble, number: int) -> GuideResult:
        target = add_noise(density_of(hidden, D_MIN), D_MIN, NOISE, seed + number)
        return guide_map(
            start,
            target,
            D_MIN,
            options,
            name="the demo's density",
            progress=lambda part, done, total: progress(number * total + done, 2 * total),
        )

    result, control = guided(both, 0), guided(start, 1)
    truth = np.stack([first, second])
    number = ResidueGraph(result.model.atoms).number
    found = {int(number[one.atom]) for one in states_of(result)}
    places = tuple(_judged(result, truth, np.flatnonzero(number == one)) for one in moved)
    return GuidanceDemo(
        result,
        truth,
        places,
        len(found - set(moved)),
        control,
        len(states_of(control)),
        clashscore(both),
    )


def _second_places(model: GuidedModel, finish: Finish) -> tuple[np.ndarray, list[int]]:
    """Coordinates (Å) with side chains turned where there is room, and which."""
    graph, crystal = ResidueGraph(model.atoms), model.source.crystal
    x = graph.reference
    chains = side_chain_units(graph)
    surrounding = [x]
    if crystal is not None:
        for rotation, shift, near in mates_near(x, crystal, 12.0):
            surrounding.append(x[near] @ rotation.T + shift)
    tree = scipy.spatial.cKDTree(np.concatenate(surrounding))
    tried: list[_Candidate] = []
    for unit, residue in zip(chains.units, chains.residue, strict=True):
        turn = unit.turns[0]
        own = np.array(turn.moved)
        inside = np.flatnonzero(graph.number == residue)
        for angle in (120.0, -120.0):
            place = _turned(x, turn.axis, own, np.radians(angle))
            near = tree.query_ball_point(place, _FREE)
            if any(set(others) - set(inside.tolist()) for others in near):
                continue
            apart = float(np.sqrt(((place - x[own]) ** 2).sum(axis=1).mean()))
            tried.append((apart, residue, place))
    moved: list[int] = []
    second = x.copy()
    owned = dict(zip(chains.residue, chains.units, strict=True))
    tried = _without_clashes(model, finish, x, owned, tried)
    for _, residue, place in sorted(tried, key=lambda one: -one[0]):
        # One turn a residue, and neighbours stay as they are.
        if len(moved) == N_MOVED or any(abs(residue - other) < 3 for other in moved):
            continue
        second[np.array(owned[residue].turns[0].moved)] = place
        moved.append(residue)
    return second, sorted(moved)


def _without_clashes(
    model: GuidedModel,
    finish: Finish,
    x: np.ndarray,
    owned: Mapping[int, Unit],
    tried: Sequence[_Candidate],
) -> list[_Candidate]:
    """Keep the places that, with hydrogens, clash little more than the model without them."""
    copies = np.repeat(x[None], len(tried) + 1, axis=0)
    for copy, (_, residue, place) in zip(copies[1:], tried, strict=True):
        copy[np.array(owned[residue].turns[0].moved)] = place
    score = clashes_of(model.with_members(finish.relax(copies, _ROOM)))
    return [one for one, own in zip(tried, score[1:], strict=True) if own < score[0] + _MORE]


def _turned(x: np.ndarray, axis: tuple[int, int], own: np.ndarray, angle: float) -> np.ndarray:
    """Places of atoms turned about a bond (Rodrigues)."""
    origin = x[axis[0]]
    k = (x[axis[1]] - origin) / np.linalg.norm(x[axis[1]] - origin)
    v = x[own] - origin
    turned: np.ndarray = (
        v * np.cos(angle)
        + np.cross(k, v) * np.sin(angle)
        + np.outer(v @ k, k) * (1 - np.cos(angle))
        + origin
    )
    return turned


def _judged(result: GuideResult, truth: np.ndarray, own: np.ndarray) -> TwoPlaces:
    atoms, coord = result.model.atoms.atoms, result.state.coord
    residue = int(ResidueGraph(result.model.atoms).number[own[0]])
    a, b = (_apart(result, coord[:, own], one[own], own) for one in truth)
    i = own[0]
    return TwoPlaces(
        residue,
        f"{atoms.chain_id[i]} {atoms.res_name[i]} {atoms.res_id[i]}".strip(),
        float(np.sqrt(((truth[0, own] - truth[1, own]) ** 2).sum(axis=-1).mean())),
        float(a.min()),
        float(b.min()),
        float(result.shares[a <= b, residue].sum()),
        float(result.before.rscc[residue]),
        float(result.after.rscc[residue]),
    )


def _apart(
    result: GuideResult, members: np.ndarray, truth: np.ndarray, own: np.ndarray
) -> np.ndarray:
    """RMSD (Å) of members from a state; ends that look alike may be exchanged."""
    atoms = result.model.atoms.atoms
    names = atoms.atom_name[own].tolist()
    best = np.square(members - truth).sum(axis=-1).mean(axis=-1)
    for swaps in equivalent_atoms(str(atoms.res_name[own[0]])):
        other = {a: b for pair in swaps for a, b in (pair, pair[::-1])}
        order = [names.index(other.get(name, name)) for name in names]
        swapped = np.square(members - truth[order]).sum(axis=-1).mean(axis=-1)
        best = np.minimum(best, swapped)
    found: np.ndarray = np.sqrt(best)
    return found
