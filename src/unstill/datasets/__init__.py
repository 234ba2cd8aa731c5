"""Named data: what is embedded, what can be fetched, and where it came from.

Each data set has a source, a licence and sha256 hashes in one registry file.
``UNSTILL_DATA`` names a local folder that is looked in first. ``embedded/``
holds the coordinates of PDB entry 5PTI and a diffuse map simulated from them;
``simulate_bpti`` is the generator that made that map and makes it again, bit
for bit. The generator shares no line with ``disorder`` or ``diffuse``, so
that a fit to its map is an independent check of both.
"""

from unstill.datasets.fetch import FetchedDataset, fetch
from unstill.datasets.registry import DataFile, Dataset, find_dataset, list_datasets
from unstill.datasets.simulated import SimulationRecipe, simulate_map

__all__ = [
    "DataFile",
    "Dataset",
    "FetchedDataset",
    "SimulationRecipe",
    "fetch",
    "find_dataset",
    "list_datasets",
    "simulate_map",
]
