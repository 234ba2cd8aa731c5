"""A reduction as a page: one file a section.

``reduce_page`` composes the report of an
:class:`unstill.reduction.pipeline.outcome.Outcome`, as far as the reduction went.
"""

from unstill.workflows.reduce_report.page import reduce_page

__all__ = ["reduce_page"]
