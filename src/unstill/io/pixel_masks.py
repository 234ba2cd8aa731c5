"""Files that say which pixels not to use."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unstill.errors import FormatError, InputError
from unstill.experiment import Detector
from unstill.io.frames.panel_layout import panel_layout
from unstill.io.reading import head, parsing

_KINDS = (
    "give a .npy array, true (or not 0) where a pixel is bad; an HDF5 file with pixel_mask; or an "
    "image, not 0 where a pixel is bad"
)


def read_pixel_mask(path: Path, detector: Detector) -> tuple[np.ndarray, ...]:
    """Read a mask, true where a pixel must **not** be used.

    Parameters
    ----------
    path
        ``.npy``, an HDF5 file with a dataset ``pixel_mask`` or ``mask`` anywhere, or
        a TIFF, CBF or SMV image.
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
    path = Path(path)
    if not path.is_file():
        raise InputError(
            "the mask file is missing",
            found=str(path),
            fix="put it there, or correct or remove its name in the experiment",
        )
    start = head(path, 16)
    with parsing(path, "a mask", fix=_KINDS):
        if start.startswith(b"\x93NUMPY"):
            raw = np.load(path, allow_pickle=False)
        elif start.startswith(b"\x89HDF"):
            raw = _from_hdf5(path)
        elif start[:1] in (b"\x80", b"(") or path.suffix in (".pickle", ".mask"):
            raise FormatError(
                "a pickled mask is not read: that would run whatever code it holds",
                found=str(path),
                fix="save it in DIALS as an array, numpy.save('mask.npy', ~mask): true where bad",
            )
        else:
            from unstill.io.frames import open_frames

            source = open_frames(path)
            (raw,) = source.read(0)
        bad = np.asarray(raw) != 0
        if bad.ndim == 3 and len(bad) == 1:
            bad = bad[0]
        return panel_layout(bad.shape, detector).cut(path, bad)


def _from_hdf5(path: Path) -> np.ndarray:
    import h5py

    found: list[h5py.Dataset] = []

    def look(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and name.rsplit("/", 1)[-1] in ("pixel_mask", "mask"):
            found.append(item)

    with h5py.File(path, "r") as file:
        file.visititems(look)
        if not found:
            raise FormatError("the file holds no mask", found=str(path), fix=_KINDS)
        return np.asarray(found[0][()])
