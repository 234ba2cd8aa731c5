"""Which atoms of a model are bonded or clash, and in how many copies they must.

``find_bonds`` and ``find_clashes`` look at pairs of rows that can be in one
copy (``can_coexist``); ``unavoidable`` names the clashes that occupancies
alone make certain.
"""

from unstill.ensembles.contacts.bonds import Bonds, find_bonds
from unstill.ensembles.contacts.clashes import Clashes, StateClash, find_clashes
from unstill.ensembles.contacts.coexistence import can_coexist
from unstill.ensembles.contacts.floor import UnavoidableClash, are_alternatives, unavoidable

__all__ = [
    "Bonds",
    "Clashes",
    "StateClash",
    "UnavoidableClash",
    "are_alternatives",
    "can_coexist",
    "find_bonds",
    "find_clashes",
    "unavoidable",
]
