"""Every exception that unstill raises on purpose, on one page.

::

    UnstillError
    ├── InputError (ValueError)      an argument or a value in a file cannot be right
    │   └── UnknownCrystalError      a file without cell or symmetry, and nobody gave them
    ├── FormatError (ValueError)     a file is not what it says it is
    ├── OutputError (OSError)        a result could not be written; nothing partial is left
    └── MissingExtraError (ImportError)   an optional package is not installed

Each carries three parts: what is wrong, what was found, what to do about it.
"""

from __future__ import annotations


class UnstillError(Exception):
    """What is wrong, what was found, what to do.

    Parameters
    ----------
    what
        What is wrong, as a sentence without the final stop.
    found
        The value or state that was found.
    fix
        What the user can do about it.
    """

    def __init__(self, what: str, *, found: object = None, fix: str | None = None) -> None:
        self.what = what
        self.found = None if found is None else str(found)
        self.fix = fix
        super().__init__(what, self.found, fix)

    def __str__(self) -> str:
        text = self.what
        if self.found is not None:
            text += f"; found {self.found}"
        if self.fix is not None:
            text += f"; {self.fix}"
        return text

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders; keyword-only arguments need help to do so.
        return (_rebuild, (type(self), self.what, self.found, self.fix))


def _rebuild(
    cls: type[UnstillError], what: str, found: str | None, fix: str | None
) -> UnstillError:
    return cls(what, found=found, fix=fix)


class InputError(UnstillError, ValueError):
    """An argument, or a value in a file, cannot be right."""


class UnknownCrystalError(InputError):
    """A file carries no unit cell or space group, and none was given."""


class FormatError(UnstillError, ValueError):
    """A file is damaged, or not of the format that it claims."""


class OutputError(UnstillError, OSError):
    """A result could not be written; nothing partial is left behind."""


class MissingExtraError(UnstillError, ImportError):
    """An optional package is needed and is not installed."""


class UnstillWarning(UserWarning):
    """Something the user should know that does not stop the run; verbs list it in ``warnings``."""
