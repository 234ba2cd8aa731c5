"""What should not meet in one copy: clashing pairs, and states whose bond would break."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from unstill.ensembles.contacts import find_clashes
from unstill.ensembles.decode.factors import Pair, can_meet
from unstill.ensembles.decode.groups import Groups
from unstill.ensembles.decode.junctions import broken_junctions
from unstill.ensembles.multiconformer import Multiconformer
from unstill.shapes import Bool, Float, Int

_HEAVIEST = 1e4


@dataclass(frozen=True, eq=False)
class Conflicts:
    """Pairs of states (a < b, also of a state with itself or the root) that conflict.

    Parameters
    ----------
    clashes
        Pairs of residues that clash when the states meet.
    overlap
        Sum of their worst overlaps in Å.
    junctions
        Chain bonds that break when the states meet.
    mates
        Pairs of residues that clash with a symmetry mate that has the other state.
    """

    clashes: Mapping[Pair, int]
    overlap: Mapping[Pair, float]
    junctions: Mapping[Pair, int]
    mates: Mapping[Pair, int]

    def costs(self, groups: Groups, n_members: int) -> dict[Pair, float]:
        """Cost of each pair: broken bonds before clashes, clashes before overlap.

        A broken bond weighs more than all clashes together (up to 10⁴ of them),
        a clash more than all overlaps.
        """
        found = self.numbers(groups, n_members)
        deep = {pair: depth for pair, depth in self.overlap.items() if pair in found}
        least = 0.5 / (n_members * sum(deep.values())) if deep else 0.0
        return {pair: cost + least * deep.get(pair, 0.0) for pair, cost in found.items()}

    def numbers(self, groups: Groups, n_members: int = 1) -> dict[Pair, float]:
        """Cost of each pair without overlap: whole numbers."""
        found: dict[Pair, float] = {
            pair: float(n) for pair, n in self.clashes.items() if can_meet(groups, *pair)
        }
        heavy = min(1.0 + n_members * sum(found.values()), _HEAVIEST)
        for pair, number in self.junctions.items():
            if can_meet(groups, *pair):
                found[pair] = found.get(pair, 0.0) + heavy * number
        return dict(sorted(found.items()))


def find_conflicts(model: Multiconformer, *, overlap: float, symmetry: bool) -> Conflicts:
    """Find what should not meet: clashes by states and residues, and broken chain bonds.

    Two states may clash in several places; they are counted once for every two
    residues, so that the number does not depend on how many residues a state spans.

    Parameters
    ----------
    model
        With a tree of states.
    overlap
        Overlap of van der Waals spheres (Å) above which atoms clash.
    symmetry
        Whether to look for clashes with symmetry mates too.
    """
    found = find_clashes(model, overlap=overlap, symmetry=symmetry)
    mate = np.asarray(found.symmetry) != ""
    inside, depth = _by_pair(model, found.row_a[~mate], found.row_b[~mate], found.overlap[~mate])
    mates, _ = _by_pair(model, found.row_a[mate], found.row_b[mate], found.overlap[mate])
    return Conflicts(inside, depth, broken_junctions(model), mates)


def count_meetings(
    pairs: Mapping[Pair, int], in_state: Bool[np.ndarray, "n_members n_states"]
) -> Int[np.ndarray, " n_members"]:
    """Conflicts in each copy: over all pairs that are both there, the number they stand for."""
    total = np.zeros(len(in_state), dtype=int)
    for (a, b), number in pairs.items():
        total += number * (in_state[:, a] & in_state[:, b])
    return total


def frechet_floor(
    groups: Groups, pairs: Mapping[Pair, int], counts: Float[np.ndarray, " n_states"]
) -> float:
    """Least number of meetings that the counts allow, pair by pair; counts may be weights.

    Two states below a common ancestor that N copies have meet in at least
    a + b − N of them (Fréchet), a state and its ancestor in as many as have the state.
    """
    tree = groups.model.tree
    total = 0.0
    for (a, b), number in pairs.items():
        common = next(state for state in tree.line(a) if state in tree.line(b))
        total += number * max(0.0, float(counts[a] + counts[b] - counts[common]))
    return total


def _by_pair(
    model: Multiconformer, row_a: np.ndarray, row_b: np.ndarray, overlap: np.ndarray
) -> tuple[dict[Pair, int], dict[Pair, float]]:
    """Count residue pairs, and sum their worst overlaps, for each pair of states."""
    ends = []
    for row in (row_a, row_b):
        ends.append(np.stack([model.state[row], model.residue[model.site[row]]], axis=1))
    one, two = ends
    turn = (one[:, 0] > two[:, 0]) | ((one[:, 0] == two[:, 0]) & (one[:, 1] > two[:, 1]))
    one, two = np.where(turn[:, None], two, one), np.where(turn[:, None], one, two)
    worst: dict[tuple[int, int, int, int], float] = {}
    for a, b, value in zip(one.tolist(), two.tolist(), overlap.tolist(), strict=True):
        key = (a[0], b[0], a[1], b[1])
        worst[key] = max(worst.get(key, 0.0), value)
    number: dict[Pair, int] = {}
    depth: dict[Pair, float] = {}
    for (a, b, _, _), value in worst.items():
        number[a, b] = number.get((a, b), 0) + 1
        depth[a, b] = depth.get((a, b), 0.0) + value
    return number, depth
