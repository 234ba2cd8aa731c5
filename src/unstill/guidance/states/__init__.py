"""Local states: which places of a residue the data ask for, in which shares.

``sparing_members`` makes members of the fewest places that explain a map;
``local_shares`` tells how much of the density each member holds, residue by
residue.
"""

from unstill.guidance.states.local_states import local_shares, sparing_members

__all__ = ["local_shares", "sparing_members"]
