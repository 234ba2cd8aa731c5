"""Block sums that stay in their file: one block is read at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from unstill.crystal import Crystal
from unstill.crystal.hkl_grid import Triple
from unstill.errors import FormatError
from unstill.io.block_sums_file import FORMAT, VERSION
from unstill.io.nexus import as_triple, check_format, read_crystal_group, read_provenance
from unstill.io.reading import REMEDY, parsing
from unstill.maps.block_sums import selection_number
from unstill.maps.members import Member

_KIND = "an unstill block-sums file"


def open_block_sums(path: Path, *, selection: str = "all") -> StoredBlockSums:
    """Open block sums as members, without reading the sums themselves.

    Parameters
    ----------
    path
        What :func:`unstill.io.write_block_sums` wrote.
    selection
        Which atoms.

    Returns
    -------
    StoredBlockSums
        Its members are those of ``BlockMembers(read_block_sums(path))``, to
        the bit; the sums of one block are in memory at a time.

    Raises
    ------
    FormatError
        If the file is damaged, or of another kind or a newer version.
    InputError
        If it holds no such selection.
    """
    path = Path(path)
    with parsing(path, _KIND), h5py.File(path, "r") as file:
        check_format(path, file, FORMAT, VERSION)
        group = file["entry/sums"]
        names = tuple(str(name) for name in group["selections"].asstr()[()])
        found = StoredBlockSums(
            path=path,
            crystal=read_crystal_group(file["entry/crystal"]),
            divisions=as_triple(group["divisions"][()]),
            index=group["index"][()],
            weight=group["weight"][()],
            n_frames=group["n_frames"][()],
            selections=names,
            selection=selection,
            provenance=read_provenance(file),
        )
        found.check_shapes(group)
    _check_weights(path, found.weight)
    selection_number(names, selection)
    return found


@dataclass(frozen=True, eq=False)
class StoredBlockSums:
    """The blocks of a file of block sums, as members that are read one by one.

    Parameters
    ----------
    path
        The file; opened anew for each pass.
    crystal
        The *unit* cell and its space group.
    divisions
        Unit cells along a, b, c of the supercell.
    index
        ``(n_points, 3)`` Miller indices of the supercell.
    weight, n_frames
        ``(n_blocks,)`` Σ w and frames of each block.
    selections
        Those in the file.
    selection
        The one that is read.
    """

    path: Path
    crystal: Crystal
    divisions: Triple
    index: np.ndarray
    weight: np.ndarray
    n_frames: np.ndarray
    selections: tuple[str, ...]
    selection: str
    provenance: Mapping[str, Any]

    @property
    def n_members(self) -> int:
        """Number of blocks."""
        return len(self.weight)

    def members(self) -> Iterator[Member]:
        """Yield the blocks in order.

        Raises
        ------
        FormatError
            If the file is damaged, or has been replaced since it was opened.
        """
        number = selection_number(self.selections, self.selection)
        with parsing(self.path, _KIND), h5py.File(self.path, "r") as file:
            group = file["entry/sums"]
            self.check_shapes(group)
            sums = zip(_rows(group["s1"], number), _rows(group["s2"], number), strict=True)
            for block, (s1, s2) in enumerate(sums):
                weight = float(self.weight[block])
                yield Member(s1 / weight, s2 / weight, weight, int(self.n_frames[block]))

    def describe(self) -> dict[str, Any]:
        """Which file, and where its sums came from."""
        return {
            "file": str(self.path),
            "selection": self.selection,
            "sums": dict(self.provenance),
        }

    def check_shapes(self, group: h5py.Group) -> None:
        """Refuse sums that are not those of the blocks, selections and points.

        Raises
        ------
        FormatError
            If they are not.
        """
        shape = (len(self.weight), len(self.selections), len(self.index))
        for name in ("s1", "s2"):
            if group[name].shape != shape:
                raise FormatError(
                    f"{name} in {self.path.name} does not fit the blocks, selections and points",
                    found=f"{group[name].shape}, expected {shape}",
                    fix=REMEDY,
                )


def _rows(sums: h5py.Dataset, selection: int) -> Iterator[np.ndarray]:
    # The chunks of older files span some blocks: these are read together, each chunk once.
    step = sums.chunks[0] if sums.chunks else 1
    for first in range(0, len(sums), step):
        yield from sums[first : first + step, selection]


def _check_weights(path: Path, weight: np.ndarray) -> None:
    unusable = np.flatnonzero(~(np.isfinite(weight) & (weight > 0)))
    if len(unusable):
        raise FormatError(
            f"{path.name} holds blocks without a weight",
            found=f"Σ w = {weight[unusable[0]]:g} in block {unusable[0]} (counting from 0)",
            fix=REMEDY,
        )
