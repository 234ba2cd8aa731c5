"""Kernels compile where no cache can be written."""

from __future__ import annotations

import numba
import numpy as np

from unstill.compiled import kernel


def test_kernels_compile_without_a_place_for_the_cache(monkeypatch):
    njit = numba.njit

    def nowhere_to_write(*arguments, cache: bool = False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*arguments, **options)

    monkeypatch.setattr(numba, "njit", nowhere_to_write)

    @kernel
    def total(values: np.ndarray) -> float:
        summed = 0.0
        for value in values:
            summed += value
        return summed

    assert total(np.arange(4.0)) == 6.0
