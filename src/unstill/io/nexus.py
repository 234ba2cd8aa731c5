"""unstill's own map files: NeXus in HDF5 (``.nxs``).

::

    /                     NXroot   @default, @creator, @unstill_format, @unstill_format_version
    /entry                NXentry  @default
    /entry/map            NXdata   @signal = intensity, @axes = [h, k, l]
        intensity         (h, k, l) as given, NaN where undefined
        intensity_errors  (h, k, l) the sigma, if there is one
        n_obs             (h, k, l) if there is one
        mask              (h, k, l) uint8, 1 = must not be used
        h, k, l           float64 Miller coordinates (r.l.u.)
        divisions, start  three integers: h = (start + i) / divisions
    /entry/crystal        NXsample unit_cell (Å, degrees), space_group
    /entry/provenance     NXnote   data = JSON

Arrays are chunked, shuffled, gzipped and carry checksums; these filters are
part of HDF5, so h5py, nexpy and MATLAB open the file without plugins, and a
damaged chunk is noticed instead of read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from unstill.crystal import Crystal, HklGrid
from unstill.crystal.hkl_grid import Triple
from unstill.errors import FormatError
from unstill.io.atomic import atomic_path
from unstill.io.cell_check import check_same_cell
from unstill.io.reading import parsing
from unstill.maps import IntensityMap
from unstill.provenance.record import plain

FORMAT, VERSION = "intensity-map", 1
COMPRESSION: dict[str, Any] = {
    "compression": "gzip",
    "compression_opts": 4,
    "shuffle": True,
    "fletcher32": True,
}


def read_nexus_map(path: Path, *, crystal: Crystal | None = None) -> IntensityMap:
    """Read a map that :func:`write_nexus_map` wrote; bit-exact.

    Parameters
    ----------
    path
        The file.
    crystal
        If given, the file's own cell must agree with it.

    Raises
    ------
    FormatError
        If the file is damaged, or of another kind or a newer version.
    InputError
        If the file belongs to another crystal.
    """
    path = Path(path)
    with parsing(path, "an unstill map"), h5py.File(path, "r") as file:
        check_format(path, file, FORMAT, VERSION)
        own = read_crystal_group(file["entry/crystal"])
        group = file["entry/map"]
        intensity = group["intensity"][()]
        found = IntensityMap(
            own,
            HklGrid(
                as_triple(group["start"][()]), intensity.shape, as_triple(group["divisions"][()])
            ),
            intensity,
            sigma=group["intensity_errors"][()] if "intensity_errors" in group else None,
            n_obs=group["n_obs"][()] if "n_obs" in group else None,
            mask=group["mask"][()].astype(bool),
            provenance=read_provenance(file),
        )
    if crystal is not None:
        check_same_cell(path, own, crystal)
    return found


def write_nexus_map(map: IntensityMap, path: Path) -> None:
    """Write a map with everything it knows.

    Raises
    ------
    OutputError
        If the file cannot be written; nothing partial is left.
    """
    with atomic_path(Path(path)) as temporary, writing_hdf5(temporary) as file:
        entry = open_entry(file, FORMAT, VERSION, default="map")
        group = entry.create_group("map")
        set_texts(group, {"NX_class": "NXdata", "signal": "intensity"})
        group.attrs["axes"] = fixed_text(["h", "k", "l"])
        arrays = {
            "intensity": map.intensity,
            "intensity_errors": map.sigma,
            "n_obs": map.n_obs,
            "mask": map.mask.astype(np.uint8),
        }
        for name, array in arrays.items():
            if array is not None:
                group.create_dataset(
                    name, data=array, chunks=_chunks(map.grid.shape), **COMPRESSION
                )
        set_texts(group["mask"], {"meaning": "1: the voxel must not be used"})
        for number, (name, axis) in enumerate(zip("hkl", map.grid.axes(), strict=True)):
            group[name] = axis
            set_texts(group[name], {"units": "r.l.u."})
            group.attrs[f"{name}_indices"] = number
        group["divisions"] = np.array(map.grid.divisions, dtype=np.int64)
        group["start"] = np.array(map.grid.start, dtype=np.int64)
        write_crystal_group(entry, map.crystal)
        write_provenance(entry, map.provenance)


@contextmanager
def writing_hdf5(path: Path) -> Iterator[h5py.File]:
    """Build an HDF5 file in memory, then write it in one piece.

    HDF5 crashes the interpreter when the disk fills up under an open file;
    Python's own write fails with a clean ``OSError``. The price is memory for
    the compressed content.
    """
    # Since format 1.10 the structure of a file carries checksums too: damage is noticed, where
    # older layouts let the library walk off into foreign memory.
    # By its whole path: two files of one name, open in two threads, would be taken for one.
    with h5py.File(
        path.absolute(),
        "w",
        driver="core",
        backing_store=False,
        block_size=1 << 20,
        libver=("v110", "v110"),
    ) as file:
        yield file
        file.flush()
        image = file.id.get_file_image()
    path.write_bytes(image)


def open_entry(file: h5py.File, kind: str, version: int, *, default: str) -> h5py.Group:
    """Create ``/entry`` and say in the root what the file holds."""
    set_texts(
        file,
        {
            "NX_class": "NXroot",
            "default": "entry",
            "creator": "unstill",
            "unstill_format": kind,
        },
    )
    file.attrs["unstill_format_version"] = version
    entry = file.create_group("entry")
    set_texts(entry, {"NX_class": "NXentry", "default": default})
    return entry


def is_own_hdf5(path: Path) -> bool:
    """Whether an HDF5 file says that unstill wrote it."""
    with parsing(path, "an HDF5 file"), h5py.File(path, "r") as file:
        return "unstill_format" in file.attrs


def fixed_text(text: str | Sequence[str]) -> np.ndarray:
    """Text as HDF5 strings of fixed length.

    Strings of variable length live in a heap without checksums, and a
    damaged heap crashes the HDF5 library.
    """
    encoded = text.encode() if isinstance(text, str) else [item.encode() for item in text]
    longest = len(encoded) if isinstance(encoded, bytes) else max(map(len, encoded), default=0)
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", max(1, longest)))


def set_texts(place: Any, texts: Mapping[str, str]) -> None:
    """Set text attributes of a file, group or data set."""
    for name, text in texts.items():
        place.attrs[name] = fixed_text(text)


def check_format(path: Path, file: h5py.File, kind: str, version: int) -> None:
    """Refuse a file that is of another kind, or newer than this program.

    Raises
    ------
    FormatError
        If it is.
    """
    found = _text(file.attrs.get("unstill_format", "an HDF5 file of another program"))
    if found != kind:
        raise FormatError(
            f"{path.name} is not an unstill {kind} file",
            found=f"{path}: {found}",
            fix="check that this is the right file",
        )
    stored = int(file.attrs["unstill_format_version"])
    if stored > version:
        raise FormatError(
            f"{path.name} was written by a newer unstill",
            found=f"format version {stored}, this program knows {version}",
            fix="update with: pip install -U unstill",
        )


def write_crystal_group(entry: h5py.Group, crystal: Crystal) -> None:
    """Write cell and space group."""
    group = entry.create_group("crystal")
    set_texts(group, {"NX_class": "NXsample"})
    group["unit_cell"] = np.array(crystal.unit_cell)
    set_texts(group["unit_cell"], {"units": "angstrom, degrees"})
    group["space_group"] = fixed_text(crystal.space_group)


def read_crystal_group(group: h5py.Group) -> Crystal:
    """Read cell and space group."""
    a, b, c, alpha, beta, gamma = (float(value) for value in group["unit_cell"][()])
    return Crystal((a, b, c, alpha, beta, gamma), _text(group["space_group"][()]))


def write_provenance(entry: h5py.Group, provenance: Mapping[str, Any]) -> None:
    """Write what made the data, as JSON."""
    group = entry.create_group("provenance")
    set_texts(group, {"NX_class": "NXnote"})
    group["type"] = fixed_text("application/json")
    group["data"] = fixed_text(json.dumps(plain(provenance)))


def read_provenance(file: h5py.File) -> dict[str, Any]:
    """Read what made the data."""
    found: dict[str, Any] = json.loads(_text(file["entry/provenance/data"][()]))
    return found


def as_triple(values: np.ndarray) -> Triple:
    """Three integers of a dataset as a tuple."""
    h, k, l = (int(value) for value in values)
    return h, k, l


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    # About a quarter of a million voxels a chunk: a slice in any direction stays cheap.
    h, k, l = (min(n, 64) for n in shape)
    return h, k, l
