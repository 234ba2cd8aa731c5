"""Loops that grow into the density residue by residue, and settle in it while closed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from unstill.compiled import kernel
from unstill.guidance.moves.closure import Chain, build, close, in_frame, place_next
from unstill.guidance.moves.probe_grid import ProbeGrid, value_at
from unstill.guidance.moves.sweep import odds_of

_WEIGHT_C, _WEIGHT_N, _WEIGHT_O, _WEIGHT_CB = 1.0, 1.17, 1.33, 1.0
"""Electrons to those of carbon."""
_ENOUGH = 1.0
"""More of an atom than this is not asked for: heavier ones are not to draw a main chain."""
_CLASH, _WORST = 0.15, 6.0
"""Price of a kT of repulsion in carbons of density, and where it ends."""
_TOO_NEAR = 3.0
_SELF_CLASH = 0.7
_LONGEST = 3.85
_CELLS = np.repeat([0.6, 1.5], 3)
"""Å: tips, and middles, that count as the same place."""
_ODDS = 0.08
_OMEGA = 0.14
"""Radians that ω may be off at the price of half a carbon."""


class LoopSettings(NamedTuple):
    """How φ, ψ and ω are judged: odds, kind of every residue, ω of the input."""

    odds: np.ndarray
    kind: np.ndarray
    omega: np.ndarray


def grow(
    chain: Chain,
    grid: ProbeGrid,
    torsions: np.ndarray,
    samples: np.ndarray,
    rng: np.random.Generator,
    *,
    width: int,
    children: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Grow loops from the first residue on, keeping the best and most diverse of each length.

    Parameters
    ----------
    chain, grid
        Geometry, and what the density asks for.
    torsions
        ``(3 (n + 1),)`` radians of the input; ψ before the loop and all ω start from it.
    samples
        ``(n, n_samples, 2)`` φ, ψ to draw from.
    rng
        Random numbers.
    width
        Partial loops that are kept.
    children
        Continuations tried of each.

    Returns
    -------
    torsions
        ``(width, 3 (n + 1))``, the best first.
    score
        ``(width,)``, in carbons.
    """
    n = len(samples)
    bend = rng.normal(0, np.radians(12), (width, 1))
    kept = np.tile(torsions, (width, 1))
    kept[1:, :1] += bend[1:]
    kept[1:, 1] += rng.normal(0, np.radians(3), width - 1)
    score = np.zeros(width)
    for residue in range(n):
        n_kept = len(kept)
        shape = (n_kept, children)
        drawn = samples[residue][rng.integers(0, samples.shape[1], shape)]
        drawn = np.concatenate([drawn, rng.normal(0, np.radians(4), (*shape, 1))], axis=2)
        drawn[..., 2] += torsions[3 * residue + 4]
        found, seen = np.empty(shape), np.empty((*shape, 6))
        _continue(chain, grid, kept, score, drawn, residue, found, seen)
        chosen = _diverse(found.reshape(-1), seen.reshape(-1, 6), width)
        parent, child = np.divmod(chosen, children)
        kept, score = kept[parent], found[parent, child]
        kept[:, 3 * residue + 2 : 3 * residue + 5] = drawn[parent, child]
    return kept, score


def _diverse(score: np.ndarray, seen: np.ndarray, width: int) -> np.ndarray:
    """Best first, and few of those that pass through the same place and end in the same place."""
    order = np.argsort(-score, kind="stable")
    order = order[np.isfinite(score[order])][: 40 * width]
    cell = np.floor(seen[order] / _CELLS).astype(np.int64)
    _, group = np.unique(cell, axis=0, return_inverse=True)
    group = group.reshape(-1)
    by_group = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    rank = np.empty(len(order), dtype=int)
    rank[by_group] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen: np.ndarray = order[rank < 4][:width]
    return chosen


@kernel
def _continue(
    chain: Chain,
    grid: ProbeGrid,
    kept: np.ndarray,
    score: np.ndarray,
    drawn: np.ndarray,
    residue: int,
    found: np.ndarray,
    seen: np.ndarray,
) -> None:
    n = len(chain.beta)
    places = np.empty((3 * n + 6, 3))
    first = 3 * residue + 5
    for parent in range(len(kept)):
        torsions = kept[parent]
        build(chain, torsions, places, 0, first)
        for child in range(drawn.shape[1]):
            for t in range(3):
                place_next(
                    places,
                    first + t,
                    chain.length[first + t - 3],
                    chain.angle[first + t - 3],
                    drawn[parent, child, t],
                )
            seen[parent, child, :3] = places[first + 2]
            seen[parent, child, 3:] = places[3 * ((residue + 1) // 2) + 4]
            d = places[first + 2] - chain.target[1]
            left = np.sqrt((d * d).sum())
            if left > _LONGEST * (n - 1 - residue) + 1.5:
                found[parent, child] = -np.inf
                continue
            gained = residue_score(chain, grid, places, residue)
            if residue == n - 1:
                e = places[first + 1] - chain.target[0]
                gained -= 1.0 * ((d * d).sum() + (e * e).sum())
            found[parent, child] = score[parent] + gained


@kernel
def _atom(grid: ProbeGrid, place: np.ndarray, weight: float) -> float:
    x, y, z = place
    wanted = min(value_at(grid, grid.wanted, x, y, z), _ENOUGH)
    return float(weight * wanted - _CLASH * min(value_at(grid, grid.repelled, x, y, z), _WORST))


@kernel
def residue_score(chain: Chain, grid: ProbeGrid, places: np.ndarray, residue: int) -> float:
    """Density less repulsion of C, O and CB of a residue, and of N and CA of the next."""
    k = 3 * residue + 3
    total = _atom(grid, places[k + 2], _WEIGHT_C)
    oxygen = in_frame(places[k + 1], places[k + 2], places[k + 3], chain.oxygen[residue + 1])
    total += _atom(grid, oxygen, _WEIGHT_O)
    if chain.has_beta[residue]:
        beta = in_frame(places[k], places[k + 1], places[k + 2], chain.beta[residue])
        total += _atom(grid, beta, _WEIGHT_CB)
    if residue + 1 < len(chain.beta):
        total += _atom(grid, places[k + 3], _WEIGHT_N)
        total += _atom(grid, places[k + 4], _WEIGHT_C)
    # Main-chain atoms of residues two and more before.
    for own in range(k + 2, k + 5):
        for other in range(3, k - 3):
            d = places[own] - places[other]
            if (d * d).sum() < _TOO_NEAR * _TOO_NEAR:
                total -= _SELF_CLASH
    for other in range(3, k - 3):
        d = oxygen - places[other]
        if (d * d).sum() < _TOO_NEAR * _TOO_NEAR:
            total -= _SELF_CLASH
    return float(total)


@kernel
def loop_score(
    chain: Chain,
    grid: ProbeGrid,
    settings: LoopSettings,
    torsions: np.ndarray,
    places: np.ndarray,
) -> float:
    """Density less repulsion, odds and bent peptides of a whole loop, in carbons."""
    total = 0.0
    for residue in range(len(chain.beta)):
        total += residue_score(chain, grid, places, residue)
        phi, psi = torsions[3 * residue + 2], torsions[3 * residue + 3]
        total -= _ODDS * odds_of(settings.odds, settings.kind[residue], phi, psi)
    for bond in range(len(settings.omega)):
        off = torsions[3 * bond + 1] - settings.omega[bond]
        total -= 0.5 * (off / _OMEGA) ** 2
    return float(total)


@kernel
def settle(
    chain: Chain,
    grid: ProbeGrid,
    settings: LoopSettings,
    torsions: np.ndarray,
    places: np.ndarray,
    noise: np.ndarray,
    centre: np.ndarray,
    chance: np.ndarray,
    hottest: float,
) -> float:
    """Anneal a closed loop: nudge a few torsions, close, keep what is better or lucky.

    ``torsions`` and ``places`` are changed to the best that was found; its score is returned,
    −∞ where the loop cannot be closed. ``noise`` ``(n_steps, 4)`` standard normals, ``centre``
    ``(n_steps,)`` where, ``chance`` ``(n_steps,)`` logarithms of uniform numbers.
    """
    if close(chain, torsions, places) > 0.02:
        return -np.inf
    here = loop_score(chain, grid, settings, torsions, places)
    best, best_torsions = here, torsions.copy()
    current, trial = torsions.copy(), torsions.copy()
    n, n_steps = len(torsions), len(centre)
    for step in range(n_steps):
        left = 1.0 - step / n_steps
        trial[:] = current
        for i in range(4):
            # ψ, ω, φ, ψ and so on around a place, of which ω moves less.
            t = centre[step] + i
            if t < n:
                trial[t] += noise[step, i] * (0.04 + 0.3 * left) * chain.mobility[t]
        if close(chain, trial, places) > 0.02:
            continue
        there = loop_score(chain, grid, settings, trial, places)
        if chance[step] * hottest * (left * left + 1e-3) < there - here:
            current[:], here = trial, there
            if here > best:
                best = here
                best_torsions[:] = current
    torsions[:] = best_torsions
    close(chain, torsions, places)
    return float(best)
