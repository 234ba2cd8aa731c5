"""A multiconformer model as a page: one file a section.

``validation_page`` composes the report of ``unstill hierarchy validate``.
"""

from unstill.workflows.heterogeneity_report.validation_page import validation_page

__all__ = ["validation_page"]
