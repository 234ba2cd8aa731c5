"""Making and editing the tree of states: inferred from altlocs, and changed step by step.

``infer_hierarchy`` makes a tree of altlocs. Every edit takes a model and
returns a new one, or says why it cannot: states are added, removed, renamed,
put elsewhere, merged and split, atoms reassigned, rules of coexistence added and
removed. ``detect_clashes`` says what clashes ask for, ``join_models`` makes one
model of a ground and a changed one.
"""

from unstill.ensembles.hierarchy.clash_rules import (
    ClassedClash,
    apply_clashes,
    clashes_from_dicts,
    detect_clashes,
)
from unstill.ensembles.hierarchy.coexistence import add_rule, implied_rules, remove_rule
from unstill.ensembles.hierarchy.edits import (
    add_state,
    remove_state,
    rename_state,
    reparent_state,
)
from unstill.ensembles.hierarchy.infer import infer_hierarchy
from unstill.ensembles.hierarchy.join_models import join_models
from unstill.ensembles.hierarchy.regroup import merge_states, reassign_rows, split_state

__all__ = [
    "ClassedClash",
    "add_rule",
    "add_state",
    "apply_clashes",
    "clashes_from_dicts",
    "detect_clashes",
    "implied_rules",
    "infer_hierarchy",
    "join_models",
    "merge_states",
    "reassign_rows",
    "remove_rule",
    "remove_state",
    "rename_state",
    "reparent_state",
    "split_state",
]
