"""Multiconformer models in files: every altloc, every category, and the hierarchy of states.

``read_multiconformer`` and ``write_multiconformer`` choose the format; one
file here is one format, or one group of categories of mmCIF.
"""

from unstill.io.conformers.conformer_files import read_multiconformer, write_multiconformer
from unstill.io.conformers.hierarchy_tables import read_hierarchy_tables

__all__ = ["read_hierarchy_tables", "read_multiconformer", "write_multiconformer"]
