"""Measure, model, encode and publish how proteins move.

The five core types are importable from here and load on first use, so that
``import unstill`` and the command line start quickly:

>>> import unstill
>>> unstill.Crystal(unit_cell=(48.5, 48.5, 63.4, 90, 90, 90), space_group="P 41").laue_group
'4/m'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from unstill.crystal import Crystal as Crystal
    from unstill.ensembles import Ensemble as Ensemble
    from unstill.experiment import Experiment as Experiment
    from unstill.io import read_map as read_map
    from unstill.io import read_structure as read_structure
    from unstill.io import write_map as write_map
    from unstill.maps import IntensityMap as IntensityMap
    from unstill.maps import Observations as Observations

_LAZY = {
    "Crystal": "unstill.crystal",
    "Ensemble": "unstill.ensembles",
    "Experiment": "unstill.experiment",
    "IntensityMap": "unstill.maps",
    "Observations": "unstill.maps",
    "read_map": "unstill.io",
    "read_structure": "unstill.io",
    "write_map": "unstill.io",
}

__all__ = [
    "Crystal",
    "Ensemble",
    "Experiment",
    "IntensityMap",
    "Observations",
    "__version__",
    "read_map",
    "read_structure",
    "write_map",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'unstill' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
