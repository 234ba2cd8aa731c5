"""What every verb does around its one call: outcome, errors, exit code."""

from __future__ import annotations

import json
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import typer

from unstill.errors import UnstillError, UnstillWarning
from unstill.provenance import Provenance
from unstill.provenance.record import plain

FAILED, INTERRUPTED = 1, 130


class Verb:
    """Context of one run of a verb.

    Inside the ``with`` block the verb fills in its result; on leaving, a text
    or one JSON object goes to stdout, everything else to stderr. Errors become
    a message of three parts and exit code 1, Ctrl-C becomes 130; a traceback
    is shown only with ``debug``.

    Parameters
    ----------
    name
        The verb, for example ``"compare"`` or ``"map info"``.
    as_json
        Print one JSON object on stdout and nothing else there.
    debug
        Show tracebacks.
    """

    def __init__(self, name: str, *, as_json: bool = False, debug: bool = False) -> None:
        self.name = name
        self.as_json = as_json
        self.debug = debug
        self.outputs: dict[str, str] = {}
        self.result: dict[str, Any] = {}
        self.failed = False
        self._provenance: Provenance = Provenance(f"unstill {name}")
        self._lines: list[str] = []
        self._warnings: list[str] = []
        self._catcher = warnings.catch_warnings(record=False)

    def __enter__(self) -> Verb:
        self._catcher.__enter__()
        warnings.simplefilter("always", UnstillWarning)
        self._show_other = warnings.showwarning
        warnings.showwarning = self._catch_warning  # type: ignore[assignment]
        return self

    def record(
        self,
        parameters: Mapping[str, Any],
        *,
        inputs: Sequence[Path] = (),
        seed: int | None = None,
    ) -> Provenance:
        """Fill in the provenance; returns it for the output files."""
        self._provenance = Provenance.of(
            f"unstill {self.name}", parameters, inputs=inputs, seed=seed
        )
        return self._provenance

    def output(self, name: str, path: Path) -> None:
        """Name a file that was written."""
        self.outputs[name] = str(Path(path).absolute())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was warned of so far."""
        return tuple(self._warnings)

    def warn(self, text: str) -> None:
        """Tell the user something that does not stop the run."""
        if text not in self._warnings:
            self._warnings.append(text)
            typer.echo(f"warning: {text}", err=True)

    def say(self, text: str = "") -> None:
        """Add a line to the text for people (not shown with ``--json``)."""
        self._lines.append(text)

    def fail(self) -> None:
        """Finish normally, but with exit code 1 (an error-severity finding)."""
        self.failed = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        warnings.showwarning = self._show_other
        self._catcher.__exit__(None, None, None)
        if error is None:
            self._finish(None, FAILED if self.failed else 0)
            return
        if isinstance(error, (SystemExit, typer.Exit, typer.Abort, typer.BadParameter)):
            return
        if isinstance(error, KeyboardInterrupt):
            self._finish({"what": "interrupted", "found": None, "fix": None}, INTERRUPTED)
        if self.debug:
            traceback.print_exception(error)
        if isinstance(error, UnstillError):
            self._finish({"what": error.what, "found": error.found, "fix": error.fix}, FAILED)
        self._finish(_unexpected(error), FAILED)

    def _finish(self, error: Mapping[str, str | None] | None, code: int) -> None:
        if error is not None:
            _print_error(error)
        if self.as_json:
            found: dict[str, Any] = dict(self.result)
            if error is not None:
                found["error"] = error
            found |= {
                "outputs": self.outputs,
                "warnings": self._warnings,
                "provenance": self._provenance.as_dict(),
            }
            typer.echo(json.dumps(plain(found), allow_nan=False))
        elif error is None:
            for line in self._lines:
                typer.echo(line)
        if sys.stdout is not None:
            # A program without a terminal may have closed it.
            sys.stdout.flush()
        if code or error is not None:
            raise SystemExit(code)

    def _catch_warning(self, message: Warning | str, category: type[Warning], *rest: Any) -> None:
        if issubclass(category, UnstillWarning):
            self.warn(str(message))
        elif self.debug:
            self._show_other(message, category, *rest)


def _print_error(error: Mapping[str, str | None]) -> None:
    typer.echo(f"error: {error['what']}", err=True)
    if error["found"]:
        typer.echo(f"  found: {error['found']}", err=True)
    if error["fix"]:
        typer.echo(f"  to do: {error['fix']}", err=True)


def _unexpected(error: BaseException | None) -> dict[str, str | None]:
    if isinstance(error, FileNotFoundError):
        return {"what": "file not found", "found": error.filename, "fix": "check the path"}
    if isinstance(error, IsADirectoryError):
        return {
            "what": "a folder stands where a file is needed",
            "found": error.filename,
            "fix": "give the path of a file",
        }
    if isinstance(error, OSError):
        return {
            "what": "the system refused",
            "found": str(error),
            "fix": "check the path, its permissions and the free space",
        }
    if isinstance(error, MemoryError):
        return {
            "what": "out of memory",
            "found": str(error) or None,
            "fix": "raise d_min, or use fewer blocks or workers",
        }
    return {
        "what": "unexpected failure",
        "found": f"{type(error).__name__}: {error}",
        "fix": "run again with --debug and report what it prints",
    }
