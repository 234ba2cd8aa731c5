"""The difference map: what the model leaves, in units of its uncertainty."""

from __future__ import annotations

import numpy as np

from unstill.maps.difference import DifferenceMap
from unstill.report.blocks import Block, Column, FigureBlock, Prose, Row, Table
from unstill.report.numbers import number, with_error
from unstill.workflows.demo import SigmaSource
from unstill.workflows.demo_report.figures import difference_slices
from unstill.workflows.demo_report.words import SIGMA_TEXT


def difference_blocks(delta: DifferenceMap, sigma_source: SigmaSource) -> list[Block]:
    """Say how much is left, and where."""
    z = delta.z.intensity[delta.z.measured]
    share = float(np.mean(np.abs(z) > 3))
    by_sigma = delta.noise == "sigma"
    source = (
        SIGMA_TEXT[sigma_source]
        if by_sigma
        else "the spread of the difference itself in each shell, since the map carries no sigma; "
        "z then shows where the difference is, not whether it is real"
    )
    return [
        Prose(f"Data minus model, divided by its uncertainty: {source}."),
        Table(
            [Column("", style="text"), Column("Value"), Column("What it means", style="note")],
            [
                Row(
                    [
                        "Scale of the data",
                        with_error(delta.scale, delta.scale_sigma),
                        "1 by construction: the model was put on the scale of the data",
                    ]
                ),
                Row(
                    [
                        "rms difference / rms anisotropic",
                        with_error(delta.rms_ratio, delta.rms_ratio_sigma),
                        "0 for equal maps, 1 if as much is left as there was",
                    ]
                ),
                Row(["rms z", number(float(np.sqrt(np.mean(z**2))), 2), "1 if all is noise"]),
                Row(
                    [
                        "Voxels beyond |z| = 3",
                        f"{number(100 * share, 2)} %",
                        "0.27 % if all is noise",
                    ]
                ),
            ],
        ),
        FigureBlock(
            difference_slices(delta),
            "Difference in units of its uncertainty.",
            "Good: salt and pepper between −3 and 3; broad patches or rows of one colour are "
            "scattering that the model does not have.",
            panels=True,
        ),
    ]
