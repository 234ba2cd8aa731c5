"""Images of detectors: one format a file, and one way to open them.

``open_frames`` takes a template, a pattern, files or an HDF5 master and gives a
``FrameSource``: lazy, in any order, from any thread, and it can be pickled.
Which reader serves a file is told by its first bytes, not by its name:
``mini_cbf`` (Pilatus), ``smv`` (ADSC), ``tiff``, and ``nexus_frames`` (NXmx and
Eiger HDF5). ``read_header`` gives what the header of one image says.

Pixels come as int32, ``INVALID`` (−1) where nothing was measured and
``OVERLOADED`` (−2) where the detector says that it counted too much.
"""

from unstill.io.frames.open_frames import open_frames, read_header

__all__ = ["open_frames", "read_header"]
