"""Block sums of a trajectory (HDF5): S1, S2 and W by block, selection and hkl.

::

    /                    @unstill_format = block-sums, @unstill_format_version
    /entry/sums          index (n_points, 3), s1, s2 (n_blocks, n_selections, n_points),
                         weight, weight_squared, n_frames (n_blocks,),
                         selections, divisions
    /entry/crystal       unit_cell, space_group of the unit cell
    /entry/provenance    data = JSON

No chunk of s1 and s2 spans two blocks or two selections, so that one block is
read without unpacking the others.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from unstill.io.atomic import atomic_path
from unstill.io.nexus import (
    COMPRESSION,
    as_triple,
    check_format,
    fixed_text,
    open_entry,
    read_crystal_group,
    read_provenance,
    set_texts,
    write_crystal_group,
    write_provenance,
    writing_hdf5,
)
from unstill.io.reading import parsing
from unstill.maps.block_sums import BlockSums

FORMAT, VERSION = "block-sums", 1

_ARRAYS = ("index", "s1", "s2", "weight", "weight_squared", "n_frames")
_POINTS_A_CHUNK = 1 << 16


def read_block_sums(path: Path) -> BlockSums:
    """Read block sums; bit-exact.

    Raises
    ------
    FormatError
        If the file is damaged, or of another kind or a newer version.
    """
    path = Path(path)
    with parsing(path, "an unstill block-sums file"), h5py.File(path, "r") as file:
        check_format(path, file, FORMAT, VERSION)
        group = file["entry/sums"]
        return BlockSums(
            crystal=read_crystal_group(file["entry/crystal"]),
            divisions=as_triple(group["divisions"][()]),
            selections=tuple(str(name) for name in group["selections"].asstr()[()]),
            provenance=read_provenance(file),
            **{name: group[name][()] for name in _ARRAYS},
        )


def write_block_sums(sums: BlockSums, path: Path) -> None:
    """Write block sums with everything they know.

    Raises
    ------
    OutputError
        If the file cannot be written; nothing partial is left.
    """
    with atomic_path(Path(path)) as temporary, writing_hdf5(temporary) as file:
        entry = open_entry(file, FORMAT, VERSION, default="sums")
        group = entry.create_group("sums")
        set_texts(group, {"NX_class": "NXcollection"})
        for name in _ARRAYS:
            array = np.asarray(getattr(sums, name))
            # Sums of random phases do not compress; the checksum is what counts.
            options = COMPRESSION | {"compression_opts": 1} if array.ndim > 1 else {}
            chunks = (1, 1, min(array.shape[2], _POINTS_A_CHUNK)) if array.ndim == 3 else None
            group.create_dataset(name, data=array, chunks=chunks, **options)
        group["divisions"] = np.array(sums.divisions, dtype=np.int64)
        group["selections"] = fixed_text(sums.selections)
        write_crystal_group(entry, sums.crystal)
        write_provenance(entry, sums.provenance)
