"""From diffraction images to a diffuse map.

Frames stream once through a fused kernel that places every pixel, masks Bragg
peaks and bad pixels, and sums what is left into ``Observations``: one row a
crossing of a voxel. Everything after that works on rows and never on images:
background, scales, outliers, the error model, merging and its statistics. The
steps are kept by content, so that a run goes on where it stopped.

``pipeline`` holds the steps in their order; each works with one of ``survey``
(faults and peaks in a sample of frames), ``background``, ``integration``,
``crystals``, ``scaling``, ``merging`` and ``absolute``. ``indexing`` finds the
geometry where no other program has.
"""
