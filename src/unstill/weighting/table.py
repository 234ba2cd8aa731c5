"""The table of members: mean F and mean |F|² of each at the points that are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from unstill.diffuse.bragg import BraggPoints
from unstill.errors import InputError
from unstill.maps.members import Member, MemberSource
from unstill.shapes import Float, Int
from unstill.weighting.backends import Backend, weighting_backend
from unstill.weighting.bragg import FoldedMembers
from unstill.weighting.orbits import Orbits
from unstill.weighting.scratch import Scratch

MEMORY = 1 << 30
"""Bytes above which the table lies in a scratch file instead of in memory."""

_SLAB = 1 << 23
_FEWEST_POINTS = 64
_RELEASED = 64
"""Members after whose writing the pages of a scratch file are given back."""


@dataclass(frozen=True, eq=False)
class Slab:
    """Consecutive orbits of one size, for all members.

    Parameters
    ----------
    orbits
        Which orbits.
    size
        Members of each orbit in one half of reciprocal space.
    re, im
        ``(n_members, n_orbits · size)`` ⟨F⟩ − centre.
    square
        ``(n_members, n_orbits)`` ⟨|F − centre|²⟩, averaged over the orbit.
    """

    orbits: slice
    size: int
    re: Any
    im: Any
    square: Any


@dataclass(frozen=True, eq=False)
class MemberTable:
    r"""What weighting needs of all members.

    Structure factors are kept as differences from one set of numbers, the
    centre (F of the first member). A variance does not depend on it, and
    single precision then holds the fluctuation and not the Bragg peaks above it.

    Parameters
    ----------
    orbits
        The points.
    slabs
        The numbers, cut into pieces that are worked on one after the other.
    centre
        ``(n_points,)`` complex, in the order of ``orbits.points``.
    prior
        ``(n_members,)`` weights before anything was fitted; they sum to one.
    n_frames
        ``(n_members,)`` frames behind each.
    n_cells
        Unit cells of the supercell, by which intensities are divided.
    folded
        F of every member in the unit cell, where Bragg data are looked at too.
    backend
        Where the slabs are.
    scratch
        The file that holds the slabs, if they are not in memory.
    """

    orbits: Orbits
    slabs: tuple[Slab, ...]
    centre: np.ndarray
    prior: Float[np.ndarray, " members"]
    n_frames: Int[np.ndarray, " members"]
    n_cells: int
    folded: FoldedMembers | None = None
    backend: Backend = field(default_factory=weighting_backend)
    scratch: Scratch | None = None

    @property
    def n_members(self) -> int:
        """Number of members."""
        return len(self.prior)

    def release(self) -> None:
        """Let go of what was read from the scratch file, so that memory does not fill up."""
        if self.scratch is not None:
            self.scratch.release()

    def on(self, backend: Backend) -> MemberTable:
        """Return the table with its slabs on another backend, in as few pieces as possible."""
        if backend.name == self.backend.name:
            return self
        slabs = []
        for size in sorted({slab.size for slab in self.slabs}):
            parts = [slab for slab in self.slabs if slab.size == size]
            slabs.append(
                Slab(
                    slice(parts[0].orbits.start, parts[-1].orbits.stop),
                    size,
                    *(
                        backend.array(
                            np.concatenate([getattr(part, name) for part in parts], axis=1),
                            str(parts[0].re.dtype),
                        )
                        for name in ("re", "im", "square")
                    ),
                )
            )
        return replace(self, slabs=tuple(slabs), backend=backend, scratch=None)


def gather(
    source: MemberSource,
    orbits: Orbits,
    *,
    bragg: BraggPoints | None = None,
    dtype: str = "float32",
    memory: int = MEMORY,
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> MemberTable:
    """Read all members once and keep what weighting needs.

    Parameters
    ----------
    source
        The members.
    orbits
        Points of the source, from :func:`unstill.weighting.orbits.find_orbits`.
    bragg
        Reflections of the unit cell to fold every member into.
    dtype
        ``"float32"``, or ``"float64"`` where the last digits matter.
    memory
        A larger table (bytes) goes to a scratch file, of which no more than
        a few slabs are in memory at a time.
    folder
        Where the scratch file stands; by default the system's.
    progress
        Called with (members read, members).

    Raises
    ------
    InputError
        If there are fewer than two members, or one holds a number that is not finite.
    OutputError
        If there is no room for the scratch file.
    """
    if source.n_members < 2:
        raise _too_few(source.n_members)
    plan = _plan(orbits, source.n_members)
    n_floats = sum(source.n_members * (2 * n * size + n) for _, n, size in plan)
    n_bytes = n_floats * np.dtype(dtype).itemsize
    scratch = Scratch(n_bytes, folder) if n_bytes > memory else None
    buffer = np.empty(n_floats, dtype) if scratch is None else scratch.array(dtype)
    slabs = _carve(buffer, plan, source.n_members)
    weight: list[float] = []
    n_frames: list[int] = []
    folded: list[np.ndarray] = []
    centre: np.ndarray | None = None
    for number, member in enumerate(_checked(source)):
        f = np.asarray(member.f_mean)[orbits.points].astype(np.complex128)
        squared = np.asarray(member.f_squared)[orbits.points].astype(np.float64)
        if centre is None:
            centre = f.copy()
        squared += np.abs(centre) ** 2 - 2 * (centre.conj() * f).real
        f -= centre
        _store(slabs, number, f, squared)
        if scratch is not None and number % _RELEASED == 0:
            scratch.release()
        weight.append(member.weight)
        n_frames.append(member.n_frames)
        if bragg is not None:
            folded.append(bragg.average(np.asarray(member.f_mean))[0])
        if progress is not None:
            progress(number + 1, source.n_members)
    if centre is None or len(weight) < 2:
        raise _too_few(len(weight))
    found = len(weight)
    # A trajectory that broke off has yielded fewer than it announced.
    slabs = [
        replace(slab, re=slab.re[:found], im=slab.im[:found], square=slab.square[:found])
        for slab in slabs
    ]
    prior = np.array(weight, dtype=float)
    return MemberTable(
        orbits=orbits,
        slabs=tuple(slabs),
        centre=centre,
        prior=prior / prior.sum(),
        n_frames=np.array(n_frames),
        n_cells=int(np.prod(source.divisions)),
        folded=None if bragg is None else FoldedMembers(bragg.hkl, np.array(folded)),
        scratch=scratch,
    )


def _checked(source: MemberSource) -> Iterator[Member]:
    for number, member in enumerate(source.members()):
        finite = np.isfinite(member.f_mean).all() and np.isfinite(member.f_squared).all()
        if not finite or not np.isfinite(member.weight) or member.weight <= 0:
            raise InputError(
                "a member holds numbers that cannot be used",
                found=f"member {number} (counting from 0), weight {member.weight:g}",
                fix="leave it out, or make the sums again",
            )
        yield member


def _plan(orbits: Orbits, n_members: int) -> list[tuple[int, int, int]]:
    """First orbit, number of orbits and size of each slab."""
    per_slab = max(_SLAB // (4 * n_members), _FEWEST_POINTS)
    plan = []
    for size in np.unique(orbits.size):
        first, stop = np.searchsorted(orbits.size, [size, size + 1])
        step = max(per_slab // int(size), 1)
        plan += [
            (int(a), int(min(a + step, stop) - a), int(size)) for a in range(first, stop, step)
        ]
    return plan


def _carve(buffer: np.ndarray, plan: list[tuple[int, int, int]], n_members: int) -> list[Slab]:
    slabs, place = [], 0
    for first, n, size in plan:
        parts = []
        for width in (n * size, n * size, n):
            parts.append(buffer[place : place + n_members * width].reshape(n_members, width))
            place += n_members * width
        slabs.append(Slab(slice(first, first + n), size, *parts))
    return slabs


def _store(slabs: list[Slab], number: int, f: np.ndarray, squared: np.ndarray) -> None:
    place = 0
    for slab in slabs:
        stop = place + slab.re.shape[1]
        slab.re[number] = f.real[place:stop]
        slab.im[number] = f.imag[place:stop]
        slab.square[number] = squared[place:stop].reshape(-1, slab.size).mean(axis=1)
        place = stop


def _too_few(n_members: int) -> InputError:
    return InputError(
        "weights need at least two members to choose between",
        found=f"{n_members} member{'s' if n_members != 1 else ''}",
        fix="give more frames, or block sums with more --blocks",
    )
