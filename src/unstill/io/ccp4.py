"""CCP4/MRC maps of diffuse intensity, for the eye of map viewers.

The grid of the file is the box of hkl: columns, rows and sections are h, k
and l, NCSTART is the first grid index H, and one "unit cell" of the file is
one reciprocal-lattice vector, sampled by MX, MY, MZ = the divisions. Its edge
lengths are a*, b*, c* in Å⁻¹ × 1000, so that viewers show about 10–20 "Å" a
Bragg peak with the true angles. Masked voxels are NaN. Labels hold the true
cell, space group and box, and reading needs them: a CCP4 file of another
program does not say what its axes mean.

Reference: Cheng et al. (2015), *J. Struct. Biol.* 192, 146–150,
https://doi.org/10.1016/j.jsb.2015.04.002.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from unstill.crystal import Crystal
from unstill.errors import FormatError
from unstill.io.atomic import atomic_path
from unstill.io.cell_check import check_same_cell
from unstill.io.map_notes import MapNotes, notes_of, read_notes
from unstill.io.reading import REMEDY, parsing
from unstill.maps import IntensityMap

SCALE = 1000.0
"""Viewers think in Å; a reciprocal cell edge of 0.02 Å⁻¹ becomes 20."""

_HEADER, _LABELS, _LABEL_BYTES = 1024, 224, 80


def read_ccp4_map(path: Path, *, crystal: Crystal | None = None) -> IntensityMap:
    """Read a CCP4 map that :func:`write_ccp4_map` wrote (either byte order).

    Raises
    ------
    FormatError
        If the file is damaged, or a CCP4 map of another program.
    InputError
        If the file belongs to another crystal.
    """
    path = Path(path)
    with parsing(path, "a CCP4 map"):
        notes, order, skip = _header(path)
        expected = _HEADER + skip + 4 * notes.grid.size
        size = path.stat().st_size
        if size != expected:
            raise FormatError(
                f"{path.name} does not have the size that its header says",
                found=f"{size} bytes instead of {expected}",
                fix=REMEDY,
            )
        stored = np.fromfile(path, f"{order}f4", offset=_HEADER + skip)
        values = stored.reshape(notes.grid.shape[::-1]).transpose(2, 1, 0)
    if crystal is not None:
        check_same_cell(path, notes.crystal, crystal)
    return IntensityMap(notes.crystal, notes.grid, np.ascontiguousarray(values, dtype=float))


def write_ccp4_map(map: IntensityMap, path: Path) -> None:
    """Write intensity as a CCP4 map, mode 2 (float32; sigma and counts are not kept).

    Raises
    ------
    OutputError
        If the file cannot be written; nothing partial is left.
    """
    values = np.where(map.mask, np.nan, map.intensity).astype("<f4")
    content = np.ascontiguousarray(values.transpose(2, 1, 0))
    with atomic_path(Path(path)) as temporary:
        temporary.write_bytes(
            _header_bytes(map, content[np.isfinite(content)]) + content.tobytes()
        )


def ccp4_crystal(path: Path) -> Crystal:
    """Return the crystal that the labels name.

    Raises
    ------
    FormatError
        If the file is damaged, or of another program.
    """
    with parsing(path, "a CCP4 map"):
        return _header(path)[0].crystal


def _header(path: Path) -> tuple[MapNotes, str, int]:
    with path.open("rb") as stream:
        raw = stream.read(_HEADER)
    if len(raw) < _HEADER:
        raise FormatError(f"{path.name} is cut short", found=f"{len(raw)} bytes", fix=REMEDY)
    # The mode is 2 in the right byte order.
    order = next((o for o in "<>" if struct.unpack_from(f"{o}i", raw, 12)[0] == 2), None)
    labels = [
        raw[start : start + _LABEL_BYTES].decode("ascii", "replace").rstrip("\0 ")
        for start in range(_LABELS, _HEADER, _LABEL_BYTES)
    ]
    notes = read_notes(labels)
    if order is None or notes is None:
        raise FormatError(
            f"{path.name} is not a diffuse map that unstill wrote",
            found="no labels that name the crystal and the box of hkl",
            fix="CCP4 maps of other programs do not say what their axes mean; "
            "give the map as .nxs, .mtz or hkl text",
        )
    shape = struct.unpack_from(f"{order}3i", raw, 0)
    if shape != notes.grid.shape:
        raise FormatError(
            f"the header of {path.name} contradicts its labels",
            found=f"{shape} and {notes.grid.shape}",
            fix=REMEDY,
        )
    return notes, order, struct.unpack_from(f"{order}i", raw, 92)[0]


def _header_bytes(map: IntensityMap, values: np.ndarray) -> bytes:
    reciprocal = map.crystal.cell.reciprocal()
    edges = (SCALE * reciprocal.a, SCALE * reciprocal.b, SCALE * reciprocal.c)
    angles = (reciprocal.alpha, reciprocal.beta, reciprocal.gamma)
    low, high, mean, rms = (
        (values.min(), values.max(), values.mean(dtype=float), values.std(dtype=float))
        if values.size
        else (0, 0, 0, 0)
    )
    header = bytearray(_HEADER)
    struct.pack_into("<10i", header, 0, *map.grid.shape, 2, *map.grid.start, *map.grid.divisions)
    struct.pack_into("<6f", header, 40, *edges, *angles)
    struct.pack_into("<3i3f", header, 64, 1, 2, 3, low, high, mean)
    # Space group 1: the box is no asymmetric unit that a viewer may repeat.
    struct.pack_into("<2i", header, 88, 1, 0)
    header[208:216] = b"MAP \x44\x44\x00\x00"
    labels = [*notes_of(map), "diffuse intensity; cell edges are reciprocal, 1/A x 1000"]
    struct.pack_into("<fi", header, 216, rms, len(labels))
    for number, label in enumerate(labels):
        start = _LABELS + _LABEL_BYTES * number
        header[start : start + _LABEL_BYTES] = label.encode("ascii").ljust(_LABEL_BYTES)
    return bytes(header)
