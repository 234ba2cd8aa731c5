"""Lunus lattices (``.lat``): a box of float32 voxels behind a header of 36 bytes.

Header: uint32 nx, ny, nz, then float32 xmin, xmax, ymin, ymax, zmin, zmax in
Å⁻¹, either byte order; then nx · ny · nz float32 values, x fastest. The step
along x is 1/(n a), n voxels a reciprocal-lattice vector (written with
xmax = xmin + (nx − 1) · step); the file knows neither cell nor space group.
The value −32768 tags a masked voxel, 0 one that was never measured.

Reference: Wall, M. E. (2009). *Methods Mol. Biol.* 544, 269–279,
https://doi.org/10.1007/978-1-59745-483-4_17 (Lunus).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Literal

import numpy as np

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.hkl_grid import Triple
from unstill.crystal.same_lattice import CELL_TOLERANCE
from unstill.errors import FormatError
from unstill.io.atomic import atomic_path
from unstill.io.cell_check import (
    MOST_DIVISIONS,
    cell_text,
    require_crystal,
    wrong_cell,
)
from unstill.io.reading import REMEDY, parsing
from unstill.maps import IntensityMap

HEADER_BYTES = 36
MASK_TAG = np.float32(-32768)
UNMEASURED = np.float32(0)

_LONGEST_AXIS = 100_000


def read_lat(
    path: Path, *, crystal: Crystal | None, divisions: Triple | None = None
) -> IntensityMap:
    """Read a lunus lattice.

    Parameters
    ----------
    path
        The file; its byte order is recognised from the header.
    crystal
        Unit cell and space group, which the file does not carry.
    divisions
        Voxels a reciprocal-lattice vector; recognised from the extents if not given.

    Returns
    -------
    IntensityMap
        Masked voxels are NaN; ``n_obs`` is 0 where the file says
        unmeasured and 1 elsewhere, so that both tags survive.

    Raises
    ------
    UnknownCrystalError
        If ``crystal`` is ``None``.
    FormatError
        If the file is not a whole lattice.
    InputError
        If the extents do not fit the unit cell ("wrong cell").
    """
    path = Path(path)
    with parsing(path, "a lunus lattice"):
        shape, extents, order = _header(path)
    grid = _grid(path, shape, extents, require_crystal(path, crystal, "lunus lattices"), divisions)
    stored = np.fromfile(path, dtype=f"{order}f4", offset=HEADER_BYTES).astype(float)
    # x runs fastest in the file; our arrays are indexed h, k, l.
    values = np.ascontiguousarray(stored.reshape(shape[::-1]).transpose(2, 1, 0))
    unmeasured = values == UNMEASURED
    mask = (values == MASK_TAG) | unmeasured | ~np.isfinite(values)
    values[mask] = np.nan
    assert crystal is not None
    return IntensityMap(crystal, grid, values, n_obs=(~unmeasured).astype(np.int32), mask=mask)


def write_lat(
    map: IntensityMap, path: Path, *, byte_order: Literal["little", "big"] = "little"
) -> None:
    """Write a lunus lattice (float32; sigma, cell and space group are not kept).

    Masked voxels are tagged −32768, or 0 where ``n_obs`` is 0. A usable voxel
    whose intensity happens to equal a tag moves by the least float32 step.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    unmeasured = np.zeros(map.grid.shape, bool) if map.n_obs is None else map.n_obs == 0
    values = map.intensity.astype(np.float32)
    for tag in (MASK_TAG, UNMEASURED):
        values[map.measured & (values == tag)] = np.nextafter(tag, np.float32(np.inf))
    values[map.mask] = np.where(unmeasured[map.mask], UNMEASURED, MASK_TAG)
    step = 1 / (np.array(map.grid.divisions) * np.array(map.crystal.unit_cell[:3]))
    first = np.array(map.grid.start) * step
    last = (np.array(map.grid.stop) - 1) * step
    order = "<" if byte_order == "little" else ">"
    extents = np.stack([first, last], axis=1).ravel()
    with atomic_path(Path(path)) as temporary, temporary.open("wb") as stream:
        stream.write(struct.pack(f"{order}3I6f", *map.grid.shape, *extents))
        stream.write(
            np.ascontiguousarray(values.transpose(2, 1, 0)).astype(f"{order}f4").tobytes()
        )


def looks_like_lat(path: Path) -> bool:
    """Whether the header and the size of a file are those of a lunus lattice."""
    try:
        _header(path)
    except (FormatError, OSError):
        return False
    return True


def _header(path: Path) -> tuple[Triple, np.ndarray, str]:
    size = path.stat().st_size
    with path.open("rb") as stream:
        raw = stream.read(HEADER_BYTES)
    if len(raw) < HEADER_BYTES:
        raise FormatError(
            "a lunus lattice is cut short", found=f"{path}: {size} bytes", fix=REMEDY
        )
    short: tuple[int, int] | None = None
    for order in "<>":
        nx, ny, nz, *extents = struct.unpack(f"{order}3I6f", raw)
        if not _plausible((nx, ny, nz), np.array(extents)):
            continue
        expected = HEADER_BYTES + 4 * nx * ny * nz
        if expected == size:
            return (nx, ny, nz), np.array(extents).reshape(3, 2), order
        short = (expected, size)
    if short is not None:
        raise FormatError(
            "a lunus lattice does not have the size that its header says",
            found=f"{path}: {short[1]} bytes instead of {short[0]}",
            fix=REMEDY,
        )
    raise FormatError(
        "this is not a lunus lattice",
        found=f"{path}: a header that makes sense in neither byte order",
        fix="check that the file is a .lat file",
    )


def _plausible(shape: Triple, extents: np.ndarray) -> bool:
    if min(shape) < 1 or max(shape) > _LONGEST_AXIS or not np.isfinite(extents).all():
        return False
    low, high = extents[::2], extents[1::2]
    return bool(np.all(high >= low) and np.abs(extents).max() < 100)


def _grid(
    path: Path, shape: Triple, extents: np.ndarray, crystal: Crystal, given: Triple | None
) -> HklGrid:
    axes = [_axis(shape[i], extents[i], crystal, i, given) for i in range(3)]
    if None in axes:
        steps = (extents[:, 1] - extents[:, 0]) / np.maximum(np.array(shape) - 1, 1)
        lengths = " ".join(f"{1 / step:.4g}" if step > 0 else "?" for step in steps)
        wanted = "" if given is None else f" with divisions {given}"
        raise wrong_cell(
            path, f"voxel steps of 1/({lengths}) Å⁻¹", f"{cell_text(crystal)}{wanted}"
        )
    starts, divisions = zip(*[axis for axis in axes if axis is not None], strict=True)
    return HklGrid(starts, shape, divisions)


def _axis(
    n: int, extent: np.ndarray, crystal: Crystal, axis: int, given: Triple | None
) -> tuple[int, int] | None:
    """First grid index and divisions of one axis; ``None`` if it does not fit the cell."""
    low, high = float(extent[0]), float(extent[1])
    if n == 1:
        return _single(low, crystal, axis, given)
    reciprocal = float(np.linalg.norm(crystal.fractionalization_matrix[axis]))
    # lunus steps by 1/a; other programs write a*, and some divide by n instead of n - 1.
    for count in (n - 1, n):
        step = (high - low) / count
        if step <= 0:
            continue
        start = low / step
        if abs(start - round(start)) > 0.05:
            continue
        for length in (1 / crystal.unit_cell[axis], reciprocal):
            division = round(length / step)
            fits = division >= 1 and abs(length / (step * division) - 1) <= CELL_TOLERANCE
            wanted = division <= MOST_DIVISIONS if given is None else division == given[axis]
            if fits and wanted:
                return round(start), division
    return None


def _single(
    low: float, crystal: Crystal, axis: int, given: Triple | None
) -> tuple[int, int] | None:
    # One voxel has no step: only its position can be checked.
    division = 1 if given is None else given[axis]
    start = low * crystal.unit_cell[axis] * division
    return (round(start), division) if abs(start - round(start)) <= 0.05 else None
