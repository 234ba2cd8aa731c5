"""What indexing says when it cannot go on."""

from __future__ import annotations

from unstill.crystal import Crystal
from unstill.errors import InputError
from unstill.experiment import Experiment
from unstill.reduction.indexing.spots import Spots

FEWEST_SPOTS = 15
"""Fewer spots are no proof of a lattice."""

CLOSEST = 1.5
"""Pixels between neighbouring spots that can be told apart."""


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
            fix="give more frames or wider resolution limits, lower --sigma-strong or "
            "--min-pixels, or look whether the images show diffraction",
        )


def check_resolved(experiment: Experiment, crystal: Crystal) -> None:
    """Refuse a cell whose neighbouring spots share a pixel.

    Raises
    ------
    InputError
        If spots along the longest axis would be less than 1.5 pixels apart.
    """
    longest = max(crystal.unit_cell[:3])
    panel = experiment.detector.panels[0]
    apart = experiment.beam.wavelength * panel.distance / longest / max(panel.pixel_size)
    if apart < CLOSEST:
        raise InputError(
            "the spots of that cell would overlap on this detector",
            found=f"an axis of {longest:g} Å: spots {apart:.2g} pixels apart",
            fix="check the cell (in Å), the distance and the wavelength",
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
