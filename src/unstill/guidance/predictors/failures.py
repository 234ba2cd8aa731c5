"""What can go wrong with a predictor in its own process.

::

    PredictorError (UnstillError)
    ├── PredictorDiedError       it ended, or was ended, without an answer; restart and go on
    ├── PredictorTimeoutError    no answer in time; it was stopped
    ├── PredictorProtocolError   it answered what cannot be, or in another version
    ├── PredictorMemoryError     memory did not suffice; it lives on
    └── MissingWeightsError      its weights are not there, or not these
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

from unstill.errors import InputError, MissingExtraError, UnstillError


class PredictorError(UnstillError, RuntimeError):
    """A predictor failed."""


class PredictorDiedError(PredictorError):
    """The process of a predictor ended without an answer."""


class PredictorTimeoutError(PredictorError):
    """A predictor gave no answer in time."""


class PredictorProtocolError(PredictorError):
    """A predictor answered what cannot be an answer."""


class PredictorMemoryError(PredictorError, MemoryError):
    """The memory of the machine or the device did not suffice."""


class MissingWeightsError(PredictorError):
    """The weights of a predictor are missing or of another network."""


def told(name: str, answer: Mapping[str, Any], stderr: str) -> UnstillError:
    """Make the exception for an error that a predictor answered with.

    Parameters
    ----------
    name
        Of the predictor.
    answer
        ``kind`` and ``message``.
    stderr
        The last lines it printed.
    """
    kind, message = str(answer.get("kind")), str(answer.get("message"))
    if kind == "missing_weights":
        return MissingWeightsError(
            f"the weights of {name} could not be loaded",
            found=message,
            fix="give the file that its authors publish; unstill brings no weights",
        )
    if kind == "out_of_memory":
        return PredictorMemoryError(
            f"{name} ran out of memory",
            found=message,
            fix="give fewer members at a time (batch), or a shorter sequence",
        )
    if kind == "bad_input":
        return InputError(
            f"{name} cannot take this input",
            found=message,
            fix="change the sequences or options that the message names",
        )
    if kind == "missing_package":
        return MissingExtraError(
            f"the Python of {name} lacks a package",
            found=message,
            fix=f"run: unstill predictor install {name}",
        )
    if kind == "unsupported_version":
        return other_version(name, message)
    return PredictorError(
        f"{name} failed",
        found=with_stderr(message, stderr),
        fix="the lines above are its own; check that its packages and weights fit together",
    )


def other_version(name: str, found: object) -> PredictorProtocolError:
    """Make the exception for a worker that speaks another version of the messages."""
    return PredictorProtocolError(
        f"{name} speaks another version of the messages",
        found=found,
        fix="use the worker that came with this unstill",
    )


def died(name: str, code: int, stderr: str) -> PredictorDiedError:
    """Make the exception for a process that ended with an exit code."""
    if code == -signal.SIGKILL:
        return PredictorDiedError(
            f"{name} was killed, most likely because memory ran out",
            found=with_stderr("signal 9", stderr),
            fix="give fewer members at a time (batch), or a machine with more memory",
        )
    how = f"signal {-code} ({_signal(-code)})" if code < 0 else f"exit code {code}"
    return PredictorDiedError(
        f"{name} ended without an answer",
        found=with_stderr(how, stderr),
        fix=f"run: unstill predictor check {name}",
    )


def with_stderr(text: str, stderr: str) -> str:
    """Append the last lines that a predictor printed."""
    return f"{text}; its last lines:\n{stderr}" if stderr else text


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
