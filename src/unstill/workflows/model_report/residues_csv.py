"""Every residue that was judged, with its scores, as a table for other programs."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from unstill.io.atomic import atomic_path
from unstill.workflows.validate_model import ModelValidation

_HEAD = ("chain", "number", "name", "rmsf", "rscc", "gravity", "problems")


def write_residues_csv(found: ModelValidation, path: Path) -> Path:
    """Write one line a residue; empty where nothing was measured.

    Raises
    ------
    OutputError
        If it cannot be written; nothing partial is left.
    """
    scores, table = found.scores, found.scores.residues
    by_row = {one.row: one for one in found.worst}
    rscc = np.full(table.n, np.nan) if found.map is None else found.map.residue_rscc
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_HEAD)
        for row in np.flatnonzero(scores.chosen).tolist():
            problem = by_row.get(row)
            writer.writerow(
                (
                    table.chain_id[row],
                    f"{table.res_id[row]}{table.ins_code[row]}",
                    table.res_name[row],
                    _text(scores.rmsf[row]),
                    _text(rscc[row]),
                    _text(0.0 if problem is None else problem.gravity),
                    "" if problem is None else "; ".join(problem.problems),
                )
            )
    return path


def _text(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else ""
