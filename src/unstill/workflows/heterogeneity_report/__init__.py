"""A multiconformer model as a page: one file a section.

``write_heterogeneity_report`` writes the report of ``unstill hierarchy report``: the
page (``heterogeneity_page``), its tables, and whole copies with scripts for PyMOL and
ChimeraX and a view state for Mol*. ``validation_page`` composes the report of
``unstill hierarchy validate``.
"""

from unstill.workflows.heterogeneity_report.page import heterogeneity_page
from unstill.workflows.heterogeneity_report.report_files import (
    FILES,
    write_heterogeneity_report,
)
from unstill.workflows.heterogeneity_report.validation_page import validation_page

__all__ = ["FILES", "heterogeneity_page", "validation_page", "write_heterogeneity_report"]
