"""The diffuse map of block sums, with its sampling error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unstill.diffuse.laue_average import LaueAverage
from unstill.errors import InputError
from unstill.maps.block_sums import BlockSums
from unstill.maps.from_points import map_from_points
from unstill.maps.intensity_map import IntensityMap


def diffuse_intensity(
    sums: BlockSums,
    *,
    selection: str = "all",
    unbiased: bool = True,
    laue_average: bool = True,
    with_sigma: bool = True,
) -> IntensityMap:
    r"""Diffuse intensity of the frames, I_D = ⟨\|F\|²⟩ − \|⟨F⟩\|² (Guinier).

    Parameters
    ----------
    sums
        Block sums of at least two frames.
    selection
        Which atoms.
    unbiased
        Multiply by T/(T−1), or by 1/(1 − Σw²) for weights that sum to one:
        the mean was estimated from the same frames.
    laue_average
        Average over the Laue group of the crystal.
    with_sigma
        Estimate the standard error; takes most of the time.

    Returns
    -------
    IntensityMap
        In e² per unit cell, never negative. ``sigma`` is the jackknife
        standard error over blocks (of the averaged intensity, if averaged);
        ``None`` with one block.

    Raises
    ------
    InputError
        If the selection is not there, the frames are too few, or the divisions
        do not allow the Laue group.

    References
    ----------
    Guinier, A. (1963). *X-ray Diffraction in Crystals, Imperfect Crystals,
    and Amorphous Bodies*. W. H. Freeman.
    """
    number = sums.selection_number(selection)

    def of_totals(s1: np.ndarray, s2: np.ndarray, weight: float, squared: float) -> np.ndarray:
        return variance(s1[number], s2[number], weight, squared, unbiased=unbiased)

    details = {"selection": selection, "unbiased": unbiased}
    return _map(sums, of_totals, laue_average, with_sigma, details)


def cross_intensity(
    sums: BlockSums,
    parts: Sequence[str] = ("protein", "water"),
    *,
    whole: str = "all",
    unbiased: bool = True,
    laue_average: bool = True,
) -> IntensityMap:
    """Interference between parts, I_cross = I_whole − Σ I_part; may be negative.

    For two disjoint parts that make up the whole it is
    2 Re (⟨F₁F₂*⟩ − ⟨F₁⟩⟨F₂⟩*): how the protein and its water move together.
    Atoms of the whole that are in no part (ions, ligands) stay in it.

    Parameters
    ----------
    sums
        Block sums with these selections.
    parts, whole
        Names of selections; the parts must not share atoms.
    unbiased, laue_average
        As in :func:`diffuse_intensity`.
    """
    first = sums.selection_number(whole)
    others = [sums.selection_number(part) for part in parts]

    def of_totals(s1: np.ndarray, s2: np.ndarray, weight: float, squared: float) -> np.ndarray:
        intensity = variance(s1[first], s2[first], weight, squared, unbiased=unbiased)
        for other in others:
            intensity -= variance(s1[other], s2[other], weight, squared, unbiased=unbiased)
        return intensity

    name = f"{whole} - {' - '.join(parts)}"
    return _map(sums, of_totals, laue_average, True, {"selection": name, "unbiased": unbiased})


def variance(
    s1: np.ndarray, s2: np.ndarray, weight: float, squared: float, *, unbiased: bool = True
) -> np.ndarray:
    r"""S2/W − \|S1/W\|², at each point; × 1/(1 − Σw²/W²) if unbiased.

    Raises
    ------
    InputError
        If all the weight is on one frame.
    """
    mean = s1 / weight
    plain = s2 / weight - (mean.real**2 + mean.imag**2)
    # A variance; below zero only by rounding.
    np.maximum(plain, 0.0, out=plain)
    if not unbiased:
        return plain
    rest = 1 - squared / weight**2
    if rest <= 1e-12:
        raise InputError(
            "the variance of one frame is not defined",
            found="all the weight on one frame",
            fix="use at least two frames, or fewer blocks",
        )
    scaled: np.ndarray = plain / rest
    return scaled


_OfTotals = Callable[[np.ndarray, np.ndarray, float, float], np.ndarray]


def _map(
    sums: BlockSums,
    of_totals: _OfTotals,
    laue_average: bool,
    with_sigma: bool,
    details: dict[str, Any],
) -> IntensityMap:
    averaged = (
        LaueAverage.of(sums.crystal, sums.divisions, sums.index) if laue_average else _as_they_are
    )
    s1, s2 = _in_order(sums.s1), _in_order(sums.s2)
    weight, squared = float(sums.weight.sum()), float(sums.weight_squared.sum())
    intensity = averaged(of_totals(s1, s2, weight, squared)) / sums.n_cells
    sigma = None
    if with_sigma and sums.n_blocks > 1:
        without = (
            averaged(
                of_totals(
                    s1 - sums.s1[block],
                    s2 - sums.s2[block],
                    weight - float(sums.weight[block]),
                    squared - float(sums.weight_squared[block]),
                )
            )
            for block in range(sums.n_blocks)
            if sums.total_frames - sums.n_frames[block] > 1
        )
        sigma = _jackknife(without)
    found = map_from_points(
        sums.crystal,
        sums.divisions,
        sums.index,
        intensity,
        None if sigma is None else sigma / sums.n_cells,
    )
    details |= {"laue_average": laue_average, "sums": dict(sums.provenance)}
    return found.replace(provenance={"diffuse": details})


def _jackknife(leave_one_out: Any) -> np.ndarray | None:
    """√((K−1)/K Σ (I₋ₖ − mean)²), in one pass (Welford), so that K maps are never held."""
    count, mean, spread = 0, np.zeros(()), np.zeros(())
    for count, values in enumerate(leave_one_out, start=1):
        step = values - mean
        mean = mean + step / count
        spread = spread + step * (values - mean)
    if count < 2:
        return None
    error: np.ndarray = np.sqrt(spread * (count - 1) / count)
    return error


def _in_order(blocks: np.ndarray) -> np.ndarray:
    total: np.ndarray = blocks[0].copy()
    for block in blocks[1:]:
        total += block
    return total


def _as_they_are(values: np.ndarray) -> np.ndarray:
    return values
