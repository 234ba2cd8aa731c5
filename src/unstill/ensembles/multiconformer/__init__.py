"""Several states of one model: rows of atoms, a tree of states, rules, and members.

A ``Multiconformer`` is one set of atoms (sites) in several places (rows), each
row in one ``State`` of a tree that begins with the root: what every copy of
the molecule has. A child implies its parent; ``Rule`` says which states need
or exclude each other; ``Members`` are whole copies with weights, from which the
populations follow exactly. ``states_from_labels`` reads states off the altlocs
of an ``Ensemble``; ``atoms_of_rows`` and ``recorded_members`` lead back.
"""

from unstill.ensembles.multiconformer.labels import atoms_of_rows, states_from_labels
from unstill.ensembles.multiconformer.members import Members, recorded_members
from unstill.ensembles.multiconformer.model import Multiconformer
from unstill.ensembles.multiconformer.rules import Rule
from unstill.ensembles.multiconformer.tree import State, StateTree

__all__ = [
    "Members",
    "Multiconformer",
    "Rule",
    "State",
    "StateTree",
    "atoms_of_rows",
    "recorded_members",
    "states_from_labels",
]
