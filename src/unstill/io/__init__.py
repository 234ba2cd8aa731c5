"""Files in, core types out, and back; one format a file.

``read_structure``, ``read_map``, ``write_map``, ``open_trajectory`` choose
the format from the name and the content. Every writer goes through
``atomic_path``: a temporary name, fsync, rename; an interrupted or failed run
leaves no partial file.
"""

from unstill.io.map_files import read_map, write_map
from unstill.io.structure_files import read_structure, write_structure
from unstill.io.trajectory_files import open_trajectory

__all__ = ["open_trajectory", "read_map", "read_structure", "write_map", "write_structure"]
