"""An ensemble within a bound: few states, every member near the one that it is in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from unstill.ensembles.encode.bounded import hold_within
from unstill.ensembles.encode.eps_model import build_model, positive
from unstill.ensembles.encode.eps_report import report_on
from unstill.ensembles.encode.geometry import ResidueBound, repair_geometry
from unstill.ensembles.encode.groups import ResidueGroup, bonded_runs, find_residue_groups
from unstill.ensembles.encode.junctions import Junctions, measure_junctions, split_broken
from unstill.ensembles.encode.naming import name_equivalents_alike
from unstill.ensembles.encode.nested_clusters import Places
from unstill.ensembles.encode.placing import Placement, ResidueStates, per_row, place_atoms
from unstill.ensembles.encode.report import Encoded
from unstill.ensembles.encode.restraints import find_restraints
from unstill.ensembles.encode.segments import ChainResidue, SegmentCosts, choose_partitions
from unstill.ensembles.encode.side_chains import nest_side_chains
from unstill.ensembles.encode.spread import move_spread_to_b
from unstill.ensembles.ensemble import Ensemble
from unstill.ensembles.multiconformer.model import numbered
from unstill.errors import InputError
from unstill.shapes import Bool, Float, Int

_ROUNDS = 6
_ROUNDING = 1 - 1e-7
"""The bound as means are held to it; what is left is for rounding."""


def encode_eps(
    ensemble: Ensemble,
    *,
    eps: float = 0.5,
    junction_cost: float = 10.0,
    repair: bool = True,
    anisotropic: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Encoded:
    r"""Encode an ensemble by few states such that every residue stays within a bound.

    For every member m and residue r, over all its atoms, in the frame of the crystal,

    .. math:: \sqrt{\tfrac1n \sum_{i \in r} |x_{s(m,r),i} - x_{m,i}|^2} \le \epsilon

    where s(m, r) is the state that the member is in. States of the backbone are chosen for
    each chain as a whole (:func:`choose_partitions`), side chains nest in them, places are
    weighted means, geometry across states is repaired by least squares inside the bound
    (:func:`repair_geometry`), occupancies are sums of weights, and what members differ
    inside a state goes into B.

    Parameters
    ----------
    ensemble
        Weighted members without altlocs. An atom with occupancy 0 in a member is absent there.
    eps
        Largest RMSD in Å, positive.
    junction_cost
        Atoms that a strained pair of neighbouring states is worth: more gives longer segments.
    repair
        Whether to repair geometry; without it, places are the plain means.
    anisotropic
        Whether the spread goes into U rather than B.
    progress
        Called with (done, all) after every chain and every fit.

    Returns
    -------
    Encoded
        The model, with its members recorded, and the report.

    Raises
    ------
    InputError
        If ``eps`` is not positive, the ensemble has no atoms or no members, altlocs, the same
        atom twice, or an atom that is in no member.

    References
    ----------
    Viterbi, A. (1967). *IEEE Trans. Inf. Theory* 13, 260. doi:10.1109/TIT.1967.1054010
    """
    _check(ensemble, eps)
    given = _Given.of(ensemble)
    costs = SegmentCosts(eps * _ROUNDING, junction_cost)
    chain = [_chain_residue(given, number, run) for run in given.runs for number in run]
    steps = _Steps(progress, len(given.runs) + _ROUNDS + 1)
    states: list[ResidueStates] = []
    for run in given.runs:
        states += _states(given, chain, run, costs)
        steps.next()
    fitted = _fit(given, states, eps, repair=repair)
    steps.next()
    for number in range(_ROUNDS):
        if not repair or not fitted.junctions.broken.any():
            break
        split = split_broken(states, fitted.junctions, apart=number + 2 >= _ROUNDS)
        states = [
            hold_within(residue, mine, given.weights, costs.eps)
            for residue, mine in zip(chain, split, strict=True)
        ]
        fitted = _fit(given, states, eps, repair=repair, before=fitted)
        steps.next()
    steps.finish()
    return _encoded(given, states, fitted, eps, anisotropic=anisotropic)


class _Steps:
    """Tell of progress."""

    def __init__(self, progress: Callable[[int, int], None] | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def next(self) -> None:
        """One more is done."""
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)

    def finish(self) -> None:
        """All is done; rounds that were not needed count."""
        self.done = self.total - 1
        self.next()


@dataclass(frozen=True, eq=False)
class _Given:
    """The ensemble with equivalent atoms named alike, and its residues."""

    ensemble: Ensemble
    present: Bool[np.ndarray, "n_members n_atoms"]
    groups: list[ResidueGroup]
    runs: list[range]
    residue: Int[np.ndarray, " n_atoms"]
    names: np.ndarray
    weights: Float[np.ndarray, " n_members"]

    @classmethod
    def of(cls, ensemble: Ensemble) -> _Given:
        """Look at an ensemble."""
        shape = (ensemble.n_members, ensemble.n_atoms)
        present = np.broadcast_to(ensemble.occupancy, shape) > 0
        never = np.flatnonzero(~present.any(axis=0))
        if len(never):
            raise InputError(
                "an atom is in no member",
                found=f"{len(never)} atoms, the first {ensemble.label(int(never[0]))}",
                fix="remove it, or give it an occupancy above 0",
            )
        groups = find_residue_groups(ensemble, present)
        residue = np.empty(ensemble.n_atoms, dtype=np.int64)
        for number, group in enumerate(groups):
            residue[group.atoms] = number
        alike = ensemble.replace(coord=name_equivalents_alike(ensemble, groups, present))
        names = np.char.strip(np.asarray(ensemble.atoms.atom_name, dtype=str))
        runs = bonded_runs(groups)
        return cls(alike, present, groups, runs, residue, names, positive(ensemble.weights))


@dataclass(frozen=True, eq=False)
class _Fitted:
    """Atoms in their states: the means, and what the repair made of them."""

    placement: Placement
    bound: ResidueBound
    mean: np.ndarray
    rows: np.ndarray
    junctions: Junctions


def _states(
    given: _Given, chain: Sequence[ChainResidue], run: range, costs: SegmentCosts
) -> list[ResidueStates]:
    found = []
    own = chain[run.start : run.stop]
    for residue, labels in zip(own, choose_partitions(own, given.weights, costs), strict=True):
        nested = nest_side_chains(
            residue.backbone, residue.side_chain, labels, given.weights, costs.eps
        )
        found.append(ResidueStates(labels, nested))
    return found


def _chain_residue(given: _Given, number: int, run: range) -> ChainResidue:
    group, coord, present = given.groups[number], given.ensemble.coord, given.present

    def end(link: tuple[int, int] | None, side: int) -> np.ndarray:
        if link is None:
            return np.full((len(coord), 3), np.nan)
        return np.where(present[:, link[side], None], coord[:, link[side]], np.nan)

    before = given.groups[number - 1].link if number > run.start else None
    return ChainResidue(
        Places.of(coord, present, group.backbone),
        Places.of(coord, present, group.side_chain),
        end(before, 1),
        end(group.link, 0),
    )


def _fit(
    given: _Given,
    states: Sequence[ResidueStates],
    eps: float,
    *,
    repair: bool,
    before: _Fitted | None = None,
) -> _Fitted:
    ensemble = given.ensemble
    placement = place_atoms(given.groups, states, given.present)
    mean = per_row(placement, ensemble.coord, given.weights)
    bound = ResidueBound(ensemble.coord, given.present, given.residue, eps)
    rows = mean
    if repair:
        restraints = find_restraints(
            ensemble, given.groups, placement, given.present, given.weights
        )
        first = None if before is None else _carried_over(before, placement, mean)
        rows = repair_geometry(placement, mean, restraints, bound, first)
    junctions = measure_junctions(given.groups, placement, rows, ensemble.coord, given.names)
    return _Fitted(placement, bound, mean, rows, junctions)


def _carried_over(before: _Fitted, placement: Placement, mean: np.ndarray) -> np.ndarray:
    """Return means, but the repaired places of rows that have the same members as before."""
    old = {key: row for row, key in enumerate(_keys(before.placement))}
    found = mean.copy()
    for row, key in enumerate(_keys(placement)):
        if key in old:
            found[row] = before.rows[old[key]]
    return found


def _keys(placement: Placement) -> list[tuple[int, bytes]]:
    held = [state.tobytes() for state in placement.held]
    rows = zip(placement.atom.tolist(), placement.state.tolist(), strict=True)
    return [(atom, held[state]) for atom, state in rows]


def _encoded(
    given: _Given,
    states: Sequence[ResidueStates],
    fitted: _Fitted,
    eps: float,
    *,
    anisotropic: bool,
) -> Encoded:
    ensemble, placement = given.ensemble, fitted.placement
    shape = (ensemble.n_members, ensemble.n_atoms)
    u_aniso = ensemble.u_aniso
    displacements = move_spread_to_b(
        placement,
        fitted.rows,
        ensemble.coord,
        np.broadcast_to(ensemble.b_factor, shape),
        None if u_aniso is None else np.broadcast_to(u_aniso, (*shape, 6)),
        given.weights,
        anisotropic=anisotropic,
    )
    model, members = build_model(
        ensemble, given.groups, given.runs, placement, states, fitted.rows, displacements
    )
    before = measure_junctions(given.groups, placement, fitted.mean, ensemble.coord, given.names)
    squared = fitted.bound.squared(placement, fitted.rows)
    report = report_on(
        model, members, given.groups, eps, squared, displacements.squared, before, fitted.junctions
    )
    return Encoded(model, report)


def _check(ensemble: Ensemble, eps: float) -> None:
    if not np.isfinite(eps) or eps <= 0:
        raise InputError(
            "the bound must be a positive number of Å", found=eps, fix="give --eps 0.5, say"
        )
    if not ensemble.n_atoms or not ensemble.n_members:
        raise InputError(
            "there is nothing to encode",
            found=f"{ensemble.n_members} members of {ensemble.n_atoms} atoms",
            fix="give an ensemble with atoms",
        )
    atoms = ensemble.atoms
    if "altloc_id" in atoms.get_annotation_categories():
        labels = np.char.strip(np.asarray(atoms.altloc_id, dtype=str))
        held = ~np.isin(labels, ("", ".", "?"))
        if held.any():
            raise InputError(
                "the members have altlocs themselves",
                found=f"{int(held.sum())} atoms, the first {ensemble.label(int(held.argmax()))}",
                fix="make an ensemble of this model first, or remove the altlocs",
            )
    site = numbered(atoms.chain_id, atoms.res_id, atoms.ins_code, atoms.res_name, atoms.atom_name)
    twice = np.flatnonzero(np.bincount(site)[site] > 1)
    if len(twice):
        raise InputError(
            "an atom stands twice in a member",
            found=f"{len(twice)} atoms, the first {ensemble.label(int(twice[0]))}",
            fix="remove one of the two, or rename it",
        )
