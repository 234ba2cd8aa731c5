"""Read and write intensity maps of any format."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.errors import FormatError, InputError, UnstillWarning
from unstill.io.ccp4 import read_ccp4_map, write_ccp4_map
from unstill.io.hkl_text import looks_like_hkl_text, read_hkl_text, write_hkl_text
from unstill.io.lunus_lat import looks_like_lat, read_lat, write_lat
from unstill.io.mdx2 import read_mdx2
from unstill.io.mtz import read_mtz_map, write_mtz_map
from unstill.io.nexus import is_own_hdf5, read_nexus_map, write_nexus_map
from unstill.io.reading import head
from unstill.maps import IntensityMap

WRITERS: dict[str, Callable[[IntensityMap, Path], None]] = {
    ".nxs": write_nexus_map,
    ".mtz": write_mtz_map,
    ".ccp4": write_ccp4_map,
    ".map": write_ccp4_map,
    ".mrc": write_ccp4_map,
    ".hkl": write_hkl_text,
    ".txt": write_hkl_text,
    ".lat": write_lat,
}
"""What :func:`write_map` writes, by suffix."""

_LOST = {
    ".ccp4": ("sigma", "n_obs"),
    ".map": ("sigma", "n_obs"),
    ".mrc": ("sigma", "n_obs"),
    ".hkl": ("n_obs",),
    ".txt": ("n_obs",),
    ".lat": ("sigma", "n_obs"),
}


def read_map(
    path: Path, *, crystal: Crystal | None = None, divisions: Triple | None = None
) -> IntensityMap:
    """Read an intensity map; the format is recognised from the content.

    Parameters
    ----------
    path
        ``.nxs`` (unstill or mdx2), ``.mtz``, ``.ccp4``/``.map``/``.mrc``,
        ``.hkl``/``.txt`` or ``.lat``.
    crystal
        Unit cell and space group, for files that carry none. Where a file
        has its own cell, it must agree with this one.
    divisions
        Voxels a reciprocal-lattice vector, for files whose Miller indices are
        those of a supercell and that do not say of which.

    Raises
    ------
    UnknownCrystalError
        If neither the file nor the caller knows the crystal.
    FormatError
        If the file is damaged or of an unknown format.
    InputError
        If the file belongs to another crystal.

    Examples
    --------
    >>> import numpy as np, tempfile, pathlib
    >>> from unstill import Crystal, IntensityMap, read_map, write_map
    >>> from unstill.crystal import HklGrid
    >>> grid = HklGrid((-2, -2, -2), (5, 5, 5))
    >>> crystal = Crystal((10, 11, 12, 90, 90, 90), "P 21 21 21")
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "map.nxs"
    >>> write_map(IntensityMap(crystal, grid, np.ones(grid.shape)), path)
    >>> read_map(path).crystal.space_group
    'P 21 21 21'
    """
    path = Path(path)
    start = head(path)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        if is_own_hdf5(path):
            return read_nexus_map(path, crystal=crystal)
        return read_mdx2(path, crystal=crystal, divisions=divisions)
    if start.startswith(b"MTZ "):
        return read_mtz_map(path, crystal=crystal, divisions=divisions)
    if start[208:212] == b"MAP ":
        return read_ccp4_map(path, crystal=crystal)
    if path.suffix.lower() == ".lat" or looks_like_lat(path):
        return read_lat(path, crystal=crystal, divisions=divisions)
    if looks_like_hkl_text(start):
        return read_hkl_text(path, crystal=crystal, divisions=divisions)
    raise FormatError(
        f"{path.name} is no map that unstill can read",
        found=path,
        fix=f"give one of: {', '.join(WRITERS)}",
    )


def write_map(map: IntensityMap, path: Path) -> None:
    """Write an intensity map in the format that the suffix names.

    What the format cannot hold is left out, with an
    :class:`~unstill.errors.UnstillWarning` that names it.

    Raises
    ------
    InputError
        If the suffix names no format.
    OutputError
        If the file cannot be written; nothing partial is left.
    """
    path = Path(path)
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise InputError(
            "no map format has this suffix",
            found=repr(path.suffix),
            fix=f"use one of: {', '.join(WRITERS)}",
        )
    writer(map, path)
    held = {"sigma": map.sigma is not None, "n_obs": map.n_obs is not None}
    lost = [name for name in _LOST.get(path.suffix.lower(), ()) if held[name]]
    if lost:
        warnings.warn(
            f"{path.suffix} files cannot hold {' and '.join(lost)}; {path.name} goes without "
            "(.nxs keeps everything)",
            UnstillWarning,
            stacklevel=2,
        )
