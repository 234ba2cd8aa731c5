"""Frames that were read to look at them, kept so that integration need not read them again."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from unstill.experiment import FrameHeader, FrameSource

LIMIT = 320 << 20
"""Bytes that packed frames may take together."""

_ESCAPE = 255


@dataclass
class FrameCache:
    """A source that keeps the frames it is told to keep, packed, until they are read next.

    A frame is packed into a byte a pixel (counts above 252 apart) and deflated:
    a frame of 16 Mpx with less than a count a pixel takes some 4 MiB. Frames
    that do not fit into the limit are simply read from the disk again.

    Parameters
    ----------
    source
        Where frames come from.
    limit
        Bytes that packed frames may take.
    """

    source: FrameSource
    limit: int = LIMIT
    n_read: int = 0
    n_dropped: int = 0
    _kept: dict[int, list[_Packed]] = field(default_factory=dict, repr=False)
    _bytes: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def n_frames(self) -> int:
        """Number of frames there are now."""
        return self.source.n_frames

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of every panel."""
        return self.source.shapes

    def header(self, index: int) -> FrameHeader:
        """Return what the file says of one frame."""
        return self.source.header(index)

    def refresh(self) -> int:
        """Look for frames that came since."""
        return self.source.refresh()

    def files(self) -> tuple[str, ...]:
        """Paths of the files behind the frames."""
        return self.source.files()

    def look(self, index: int) -> tuple[np.ndarray, ...]:
        """Read a frame and keep it for the next :meth:`read`."""
        with self._lock:
            kept = self._kept.get(index)
        if kept is not None:
            return tuple(_unpacked(panel) for panel in kept)
        frame = self._from_source(index)
        packed = [_packed(panel) for panel in frame]
        size = sum(panel.size for panel in packed)
        with self._lock:
            if self._bytes + size > self.limit:
                self.n_dropped += 1
            elif index not in self._kept:
                self._kept[index] = packed
                self._bytes += size
        return frame

    def read(self, index: int) -> tuple[np.ndarray, ...]:
        """Return a frame, from memory if it is there; it is forgotten then."""
        with self._lock:
            kept = self._kept.pop(index, None)
            if kept is not None:
                self._bytes -= sum(panel.size for panel in kept)
        if kept is None:
            return self._from_source(index)
        return tuple(_unpacked(panel) for panel in kept)

    def _from_source(self, index: int) -> tuple[np.ndarray, ...]:
        with self._lock:
            self.n_read += 1
        return self.source.read(index)

    def __getstate__(self) -> dict[str, object]:
        # Another process starts with an empty cache.
        return {"source": self.source, "limit": self.limit}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__init__(state["source"], state["limit"])  # type: ignore[misc]


@dataclass(frozen=True, eq=False)
class _Packed:
    shape: tuple[int, int]
    small: bytes
    large: np.ndarray

    @property
    def size(self) -> int:
        return len(self.small) + self.large.nbytes


def _packed(values: np.ndarray) -> _Packed:
    # -2 and -1 become 0 and 1; what does not fit into a byte is listed in order.
    flat = values.ravel()
    fits = (flat >= -2) & (flat < _ESCAPE - 2)
    small = np.full(flat.shape, _ESCAPE, np.uint8)
    np.add(flat, 2, out=small, where=fits, casting="unsafe")
    rows, columns = values.shape
    return _Packed(
        (rows, columns), zlib.compress(small.tobytes(), 1), flat[~fits].astype(np.int32)
    )


def _unpacked(packed: _Packed) -> np.ndarray:
    small = np.frombuffer(zlib.decompress(packed.small), np.uint8)
    values = small.astype(np.int32)
    values -= 2
    values[small == _ESCAPE] = packed.large
    return values.reshape(packed.shape)
