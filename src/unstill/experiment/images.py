"""Where the frames of an experiment are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageSet:
    """Files that hold the frames; nothing is opened here.

    Parameters
    ----------
    template
        Path with ``###`` for the image number, or a master file that holds all
        frames; empty where there is a list.
    paths
        One file a frame, or one file that holds several.
    indices
        For files that hold several frames: which ones, counted from 0; empty means all.
    mask
        Path of a file with pixels to mask; empty if there is none.
    gain, pedestal
        Paths of files with the gain and the pedestal of every pixel; empty if there are none.
    folder
        Folder that relative paths start from.
    """

    template: str = ""
    paths: tuple[str, ...] = ()
    indices: tuple[int, ...] = ()
    mask: str = ""
    gain: str = ""
    pedestal: str = ""
    folder: str = "."

    def __bool__(self) -> bool:
        return bool(self.template or self.paths)
