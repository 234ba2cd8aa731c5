"""Files with one number a pixel of the detector: masks, gains, pedestals."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unstill.errors import FormatError, InputError
from unstill.experiment import Detector
from unstill.io.frames.panel_layout import panel_layout
from unstill.io.reading import head, parsing

_KINDS = "give a .npy or .npz array, an HDF5 file, or a TIFF, CBF or SMV image"


def read_pixel_array(
    path: Path,
    detector: Detector,
    what: str,
    *,
    datasets: tuple[str, ...] = ("data",),
    kinds: str = _KINDS,
) -> tuple[np.ndarray, ...]:
    """Read an array of the size of the raw image, cut into panels.

    Parameters
    ----------
    path
        ``.npy``; ``.npz`` with one array of the whole image, or one a panel in
        order; an HDF5 file; or an image.
    detector
        The array is cut into its panels.
    what
        What it is, for messages: ``"mask"``.
    datasets
        Names of the dataset in an HDF5 file; it may lie in any group.
    kinds
        What the user can give instead of a file that is not read.

    Returns
    -------
    arrays
        ``(slow, fast)``, a panel each.

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
            f"the {what} file is missing",
            found=str(path),
            fix="put it there, or correct or remove its name in the experiment",
        )
    start = head(path, 16)
    with parsing(path, f"a {what}", fix=kinds):
        if start.startswith(b"PK"):
            found = _from_npz(path)
            if len(found) > 1:
                return _a_panel_each(path, detector, what, found)
            (raw,) = found
        elif start.startswith(b"\x93NUMPY"):
            raw = np.load(path, allow_pickle=False)
        elif start.startswith(b"\x89HDF"):
            raw = _from_hdf5(path, datasets, kinds)
        elif start[:1] in (b"\x80", b"(") or path.suffix in (".pickle", ".mask"):
            raise FormatError(
                f"a pickled {what} is not read: that would run whatever code it holds",
                found=str(path),
                fix=kinds,
            )
        else:
            from unstill.io.frames import open_frames

            (raw,) = open_frames(path).read(0)
        if raw.ndim == 3 and len(raw) == 1:
            raw = raw[0]
        return panel_layout(raw.shape, detector).cut(path, raw)


def _from_npz(path: Path) -> list[np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return [archive[name] for name in archive.files]


def _a_panel_each(
    path: Path, detector: Detector, what: str, found: list[np.ndarray]
) -> tuple[np.ndarray, ...]:
    shapes = [panel.shape for panel in detector.panels]
    if [array.shape for array in found] != shapes:
        raise InputError(
            f"the {what} does not fit the detector",
            found=f"{path}: arrays of {[array.shape for array in found]}, panels of {shapes}",
            fix="save one array a panel (slow, fast), in their order, or one of the whole image",
        )
    return tuple(found)


def _from_hdf5(path: Path, datasets: tuple[str, ...], kinds: str) -> np.ndarray:
    import h5py

    found: list[h5py.Dataset] = []

    def look(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and name.rsplit("/", 1)[-1] in datasets:
            found.append(item)

    with h5py.File(path, "r") as file:
        file.visititems(look)
        if not found:
            raise FormatError(
                f"the file holds no dataset {' or '.join(datasets)}", found=str(path), fix=kinds
            )
        return np.asarray(found[0][()])
