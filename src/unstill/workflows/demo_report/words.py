"""Words that several parts of the report share."""

from __future__ import annotations

from unstill.workflows.demo import DemoResult

SYMBOL = {"sigma": "σ", "gamma": "γ", "libration": "libration"}
"""How parameters are written, in the order of the table."""

SIGMA_TEXT = {
    "file": "the sigma of the data",
    "mates": "the spread of Laue mates, pooled in shells",
    "unknown": "nothing",
}
"""Where the uncertainty of the data comes from, as part of a sentence."""


def unit_of(result: DemoResult) -> str:
    """Name the unit of the map's intensities."""
    return "e² per cell" if result.dataset.simulated else "arbitrary units"
