"""The other end of the pipe: ``python -I worker_main.py PREDICTOR/worker.py``.

Runs in the predictor's own Python and imports nothing of unstill. The pipe is
moved away from standard output before the predictor is imported, so that
nothing it prints gets in between; that goes to standard error.

A ``worker.py`` defines a class ``Worker``:

``Worker(options)``
    Imports the predictor and loads its weights. ``name``, ``version``,
    ``device`` and ``sigma_data`` (Å) say what was loaded.
``featurise(molecules, seed)``
    Prepares the network for these molecules; returns a row for every atom:
    chain, residue number, residue name, atom name, element.
``denoise(x, sigma, keep)``
    Clean coordinates of ``x`` ``(members, atoms, 3)``, both in Å; with
    ``keep`` set, what ``pullback`` needs is kept.
``pullback(gradient)``
    Transposed Jacobian of the last ``denoise`` times a gradient to its result.
``device_memory()``
    Bytes in use on the device.

One that packs side chains has, in place of the first three and with ``None``
for ``sigma_data``:

``pack(residues, free, coord, context, numbers, samples, seed)``
    For every residue (chain, number, letter, names of its atoms; their places
    follow one another in ``coord``) that is free, side chains drawn anew beside
    atoms of ligands of these places and atomic numbers. Returns names by
    residue, places ``(samples, atoms, 3)`` of all named, and log densities of
    the drawn angles ``(samples, residues)``.

An exception with an attribute ``kind`` decides what unstill is told.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

KINDS = ("missing_weights", "missing_package", "out_of_memory", "bad_input")


def main(path: str) -> None:
    """Answer requests until told to stop, or until nobody is left to ask."""
    # Ctrl-C reaches everybody; the one who asks decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    requests, answers = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.dup2(2, 1)
    wire = _module("unstill_wire", Path(__file__).with_name("wire.py"))
    desk = Desk(_module("unstill_worker", Path(path)), wire.PROTOCOL)
    with os.fdopen(requests, "rb") as stream, os.fdopen(answers, "wb") as out:
        while desk.open:
            try:
                request, arrays = wire.decode(lambda size: _exactly(stream, size))
            except EOFError:
                return
            number = {"id": request.get("id")}
            answer, found = desk.answer(request, arrays)
            try:
                frame = wire.encode(answer | number, found)
            except (TypeError, ValueError, AttributeError) as error:
                # The predictor answered with what is no array, or no number.
                frame = wire.encode(_failure(error) | number)
            out.write(frame)
            out.flush()


def _end_with(owner: int) -> None:
    """End when whoever started this is gone, also amid a long computation."""
    # A closed pipe is seen only between two answers.
    while os.getppid() == owner:
        time.sleep(1.0)
    # It leads its group: what it started ends with it.
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)


class Desk:
    """One predictor, from its first request to its last.

    Parameters
    ----------
    module
        The loaded ``worker.py``.
    protocol
        Version of the messages that this side speaks.
    """

    def __init__(self, module: Any, protocol: int) -> None:
        self.open = True
        self._module = module
        self._protocol = protocol
        self._worker: Any = None

    def answer(
        self, request: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Header and arrays that answer a request; an error is an answer too."""
        try:
            return self._answer(request, arrays)
        except Exception as error:  # noqa: BLE001 - whatever a predictor raises is told
            return _failure(error), {}

    def _answer(
        self, request: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        asked = request.get("type")
        if asked == "hello":
            return self._hello(request), {}
        if asked == "shutdown":
            self.open = False
            return {"type": "shutdown"}, {}
        if self._worker is None:
            raise BadInputError(f"{asked!r} was asked before 'hello'")
        if asked == "featurise":
            rows = self._worker.featurise(request["molecules"], request["seed"])
            return {"type": "featurise", "atoms": [list(row) for row in rows]}, {}
        if asked == "denoise":
            clean = self._worker.denoise(arrays["x"], request["sigma"], request["keep"])
            return {"type": "denoise"}, {"clean": clean}
        if asked == "pullback":
            pulled = self._worker.pullback(arrays["gradient"])
            return {"type": "pullback"}, {"gradient": pulled}
        if asked == "pack":
            drawn = self._worker.pack(
                request["residues"],
                request["free"],
                arrays["coord"],
                arrays["context"],
                request["numbers"],
                request["samples"],
                request["seed"],
            )
            return {"type": "pack", "names": drawn[0]}, {"coord": drawn[1], "density": drawn[2]}
        if asked == "report":
            return {"type": "report", **self._report()}, {}
        raise BadInputError(f"{asked!r} is no request")

    def _hello(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if request.get("protocol") != self._protocol:
            raise UnsupportedVersionError(
                f"asked in version {request.get('protocol')}, spoken is {self._protocol}"
            )
        self._worker = self._module.Worker(request["options"])
        worker = self._worker
        return {
            "type": "hello",
            "protocol": self._protocol,
            "name": worker.name,
            "version": worker.version,
            "python": platform.python_version(),
            "sigma_data": None if worker.sigma_data is None else float(worker.sigma_data),
            **self._report(),
        }

    def _report(self) -> dict[str, Any]:
        return {
            "device": self._worker.device,
            "memory": resident_memory(),
            "device_memory": int(self._worker.device_memory()),
        }


class BadInputError(Exception):
    """The request cannot be answered as it is."""

    kind = "bad_input"


class UnsupportedVersionError(Exception):
    """The other side speaks another version."""

    kind = "unsupported_version"


def kind_of(error: BaseException) -> str:
    """Tell the kind of an exception; ``internal`` where nothing else is known."""
    kind = getattr(error, "kind", None)
    if kind in (*KINDS, "unsupported_version"):
        return str(kind)
    names = {cls.__name__ for cls in type(error).__mro__}
    text = str(error).lower()
    if names & {"MemoryError", "OutOfMemoryError"} or (
        "RuntimeError" in names and ("out of memory" in text or "can't allocate memory" in text)
    ):
        return "out_of_memory"
    if "ModuleNotFoundError" in names:
        return "missing_package"
    return "internal"


def resident_memory() -> int:
    """Bytes of memory that this process holds now, or held at most where that is all we know."""
    with contextlib.suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    import resource

    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else held * 1024


def _failure(error: BaseException) -> dict[str, Any]:
    traceback.print_exception(error)
    sys.stderr.flush()
    message = f"{type(error).__name__}: {error}"[:2000]
    return {"type": "error", "kind": kind_of(error), "message": message}


def _exactly(stream: Any, size: int) -> bytes:
    data: bytes = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _module(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses of the file look themselves up here.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main(sys.argv[1])
