"""What decides a result, as a digest: experiments by content, images by file and by sample."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unstill.experiment import Experiment, FrameSource
from unstill.experiment.images import ImageSet
from unstill.io.atomic import atomic_path
from unstill.reduction.survey.frame_cache import FrameCache


def experiment_digest(experiment: Experiment) -> str:
    """Hexadecimal sha256 of beam, detector, goniometer, scan and lattice.

    Where the images are, and what the experiment is called, do not count.
    """
    hasher = hashlib.sha256()
    _feed(hasher, dataclasses.replace(experiment, images=ImageSet(), name=""))
    return hasher.hexdigest()


def array_digest(*arrays: np.ndarray) -> str:
    """Hexadecimal sha256 of arrays: kind, shape and content."""
    hasher = hashlib.sha256()
    for array in arrays:
        _feed(hasher, array)
    return hasher.hexdigest()


def image_digest(source: FrameSource, folder: Path, *, growing: bool = False) -> str:
    """Identity of the images of a sweep, without reading all of them.

    Path, size and time of change of every file, and the pixels of the first and
    last frame. While a sweep grows only the first frame counts, so that what
    was integrated before more frames came is found again. When the sweep is
    complete, :func:`remember_growth` notes which files the growing identity
    ended up with: a later run on those very files gets it back.

    Parameters
    ----------
    source
        The frames.
    folder
        Where identities of grown sweeps are noted.
    growing
        Whether frames still come.
    """
    single = source.n_frames == 1 and not growing
    # Reading a still to know it would read every image twice.
    first = "" if single else array_digest(*_look(source, 0))
    start = _digest(["growing", str(Path(source.files()[0]).resolve()), first])
    if growing:
        return start
    state = _files_state(source)
    if _noted(folder, start) == state:
        return start
    last = "" if single else array_digest(*_look(source, source.n_frames - 1))
    return _digest([first, last, source.n_frames, state])


def remember_growth(source: FrameSource, folder: Path) -> None:
    """Note the files of a sweep that was followed to its end."""
    folder.mkdir(parents=True, exist_ok=True)
    identity = image_digest(source, folder, growing=True)
    with atomic_path(folder / f"{identity[:20]}.json") as temporary:
        temporary.write_text(json.dumps(_files_state(source)), encoding="utf-8")


def _look(source: FrameSource, index: int) -> tuple[np.ndarray, ...]:
    return source.look(index) if isinstance(source, FrameCache) else source.read(index)


def _noted(folder: Path, identity: str) -> Any:
    try:
        return json.loads((folder / f"{identity[:20]}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _files_state(source: FrameSource) -> list[list[Any]]:
    found = []
    for name in source.files():
        state = Path(name).stat()
        found.append([str(Path(name).resolve()), state.st_size, state.st_mtime_ns])
    return found


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _feed(hasher: Any, value: Any) -> None:
    """Feed a value in a form that tells its kind and ends."""
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.ascontiguousarray(value)
        hasher.update(f"array {array.dtype.str} {array.shape};".encode())
        hasher.update(array.tobytes())
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        hasher.update(f"class {type(value).__name__};".encode())
        for item in dataclasses.fields(value):
            hasher.update(f"{item.name}:".encode())
            _feed(hasher, getattr(value, item.name))
    elif isinstance(value, Mapping):
        hasher.update(f"map {len(value)};".encode())
        for key in sorted(value, key=str):
            hasher.update(f"{key}:".encode())
            _feed(hasher, value[key])
    elif isinstance(value, (tuple, list)):
        hasher.update(f"list {len(value)};".encode())
        for entry in value:
            _feed(hasher, entry)
    else:
        hasher.update(f"{type(value).__name__} {value!r};".encode())
