"""What a step noticed and the user should know: a fault by name, and its remedy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One fault in the data.

    Parameters
    ----------
    code
        Short name for programs, for example ``"second-lattice"``.
    what
        What is wrong, as a sentence without the final stop.
    found
        The values that were found.
    fix
        What can be done about it.
    """

    code: str
    what: str
    found: str = ""
    fix: str = ""

    def __str__(self) -> str:
        return "; ".join(part for part in (self.what, self.found, self.fix) if part)
