"""The demo's result as a page: one file a section, words and figures apart.

``demo_page`` composes the report, ``demo_picture`` draws its main figure as a
file of its own.
"""

from unstill.workflows.demo_report.page import demo_page, demo_picture

__all__ = ["demo_page", "demo_picture"]
