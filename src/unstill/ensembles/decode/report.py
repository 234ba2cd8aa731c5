"""What was decoded, and how well."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class DecodeReport:
    """What ``decode`` did, in numbers.

    Parameters
    ----------
    mode
        ``marginal``, ``maxent`` or ``best``.
    n_members
        Members made.
    groups, partial_groups
        Sets of alternatives, and how many of them are absent in a share of the copies.
    combinations_log10
        Decimal logarithm of the number of combinations of states that the tree allows.
    components, largest_component
        Sets of groups that conflicts and rules tie together, and groups in the largest.
    max_marginal_error, worst_row
        Largest difference of the share of copies that have a row and its stated
        occupancy, and where.
    max_state_error
        The same over states, against populations whose sums were scaled to the parent's.
    excess
        Sums of exclusive occupancies above the parent's that were scaled: the first
        state, and by how much.
    adjusted
        States whose counts rules forced away from their population.
    clashing_pairs
        Pairs of residues in states that may or may not meet and clash if they do.
    clashes_random, clashes, clashes_floor
        Of these, how many are met in all members together: dealt at random, in the result,
        and at least (Fréchet, pair by pair). With weights, members count by theirs, times
        their number.
    clashes_bound
        No members with these counts and no more broken bonds have fewer.
    proven
        Whether the result is proven to be the least.
    fixed_clashes
        Clashes between atoms that meet whatever is chosen: those of every copy, and of a state
        with its ancestors (times the copies that have it).
    junctions, junctions_random
        Chain bonds off by more than 0.1 Å in all members that another choice of states
        would avoid, in the result and dealt at random.
    symmetry_clashes
        Clashes with symmetry mates expected in one copy, mates drawn independently.
    self_clashing
        States that clash with their own symmetry mates: two copies next to each other
        cannot both have them.
    entropy
        Of the maximum-entropy distribution, in nats (``maxent`` only).
    probability
        Share of all copies that the members stand for, states taken as independent
        (``best`` only).
    seconds
        Wall time.
    notes
        What else should be known.
    """

    mode: str
    n_members: int
    groups: int
    partial_groups: int
    combinations_log10: float
    components: int
    largest_component: int
    max_marginal_error: float
    worst_row: str
    max_state_error: float
    excess: tuple[tuple[str, float], ...]
    adjusted: tuple[str, ...]
    clashing_pairs: int
    clashes_random: float
    clashes: float
    clashes_floor: float
    clashes_bound: float
    proven: bool
    fixed_clashes: float
    junctions: float
    junctions_random: float
    symmetry_clashes: float | None
    self_clashing: tuple[str, ...]
    entropy: float | None
    probability: float | None
    seconds: float
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, for JSON and provenance."""
        return asdict(self)
