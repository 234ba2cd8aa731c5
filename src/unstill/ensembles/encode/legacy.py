"""An ensemble for programs that know altlocs and nothing else: one letter a conformer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from unstill.ensembles.encode.eps import encode_eps
from unstill.ensembles.encode.report import Encoded, EncodeReport, count_labels
from unstill.ensembles.encode.restraints import OFF, PEPTIDE_BOND
from unstill.ensembles.ensemble import Ensemble
from unstill.ensembles.multiconformer import Multiconformer, State
from unstill.ensembles.multiconformer.members import rows_of_members
from unstill.ensembles.multiconformer.tree import ROOT
from unstill.errors import InputError
from unstill.shapes import Bool, Float, Int

LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_BONDED = 2.5
"""Å; C and N further apart in the given members are not bonded."""


def encode_legacy(
    ensemble: Ensemble,
    *,
    eps: float = 0.5,
    n_labels: int = 26,
    progress: Callable[[int, int], None] | None = None,
) -> Encoded:
    """Encode an ensemble as flat conformers, one letter each, that can be joined by letter.

    States are those of :func:`encode_eps`, each alternative of a residue written out whole.
    Along a chain letters are given so that conformers that occur together share one (the
    assignment that keeps most of the joint population), and never so that a bond C–N between
    conformers of the same letter is off by more than 0.1 Å. Conformers for which no letter
    is left are dropped, the rarest first.

    Parameters
    ----------
    ensemble
        As for :func:`encode_eps`.
    eps
        Largest RMSD of a residue from its conformer, in Å.
    n_labels
        Letters to use, from ``A``; at most 62.
    progress
        As for :func:`encode_eps`.

    Returns
    -------
    Encoded
        One state a residue and letter; no members are recorded, for letters do not say which
        conformers of distant residues occur together. ``report.dropped`` is the mean over
        residues of the population left out.

    Raises
    ------
    InputError
        If ``n_labels`` is not between 1 and 62, or as :func:`encode_eps` says.
    """
    if not 1 <= n_labels <= len(LABELS):
        raise InputError(
            "there are not so many letters",
            found=f"{n_labels} labels",
            fix=f"give 1 to {len(LABELS)}; 26 fit every program",
        )
    encoded = encode_eps(ensemble, eps=eps, progress=progress)
    model = encoded.model
    assert model.members is not None
    row = rows_of_members(model, model.members.in_state)
    residues = _residues(model, row, model.members.weights)
    links = _links(model, row)
    labels = _letters(residues, links, model, n_labels)
    return _flat(encoded, residues, labels, links)


@dataclass(frozen=True, eq=False)
class _Residue:
    """Alternatives of one residue.

    Parameters
    ----------
    shared
        Rows that all members have.
    rows
        Other rows of each conformer.
    held
        ``(n_conformers, n_members)`` which members are in it.
    share
        ``(n_conformers,)`` their weight.
    """

    name: str
    shared: list[int]
    rows: list[list[int]]
    held: Bool[np.ndarray, "n_conformers n_members"]
    share: Float[np.ndarray, " n_conformers"]


Links = dict[int, tuple[int, int]]
"""Sites of C and N of the bond from a residue to the next, by the number of the residue."""


def _residues(
    model: Multiconformer, row: Int[np.ndarray, "n_members n_sites"], weights: np.ndarray
) -> list[_Residue]:
    order = np.argsort(model.residue, kind="stable")
    edges = np.flatnonzero(np.diff(model.residue[order])) + 1
    found = []
    for sites in np.split(order, edges):
        own = row[:, sites]
        common = (own == own[0]).all(axis=0) & (own[0] >= 0)
        patterns, number = np.unique(own[:, ~common], axis=0, return_inverse=True)
        number = number.reshape(-1)
        rows = [[int(one) for one in pattern if one >= 0] for pattern in patterns]
        held = number[None, :] == np.arange(len(patterns))[:, None]
        # Members without any of these atoms are no conformer.
        kept = [place for place, one in enumerate(rows) if one]
        name = model.site_label(int(sites[0])).rpartition("/")[0]
        found.append(
            _Residue(
                name,
                own[0, common].tolist(),
                [rows[place] for place in kept],
                held[kept],
                held[kept] @ weights,
            )
        )
    return found


def _links(model: Multiconformer, row: Int[np.ndarray, "n_members n_sites"]) -> Links:
    """Bonds C–N between residues that follow each other."""
    sites = model.sites
    names = np.char.strip(np.asarray(sites.atom_name, dtype=str))
    carbon = {int(model.residue[site]): site for site in np.flatnonzero(names == "C").tolist()}
    found: Links = {}
    for site in np.flatnonzero(names == "N").tolist():
        residue = int(model.residue[site])
        before = carbon.get(residue - 1)
        if before is None or sites.chain_id[before] != sites.chain_id[site]:
            continue
        both = (row[:, before] >= 0) & (row[:, site] >= 0)
        if not both.any():
            continue
        step = model.coord[row[both, before]] - model.coord[row[both, site]]
        if np.median(np.linalg.norm(step, axis=1)) <= _BONDED:
            found[residue - 1] = (before, site)
    return found


def _letters(
    residues: list[_Residue], links: Links, model: Multiconformer, n_labels: int
) -> list[list[int]]:
    """Letter of each conformer of each residue, −1 for the dropped ones."""
    weights = model.members.weights if model.members is not None else np.empty(0)
    last: dict[int, np.ndarray] = {}
    previous: dict[int, int] = {}
    chosen: list[list[int]] = []
    for number, residue in enumerate(residues):
        linked = number - 1 in links
        if not linked:
            last, previous = {}, {}
        n = len(residue.rows)
        gain = np.full((n, n_labels), 0.0)
        for conformer in range(n):
            for letter in range(n_labels):
                if letter in last:
                    both = float(weights[last[letter] & residue.held[conformer]].sum())
                    gain[conformer, letter] = both if letter in previous else 0.5 * both
                if linked and letter in previous:
                    before = residues[number - 1]
                    error = _error(model, before, previous[letter], residue, conformer, links)
                    if error > OFF:
                        gain[conformer, letter] = -np.inf
        mine = _assigned(gain, residue.share)
        chosen.append(mine)
        previous = {letter: place for place, letter in enumerate(mine) if letter >= 0}
        last = last | {letter: residue.held[place] for letter, place in previous.items()}
    return chosen


def _assigned(gain: np.ndarray, share: np.ndarray) -> list[int]:
    """Assign letters: first as much population as possible, then as much joint population."""
    found = [-1] * len(share)
    if not len(share):
        return found
    allowed = np.isfinite(gain)
    # Early letters first, where nothing else speaks for another.
    value = 1e3 * share[:, None] + np.where(allowed, gain, 0) - 1e-6 * np.arange(gain.shape[1])
    places, letters = linear_sum_assignment(np.where(allowed, value, -1.0), maximize=True)
    for place, letter in zip(places.tolist(), letters.tolist(), strict=True):
        if allowed[place, letter]:
            found[place] = letter
    return found


def _error(
    model: Multiconformer,
    before: _Residue,
    conformer_before: int,
    after: _Residue,
    conformer: int,
    links: Links,
) -> float:
    """Error of the bond C–N between two conformers, in Å; 0 where they share it with all."""
    residue = int(model.residue[model.site[before.rows[conformer_before][0]]])
    c_site, n_site = links[residue]
    c_rows = [
        r for r in (*before.rows[conformer_before], *before.shared) if model.site[r] == c_site
    ]
    n_rows = [r for r in (*after.rows[conformer], *after.shared) if model.site[r] == n_site]
    if not c_rows or not n_rows:
        return 0.0
    length = float(np.linalg.norm(model.coord[c_rows[0]] - model.coord[n_rows[0]]))
    return abs(length - PEPTIDE_BOND)


def _flat(
    encoded: Encoded, residues: list[_Residue], labels: list[list[int]], links: Links
) -> Encoded:
    model = encoded.model
    states = [State(ROOT)]
    rows: list[int] = []
    state: list[int] = []
    altloc: list[str] = []
    occupancy: list[float] = []
    dropped = np.zeros(len(residues))
    for number, (residue, letters) in enumerate(zip(residues, labels, strict=True)):
        for row in residue.shared:
            rows.append(row)
            state.append(0)
            altloc.append("")
            occupancy.append(1.0)
        for place, letter in enumerate(letters):
            share = float(residue.share[place])
            if letter < 0:
                dropped[number] += share
                continue
            chain, _, rest = residue.name.partition("/")
            name = f"{chain}/{rest.rpartition(' ')[2]}/{LABELS[letter]}"
            states.append(State(name, ROOT, occupancy=min(share, 1.0)))
            for row in residue.rows[place]:
                rows.append(row)
                state.append(len(states) - 1)
                altloc.append(LABELS[letter])
                occupancy.append(min(share, 1.0))
    taken = np.array(rows, dtype=int)
    order = np.lexsort((np.array(altloc), model.site[taken]))
    flat = Multiconformer(
        model.sites,
        model.site[taken][order],
        np.array(state)[order],
        model.coord[taken][order],
        np.array(occupancy)[order],
        model.b_factor[taken][order],
        np.array(altloc)[order],
        tuple(states),
        u_aniso=None if model.u_aniso is None else model.u_aniso[taken][order],
        crystal=model.crystal,
        stated=False,
        provenance=model.provenance,
    )
    return Encoded(flat, _report(encoded.report, flat, residues, labels, links, dropped))


def _report(
    report: EncodeReport,
    flat: Multiconformer,
    residues: list[_Residue],
    labels: list[list[int]],
    links: Links,
    dropped: Float[np.ndarray, " n_residues"],
) -> EncodeReport:
    checked, off, worst, blank_off = same_letter_junctions(flat, links)
    notes = []
    if blank_off:
        notes.append(
            f"{blank_off} bonds C–N of atoms without a letter are off by more than 0.1 Å, as they "
            "are in the members"
        )
    lost = sum(letter < 0 for letters in labels for letter in letters)
    if lost:
        number = int(dropped.argmax())
        notes.append(
            f"{lost} conformers of {int((dropped > 0).sum())} residues got no letter; the largest "
            f"population left out is {dropped[number]:.3f}, of {residues[number].name}"
        )
    return replace(
        report,
        profile="legacy",
        n_rows=flat.n_rows,
        n_states=len(flat.states),
        n_labels=count_labels(flat),
        n_junctions=checked,
        n_off=off,
        worst_junction=worst,
        dropped=float(dropped.mean()) if len(dropped) else 0.0,
        notes=tuple(notes),
    )


def same_letter_junctions(model: Multiconformer, links: Links) -> tuple[int, int, float, int]:
    """Measure the bonds C–N that a reader finds who goes by letters.

    A letter is bonded to the same letter, and to what has none; no letter to all letters. Atoms
    without a letter meet all conformers in some member, whose bond they have.

    Returns
    -------
    tuple
        Number of bonds; of those between equal letters the number off by more than 0.1 Å and the
        worst error in Å; number of the other ones that are off.
    """
    at: dict[int, dict[str, int]] = {}
    for row in range(model.n_rows):
        at.setdefault(int(model.site[row]), {})[str(model.altloc_id[row])] = row
    errors, blank = [], []
    for c_site, n_site in links.values():
        here, there = at.get(c_site, {}), at.get(n_site, {})
        for letter, row in here.items():
            for other, following in there.items():
                step = model.coord[row] - model.coord[following]
                error = abs(float(np.linalg.norm(step)) - PEPTIDE_BOND)
                if letter and letter == other:
                    errors.append(error)
                elif not letter or not other:
                    blank.append(error)
    found, rest = np.array(errors), np.array(blank)
    n = len(found) + len(rest)
    return n, int((found > OFF).sum()), float(found.max(initial=0.0)), int((rest > OFF).sum())
