"""Weights of members as a page: one file a section, words and figures apart.

``weigh_page`` composes the report of :func:`unstill.weighting.weigh`,
``enrich_page`` that of :func:`unstill.weighting.enrich.enrich`.
"""

from unstill.workflows.weigh_report.enrichment import enrich_page
from unstill.workflows.weigh_report.page import weigh_page

__all__ = ["enrich_page", "weigh_page"]
