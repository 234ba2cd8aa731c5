"""The array library that an array belongs to."""

from __future__ import annotations

import sys
from typing import Any


def array_namespace(array: Any) -> Any:
    """Namespace of an array: numpy, cupy, or what ``__array_namespace__`` says.

    Formula lines call functions of what this returns, so that they run where
    the array lives.

    Examples
    --------
    >>> import numpy as np
    >>> array_namespace(np.zeros(3)) is np
    True
    """
    if hasattr(array, "__array_namespace__"):
        return array.__array_namespace__()
    return sys.modules[type(array).__module__.partition(".")[0]]
