"""The ensemble: how its agreement grows with the number of frames."""

from __future__ import annotations

from unstill.report.blocks import Block, Column, FigureBlock, Prose, Row, Table
from unstill.report.numbers import interval, number
from unstill.workflows.demo_ensemble import EnsembleAgreement
from unstill.workflows.demo_report.figures import ensemble_curves


def ensemble_blocks(ensemble: EnsembleAgreement) -> list[Block]:
    """Agreement of the frames as they come, beside their ceiling."""
    n = " × ".join(str(x) for x in ensemble.divisions)
    last = ensemble.points[-1]
    rows = [
        Row(
            [
                number(p.n_frames, 0),
                f"{number(p.cc_aniso)} {interval(p.low, p.high)}",
                number(p.cc_max),
                number(p.predicted),
                number(p.null),
            ],
            "chosen" if p is last else "",
        )
        for p in ensemble.points
    ]
    return [
        Prose(
            f"Frames of a {n} supercell ({number(ensemble.n_atoms, 0)} atoms) are drawn from the "
            "fitted liquid-like motion and streamed as a simulation's trajectory would be: "
            f"structure factors to {ensemble.d_min:g} Å, summed in blocks. A real trajectory "
            "takes the same road."
        ),
        FigureBlock(
            ensemble_curves(ensemble),
            "Anisotropic correlation of the first frames with the data. CC_max (frames) is what "
            "so few frames could reach with the exact map of their own model. Shaded: 95 % "
            "interval from a bootstrap over blocks of reciprocal space.",
            "Good: the ensemble climbs along “exact model × CC_max” and is limited by nothing but "
            "its length; a curve that levels off below has the wrong motion. The null control "
            "must stay at zero.",
            narrow=True,
        ),
        Table(
            [
                Column("Frames"),
                Column("CC anisotropic"),
                Column("CC_max"),
                Column("Expected"),
                Column("Null CC"),
            ],
            rows,
            note=f"Expected: CC of the exact model ({number(ensemble.exact)}) times CC_max. One "
            "block alone has no halves to compare, hence no CC_max.",
        ),
    ]
