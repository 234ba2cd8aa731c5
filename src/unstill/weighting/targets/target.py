"""The interface of a target."""

from __future__ import annotations

from typing import Any, Protocol

from unstill.weighting.backends import Backend
from unstill.weighting.problems import Problems


class PreparedTarget(Protocol):
    """A target with its data where the work is done."""

    def value_and_gradient(self, x: Any, which: Any) -> tuple[Any, Any]:
        """How bad calculated intensities are.

        Parameters
        ----------
        x
            ``(n, n_orbits)`` calculated intensities, double precision.
        which
            ``(n,)`` the problem that each row belongs to.

        Returns
        -------
        value, gradient
            ``(n,)`` and ``(n, n_orbits)`` ∂value/∂x.
        """
        ...


class Target(Protocol):
    """A measure of disagreement, to be minimised."""

    @property
    def name(self) -> str:
        """Its name on the command line."""
        ...

    def prepare(self, problems: Problems, backend: Backend) -> PreparedTarget:
        """Bring the data of the problems to a backend.

        Raises
        ------
        InputError
            If the data do not suit the target.
        """
        ...
