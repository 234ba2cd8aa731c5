"""From frames to a diffuse map: I_D = ⟨|F|²⟩ − |⟨F⟩|² (Guinier), streaming.

``stream_block_sums`` reads frames in chunks, sums structure factors by block
and selection in float64 and in a fixed order, saves its state so that a killed
run resumes to the same bits, and spreads frames over processes or Dask. Of
the sums, ``diffuse_intensity`` and ``cross_intensity`` make maps,
``bragg_fold`` the structure factors of the mean cell, ``cc_max`` the ceiling
that sampling sets, and ``convergence`` the way there. ``stream_members`` gives
frames, or blocks of them, one at a time instead, for weighting. Frames come
from anything that is a ``FrameSource``.
"""

from unstill.diffuse.bragg import BraggFold, bragg_fold
from unstill.diffuse.cc_max import CCMax, cc_max
from unstill.diffuse.convergence import ConvergencePoint, convergence
from unstill.diffuse.frame_source import FrameSource
from unstill.diffuse.intensity import cross_intensity, diffuse_intensity
from unstill.diffuse.stream import stream_block_sums
from unstill.diffuse.stream_members import FrameMembers, stream_members

__all__ = [
    "BraggFold",
    "CCMax",
    "ConvergencePoint",
    "FrameMembers",
    "FrameSource",
    "bragg_fold",
    "cc_max",
    "convergence",
    "cross_intensity",
    "diffuse_intensity",
    "stream_block_sums",
    "stream_members",
]
