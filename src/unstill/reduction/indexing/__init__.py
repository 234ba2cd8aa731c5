"""From images to a lattice: spots, indices, and the geometry that they are best explained by.

``index_frames`` does all of it. Spots stream out of frames (``find_spots``), a
lattice is searched with or without a known cell (``search``), and beam,
detector, orientation and cell are refined together (``refine``), at last with
an orientation that may drift over the sweep (``crystal_motion``).
"""

from unstill.reduction.indexing.find_spots import SpotOptions, find_spots
from unstill.reduction.indexing.index import index_frames, index_spots
from unstill.reduction.indexing.options import IndexOptions
from unstill.reduction.indexing.result import IndexResult
from unstill.reduction.indexing.spots import Spots
from unstill.reduction.indexing.starting_geometry import GeometryHints, geometry_from_headers

__all__ = [
    "GeometryHints",
    "IndexOptions",
    "IndexResult",
    "SpotOptions",
    "Spots",
    "find_spots",
    "geometry_from_headers",
    "index_frames",
    "index_spots",
]
