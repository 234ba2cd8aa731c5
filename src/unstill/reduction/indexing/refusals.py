"""What indexing says when it cannot go on."""

from __future__ import annotations

from unstill.errors import InputError
from unstill.reduction.indexing.spots import Spots

FEWEST_SPOTS = 15
"""Fewer spots are no proof of a lattice."""


def check_number(spots: Spots) -> None:
    """Refuse too few spots.

    Raises
    ------
    InputError
        If there are fewer than ``FEWEST_SPOTS``.
    """
    if len(spots) < FEWEST_SPOTS:
        raise InputError(
            "there are too few spots to index",
            found=f"{len(spots)}; at least {FEWEST_SPOTS} are needed",
            fix="give more frames, lower --sigma-strong or --min-pixels, or look whether the "
            "images show diffraction",
        )


def no_lattice(
    share: float, n_spots: int, tried: tuple[str, ...], *, known_cell: bool
) -> InputError:
    """Return the error that says how much was indexed at best, and under what."""
    listed = f" ({'; '.join(tried[:6])}{' …' if len(tried) > 6 else ''})" if tried else ""
    found = f"at best {share:.0%} of {n_spots} spots are indexed{listed}"
    if known_cell:
        return InputError(
            "the unit cell that was given explains too few spots",
            found=found,
            fix="check the cell, or leave --unit-cell out to search for it; check the distance, "
            "the beam centre and the rotation axis",
        )
    return InputError(
        "no lattice was found",
        found=found,
        fix="check the distance, the beam centre (--beam-center), the wavelength and the rotation "
        "axis (--rotation-axis), or give the cell with --unit-cell",
    )
