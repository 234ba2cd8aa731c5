"""Sphinx configuration."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import unstill

project = "unstill"
author = "The unstill developers"
copyright = "2026, the unstill developers"
release = version = unstill.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
    "generated_reference",
]
exclude_patterns = ["_build", "_ext"]
html_theme = "furo"
html_title = "unstill"
html_copy_source = False
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_google_docstring = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True
# Pages must build without a network; MathJax is only a script tag in the built page.
suppress_warnings = ["myst.strikethrough"]
