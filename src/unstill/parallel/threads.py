"""How many threads a linear-algebra library may start."""

from __future__ import annotations

import os

_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def keep_to_one_thread() -> None:
    """Let BLAS and OpenMP use one thread, unless the user has said otherwise.

    unstill runs frames in parallel and its matrices are small; threads that
    wait for each other on a busy machine made one fit ten times slower. Takes
    effect only before numpy is imported.
    """
    for variable in _VARIABLES:
        os.environ.setdefault(variable, "1")
