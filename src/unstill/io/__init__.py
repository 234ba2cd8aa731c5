"""Files in, core types out, and back; one format a file.

``read_structure``, ``read_map``, ``write_map``, ``open_trajectory`` choose
the format from the name and the content; ``resolve_crystal`` finds the cell
and space group of files that carry none. ``open_block_sums`` and
``open_mtz_stack`` give the members of an ensemble one at a time; their weights
are kept as CSV, and ``read_state_labels`` reads which states they are in.
``read_experiments`` reads the geometry of DIALS and XDS, and ``frames`` the images
of a sweep, one at a time. Every writer
goes through ``atomic_path``: a temporary name, fsync, rename; an interrupted
or failed run leaves no partial file. A damaged or foreign file gives
``FormatError``.
"""

from unstill.io.block_sums_file import read_block_sums, write_block_sums
from unstill.io.conformers import (
    read_hierarchy_tables,
    read_multiconformer,
    write_multiconformer,
)
from unstill.io.crystal_source import read_crystal, resolve_crystal
from unstill.io.dials_expt import write_expt
from unstill.io.experiment_files import read_experiments
from unstill.io.map_files import read_map, write_map
from unstill.io.mtz import write_bragg_mtz
from unstill.io.mtz_stack import open_mtz_stack, write_frame_mtz
from unstill.io.state_labels import read_state_labels
from unstill.io.stored_block_sums import open_block_sums
from unstill.io.structure_files import read_structure, write_structure
from unstill.io.trajectory_files import open_trajectory
from unstill.io.weights_csv import WeightsTable, read_weights_csv, write_weights_csv

__all__ = [
    "WeightsTable",
    "open_block_sums",
    "open_mtz_stack",
    "open_trajectory",
    "read_block_sums",
    "read_crystal",
    "read_experiments",
    "read_hierarchy_tables",
    "read_map",
    "read_multiconformer",
    "read_state_labels",
    "read_structure",
    "read_weights_csv",
    "resolve_crystal",
    "write_block_sums",
    "write_bragg_mtz",
    "write_expt",
    "write_frame_mtz",
    "write_map",
    "write_multiconformer",
    "write_structure",
    "write_weights_csv",
]
