"""Where the non-uniform FFT runs: this processor, or a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from unstill.errors import InputError
from unstill.optional import require

Device = Literal["cpu", "gpu"]


@dataclass(frozen=True)
class Backend:
    """An array library with the non-uniform FFT that goes with it.

    Parameters
    ----------
    xp
        numpy or cupy.
    plan_class
        ``finufft.Plan`` or ``cufinufft.Plan``.
    options
        Options of every plan.
    """

    xp: Any
    plan_class: Any
    options: dict[str, Any]

    def plan(
        self, nufft_type: int, modes: tuple[int, ...], n_trans: int, eps: float, dtype: str
    ) -> Any:
        """Plan of type 1 (atoms to modes, sign +) or 2 (modes to atoms, sign −)."""
        sign = 1 if nufft_type == 1 else -1
        return self.plan_class(nufft_type, modes, n_trans, eps, sign, dtype, **self.options)

    def to_host(self, array: Any) -> np.ndarray:
        """Return a numpy array, copied from the device if need be."""
        host: np.ndarray = self.xp.asnumpy(array) if hasattr(self.xp, "asnumpy") else array
        return host


def backend(device: str, *, upsampling: float = 2.0) -> Backend:
    """Return the backend of a device.

    Raises
    ------
    InputError
        If the device is neither ``"cpu"`` nor ``"gpu"``.
    MissingExtraError
        If ``"gpu"`` is asked for without ``unstill[gpu]``.
    """
    if device == "cpu":
        import finufft

        # One thread: frames run in parallel, and a fixed order of sums gives fixed bits.
        options = {"nthreads": 1, "upsampfac": upsampling}
        return Backend(np, finufft.Plan, options)
    if device == "gpu":
        cufinufft = require("cufinufft", extra="gpu")
        return Backend(require("cupy", extra="gpu"), cufinufft.Plan, {})
    raise InputError(
        "unknown device", found=repr(device), fix=f"choose one of {', '.join(get_args(Device))}"
    )
