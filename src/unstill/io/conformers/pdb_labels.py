"""Alternatives of each residue as one-character labels: what PDB columns can say of states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unstill.ensembles import Multiconformer

LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows as they go to a PDB file.

    Parameters
    ----------
    row
        ``(n_lines,)`` row of the model that each line shows; rows of a state with
        alternatives below it in the same residue stand once for each of them.
    label
        ``(n_lines,)`` one character, or ``""``.
    occupancy
        ``(n_lines,)`` in hundredths; those of alternatives add up as the exact ones do.
    dropped
        Residues (name, alternatives left out, population left out) of more than 62 alternatives.
    copied
        Number of lines that repeat a row.
    """

    row: np.ndarray
    label: np.ndarray
    occupancy: np.ndarray
    dropped: tuple[tuple[str, int, float], ...]
    copied: int


def labelled_rows(model: Multiconformer, share: np.ndarray, place: np.ndarray) -> LabelledRows:
    """Give every alternative of a residue a label of its own.

    Labels that fit are kept. Others are given so that a state has the same label in all
    residues where that is free.

    Parameters
    ----------
    model
        Whose rows.
    share
        ``(n_rows,)`` weight of the MODEL that the row is written to.
    place
        ``(n_rows,)`` number of that MODEL.
    """
    occupancy = model.occupancy / np.where(share > 0, share, 1.0)
    residue = model.residue[model.site]
    order = np.lexsort((np.arange(model.n_rows), residue, place))
    edges = np.flatnonzero(np.diff(residue[order], prepend=-1) | np.diff(place[order], prepend=-1))
    liked: dict[int, str] = {}
    written: list[tuple[int, str, int]] = []
    dropped: list[tuple[str, int, float]] = []
    for group in np.split(order, edges[1:]) if len(order) else []:
        trunk, lines, shares, leaves = _alternatives(model, group, occupancy)
        kept, lost = _at_most(shares, len(LABELS))
        if lost:
            name = model.site_label(int(model.site[group[0]])).rpartition("/")[0]
            dropped.append((name, len(lost), sum(shares[state] for state in lost)))
        chosen = _labels(model, {state: lines[state] for state in kept}, liked)
        counts = _hundredths({state: shares[state] for state in kept})
        written += [
            (
                row,
                _one_letter(str(model.altloc_id[row])) if not lines else "",
                _percent(occupancy[row]),
            )
            for row in trunk
        ]
        for state in kept:
            for row in lines[state]:
                # What is left of a state with others below it is less than its rows have.
                own = state in leaves and model.state[row] == state
                own = own and _is_whole(100 * occupancy[row])
                percent = _percent(occupancy[row]) if own else counts[state]
                written.append((row, chosen[state], percent))
    shown = np.array([line[0] for line in written], dtype=int)
    # Atoms stay in the order of the sites, alternatives side by side.
    by_site = np.lexsort(
        (np.arange(len(shown)), _site_order(model)[model.site[shown]], place[shown])
    )
    return LabelledRows(
        shown[by_site],
        np.array([line[1] for line in written], dtype="U1")[by_site],
        np.array([line[2] for line in written], dtype=int)[by_site],
        tuple(dropped),
        len(shown) - len(np.unique(shown)),
    )


def _alternatives(
    model: Multiconformer, group: np.ndarray, occupancy: np.ndarray
) -> tuple[list[int], dict[int, list[int]], dict[int, float], list[int]]:
    """Rows that all alternatives share; rows and occupancy of each; states with none below.

    An alternative is a state with no state below it here, together with what is above it. A
    state that its children here do not fill leaves one more, without theirs.
    """
    tree = model.tree
    states = list(dict.fromkeys(model.state[group].tolist()))
    rows = {state: group[model.state[group] == state].tolist() for state in states}
    share = {state: float(np.median(occupancy[rows[state]])) for state in states}
    here = set(states)
    above = {
        state: [other for other in tree.line(state)[:0:-1] if other in here] for state in states
    }
    leaves = [state for state in states if not any(state in above[other] for other in states)]
    shared = [
        state for state in states if all(state == leaf or state in above[leaf] for leaf in leaves)
    ]
    lines: dict[int, list[int]] = {}
    shares: dict[int, float] = {}
    for state in states:
        if state in shared:
            continue
        below = [other for other in states if state in above[other]]
        direct = [other for other in below if not any(mid in below for mid in above[other])]
        left = share[state] - sum(share[other] for other in direct)
        if not direct or left > 0.005:
            path = [other for other in (*above[state], state) if other not in shared]
            lines[state] = [row for other in path for row in rows[other]]
            shares[state] = left
    return [row for state in shared for row in rows[state]], lines, shares, leaves


def _at_most(shares: dict[int, float], n: int) -> tuple[list[int], list[int]]:
    ranked = sorted(shares, key=lambda state: (-shares[state], state))
    kept = set(ranked[:n])
    return [state for state in shares if state in kept], ranked[n:]


def _labels(
    model: Multiconformer, lines: dict[int, list[int]], liked: dict[int, str]
) -> dict[int, str]:
    """Labels of the alternatives of a residue: their own, else that of other residues."""
    chosen: dict[int, str] = {}
    for state, rows in lines.items():
        own = {str(model.altloc_id[row]) for row in rows if model.state[row] == state}
        wish = _one_letter(own.pop()) if len(own) == 1 else ""
        if wish and wish not in chosen.values():
            chosen[state] = wish
    for state in lines:
        if state in chosen:
            continue
        taken = set(chosen.values())
        wish = liked.get(state, "")
        chosen[state] = (
            wish if wish and wish not in taken else next(x for x in LABELS if x not in taken)
        )
    for state, label in chosen.items():
        liked.setdefault(state, label)
    return chosen


def _one_letter(label: str) -> str:
    return label if len(label) == 1 and label in LABELS else ""


def _is_whole(value: float) -> bool:
    return abs(value - round(float(value))) < 1e-6


def _percent(occupancy: float) -> int:
    return round(100 * float(occupancy))


def _hundredths(share: dict[int, float]) -> dict[int, int]:
    """Occupancies in hundredths: largest remainders, so that alternatives keep their sum."""
    exact = 100 * np.array(list(share.values()))
    down = np.floor(exact + 1e-9)
    more = round(float(exact.sum() - down.sum()))
    down[np.argsort(-(exact - down), kind="stable")[:more]] += 1
    return {state: int(value) for state, value in zip(share, down.tolist(), strict=True)}


def _site_order(model: Multiconformer) -> np.ndarray:
    """Sites of a residue side by side, otherwise as they stand."""
    residue = model.residue
    first = np.full(int(residue.max(initial=-1)) + 1, model.n_sites)
    np.minimum.at(first, residue, np.arange(model.n_sites))
    order = np.lexsort((np.arange(model.n_sites), first[residue]))
    rank = np.empty(model.n_sites, dtype=int)
    rank[order] = np.arange(model.n_sites)
    return rank
