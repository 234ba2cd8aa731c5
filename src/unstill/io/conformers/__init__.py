"""Multiconformer models in files: every altloc, every category, and the hierarchy of states.

``read_multiconformer`` and ``write_multiconformer`` choose the format; one
file here is one format, or one group of categories of mmCIF.
"""

from unstill.io.conformers.biotite_atoms import from_biotite, to_biotite
from unstill.io.conformers.conformer_files import read_multiconformer, write_multiconformer
from unstill.io.conformers.hierarchy_tables import read_hierarchy_tables
from unstill.io.conformers.mdanalysis_universe import from_mdanalysis, to_mdanalysis

__all__ = [
    "from_biotite",
    "from_mdanalysis",
    "read_hierarchy_tables",
    "read_multiconformer",
    "to_biotite",
    "to_mdanalysis",
    "write_multiconformer",
]
