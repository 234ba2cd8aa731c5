"""How diffraction was measured: beam, detector, goniometer, scan, lattice and frames.

``Experiment`` holds what is needed to place every pixel of every frame in
reciprocal space; ``FrameSource`` is what any source of images offers. The exact
formulae pixel → laboratory → s → hkl stand in ``pixels``, the corrections of a
pixel in ``corrections``. Nothing here opens files: ``io`` reads geometry and
images and returns these types.
"""

from unstill.experiment.beam import Beam
from unstill.experiment.detector import Detector, Panel
from unstill.experiment.experiment import Experiment
from unstill.experiment.frames import INVALID, OVERLOADED, FrameHeader, FrameSource, FrameSubset
from unstill.experiment.goniometer import Goniometer
from unstill.experiment.images import ImageSet
from unstill.experiment.lattice import Lattice
from unstill.experiment.scan import Scan

__all__ = [
    "INVALID",
    "OVERLOADED",
    "Beam",
    "Detector",
    "Experiment",
    "FrameHeader",
    "FrameSource",
    "FrameSubset",
    "Goniometer",
    "ImageSet",
    "Lattice",
    "Panel",
    "Scan",
]
