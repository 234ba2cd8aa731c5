"""The report of ``unstill validate``: a page with plots, and a table of residues.

``model_page`` composes the page; ``write_residues_csv`` writes every residue with its scores.
"""

from unstill.workflows.model_report.page import model_page
from unstill.workflows.model_report.residues_csv import write_residues_csv

FILES = {"report": "report.html", "residues": "residues.csv"}
"""Names of the files that ``unstill validate`` writes into a folder."""

__all__ = ["FILES", "model_page", "write_residues_csv"]
