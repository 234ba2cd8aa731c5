"""Judging models: findings with a severity, the atoms concerned and a remedy.

``check_hierarchy`` holds a multiconformer model against the rules V1 to V10:
its tree, its rules of coexistence, its occupancies, its bonds and clashes, its
members. ``check_tables`` does so for the tables of a file from which no model can
be built. Measuring lives in ``ensembles``; here are thresholds and verdicts.
"""

from unstill.validation.finding import RULES, Finding
from unstill.validation.hierarchy import check_hierarchy
from unstill.validation.tables import check_tables

__all__ = ["RULES", "Finding", "check_hierarchy", "check_tables"]
