"""Open images by what they contain, whatever they are called."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

from unstill.errors import FormatError, InputError
from unstill.experiment import Detector, FrameHeader, FrameSource, ImageSet
from unstill.io.frames.image_files import ImageFormat, open_image_files
from unstill.io.frames.image_template import (
    NumberedFiles,
    find_pattern,
    find_template,
    is_pattern,
    is_template,
    sort_files,
)
from unstill.io.frames.mini_cbf import read_cbf, read_cbf_header
from unstill.io.frames.several_sources import join_frames, pick_frames
from unstill.io.frames.smv import read_smv, read_smv_header
from unstill.io.frames.tiff import read_tiff, read_tiff_header
from unstill.io.reading import head, parsing

CBF = ImageFormat("CBF", read_cbf, read_cbf_header)
SMV = ImageFormat("SMV", read_smv, read_smv_header)
TIFF = ImageFormat("TIFF", read_tiff, read_tiff_header)
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
"""First bytes of an HDF5 file."""


def open_frames(
    images: ImageSet | Sequence[str | Path] | str | Path,
    *,
    detector: Detector | None = None,
    image_range: tuple[int, int] | None = None,
    growing: bool = False,
) -> FrameSource:
    """Open the frames of one sweep.

    Parameters
    ----------
    images
        An ``ImageSet``; a template with ``###`` or ``%04d``; a pattern such as
        ``"run1_*.cbf"``; one file or several (put in the order of the numbers in
        their names). Several HDF5 files follow one another.
    detector
        Its panels are cut from the images, and both must agree in size. ``None``
        takes the images as they are.
    image_range
        Numbers of the first and last image to use, both included: those in the
        file names of a template, or counted from 1 in an HDF5 file. Patterns and
        lists say themselves what to use.
    growing
        Whether images are still being written: those not there yet are no cause
        for a warning, and ``refresh`` finds them later.

    Returns
    -------
    source
        Lazy; nothing but the first header is read here.

    Raises
    ------
    InputError
        If there are no such images, or they do not fit the detector.
    FormatError
        If a file is damaged or of a kind that is not known.
    """
    if isinstance(images, ImageSet):
        return _open_set(images, detector, image_range, growing=growing)
    if isinstance(images, str | Path):
        return _open_one(str(images), detector, image_range, growing=growing)
    if not images:
        raise InputError(
            "no images were given",
            found="an empty list",
            fix="give a template, a pattern or files",
        )
    if len(images) == 1:
        return _open_one(str(images[0]), detector, image_range, growing=growing)
    return _open_list(sort_files([Path(path) for path in images]), detector)


def read_header(path: Path | str) -> FrameHeader:
    """Read what the header of an image says; of the first frame where a file holds several.

    Raises
    ------
    FormatError
        If the file is damaged or of a kind that is not known.
    InputError
        If it does not exist.
    """
    path = Path(path)
    image_format = _format(path)
    if image_format is None:
        from unstill.io.frames.nexus_frames import open_nexus

        return open_nexus(path, growing=True).heading.frame(0)
    return image_format.header(path)


def _open_set(
    images: ImageSet,
    detector: Detector | None,
    image_range: tuple[int, int] | None,
    *,
    growing: bool,
) -> FrameSource:
    folder = Path(images.folder)
    if images.template:
        source = _open_one(str(folder / images.template), detector, image_range, growing=growing)
        return (
            pick_frames([source], [(0, i) for i in images.indices]) if images.indices else source
        )
    paths = [folder / path for path in images.paths]
    if not paths:
        raise InputError(
            "the experiment names no images",
            found="neither a template nor a path",
            fix="say where they are with --images GLOB",
        )
    if not images.indices:
        return _open_list(paths, detector)
    unique = list(dict.fromkeys(paths))
    sources = [_open_one(str(path), detector, None, growing=growing) for path in unique]
    if len(paths) == 1:
        return pick_frames(sources, [(0, i) for i in images.indices])
    if len(paths) != len(images.indices):
        raise InputError(
            "the image set does not say which frames of which file",
            found=f"{len(paths)} paths and {len(images.indices)} indices",
            fix="give one index a path",
        )
    files = [unique.index(path) for path in paths]
    return pick_frames(sources, list(zip(files, images.indices, strict=True)))


def _open_one(
    where: str,
    detector: Detector | None,
    image_range: tuple[int, int] | None,
    *,
    growing: bool,
) -> FrameSource:
    path = Path(where)
    if not path.exists() and is_template(where):
        numbered = find_template(where)
        image_format = _format(numbered.present[0])
        if image_format is None:
            return _open_list(list(numbered.present), detector)
        return open_image_files(
            numbered,
            image_format,
            detector,
            template=where,
            image_range=image_range,
            growing=growing,
        )
    if is_pattern(where):
        numbered = find_pattern(where)
        image_format = _format(numbered.present[0])
        if image_format is None:
            return _open_list(_masters(numbered.present), detector)
        return open_image_files(numbered, image_format, detector, pattern=where, growing=growing)
    image_format = _format(path)
    if image_format is None:
        from unstill.io.frames.nexus_frames import open_nexus

        return open_nexus(path, detector, image_range=image_range, growing=growing)
    return open_image_files(NumberedFiles((path,), None), image_format, detector)


def _open_list(paths: Sequence[Path], detector: Detector | None) -> FrameSource:
    image_format = _format(paths[0])
    if image_format is None:
        sources = [_open_one(str(path), detector, None, growing=False) for path in paths]
        return sources[0] if len(sources) == 1 else join_frames(sources)
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None:
        raise _absent(missing)
    return open_image_files(NumberedFiles(tuple(paths), None), image_format, detector)


def _masters(paths: Sequence[Path]) -> list[Path]:
    """Leave out the data files of masters that are in the list themselves."""
    masters = [path for path in paths if path.stem.endswith("_master")]
    stems = tuple(path.stem.removesuffix("_master") + "_data_" for path in masters)
    return [path for path in paths if not (stems and path.name.startswith(stems))]


def _format(path: Path) -> ImageFormat | None:
    """Tell the format from the first bytes; ``None`` for HDF5."""
    if path.is_dir():
        raise InputError(
            "a folder is not an image",
            found=path,
            fix="give a template such as FOLDER/run1_####.cbf, or a pattern in quotes",
        )
    if not path.exists():
        raise _absent(path)
    with parsing(path, "an image"):
        start = _start(path)
    if start.startswith(HDF5_MAGIC):
        return None
    if start.startswith(b"###CBF"):
        return CBF
    if start.startswith(b"{") and b"HEADER_BYTES" in start:
        return SMV
    if start[:4] in _TIFF_MAGIC:
        return TIFF
    raise FormatError(
        f"{path.name} is not an image of a kind that is known here",
        found=f"{path}: it begins with {start[:8]!r}",
        fix="give mini-CBF, NXmx or Eiger HDF5, ADSC (SMV) or TIFF images",
    )


_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _start(path: Path) -> bytes:
    start = head(path, 512)
    if start.startswith(b"\x1f\x8b"):
        with gzip.open(path) as stream:
            return stream.read(512)
    return start


def _absent(path: Path) -> InputError:
    return InputError(
        "an image does not exist",
        found=path,
        fix="check the folder, or say where the images are with --images GLOB",
    )
