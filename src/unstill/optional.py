"""Optional packages, asked for by name and with the line to type."""

from __future__ import annotations

import importlib
from types import ModuleType

from unstill.errors import MissingExtraError


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional package or say how to get it.

    Parameters
    ----------
    module
        Import name, for example ``"distributed"``.
    extra
        The extra of unstill that installs it.

    Raises
    ------
    MissingExtraError
        If the package cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"the optional package {module!r} is not installed",
            found=str(error),
            fix=f"run: pip install 'unstill[{extra}]'",
        ) from error
