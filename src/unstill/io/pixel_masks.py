"""Files that say which pixels not to use."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unstill.experiment import Detector
from unstill.io.pixel_arrays import read_pixel_array

_KINDS = (
    "give a .npy or .npz array, true (or not 0) where a pixel is bad (for a mask of DIALS "
    "numpy.save('mask.npy', ~mask)); an HDF5 file with pixel_mask; or an image, not 0 where a "
    "pixel is bad"
)


def read_pixel_mask(path: Path, detector: Detector) -> tuple[np.ndarray, ...]:
    """Read a mask, true where a pixel must **not** be used.

    Parameters
    ----------
    path
        ``.npy`` or ``.npz``, an HDF5 file with a dataset ``pixel_mask`` or ``mask``
        anywhere, or a TIFF, CBF or SMV image.
    detector
        The mask is cut into its panels.

    Returns
    -------
    masks
        ``(slow, fast)`` bool, a panel each.

    Raises
    ------
    InputError
        If the file is missing or does not fit the detector.
    FormatError
        If it is of another kind: pickles of DIALS run code when they are read.
    """
    found = read_pixel_array(path, detector, "mask", datasets=("pixel_mask", "mask"), kinds=_KINDS)
    return tuple(panel != 0 for panel in found)
