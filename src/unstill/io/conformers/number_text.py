"""Numbers as text of so many digits, or of as many as they need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class NumberText:
    """How numbers are written.

    Parameters
    ----------
    digits
        Decimals of coordinates and B; occupancies get six, which keeps weights to 1e-6,
        trailing zeros dropped; U gets three more than coordinates. ``None``: the
        shortest text that reads back as the same float64.
    """

    digits: int | None = 3

    def lengths(self, values: np.ndarray) -> list[str]:
        """Coordinates (Å) and B (Å²)."""
        return self._fixed(values, self.digits or 0)

    def displacements(self, values: np.ndarray) -> list[str]:
        """U (Å²)."""
        return self._fixed(values, (self.digits or 0) + 3)

    def shares(self, values: np.ndarray) -> list[str]:
        """Occupancies."""
        if self.digits is None:
            return _shortest(values)
        return [_at_least_two(f"{value:.6f}") for value in values.tolist()]

    def _fixed(self, values: np.ndarray, digits: int) -> list[str]:
        if self.digits is None:
            return _shortest(values)
        # What rounds to zero from below would print a stray sign.
        values = np.where(np.abs(values) <= 0.5 * 10.0**-digits, 0.0, values)
        return [f"{value:.{digits}f}" for value in values.tolist()]


def _shortest(values: np.ndarray) -> list[str]:
    return [repr(value) for value in values.tolist()]


def _at_least_two(text: str) -> str:
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.rstrip('0'):0<2s}"
