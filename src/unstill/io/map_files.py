"""Read and write intensity maps of any format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.errors import FormatError, InputError
from unstill.io.lunus_lat import looks_like_lat, read_lat, write_lat
from unstill.io.nexus import read_nexus_map, write_nexus_map
from unstill.io.reading import head
from unstill.maps import IntensityMap

SUFFIXES = {
    ".nxs": "unstill's own NeXus HDF5 map",
    ".lat": "lunus lattice",
}
"""What :func:`write_map` writes, by suffix."""


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
        return read_nexus_map(path, crystal=crystal)
    if path.suffix.lower() == ".lat" or looks_like_lat(path):
        return read_lat(path, crystal=crystal, divisions=divisions)
    raise FormatError(
        f"{path.name} is no map that unstill can read",
        found=path,
        fix=f"give one of: {', '.join(SUFFIXES)}",
    )


def write_map(map: IntensityMap, path: Path) -> None:
    """Write an intensity map in the format that the suffix names.

    Raises
    ------
    InputError
        If the suffix names no format.
    OutputError
        If the file cannot be written; nothing partial is left.
    """
    writers: dict[str, Callable[[IntensityMap, Path], None]] = {
        ".nxs": write_nexus_map,
        ".lat": write_lat,
    }
    path = Path(path)
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise InputError(
            "no map format has this suffix",
            found=repr(path.suffix),
            fix=f"use one of: {', '.join(writers)}",
        )
    writer(map, path)
