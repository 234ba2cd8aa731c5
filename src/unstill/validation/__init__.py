"""Judging models: findings with a severity, the atoms concerned and a remedy.

``check_hierarchy`` holds a multiconformer model against the rules V1 to V10:
its tree, its rules of coexistence, its occupancies, its bonds and clashes, its
members. Measuring lives in ``ensembles``; here are thresholds and verdicts.
"""
