"""Detector images as beamlines write them: mini-CBF, Eiger-like HDF5, TIFF.

For simulated data and for tests of readers. Every file is whole or absent.
"""

from unstill.io.image_writers.cbf import write_cbf
from unstill.io.image_writers.eiger import EigerWriter
from unstill.io.image_writers.raw_image import raw_image
from unstill.io.image_writers.tiff import write_tiff

__all__ = ["EigerWriter", "raw_image", "write_cbf", "write_tiff"]
