"""Reads single frames of HDF5 files, from any thread.

HDF5 does one thing at a time. So threads only take the packed bytes of a chunk in
turn and unpack them side by side, where they are packed as Eiger detectors do it;
HDF5 unpacks whatever else there is.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from unstill.io.frames.bitshuffle_lz4 import unpack_counts
from unstill.io.frames.hdf5_parts import Part, is_written, open_handle
from unstill.io.frames.pixel_values import as_counts, rule_for

_BITSHUFFLE, _WITH_LZ4 = 32008, 2
_MOST_FILES = 8


@dataclass(eq=False)
class Hdf5Reader:
    """Keeps the last files open; left empty when it is pickled, and after a fork.

    Parameters
    ----------
    image_shape
        Of one frame.
    saturation
        Largest count that can be trusted, if known.
    mask
        uint8 of that shape; not zero where a pixel is not to be used.
    """

    image_shape: tuple[int, ...]
    saturation: float | None = None
    mask: np.ndarray | None = None
    _files: OrderedDict[str, h5py.File] = field(default_factory=OrderedDict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _process: int = field(default_factory=os.getpid, repr=False)

    def read(self, part: Part, place: int) -> np.ndarray | None:
        """Return the counts of a frame; ``None`` if it was never written."""
        path = Path(part.path)
        with self._open(part) as dataset:
            single = dataset.ndim == len(self.image_shape)
            if not single and not is_written(dataset, place):
                return None
            dtype = dataset.dtype
            packed = None if single else _packed(dataset, place)
            raw = packed or (dataset[()] if single else dataset[place])
        rule = rule_for(dtype, self.saturation)
        if isinstance(raw, bytes):
            return unpack_counts(path, raw, dtype, self.image_shape, rule, self.mask)
        mask = None if self.mask is None or self.mask.shape != raw.shape else self.mask
        return as_counts(path, raw, rule, mask)

    def close(self) -> None:
        """Close all files; they are opened anew when they are needed."""
        with self._lock:
            while self._files:
                self._files.popitem()[1].close()

    def __reduce__(self) -> tuple[object, ...]:
        return Hdf5Reader, (self.image_shape, self.saturation, self.mask)

    @contextmanager
    def _open(self, part: Part) -> Iterator[h5py.Dataset]:
        """Lend a dataset to one thread at a time."""
        if self._process != os.getpid():
            # The handles and the lock belong to the parent.
            self._files, self._lock, self._process = OrderedDict(), threading.Lock(), os.getpid()
        with self._lock:
            file = self._files.pop(part.path, None)
            if file is None:
                file = open_handle(Path(part.path))
            self._files[part.path] = file
            if len(self._files) > _MOST_FILES:
                self._files.popitem(last=False)[1].close()
            yield file[part.dataset]


def _packed(dataset: h5py.Dataset, place: int) -> bytes | None:
    """Return the chunk of a frame as stored, if we can unpack it ourselves."""
    plist = dataset.id.get_create_plist()
    if (
        dataset.is_virtual
        or dataset.chunks != (1, *dataset.shape[1:])
        or dataset.dtype.kind not in "iu"
        or dataset.dtype.itemsize > 4
        or dataset.dtype.newbyteorder("<") != dataset.dtype
        or plist.get_nfilters() != 1
    ):
        return None
    code, _, options, _ = plist.get_filter(0)
    if code != _BITSHUFFLE or len(options) < 5 or options[4] != _WITH_LZ4:
        return None
    skipped, packed = dataset.id.read_direct_chunk((place, *(0 for _ in dataset.shape[1:])))
    return None if skipped else bytes(packed)
