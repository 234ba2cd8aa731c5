"""Fetch a data set: embedded, from a local folder, or from upstream; always verified."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from unstill.datasets.registry import DataFile, Dataset, find_dataset
from unstill.errors import InputError, UnstillWarning
from unstill.provenance import digest_file

LOCAL_FOLDER = "UNSTILL_DATA"
"""Environment variable that names a folder to look in before the network."""

_TIMEOUT = 30  # seconds of silence from a server before the next address is tried


@dataclass(frozen=True)
class FetchedDataset:
    """A data set whose files are on this machine and have the right hashes.

    Parameters
    ----------
    dataset
        Its entry in the registry.
    paths
        Role (``"map"``, ``"model"``) → file.
    origins
        Role → ``"embedded"``, ``"local folder"``, ``"cache"`` or the address it came from.
    """

    dataset: Dataset
    paths: Mapping[str, Path]
    origins: Mapping[str, str]


def fetch(
    name: str,
    *,
    roles: Sequence[str] | None = None,
    folder: Path | None = None,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FetchedDataset:
    """Bring the files of a data set to this machine and verify them.

    A file is looked for in the package, then under ``folder``, then in the
    cache, and is fetched last. Its sha256 must be that of the registry
    wherever it comes from.

    Parameters
    ----------
    name
        Name of the data set.
    roles
        Which files; all by default.
    folder
        Local folder that holds the files under their relative paths; by
        default what the environment variable ``UNSTILL_DATA`` names.
    cache
        Where fetched files are kept; by default the user's cache folder.
    progress
        Called with files done and files in all.

    Raises
    ------
    InputError
        If there is no such data set, a file has the wrong hash, or nothing
        could be fetched; says what to do.
    """
    dataset = find_dataset(name)
    wanted = [file for file in dataset.files if roles is None or file.role in roles]
    local = None if dataset.embedded else _local_folder(folder)
    found: dict[str, tuple[Path, str]] = {}
    for done, file in enumerate(wanted, start=1):
        found[file.role] = _locate(file, local, cache)
        if progress is not None:
            progress(done, len(wanted))
    return FetchedDataset(
        dataset,
        paths={role: path for role, (path, _) in found.items()},
        origins={role: origin for role, (_, origin) in found.items()},
    )


def _local_folder(given: Path | None) -> Path | None:
    if given is not None:
        return Path(given)
    named = os.environ.get(LOCAL_FOLDER)
    if not named:
        return None
    if not Path(named).is_dir():
        warnings.warn(f"{LOCAL_FOLDER} names no folder: {named}", UnstillWarning, stacklevel=3)
    return Path(named)


def _locate(file: DataFile, folder: Path | None, cache: Path | None) -> tuple[Path, str]:
    if file.embedded:
        path = Path(str(files("unstill.datasets").joinpath("embedded", file.path)))
        _verify(path, file, "install unstill again; its embedded data are damaged")
        return path, "embedded"
    if folder is not None and (path := folder / file.path).is_file():
        _verify(
            path,
            file,
            f"replace the file, or unset {LOCAL_FOLDER} to fetch the original; "
            "to work with a file of your own use: unstill fit MAP MODEL",
        )
        return path, "local folder"
    return _from_upstream(file, cache)


def _verify(path: Path, file: DataFile, fix: str) -> None:
    if not path.is_file():
        raise InputError("a file of the data set is missing", found=path, fix=fix)
    digest = digest_file(path)
    if digest != file.sha256:
        raise InputError(
            "a file of the data set is not the registered one",
            found=f"{path} with sha256 {digest}, expected {file.sha256}",
            fix=fix,
        )


def _from_upstream(file: DataFile, cache: Path | None) -> tuple[Path, str]:
    import pooch

    pooch.get_logger().setLevel("ERROR")
    folder = Path(cache) if cache is not None else Path(pooch.os_cache("unstill"))
    path = folder / file.path
    if path.is_file() and digest_file(path) == file.sha256:
        return path, "cache"
    failures = []
    for url in file.urls:
        try:
            got = pooch.retrieve(
                url,
                known_hash=f"sha256:{file.sha256}",
                path=path.parent,
                fname=path.name,
                downloader=pooch.HTTPDownloader(timeout=_TIMEOUT),
            )
        # pooch passes on whatever its HTTP stack raises: OSError offline, ValueError on a hash.
        except (OSError, ValueError) as error:
            failures.append(f"{url}: {_reason(error)}")
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        else:
            return Path(got), url
    raise InputError(
        "the data set could not be fetched",
        found="; ".join(failures),
        fix=(
            f"check the network, or put the file (sha256 {file.sha256}) at "
            f"DIR/{file.path} and set {LOCAL_FOLDER}=DIR"
        ),
    )


def _reason(error: BaseException) -> str:
    # The HTTP stack wraps what happened in a text that repeats the address.
    innermost = next((one.reason for one in error.args if hasattr(one, "reason")), error)
    text = " ".join(str(innermost).split())
    if "does not match the known hash" in text:
        return "the file there is not the registered one (its sha256 differs)"
    text = text.rpartition("): ")[2]
    return text if len(text) <= 120 else text[:117] + "..."
