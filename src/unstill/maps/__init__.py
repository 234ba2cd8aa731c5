"""What we measure: intensity on a regular grid of fractional hkl.

``IntensityMap`` is the merged map that every other room passes around;
``BlockSums`` holds what a trajectory has been reduced to. Each operation is a
function in a file of its own that takes maps and returns new ones: Laue
symmetrisation, the isotropic–anisotropic split, correlation by shell, Bragg
masking, resampling, differences, reindexing and comparison. Nothing here
reads files or knows atoms.
"""

from unstill.maps.block_sums import BlockSums
from unstill.maps.from_points import map_from_points
from unstill.maps.intensity_map import IntensityMap
from unstill.maps.merge_block_sums import merge_block_sums
from unstill.maps.observations import Observations

__all__ = ["BlockSums", "IntensityMap", "Observations", "map_from_points", "merge_block_sums"]
