r"""Diffuse intensity of weighted members, and what pulls a gradient back to the weights.

.. math:: x_w(h) = \sum_t w_t \langle|F_t|^2\rangle - \Big|\sum_t w_t \langle F_t\rangle\Big|^2

is exact for blocks of frames as for frames. With g = ∂L/∂x and m = Σ w F,

.. math:: \partial L/\partial w_t = \sum_h g(h)\,
          \big(\langle|F_t|^2\rangle - 2\,\mathrm{Re}\, m^*(h) \langle F_t\rangle\big).

Several sets of weights are evaluated at a time (the leading axis), because
the members then pass through memory once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from unstill.weighting.table import MemberTable, Slab

Means = list[tuple[Any, Any]]
"""Real and imaginary part of Σ w F − centre, by slab."""

Result = TypeVar("Result")


def weighted_intensity(table: MemberTable, weights: Any, *, workers: int = 1) -> tuple[Any, Means]:
    """Diffuse intensity at the orbits, for each set of weights.

    Parameters
    ----------
    table
        The members.
    weights
        ``(n_sets, n_members)``, each row summing to one; an array of the
        backend of the table or of numpy.
    workers
        Threads; the result does not depend on it.

    Returns
    -------
    intensity
        ``(n_sets, n_orbits)`` e² per unit cell, double precision.
    means
        For :func:`pull_back`.
    """
    backend = table.backend
    xp = backend.xp
    w = backend.array(weights, _precision(table))

    def one(slab: Slab) -> tuple[Any, tuple[Any, Any]]:
        re, im = w @ slab.re, w @ slab.im
        coherent = _orbit_mean(xp, re * re + im * im, slab.size)
        x = backend.array(w @ slab.square - coherent)
        table.release()
        return x, (re, im)

    parts = each(one, table.slabs, workers if backend.name == "numpy" else 1)
    intensity = xp.concatenate([x for x, _ in parts], axis=1) / table.n_cells
    return intensity, [means for _, means in parts]


def pull_back(table: MemberTable, means: Means, gradient: Any, *, workers: int = 1) -> Any:
    """Gradient to the weights from the gradient to the intensity.

    Parameters
    ----------
    table, means
        As :func:`weighted_intensity` took and gave them.
    gradient
        ``(n_sets, n_orbits)`` ∂L/∂x.
    workers
        Threads; the result does not depend on it.

    Returns
    -------
    gradient
        ``(n_sets, n_members)`` ∂L/∂w, double precision.
    """
    backend = table.backend
    xp = backend.xp
    g = backend.array(gradient / table.n_cells, _precision(table))

    def one(numbered: tuple[Slab, tuple[Any, Any]]) -> Any:
        slab, (re, im) = numbered
        here = g[:, slab.orbits]
        shared = _spread(xp, here, slab.size) * (-2 / slab.size)
        pulled = here @ slab.square.T + (shared * re) @ slab.re.T + (shared * im) @ slab.im.T
        table.release()
        return backend.array(pulled)

    pairs = list(zip(table.slabs, means, strict=True))
    parts = each(one, pairs, workers if backend.name == "numpy" else 1)
    # In order, so that the bits do not depend on which thread came first.
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _precision(table: MemberTable) -> str:
    return str(table.slabs[0].re.dtype).removeprefix("torch.")


def _orbit_mean(xp: Any, values: Any, size: int) -> Any:
    return xp.mean(xp.reshape(values, (values.shape[0], -1, size)), axis=2)


def _spread(xp: Any, values: Any, size: int) -> Any:
    n_sets, n_orbits = values.shape
    wide = xp.broadcast_to(values[:, :, None], (n_sets, n_orbits, size))
    return xp.reshape(wide, (n_sets, n_orbits * size))


def each(task: Callable[[Any], Result], items: Sequence[Any], workers: int) -> list[Result]:
    """Results of a task for every item, in order, on several threads."""
    if workers == 1 or len(items) == 1:
        return [task(item) for item in items]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(task, items))
